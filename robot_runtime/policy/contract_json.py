"""A contract as JSON (as a network carries it, under the metadata key "contract") and as TOML (as a person writes it).

Both have the same keys, those of the dataclasses in `contract.py`. Numbers survive to the last bit. Where a list holds
one number, the number alone will do; `size` may be left out where it follows from something else.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, time
from functools import partial
from pathlib import Path
from typing import Any

from robot_runtime.policy.contract import (
    KINDS,
    MEANINGS,
    TARGETS,
    VERSION,
    Action,
    Contract,
    Target,
    Term,
    action_problems,
    target_problems,
    term_problems,
)
from robot_runtime.policy.draft import Draft, build
from robot_runtime.policy.errors import ContractError
from robot_runtime.toml_lines import TomlLines
from robot_runtime.toml_table import TomlTable, TomlValueError

METADATA_KEY = "contract"
"""Under which the network carries its contract."""

Numbers = tuple[float, ...]

_NAMES = 'a list of joint names, such as ["shoulder_pan", "elbow_flex"]'

Wrong = list[tuple[str, str]]
"""Keys of a contract, and the whole message about what is wrong there."""

Readers = Mapping[str, Callable[[TomlTable], Any] | None]
"""Keys of a table, and who reads each; None: read elsewhere."""

_LATER = {"last_action", "target", "target_error"}
"""Kinds whose size follows from action or target."""


def contract_to_json(contract: Contract) -> str:
    """One line of JSON that `contract_from_json` reads back to an equal contract.

    Raises:
        ContractError: `provenance` holds something that JSON does not know.
    """
    try:
        known = _without_none({"version": VERSION, **asdict(contract)})
        return json.dumps(known, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ContractError(f"provenance: {error}; only texts, numbers, lists and tables") from error


def contract_from_json(text: str, where: str = "contract") -> Contract:
    """The contract that the text describes.

    Raises:
        ContractError: a key is unknown, missing or impossible; the message names it and says what is expected.
    """
    return build(draft_from_json(text, where), where)


def draft_from_json(text: str, where: str) -> Draft:
    """What the text says, complete or not; what is wrong in it is noted in the draft."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ContractError(f"{where}: not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise ContractError(f"{where}: expected a table of keys, found {type(data).__name__}")
    return _draft(TomlTable(Path(where), _without_none(data), TomlLines("")), where)


def draft_from_toml(path: Path) -> Draft:
    """What the file says, complete or not; what is wrong in it is noted in the draft, by file, line and key."""
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except OSError as error:
        raise ContractError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ContractError(f"{path}: not valid TOML: {error}; every ? must be answered") from error
    lines = TomlLines(text)
    draft = _draft(TomlTable(path, data, lines), str(path))
    draft.lines[str(path)] = lines
    return draft


def _draft(table: TomlTable, source: str) -> Draft:
    given = table.keys()
    try:
        version = table.integer("version", 1, 1_000_000) if "version" in given else VERSION
        if version > VERSION:
            raise table.error("version", f"{version} is newer than {VERSION}, the newest here; update this software")
    except TomlValueError as error:
        raise ContractError(str(error)) from error
    wrong: Wrong = []
    values = _read(table, TOP_KEYS, wrong, str)
    with _noted(wrong, "action"):
        action = table.table("action") if "action" in given else None
        if action is not None:
            values |= {f"action.{key}": value for key, value in _action(action, wrong).items()}
    with _noted(wrong, "target"):
        if "target" in given and (target := _target(table.table("target"), wrong)) is not None:
            values["target"] = target
    with _noted(wrong, "observation"):
        if "observation" in given:
            terms = [_term(term, wrong) for term in table.tables("observation")]
            values["observation"] = tuple(term for term in terms if term is not None)
    draft = Draft.of(source, values)
    draft.wrong = wrong
    return draft


@contextmanager
def _noted(wrong: Wrong, about: str) -> Iterator[None]:
    """Note what is wrong about this key of a contract, and go on: whoever corrects a file wants to know all of it."""
    try:
        yield
    except TomlValueError as error:
        wrong.append((about, str(error)))


def _read(table: TomlTable, readers: Readers, wrong: Wrong, about: Callable[[str], str]) -> dict[str, Any]:
    """What the keys of a table say; `about`: how a contract calls such a key."""
    found = {}
    for key in table.keys():  # noqa: SIM118 (a reader is not a mapping)
        with _noted(wrong, about(key)):
            if key not in readers:
                raise table.error(key, f"unknown key; known here: {', '.join(readers)}")
            read = readers[key]
            if read is not None:
                found[key] = read(table)
    return found


def _start(table: TomlTable) -> dict[str, float] | str:
    start = table.get("start", (str, dict), 'a pose of the arm ("home") or a table of joint angles (rad)')
    if isinstance(start, str):
        return start
    angles = table.table("start")
    return {joint: angles.number(joint, "rad") for joint in angles.keys()}  # noqa: SIM118


