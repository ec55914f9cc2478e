"""Where the targets of many simulations are: still, or moving."""

from __future__ import annotations

import numpy as np

from robot_runtime.arrays import Floats
from sim.tasks.paths import Paths


class Targets:
    """Targets of `count` simulations, drawn from points, or ways, within the arm's reach."""

    def __init__(self, count: int, aims: Floats | Paths) -> None:
        """`aims`: points (n x size, m or rad), or ways to move."""
        self._aims = aims
        points = aims.centre if isinstance(aims, Paths) else aims
        self._drawn = np.zeros(count, dtype=np.intp)
        self.centre: Floats = np.zeros((count, points.shape[1]))
        self._points = points

    def draw(self, i: int, random: np.random.Generator) -> None:
        """A new target for simulation i."""
        self._drawn[i] = random.integers(len(self._points))
        self.centre[i] = self._points[self._drawn[i]]

    def at(self, time: Floats) -> Floats:
        """Targets at these times since the start (s, one a simulation)."""
        if not isinstance(self._aims, Paths):
            return self.centre
        return self._aims.rows(self._drawn)._replace(centre=self.centre).at(time)
