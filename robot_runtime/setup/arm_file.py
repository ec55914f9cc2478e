"""Changing numbers in an `arm.toml` in place: comments, order and layout stay as its owner left them."""

from __future__ import annotations

import contextlib
import copy
import itertools
import re
import shutil
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robot_runtime.setup.errors import ArmFileError
from robot_runtime.spec import ArmSpec, ArmSpecError, load_arm
from robot_runtime.toml_lines import TomlLines

_VALUE = re.compile(r"^(?P<head>\s*[\w-]+\s*=\s*)(?P<value>\{[^{}#]*\}|[^\s#{}]+)(?P<gap>\s*)(?P<comment>#.*)?$")

Key = tuple[str | int, ...]
Number = int | float
Value = Number | Mapping[str, Number]


@dataclass(frozen=True, slots=True)
class Edit:
    """A number, or a table of numbers in one line, to put at a key, such as ("joint", 2, "offset")."""

    key: Key
    value: Value


def joint_edits(index: int, values: Mapping[str, Value]) -> list[Edit]:
    """Edits of one `[[joint]]`, by its place in the file."""
    return [Edit(("joint", index, name), value) for name, value in values.items()]


def edited(text: str, edits: Sequence[Edit]) -> str:
    """The text with these numbers in it; a key that is not there yet goes behind its siblings.

    Raises:
        ArmFileError: the file writes the key in a way that cannot be changed line by line.
    """
    for edit in edits:
        text = _edit(text, edit)
    return text


@dataclass(frozen=True, slots=True)
class Draft:
    """A changed arm file that is known to be valid and lies beside its place."""

    path: Path
    backup: Path | None  # where the old file goes; None: there is no old one
    _fresh: Path

    def put(self) -> ArmSpec:
        """Put it in its place, the old file kept; return the arm as the file says it now. Raises OSError."""
        if self.backup is not None:
            shutil.copy(self.path, self.backup)
        self._fresh.replace(self.path.resolve())
        return load_arm(self.path)


@contextlib.contextmanager
def draft(spec: ArmSpec, edits: Sequence[Edit], folder: Path | None = None) -> Iterator[Draft]:
    """The arm's file with these edits, ready to be put in its place; what was not put is gone afterwards.

    With `folder`, the arm file and its MJCF are copied there and the copy is edited.

    Raises:
        ArmFileError: the lines cannot be changed in place, or the folder holds an arm already.
        ArmSpecError: the file would not be a valid arm any more.
        OSError: the file cannot be written.
    """
    with spec.path.open(encoding="utf-8", newline="") as file:  # line ends stay as they are
        text = edited(file.read(), edits)
    with contextlib.ExitStack() as undone:
        path = spec.path
        backup: Path | None = _free(path.with_name(path.name + ".bak"))
        if folder is not None:
            path, backup = folder / "arm.toml", None
            for taken in (path, folder / spec.mjcf.name):
                if taken.exists():
                    raise ArmFileError(
                        f"{taken} exists already; use it with --arm {folder}, or copy to another place with --out"
                    )
            _make(folder, undone)
            undone.callback(_drop_mjcf, folder / spec.mjcf.name, path)
            shutil.copyfile(spec.mjcf, folder / spec.mjcf.name)
        real = path.resolve()  # the file behind a link is changed, the link stays
        fresh, look = real.with_name(real.name + ".new"), path.with_name(path.name + ".new")
        for place in {fresh, look}:
            undone.callback(place.unlink, missing_ok=True)
            with place.open("w", encoding="utf-8", newline="") as file:
                file.write(text)
        try:
            load_arm(look)  # where its MJCF lies
        except ArmSpecError as error:  # it is about a file that is gone when somebody reads this
            raise ArmSpecError(str(error).replace(str(look), str(path))) from error
        shutil.copymode(spec.path if backup else fresh, fresh)
        yield Draft(path, backup, fresh)


def save(spec: ArmSpec, edits: Sequence[Edit], folder: Path | None = None) -> ArmSpec:
    """Write edits into the arm's file, or into a copy in `folder`; return the arm as the file says it now.

    Raises: as `draft`. Nothing was written then.
    """
    with draft(spec, edits, folder) as ready:
        return ready.put()


def _make(folder: Path, undone: contextlib.ExitStack) -> None:
    """Make a folder and those above it; `undone` takes away again what is empty."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir()
        undone.callback(_drop_empty, place)


def _drop_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()


def _drop_mjcf(mjcf: Path, arm_file: Path) -> None:
    if not arm_file.exists():
        mjcf.unlink(missing_ok=True)


def _free(path: Path) -> Path:
    """The name, or the name with the first number that nobody has: an older file is never lost."""
    names = (path if n == 1 else path.with_name(f"{path.name}.{n}") for n in itertools.count(1))
    return next(name for name in names if not name.exists())


def _edit(text: str, edit: Edit) -> str:
    value = edit.value
    before = tomllib.loads(text)
    table = _table(before, edit.key)
    name = str(edit.key[-1])
    lines = text.splitlines(keepends=True)
    locate = TomlLines(text)
    if name in table:
        number = locate.line(edit.key)
        match = _VALUE.match(lines[number - 1].rstrip("\r\n")) if number else None
        if number is None or match is None:
            raise _by_hand(edit, value)
        ending = lines[number - 1][len(lines[number - 1].rstrip("\r\n")) :]
        lines[number - 1] = _line(match, value) + ending
    else:
        anchor = max((locate.line((*edit.key[:-1], key)) or 0 for key in _SIBLINGS if key in table), default=0)
        if anchor == 0:
            raise _by_hand(edit, value)
        ending = "\r\n" if lines[anchor - 1].endswith("\r\n") else "\n"
        if not lines[anchor - 1].endswith("\n"):
            lines[anchor - 1] += ending
        lines.insert(anchor, f"{name} = {_literal(value)}{ending}")
    result = "".join(lines)
    expected = copy.deepcopy(before)
    _table(expected, edit.key)[name] = value
    try:
        right = tomllib.loads(result) == expected
    except tomllib.TOMLDecodeError:
        right = False
    if not right:
        raise _by_hand(edit, value)
    return result


_SIBLINGS = ("sign", "offset", "gear", "mode", "servo", "name")
"""Keys of a joint behind which a new one may stand."""


def _line(match: re.Match[str], value: Value) -> str:
    """The line with another value, its comment in the column where it was."""
    literal = _literal(value)
    head, comment = match["head"], match["comment"] or ""
    if not comment:
        return head + literal
    column = len(head) + len(match["value"]) + len(match["gap"])
    return (head + literal).ljust(column - 1) + " " + comment


def _literal(value: Value) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {_literal(number)}' for key, number in value.items())} }}"
    if isinstance(value, int) and abs(value) >= 100_000:
        return f"{value:_}"
    return repr(value)


def _table(data: dict[str, Any], key: Key) -> dict[str, Any]:
    for part in key[:-1]:
        data = data[part]  # type: ignore[index]
    return data


def _by_hand(edit: Edit, value: Value) -> ArmFileError:
    name = ".".join(str(part + 1) if isinstance(part, int) else part for part in edit.key)
    return ArmFileError(
        f"the arm file writes {name} in a way that cannot be changed in place; write {edit.key[-1]} = "
        f"{_literal(value)} by hand"
    )
