"""Splits: what is fitted to and what is held out. Always whole logs or whole segments, never samples in between.

The first split is the one that counts: what ships was fitted to its training side and is judged on the other. The
others only say whether a residual earns its place wherever one looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from calibration.logs.load import Loaded
from calibration.logs.log import Log
from robot_runtime.arrays import Flags

BLOCKS = 5
"""Pieces of a log that has no segments and no company; the last one is held out."""
GAP = 0.25
"""s between two such pieces that neither side sees: a history is shorter."""
FOLDS = 3
"""Splits besides the first: each holds out every third piece."""


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """A log, a segment or a block: it is held out as a whole."""

    name: str
    log: int
    rows: Flags  # of that log's samples
    held_out: bool = False  # made for judging

    def of(self, log: Log) -> Log:
        """Its piece of its log, between its first and last sample."""
        where = np.flatnonzero(self.rows)
        return log.cut(slice(int(where[0]), int(where[-1]) + 1))


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Units to fit to, and units to judge by."""

    name: str
    train: tuple[Unit, ...]
    test: tuple[Unit, ...]


def splits(loaded: Sequence[Loaded]) -> list[Split]:
    """The one that counts, then the others; none of these holds out the very same as the first."""
    units = _units(loaded)
    if not any(u.held_out for u in units):
        last = len(units) - 1
        apart = {last} if len(units) <= BLOCKS else set(range(FOLDS, len(units), FOLDS + 1))
        units = [Unit(u.name, u.log, u.rows, i in apart) for i, u in enumerate(units)]
    main = _split([u for u in units if not u.held_out], [u for u in units if u.held_out])
    others = [
        _split([u for j, u in enumerate(units) if j % FOLDS != k], units[k::FOLDS])
        for k in range(min(FOLDS, len(units)))
        if len(units) > 1
    ]
    held_out = {id(u) for u in main.test}
    return [main, *(one for one in others if {id(u) for u in one.test} != held_out)]


def _split(train: Sequence[Unit], test: Sequence[Unit]) -> Split:
    names = [u.name for u in test]
    told = ", ".join(names) if len(names) <= FOLDS else f"{names[0]} and {len(names) - 1} more"
    return Split(told, tuple(train), tuple(test))


def _pieces(i: int, one: Loaded, *, several: bool) -> list[Unit]:
    """Its segments; or, beside logs that have some as well, all of it. `several`: other logs have segments, too."""
    if not one.spans:
        return [Unit(one.log.name, i, np.ones(len(one.log), dtype=bool))]
    return [
        Unit(f"{one.log.name}/{span.name}" if several else span.name, i, one.rows(span), span.is_check)
        for span in one.spans
        if one.rows(span).any()
    ]


def _units(loaded: Sequence[Loaded]) -> list[Unit]:
    if len(loaded) > 1 or loaded[0].spans:
        several = sum(bool(one.spans) for one in loaded) > 1
        return [unit for i, one in enumerate(loaded) for unit in _pieces(i, one, several=several)]
    steps = np.minimum(np.diff(loaded[0].log.time), GAP)  # pauses hold nothing that a block could be made of
    time = np.concatenate([[0.0], np.cumsum(steps)])
    edges = np.linspace(0.0, time[-1] + 1e-6, BLOCKS + 1)
    blocks = [(time >= a + (GAP if k else 0.0)) & (time < b) for k, (a, b) in enumerate(pairwise(edges))]
    return [Unit(f"block {k + 1}", 0, np.asarray(rows)) for k, rows in enumerate(blocks) if rows.any()]
