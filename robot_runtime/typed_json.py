"""From JSON to dataclasses: every value is of the type that its field says, or the error names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Record = TypeVar("Record")


def record(kind: type[Record], data: Any, where: str = "") -> Record:
    """The dataclass that `asdict` made this JSON of.

    Raises:
        TypeError: a value is missing, unknown or of another type; the message says where.
    """
    if not isinstance(data, dict):
        raise _error(where, "a table", data)
    hints = get_type_hints(kind)
    known = {f.name: f.default is MISSING and f.default_factory is MISSING for f in fields(kind)}  # type: ignore[arg-type]
    if wrong := [name for name, needed in known.items() if needed and name not in data]:
        raise TypeError(f"'{wrong[0]}' is missing{f' in {where}' if where else ''}")
    if wrong := [name for name in data if name not in known]:
        raise TypeError(f"'{wrong[0]}' is unknown{f' in {where}' if where else ''}")
    return kind(**{name: _typed(hints[name], value, f"{where}.{name}".strip(".")) for name, value in data.items()})


def _typed(hint: Any, value: Any, where: str) -> Any:
    inner: Any = get_args(hint)
    if is_dataclass(hint):
        return record(hint, value, where)  # type: ignore[arg-type]
    match get_origin(hint):
        case None:
            kinds = (int, float) if hint is float else hint
            if not isinstance(value, kinds) or (isinstance(value, bool) and hint is not bool):
                raise _error(where, hint.__name__, value)
            return value
        case origin if origin is UnionType:  # something, or None
            return None if value is None else _typed(inner[0], value, where)
        case origin if origin is Mapping:
            if not isinstance(value, dict):
                raise _error(where, "a table", value)
            return {key: _typed(inner[1], entry, f"{where}.{key}") for key, entry in value.items()}
        case _:  # a tuple, of one type
            size = None if inner[-1] is Ellipsis else len(inner)
            if not isinstance(value, list | tuple) or (size is not None and len(value) != size):
                raise _error(where, "a list" if size is None else f"a list of {size}", value)
            return tuple(_typed(inner[0], entry, where) for entry in value)


def _error(where: str, wanted: str, found: object) -> TypeError:
    return TypeError(f"{where or 'all of it'} is not {wanted} but {found!r:.40}")
