"""The trajectory between two goals: rectangular, triangular and trapezoidal velocity profiles, by velocity or by time.

In position modes the trajectory is a position (ticks) that runs to the goal; in velocity mode it is a velocity that
ramps to the goal. A new goal on the way changes the trajectory without a jump of velocity, as the manual describes.
The steps are computed from where the trajectory is, not from a table of times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from sim.twin.arrays import Floats, Ints
from sim.twin.servo_data import ServoData

TIME_BASED = 0x04
"""Bit of Drive Mode: the profile registers are milliseconds; manual."""
INSTANT = 1e12
"""ticks/s and ticks/s²: what 'infinite' velocity and acceleration of the manual are taken as."""
STEP, RECTANGULAR, TRIANGULAR, TRAPEZOIDAL = 0, 1, 2, 3
"""Profile types, as Moving Status shows them; manual."""


class ProfileRegisters(Protocol):
    """The registers that shape a profile, one entry a servo."""

    drive_mode: Ints
    velocity_limit: Ints
    profile_velocity: Ints
    profile_acceleration: Ints


class Profiles:
    """The trajectories of all servos."""

    def __init__(self, servos: Sequence[ServoData], period: float) -> None:
        """Start at rest at 0."""
        n = len(servos)
        self._period = period
        # ticks/s and ticks/s² for one tick of the velocity and the acceleration register
        self._velocity_unit = np.array([s.units["velocity"] / s.units["position"] for s in servos])
        self._acceleration_unit = np.array([s.units["acceleration"] / s.units["position"] for s in servos])
        self.velocity_mode = np.zeros(n, dtype=bool)
        self.goal = np.zeros(n)  # ticks, or ticks/s in velocity mode
        self.position = np.zeros(n)  # ticks
        self.velocity = np.zeros(n)  # ticks/s
        self.acceleration = np.zeros(n)  # ticks/s²
        self.kind = np.zeros(n, dtype=np.int64)
        self._fastest, self._steepest = np.full(n, INSTANT), np.full(n, INSTANT)
        self.moving = np.zeros(n, dtype=bool)
        self.any_moving = False

    @property
    def velocity_ticks(self) -> Floats:
        """The trajectory's velocity in ticks of the velocity register."""
        ticks: Floats = self.velocity / self._velocity_unit
        return ticks

    def reset(self, i: int, position: float) -> None:
        """Servo i's trajectory rests at this position (ticks)."""
        self.position[i] = self.goal[i] = position
        self.velocity[i] = self.acceleration[i] = 0.0
        self._set_moving(i, moving=False)

    def refresh(self, i: int, goal: float, registers: ProfileRegisters) -> None:
        """Lead servo i's trajectory to a goal: ticks, or ticks of the velocity register in velocity mode."""
        if self.velocity_mode[i]:
            self._ramp(i, goal * float(self._velocity_unit[i]), registers)
        else:
            self._run(i, goal, registers)

    def _ramp(self, i: int, goal: float, registers: ProfileRegisters) -> None:
        steepness, change = int(registers.profile_acceleration[i]), abs(goal - float(self.velocity[i]))
        if goal == self.goal[i] and self.moving[i]:
            return
        self.goal[i] = goal
        if steepness == 0:
            self.velocity[i], self.acceleration[i], self.kind[i] = goal, 0.0, STEP
            self._set_moving(i, moving=False)
            return
        timed = int(registers.drive_mode[i]) & TIME_BASED
        self._steepest[i] = change / (steepness * 1e-3) if timed else steepness * float(self._acceleration_unit[i])
        self.kind[i] = TRAPEZOIDAL
        self._set_moving(i, moving=change > 0)

    def _run(self, i: int, goal: float, registers: ProfileRegisters) -> None:
        speed, steepness = int(registers.profile_velocity[i]), int(registers.profile_acceleration[i])
        if speed == 0:  # no profile: the goal itself
            self.goal[i] = self.position[i] = goal
            self.velocity[i], self.acceleration[i], self.kind[i] = 0.0, 0.0, STEP
            self._set_moving(i, moving=False)
            return
        if goal == self.goal[i]:
            return
        self.goal[i] = goal
        distance = abs(goal - float(self.position[i]))
        if int(registers.drive_mode[i]) & TIME_BASED:
            whole, ramp = speed * 1e-3, min(steepness, speed / 2) * 1e-3
            fastest = distance / (whole - ramp)
            steepest = fastest / ramp if ramp else INSTANT
        else:
            limit = int(registers.velocity_limit[i]) or speed
            fastest = min(speed, limit) * float(self._velocity_unit[i])
            steepest = steepness * float(self._acceleration_unit[i]) if steepness else INSTANT
        self._fastest[i], self._steepest[i] = fastest, steepest
        triangular = fastest**2 / steepest > distance
        self.kind[i] = RECTANGULAR if steepest == INSTANT else TRIANGULAR if triangular else TRAPEZOIDAL
        self._set_moving(i, moving=True)

    def advance(self) -> None:
        """Take one step on every trajectory."""
        period, steepest, velocity = self._period, self._steepest, self.velocity
        left = self.goal - self.position
        distance = np.abs(left)
        change = steepest * period
        # The highest speed from which the distance left is enough to brake in whole steps.
        brake = np.sqrt(change * change / 4 + 2 * steepest * distance) - change / 2
        wanted = np.where(self.velocity_mode, self.goal, np.copysign(np.minimum(self._fastest, brake), left))
        before = velocity.copy()
        moved = velocity + np.clip(wanted - velocity, -change, change)
        np.copyto(velocity, moved, where=self.moving)
        # A position that would be passed, or is less than half a tick away at a crawl, is reached.
        arrived = self.moving & ~self.velocity_mode & (distance <= np.maximum(np.abs(velocity) * period, 0.5))
        arrived &= np.abs(velocity) <= np.maximum(brake, change) + 1e-9
        there = self.moving & self.velocity_mode & (velocity == self.goal)
        running = self.moving & ~self.velocity_mode & ~arrived
        np.add(self.position, velocity * period, out=self.position, where=running)
        np.copyto(self.position, self.goal, where=arrived)
        velocity[arrived] = 0.0
        np.divide(velocity - before, period, out=self.acceleration)
        self.acceleration[arrived | there] = 0.0
        if np.any(arrived | there):
            self.moving &= ~(arrived | there)
            self.any_moving = bool(np.any(self.moving))

    def _set_moving(self, i: int, *, moving: bool) -> None:
        self.moving[i] = moving
        self.any_moving = bool(np.any(self.moving))
