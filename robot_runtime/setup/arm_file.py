"""Changing numbers in an `arm.toml` in place: comments, order and layout stay as its owner left them."""

from __future__ import annotations

import copy
import re
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robot_runtime.setup.errors import ArmFileError
from robot_runtime.spec import ArmSpec, ArmSpecError, load_arm
from robot_runtime.toml_lines import TomlLines

_NUMBER = re.compile(r"^(?P<head>\s*[\w-]+\s*=\s*)(?P<value>[^\s#]+)(?P<gap>\s*)(?P<comment>#.*)?$")

Key = tuple[str | int, ...]
Number = int | float


@dataclass(frozen=True, slots=True)
class Edit:
    """A number to put at a key, such as ("joint", 2, "offset")."""

    key: Key
    value: Number


def joint_edits(index: int, values: Mapping[str, Number]) -> list[Edit]:
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


def save(spec: ArmSpec, edits: Sequence[Edit], folder: Path | None = None) -> ArmSpec:
    """Write edits into the arm's file, the old one kept as `arm.toml.bak`; return the arm as the file says it now.

    With `folder`, the arm file and its MJCF are copied there first and the copy is edited.

    Raises:
        ArmFileError: the lines cannot be changed in place, or the folder holds an arm already. Nothing was written.
        ArmSpecError: the file would not be a valid arm any more. Nothing was written.
        OSError: the file cannot be written.
    """
    text = edited(spec.path.read_text(encoding="utf-8"), edits)
    target = spec.path if folder is None else folder / "arm.toml"
    if folder is not None:
        if target.exists():
            raise ArmFileError(
                f"{target} exists already; use it with --arm {folder}, or copy to another place with --out"
            )
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(spec.mjcf, folder / spec.mjcf.name)
    fresh = target.with_name("arm.toml.new")
    fresh.write_text(text, encoding="utf-8")
    try:
        load_arm(fresh)
    except ArmSpecError:
        fresh.unlink()
        raise
    if target.exists():
        shutil.copyfile(target, target.with_name("arm.toml.bak"))
    fresh.replace(target)
    return load_arm(target)


def _edit(text: str, edit: Edit) -> str:
    value = edit.value
    before = tomllib.loads(text)
    table = _table(before, edit.key)
    name = str(edit.key[-1])
    lines = text.splitlines(keepends=True)
    locate = TomlLines(text)
    if name in table:
        number = locate.line(edit.key)
        match = _NUMBER.match(lines[number - 1].rstrip("\r\n")) if number else None
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


def _line(match: re.Match[str], value: Number) -> str:
    """The line with another value, its comment in the column where it was."""
    literal = _literal(value)
    head, comment = match["head"], match["comment"] or ""
    if not comment:
        return head + literal
    column = len(head) + len(match["value"]) + len(match["gap"])
    return (head + literal).ljust(column - 1) + " " + comment


def _literal(value: Number) -> str:
    if isinstance(value, int) and abs(value) >= 100_000:
        return f"{value:_}"
    return repr(value)


def _table(data: dict[str, Any], key: Key) -> dict[str, Any]:
    for part in key[:-1]:
        data = data[part]  # type: ignore[index]
    return data


def _by_hand(edit: Edit, value: Number) -> ArmFileError:
    name = ".".join(str(part + 1) if isinstance(part, int) else part for part in edit.key)
    return ArmFileError(
        f"the arm file writes {name} in a way that cannot be changed in place; write {edit.key[-1]} = "
        f"{_literal(value)} by hand. Nothing was written"
    )
