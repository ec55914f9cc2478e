"""What the servos report of the joints: angles in whole ticks, and velocities that look back.

A velocity register shows the difference of position over a window twice as long as its lag (40 ms on an XL330).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robot_runtime.arrays import Floats, Indices
from robot_runtime.spec import JointSpec

LONGEST_LAG = 0.040
"""s: of a velocity register, the worst seen between models."""


class Senses:
    """Encoders and velocity registers of many arms: arrays are (arms, joints)."""

    def __init__(self, joints: Sequence[JointSpec], count: int, timestep: float) -> None:
        """Nominal sensors; `reset` gives the first angles."""
        shape = (count, len(joints))
        self._timestep = timestep
        self._tick = np.array([abs(joint.rad_per_tick) for joint in joints])
        self._speed_tick = np.array([joint.servo.units["velocity"].scale / joint.gear for joint in joints])
        self._history = np.zeros((round(2 * LONGEST_LAG / timestep) + 1, *shape))  # rad, a ring of past angles
        self._row = 0
        self._arms = np.arange(count)
        self.window = np.full(count, self.window_of(max(joint.servo.motor.velocity_lag for joint in joints)))
        self.noise = np.zeros(shape)  # rad, of the encoders: added to what is measured next
        self.q = np.zeros(shape)
        self.dq = np.zeros(shape)

    def window_of(self, lag: float) -> int:
        """Steps over which a register of this lag (s) takes its difference."""
        return max(1, round(2 * min(lag, LONGEST_LAG) / self._timestep))

    def reset(self, ids: Indices, q: Floats) -> None:
        """These arms have been at rest at these angles."""
        self._history[:, ids] = q

    def record(self, q: Floats) -> None:
        """A step has passed and the joints stand here."""
        self._row = (self._row + 1) % len(self._history)
        self._history[self._row] = q

    def measure(self) -> None:
        """Let the registers show what is: `q` (rad) and `dq` (rad/s)."""
        now = self._history[self._row]
        before = self._history[(self._row - self.window) % len(self._history), self._arms]
        np.rint((now + self.noise) / self._tick, out=self.q)
        np.multiply(self.q, self._tick, out=self.q)
        np.rint((now - before) / (self.window * self._timestep)[:, None] / self._speed_tick, out=self.dq)
        np.multiply(self.dq, self._speed_tick, out=self.dq)
