"""One row of the preflight, and all of them as a table for people or data for machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at before torque comes on."""

    name: str
    ok: bool | None  # None: a warning; the flight may begin
    found: str
    wanted: str = ""
    advice: str = ""  # what to do; empty only where all is well


def passed(checks: Iterable[Check]) -> bool:
    """Whether torque may come on: nothing failed."""
    return all(check.ok is not False for check in checks)


def or_fine(wrong: Iterable[Check], fine: Check) -> Iterator[Check]:
    """What is wrong, one row for what is wrong in the same way; or one row that says that all is well."""
    rows: dict[tuple[str, bool | None, str, str], list[str]] = {}
    for check in wrong:
        rows.setdefault((check.name, check.ok, check.wanted, check.advice), []).append(check.found)
    for (name, ok, want, advice), found in rows.items():
        yield Check(name, ok, "; ".join(found), want, advice)
    if not rows:
        yield fine


@dataclass(frozen=True, slots=True)
class Odd:
    """What nothing stands against, and is worth a word."""

    found: str
    wanted: str
    advice: str


def notes(name: str, fine: str, odd: Iterable[Odd]) -> Iterator[Check]:
    """What is odd as notes, alike ones in one row; or that all is well, and what `fine` says of it."""
    rows = (Check(name, ok=None, found=each.found, wanted=each.wanted, advice=each.advice) for each in odd)
    yield from or_fine(rows, Check(name, ok=True, found=fine))


_MARKS = {True: ("ok", "green"), None: ("note", "yellow"), False: ("FAILED", "bold red")}


_WIDE = 120
"""Characters in a line from which a table of five columns can be read."""


@dataclass(frozen=True, slots=True)
class Told:
    """Checks for a terminal: a table, or on a narrow one some lines each; what failed stands last."""

    checks: tuple[Check, ...]
    title: str = "preflight"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As rich asks for it."""
        if options.max_width >= _WIDE:
            yield self._table()
        else:
            yield from self._lines()

    def _table(self) -> Table:
        grid = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
        for title in (self.title, "", "found", "wanted", "what to do"):
            grid.add_column(title, overflow="fold")
        for check in self.checks:
            mark, style = _MARKS[check.ok]
            cells = (check.found, check.wanted, check.advice)
            grid.add_row(Text(check.name), Text(mark, style=style), *(Text(cell) for cell in cells))
        return grid

    def _lines(self) -> Iterator[Text]:
        for check in self.checks:
            mark, style = _MARKS[check.ok]
            yield Text.assemble((f"{mark:8}", style), (check.name, "bold"), f": {check.found}")
            if check.ok is not True:
                for title, words in (("wanted: ", check.wanted), ("do: ", check.advice)):
                    if words:
                        yield Text.assemble(" " * 8, (title, "dim"), words)


def table(checks: Iterable[Check], title: str = "preflight") -> Told:
    """For a terminal: what is well, what is worth a word, what failed."""
    in_order = sorted(checks, key=lambda check: (None, False).index(check.ok) if not check.ok else -1)
    return Told(tuple(in_order), title)


def as_data(checks: Iterable[Check]) -> list[dict[str, Any]]:
    """For `--json`; `ok` is null for a warning."""
    return [asdict(check) for check in checks]