def _term(table: TomlTable, wrong: Wrong) -> Term | None:
    found = _read(table, TERM_KEYS, wrong, lambda _: "observation")
    if "kind" not in table.keys():  # noqa: SIM118
        wrong.append(("observation", str(table.error("kind", f"missing; expected one of {', '.join(KINDS)}"))))
    if "kind" not in found:
        return None
    kind, joints, offset = found["kind"], found.get("joints", ()), found.get("offset") or (0.0,)
    later = kind in _LATER and "size" not in found
    follows = 0 if later else {"tip_position": 3, "phase": 2, "constant": len(offset)}.get(kind, len(joints)) or 1
    term = Term(**{"size": follows, **found})
    unread = set(table.keys()) - set(found)  # that has been said already, and so has what follows from it
    hidden = unread | ({"size", "scale", "offset"} if later or unread else set())
    for key, problem in term_problems(term):
        if key not in hidden:
            wrong.append(("observation", str(table.error(key, problem))))
    return term


def _action(table: TomlTable, wrong: Wrong) -> dict[str, Any]:
    """The keys that are there; others may come from another source, and all are checked together once more."""
    given = _read(table, ACTION_KEYS, wrong, lambda key: f"action.{key}")
    sized = set() if "joints" in given else {"scale", "offset", "stiffness", "damping", "low", "high"}
    for key, problem in action_problems(Action(**{"meaning": MEANINGS[0], "joints": (), **given})):
        if key in set(given) - sized:
            wrong.append((f"action.{key}", str(table.error(key, problem))))
    return given


def _target(table: TomlTable, wrong: Wrong) -> Target | None:
    before = len(wrong)
    found = _read(table, TARGET_KEYS, wrong, lambda _: "target")
    if "kind" not in table.keys():  # noqa: SIM118
        wrong.append(("target", str(table.error("kind", f"missing; expected one of {', '.join(TARGETS)}"))))
    if len(wrong) > before:
        return None
    joints = found.get("joints", ())
    follows = {"tip_position": 3, "joint_position": len(joints)}.get(found["kind"])
    if follows is None and "size" not in found and found["kind"] in TARGETS:
        wrong.append(("target", str(table.error("size", "missing; expected how many numbers the policy takes"))))
        return None
    target = Target(**{"size": follows or 0, **found})
    wrong += [("target", str(table.error(key, problem))) for key, problem in target_problems(target)]
    return target


def _names(table: TomlTable) -> tuple[str, ...]:
    names = table.get("joints", list, _NAMES)
    if not all(isinstance(name, str) for name in names):
        raise table.error("joints", f"expected {_NAMES}, found {names!r}")
    return tuple(names)


def _numbers(table: TomlTable, key: str) -> Numbers:
    """One number or a list of them."""
    value = table.get(key, (int, float, list), "a number or a list of numbers")
    entries = value if isinstance(value, list) else [value]
    if not entries or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in entries):
        raise table.error(key, f"expected a number or a list of numbers, found {value!r}")
    try:
        return tuple(float(v) for v in entries)
    except OverflowError as error:
        raise table.error(key, f"expected finite numbers, found {value!r}") from error


def _clip(table: TomlTable) -> tuple[float, float]:
    ends = _numbers(table, "clip")
    if len(ends) != 2:
        raise table.error("clip", f"expected [low, high], found {list(ends)}")
    return ends[0], ends[1]


def _whole(table: TomlTable, key: str) -> int:
    return int(table.get(key, int, "a whole number, at least 1"))


def _without_none(data: Any) -> Any:
    """The same without keys that hold nothing: an absent key and an empty one are the same."""
    if isinstance(data, dict):
        return {key: _without_none(value) for key, value in data.items() if value is not None}
    if isinstance(data, list | tuple):
        return [_without_none(value) for value in data]
    return data


def _plain(data: Any) -> Any:
    """The same with texts for what TOML has and JSON has not: days, times, numbers that are none."""
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_plain(value) for value in data]
    if isinstance(data, date | time):
        return data.isoformat()
    return str(data) if isinstance(data, float) and not math.isfinite(data) else data


def _each(keys: Sequence[str]) -> Readers:
    """Keys that hold one number or a list of them."""
    return {key: partial(_numbers, key=key) for key in keys}


TOP_KEYS: Readers = {
    "version": None,
    "observation": None,
    "action": None,
    "rate": lambda table: table.positive("rate", "Hz"),
    "start": _start,
    "target": None,
    "stacked": lambda table: table.get("stacked", bool, "true or false"),
    "arm": lambda table: table.text("arm"),
    "mjcf_digest": lambda table: table.text("mjcf_digest"),
    "provenance": lambda table: _plain(table.get("provenance", dict, "a table")),
}
"""Keys at the top."""

TERM_KEYS: Readers = {
    "kind": lambda table: table.get("kind", str, f"one of {', '.join(KINDS)}"),
    "joints": _names,
    **_each(("scale", "offset")),
    "clip": _clip,
    "history": partial(_whole, key="history"),
    "period": lambda table: table.number("period", "s"),
    "size": partial(_whole, key="size"),
}
"""Keys of an [[observation]]."""

ACTION_KEYS: Readers = {
    "meaning": lambda table: table.get("meaning", str, f"one of {', '.join(MEANINGS)}"),
    "joints": _names,
    **_each(("scale", "offset")),
    "clip": _clip,
    **_each(("stiffness", "damping", "low", "high")),
    "delta_from": lambda table: table.get("delta_from", str, "'command' or 'measured'"),
}
"""Keys of [action]."""

TARGET_KEYS: Readers = {
    "kind": lambda table: table.get("kind", str, f"one of {', '.join(TARGETS)}"),
    "joints": _names,
    "size": partial(_whole, key="size"),
    **_each(("low", "high", "default")),
}
"""Keys of [target]."""
