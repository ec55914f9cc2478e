"""From one pose to another without a jerk: the shape of a reaching hand, slow enough for every joint's limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robot_runtime.spec import ArmSpec

# Peaks of the minimum-jerk polynomial over unit distance and unit time. Source: Flash and Hogan 1985.
_PEAK_VELOCITY = 1.875
_PEAK_ACCELERATION = 5.7735
_PEAK_JERK = 60.0

_SHORTEST = 0.2
"""s, so that even a move of nothing is a move."""


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """A minimum-jerk move of all joints, arriving together."""

    start: NDArray[np.float64]  # rad
    goal: NDArray[np.float64]  # rad
    duration: float  # s

    @classmethod
    def between(cls, spec: ArmSpec, start: NDArray[np.float64], goal: NDArray[np.float64], share: float = 0.3) -> Move:
        """The fastest such move that uses at most this share of every joint's velocity, acceleration and jerk limit."""
        longest = _SHORTEST
        for joint, distance in zip(spec.joints, np.abs(goal - start), strict=True):
            limits = joint.limits
            longest = max(
                longest,
                _PEAK_VELOCITY * distance / (share * limits.velocity),
                (_PEAK_ACCELERATION * distance / (share * limits.acceleration)) ** (1 / 2),
                (_PEAK_JERK * distance / (share * limits.jerk)) ** (1 / 3),
            )
        return cls(start.copy(), goal.copy(), float(longest))

    def at(self, time: float, out: NDArray[np.float64]) -> NDArray[np.float64]:
        """The pose `time` seconds after the start, into `out`; the goal from `duration` on."""
        s = min(max(time / self.duration, 0.0), 1.0)
        shape = s * s * s * (10.0 + s * (6.0 * s - 15.0))
        np.subtract(self.goal, self.start, out=out)
        np.multiply(out, shape, out=out)
        return np.add(out, self.start, out=out)
