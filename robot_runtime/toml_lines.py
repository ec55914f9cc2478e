"""Where each key of a TOML text stands, so that an error can name its line (tomllib does not keep lines)."""

from __future__ import annotations

import re

Path = tuple[str | int, ...]
"""Keys from the top; an integer picks an element of an array of tables."""

_TABLE = re.compile(r"^\s*\[(?P<array>\[)?\s*(?P<name>[^\]\[]+?)\s*\]")
_KEY = re.compile(r"""^\s*(?P<key>[\w."'-]+)\s*=""")
_INLINE_KEY = re.compile(r"""[{,]\s*(?P<key>[\w"'-]+)\s*=""")


class TomlLines:
    """Line numbers of tables and keys; keys of an inline table stand on the line of the table."""

    def __init__(self, text: str) -> None:
        """Walk the text once."""
        self._lines: dict[Path, int] = {}
        counts: dict[str, int] = {}
        table: Path = ()
        last: Path = ()
        for number, line in enumerate(text.splitlines(), start=1):
            code = line.split("#", 1)[0]
            if match := _TABLE.match(code):
                name = match["name"]
                table = tuple(_names(name))
                if match["array"]:
                    table += (counts.get(name, 0),)
                    counts[name] = counts.get(name, 0) + 1
                last = table
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


def _names(dotted: str) -> list[str]:
    return [part.strip().strip("\"'") for part in dotted.split(".")]
