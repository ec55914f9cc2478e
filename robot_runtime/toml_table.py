"""Typed reading of a TOML file: every value is checked where it is asked for, and an error names file, line and key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robot_runtime.toml_lines import TomlLines


class TomlValueError(ValueError):
    """A key is missing, unknown, or has a value that cannot be; the message names file, line and key."""


class TomlTable:
    """A table of the file that knows where it stands, and takes note of the keys that were asked for."""

    def __init__(self, file: Path, data: dict[str, Any], lines: TomlLines, at: tuple[str | int, ...] = ()) -> None:
        """The table `data` of the file, at this path of keys."""
        self.file, self._data, self._lines, self._at = file, data, lines, at
        self._asked: set[str] = set()

    def error(self, key: str, problem: str) -> TomlValueError:
        """The error to raise about a key of this table."""
        path = (*self._at, key) if key else self._at
        line = self._lines.line(path)
        name = ".".join(str(part + 1) if isinstance(part, int) else part for part in path)
        return TomlValueError(f"{self.file}:{line or 1}: {name}: {problem}")

    def get(self, key: str, kind: type | tuple[type, ...], expected: str, default: Any = None) -> Any:
        """Value of a key, of the right type."""
        self._asked.add(key)
        if key not in self._data:
            if default is None:
                raise self.error(key, f"missing; expected {expected}")
            return default
        value = self._data[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.error(key, f"expected {expected}, found {value!r}")
        return value

    def default(self, key: str, value: Any) -> None:
        """What a key that is absent stands for."""
        self._data.setdefault(key, value)

    def text(self, key: str) -> str:
        """A string."""
        return str(self.get(key, str, "a text"))

    def integer(self, key: str, low: int, high: int) -> int:
        """A whole number within [low, high]."""
        value = int(self.get(key, int, f"a whole number from {low} to {high}"))
        if not low <= value <= high:
            raise self.error(key, f"expected {low} to {high}, found {value}")
        return value

    def number(self, key: str, unit: str, default: float | None = None, *, most: float = 1e6) -> float:
        """A number whose size is at most `most`."""
        value = self.get(key, (int, float), f"a number ({unit})", default)
        if not -most <= value <= most:  # false for nan too
            raise self.error(key, f"expected a finite number ({unit}) from {-most:g} to {most:g}, found {value}")
        return float(value)

    def positive(self, key: str, unit: str, default: float | None = None, *, most: float = 1e6) -> float:
        """A number above 0 and at most `most`."""
        value = self.get(key, (int, float), f"a number ({unit})", default)
        if not 0 < value <= most:  # false for nan too
            raise self.error(key, f"expected a number above 0, at most {most:g} ({unit}), found {value}")
        return float(value)

    def interval(self, key: str, unit: str, low: float, high: float) -> tuple[float, float]:
        """Two numbers in ascending order, within [low, high]."""
        value = self.get(key, list, f"[low, high] ({unit})")
        if len(value) != 2 or not all(isinstance(v, int | float) and low <= v <= high for v in value):
            raise self.error(key, f"expected [low, high] ({unit}) within {low:g} to {high:g}, found {value}")
        if value[0] >= value[1]:
            raise self.error(key, f"the low end {value[0]} is not below the high end {value[1]}")
        return float(value[0]), float(value[1])

    def table(self, key: str, default: dict[str, Any] | None = None) -> TomlTable:
        """A table inside this one."""
        value = self.get(key, dict, "a table", default)
        return TomlTable(self.file, value, self._lines, (*self._at, key))

    def tables(self, key: str) -> Iterator[TomlTable]:
        """An array of tables."""
        value = self.get(key, list, f"at least one [[{key}]]")
        for i, item in enumerate(value):
            if not isinstance(item, dict):
                raise self.error(key, f"expected tables, [[{key}]], found {item!r}")
            yield TomlTable(self.file, item, self._lines, (*self._at, key, i))

    def keys(self) -> tuple[str, ...]:
        """The keys that are there."""
        return tuple(self._data)

    def __contains__(self, key: str) -> bool:
        """Whether the file has this key."""
        return key in self._data

    def finish(self) -> None:
        """Complain about keys that nobody asked for: most often a typing error."""
        for key in self._data:
            if key not in self._asked:
                raise self.error(key, f"unknown key; known here: {', '.join(sorted(self._asked))}")
