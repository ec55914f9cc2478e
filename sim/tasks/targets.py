"""Where the targets of many simulations are: still, or moving around a point on two sines an entry."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim.tasks.goals import Motion

Floats = npt.NDArray[np.float64]

SWELL = 1.0
"""s in which a motion grows from nothing."""


class Targets:
    """Targets of `count` simulations, drawn from a set of points that can be reached."""

    def __init__(self, count: int, aims: Floats, motion: Motion | None) -> None:
        """`aims` (n x size): the points, in m or rad."""
        self._aims, self._motion = aims, motion
        self.centre: Floats = np.zeros((count, aims.shape[1]))
        waves = (*self.centre.shape, 2)
        self._amplitude, self._frequency, self._phase = np.zeros(waves), np.zeros(waves), np.zeros(waves)

    def draw(self, i: int, random: np.random.Generator) -> None:
        """A new target for simulation i."""
        self.centre[i] = self._aims[random.integers(len(self._aims))]
        if (motion := self._motion) is None:
            return
        size = len(self.centre[i])
        shares = random.dirichlet((1.0, 1.0), size)
        self._amplitude[i] = shares * motion.amplitude.draw(random, size)[:, None]
        self._frequency[i] = 2 * np.pi * random.uniform(motion.frequency.low, motion.frequency.high, (size, 2))
        self._phase[i] = random.uniform(-np.pi, np.pi, (size, 2))

    def at(self, time: Floats) -> Floats:
        """Targets at these times since the start (s, one a simulation)."""
        if self._motion is None:
            return self.centre
        waves = self._amplitude * np.sin(self._frequency * time[:, None, None] + self._phase)
        now: Floats = self.centre + np.minimum(time / SWELL, 1.0)[:, None] * waves.sum(-1)
        return now
