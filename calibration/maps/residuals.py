"""Which residual a map ships with: the largest that earns its place on every split, or none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.logs.splits import Split
from robot_runtime.arrays import Floats

LEVELS = ("physics", "linear", "networks")
"""What a map consists of: the physics alone, a short filter on top, networks on top of that."""
GAIN = 0.10
"""Share of its predecessor's error that a level must take away on every split."""


@dataclass(frozen=True, slots=True)
class Score:
    """What one level leaves over on what one split holds out: a joint's error over its spread."""

    split: int  # its place among the splits: names may be alike
    level: str
    errors: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the joints of which it says something: one that stands still in what is held out says nothing."""
        known = [error for error in self.errors if math.isfinite(error)]
        return float(np.mean(known)) if known else math.nan


@dataclass(frozen=True, slots=True)
class Choice:
    """The level that ships, and every figure that led to it."""

    level: str
    scores: tuple[Score, ...]

    def of(self, level: str, split: int) -> Score | None:
        """One figure; None: it was not worth computing."""
        return next((s for s in self.scores if (s.level, s.split) == (level, split)), None)

    def gains(self, level: str) -> Mapping[int, float]:
        """Split -> share of the error of the level below that this one takes away."""
        below = LEVELS[LEVELS.index(level) - 1]
        found = {}
        for score in self.scores:
            if score.level == level and (before := self.of(below, score.split)) is not None:
                found[score.split] = 1.0 - score.mean / max(before.mean, 1e-12)
        return found


def choose(score: Callable[[Split, str], Floats], splits: Sequence[Split]) -> Choice:
    """Try one level after the other for as long as each earns its place. `score`: held-out error of a fit, by joint.

    A split on which a level fails ends the search: nothing on top of it could be told apart from luck.
    """
    found: list[Score] = []
    kept = LEVELS[0]
    for level in LEVELS:
        for number, split in enumerate(splits):
            found.append(Score(number, level, tuple(map(float, score(split, level)))))
            so_far = Choice(kept, tuple(found))
            if level != LEVELS[0] and not so_far.gains(level)[number] >= GAIN:  # nan is no gain
                return so_far
        kept = level
    return Choice(kept, tuple(found))
