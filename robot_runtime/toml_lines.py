"""Where each key of a TOML text stands, so that an error can name its line (tomllib does not keep lines)."""

from __future__ import annotations

import re

Path = tuple[str | int, ...]
"""Keys from the top; an integer picks an element of an array of tables."""

_TABLE = re.compile(r"^\s*\[(?P<array>\[)?\s*(?P<name>[^\]\[]+?)\s*\]")
_KEY = re.compile(r"""^\s*(?P<key>[\w."'-]+)\s*=""")
_INLINE_KEY = re.compile(r"""[{,]\s*(?P<key>[\w"'-]+)\s*=""")
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"(?!\s*=)' + r"|'[^']*'(?!\s*=)")
_LONG_QUOTES = ('"""', "'''")


class TomlLines:
    """Line numbers of tables and keys; keys of an inline table stand on the line that they are on."""

    def __init__(self, text: str) -> None:
        """Walk the text once."""
        self._lines: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}
        table: Path = ()
        last: Path = ()
        inside = ""  # the quotes of a string that goes over several lines
        for number, line in enumerate(text.splitlines(), start=1):
            code, inside = _code(line, inside)
            if match := _TABLE.match(code):
                table = last = self._enter(_names(match["name"]), array=bool(match["array"]))
                self._lines.setdefault(table, number)
                self._lines.setdefault(table[:1], number)
                continue
            if match := _KEY.match(code):
                last = table + tuple(_names(match["key"]))
                self._lines.setdefault(last, number)
            for inline in _INLINE_KEY.finditer(code):
                self._lines.setdefault((*last, inline["key"].strip("\"'")), number)

    def line(self, path: Path) -> int | None:
        """Line of the key, or of the nearest table around it; None where nothing of the path is in the text."""
        while path:
            if path in self._lines:
                return self._lines[path]
            path = path[:-1]
        return None

    def _enter(self, names: list[str], *, array: bool) -> Path:
        """The path of a table header: inside an array of tables, it is its latest element that is meant."""
        path: Path = ()
        for name in names[:-1]:
            path = (*path, name)
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        path = (*path, names[-1])
        if array:
            self._counts[path] = self._counts.get(path, 0) + 1
            return (*path, self._counts[path] - 1)
        return path


def _code(line: str, inside: str) -> tuple[str, str]:
    """The line without strings and comments, and the quotes of a long string that it leaves open."""
    if inside:
        end = line.find(inside)
        return _code(line[end + 3 :], "") if end >= 0 else ("", inside)
    for quotes in _LONG_QUOTES:
        start = line.find(quotes)
        if start >= 0:
            end = line.find(quotes, start + 3)
            if end < 0:
                return line[:start], quotes
            return _code(line[:start] + line[end + 3 :], "")
    return _QUOTED.sub("_", line).split("#", 1)[0], ""


def _names(dotted: str) -> list[str]:
    return [part.strip().strip("\"'") for part in dotted.split(".")]
