"""The registers that act on a servo's drive, as the firmware hands them over: ticks, one entry a servo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.twin.arrays import Flags, Ints
from sim.twin.servo_data import ServoData

_SETTINGS = (
    "pwm_limit",
    "current_limit",
    "velocity_limit",
    "min_position_limit",
    "max_position_limit",
    "homing_offset",
    "drive_mode",
    "pwm_slope",
    "profile_velocity",
    "profile_acceleration",
    "position_p_gain",
    "position_i_gain",
    "position_d_gain",
    "velocity_p_gain",
    "velocity_i_gain",
    "feedforward_1st_gain",
    "feedforward_2nd_gain",
    "moving_threshold",
)
_GOALS = 4
"""Rows of goals, behind the settings."""


class Inputs:
    """Arrays named like the registers; they start at the initial values of the data files, with torque off.

    They are rows of one table, so that a servo's column can be copied and compared at once.
    """

    def __init__(self, servos: Sequence[ServoData], modes: Sequence[str]) -> None:
        """Fill in the initial values. Goals start where they do nothing: limits that are open, and no motion."""
        n, settings = len(servos), len(_SETTINGS) + 1
        self._table: Ints = np.zeros((settings + _GOALS, n), dtype=np.int64)
        self._settings, self._goals = self._table[:settings], self._table[settings:]
        rows = iter(self._table)
        self.mode = next(rows)
        self.mode[:] = [servo.modes[mode] for servo, mode in zip(servos, modes, strict=True)]
        self.pwm_limit = next(rows)
        self.current_limit = next(rows)
        self.velocity_limit = next(rows)
        self.min_position_limit = next(rows)
        self.max_position_limit = next(rows)
        self.homing_offset = next(rows)
        self.drive_mode = next(rows)
        self.pwm_slope = next(rows)
        self.profile_velocity = next(rows)
        self.profile_acceleration = next(rows)
        self.position_p_gain = next(rows)
        self.position_i_gain = next(rows)
        self.position_d_gain = next(rows)
        self.velocity_p_gain = next(rows)
        self.velocity_i_gain = next(rows)
        self.feedforward_1st_gain = next(rows)
        self.feedforward_2nd_gain = next(rows)
        self.moving_threshold = next(rows)
        for name in _SETTINGS:
            lines = [servo.registers.get(name) for servo in servos]
            getattr(self, name)[:] = [(line.initial or 0) if line else 0 for line in lines]
        self.goal_pwm = next(rows)
        self.goal_current = next(rows)
        self.goal_velocity = next(rows)
        self.goal_position = next(rows)
        self.goal_pwm[:] = [0 if mode == "pwm" else limit for mode, limit in zip(modes, self.pwm_limit, strict=True)]
        self.goal_current[:] = [
            limit if mode == "current_position" else 0 for mode, limit in zip(modes, self.current_limit, strict=True)
        ]
        self.torque_on: Flags = np.zeros(n, dtype=bool)
        self.powered: Flags = np.ones(n, dtype=bool)

    def settings_key(self, i: int) -> bytes:
        """Servo i's switches and settings, without its goals: equal as long as nothing of them changed."""
        return self._settings[:, i].tobytes() + bytes((bool(self.torque_on[i]), bool(self.powered[i])))

    def goals(self, i: int) -> Ints:
        """A copy of servo i's goals."""
        return self._goals[:, i].copy()

    def take_settings(self, i: int, source: Inputs) -> None:
        """Copy servo i's switches and settings."""
        self._settings[:, i] = source._settings[:, i]
        self.torque_on[i], self.powered[i] = source.torque_on[i], source.powered[i]

    def take_goals(self, i: int, goals: Ints) -> None:
        """Set servo i's goals."""
        self._goals[:, i] = goals
