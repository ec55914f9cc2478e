"""How far arms that the data allow lie apart: without what chance makes of few flights on each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from robot_runtime.arrays import Floats, Indices
from sim.training.evaluate import Figure, Z, mean


@dataclass(frozen=True, slots=True)
class Spread:
    """Variances over arms of their means."""

    seen: float
    chance: float  # that so many flights an arm make by themselves
    arms: int

    @classmethod
    def of(cls, values: Floats, which: Indices) -> Spread:
        """Of these flights; one arm lies nowhere apart."""
        each = [values[which == arm] for arm in np.unique(which)]
        if len(each) == 1:
            return cls(0.0, 0.0, 1)
        chance = float(np.mean([one.var(ddof=1) / len(one) for one in each]))
        return cls(float(np.var([one.mean() for one in each], ddof=1)), chance, len(each))

    @property
    def apart(self) -> float:
        """Standard deviation without chance."""
        return math.sqrt(max(self.seen - self.chance, 0.0))

    @property
    def at_most(self) -> float:
        """The same, as large as it may well be."""
        return math.sqrt(self.apart**2 + self.chance * math.sqrt(2.0 / (self.arms - 1)))


def over_arms(values: Floats, which: Indices) -> Figure:
    """Mean, and an interval for an arm that is one of these: how far they lie apart, and how well their mean is known.

    Of one arm: its mean's.
    """
    arms = Spread.of(values, which)
    if arms.arms == 1:
        return mean(values)
    half = Z * math.hypot(arms.at_most, math.sqrt(arms.seen / (arms.arms / 2)))  # mirror images count once
    middle = float(values.mean())
    return Figure(middle, middle - half, middle + half)
