"""A contract as JSON (as a network carries it, under the metadata key "contract") and as TOML (as a person writes it).

Both have the same keys, those of the dataclasses in `contract.py`. Numbers survive to the last bit. Where a list holds
one number, the number alone will do; `size` may be left out where it follows from something else.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from robot_runtime.policy.contract import (
    MEANINGS,
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

_KEYS = ("version", *(f.name for f in fields(Contract)))

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
    """What the text says, complete or not."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ContractError(f"{where}: not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise ContractError(f"{where}: expected a table of keys, found {type(data).__name__}")
    return _draft(TomlTable(Path(where), _without_none(data), TomlLines("")), where)


def draft_from_toml(path: Path) -> Draft:
    """What the file says, complete or not; errors name file, line and key."""
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except OSError as error:
        raise ContractError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ContractError(f"{path}: not valid TOML: {error}; every ? must be answered") from error
    return _draft(TomlTable(path, data, TomlLines(text)), str(path))


def _draft(table: TomlTable, source: str) -> Draft:
    try:
        return Draft.of(source, _read(table))
    except TomlValueError as error:
        raise ContractError(str(error)) from error


def _read(table: TomlTable) -> dict[str, Any]:
    given = table.keys()
    for key in given:
        if key not in _KEYS:
            raise table.error(key, f"unknown key; known here: {', '.join(_KEYS)}")
    values: dict[str, Any] = {}
    if "version" in given and (version := table.integer("version", 1, 1_000_000)) > VERSION:
        raise table.error("version", f"{version} is newer than {VERSION}, the newest known here; update this software")
    if "action" in given:
        values |= {f"action.{key}": value for key, value in _action(table.table("action")).items()}
    if "target" in given:
        values["target"] = _target(table.table("target"))
    if "observation" in given:
        values["observation"] = tuple(_term(term) for term in table.tables("observation"))
    if "rate" in given:
        values["rate"] = table.positive("rate", "Hz")
    if "start" in given:
        values["start"] = _start(table)
    if "stacked" in given:
        values["stacked"] = table.get("stacked", bool, "true or false")
    for key in ("arm", "mjcf_digest"):
        if key in given:
            values[key] = table.text(key)
    if "provenance" in given:
        values["provenance"] = table.get("provenance", dict, "a table")
    return values


def _start(table: TomlTable) -> dict[str, float] | str:
    start = table.get("start", (str, dict), 'a pose of the arm ("home") or a table of joint angles (rad)')
    if isinstance(start, str):
        return start
    angles = table.table("start")
    return {joint: angles.number(joint, "rad") for joint in angles.keys()}  # noqa: SIM118 (a reader is not a mapping)


def _term(table: TomlTable) -> Term:
    kind = table.text("kind")
    joints = _names(table)
    offset = _numbers(table, "offset")
    follows = {"tip_position": 3, "phase": 2, "constant": len(offset or ())}.get(kind, len(joints))
    if "size" not in table.keys() and not follows and kind not in _LATER:  # noqa: SIM118
        follows = 1  # nothing to go by: what is wrong is said below
    term = Term(
        kind=kind,
        size=int(table.get("size", int, "a whole number", follows)),
        joints=joints,
        scale=_numbers(table, "scale") or (1.0,),
        offset=offset or (0.0,),
        clip=_clip(table),
        history=int(table.get("history", int, "a whole number, at least 1", 1)),
        period=_optional(table, "period", "s"),
    )
    table.finish()
    for key, problem in term_problems(term):
        if key != "size" or term.size or kind not in _LATER:
            raise table.error(key, problem)
    return term


def _action(table: TomlTable) -> dict[str, Any]:
    """The keys that are there; what they say is checked with the others, once all are known."""
    found: dict[str, Any] = {
        "meaning": table.get("meaning", str, f"one of {', '.join(MEANINGS)}", default=""),
        "joints": _names(table),
        **{key: _numbers(table, key) for key in ("scale", "offset", "stiffness", "damping", "low", "high")},
        "clip": _clip(table),
        "delta_from": table.get("delta_from", str, "'command' or 'measured'", default=""),
    }
    table.finish()
    given = {key: value for key, value in found.items() if key in table.keys()}  # noqa: SIM118
    if {"meaning", "joints"} <= set(given):
        for key, problem in action_problems(Action(**given)):
            raise table.error(key, problem)
    return given


def _target(table: TomlTable) -> Target:
    joints = _names(table)
    kind = table.text("kind")
    follows = {"tip_position": 3, "joint_position": len(joints)}.get(kind)
    target = Target(
        kind=kind,
        size=int(table.get("size", int, "a whole number", follows)),
        joints=joints,
        low=_numbers(table, "low"),
        high=_numbers(table, "high"),
        default=_numbers(table, "default"),
    )
    table.finish()
    for key, problem in target_problems(target):
        raise table.error(key, problem)
    return target


def _names(table: TomlTable) -> tuple[str, ...]:
    names = table.get("joints", list, "a list of joint names", ())
    if not all(isinstance(name, str) for name in names):
        raise table.error("joints", f"expected a list of joint names, found {names!r}")
    return tuple(names)


def _numbers(table: TomlTable, key: str) -> Numbers | None:
    """One number or a list of them; None where the key is absent."""
    value = table.get(key, (int, float, list), "a number or a list of numbers", ())
    if value == ():
        return None
    entries = value if isinstance(value, list) else [value]
    if not entries or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in entries):
        raise table.error(key, f"expected a number or a list of numbers, found {value!r}")
    try:
        return tuple(float(v) for v in entries)
    except OverflowError as error:
        raise table.error(key, f"expected finite numbers, found {value!r}") from error


def _clip(table: TomlTable) -> tuple[float, float] | None:
    ends = _numbers(table, "clip")
    if ends is None:
        return None
    if len(ends) != 2:
        raise table.error("clip", f"expected [low, high], found {list(ends)}")
    return ends[0], ends[1]


def _optional(table: TomlTable, key: str, unit: str) -> float | None:
    return table.number(key, unit) if key in table.keys() else None  # noqa: SIM118


def _without_none(data: Any) -> Any:
    """The same without keys that hold nothing: an absent key and an empty one are the same."""
    if isinstance(data, dict):
        return {key: _without_none(value) for key, value in data.items() if value is not None}
    if isinstance(data, list | tuple):
        return [_without_none(value) for value in data]
    return data
