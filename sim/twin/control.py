"""What a servo's firmware computes between two samples of its encoder: one control law a mode, in register units.

All servos at once, struct of arrays. Gains are folded with their units when a register changes, so that a step is a
few array operations and laws that no servo uses cost nothing.

What is known: duty = position_p_gain * error_ticks / 256 / 885 in position mode (16 logs of a real XL330 obey it to a
few counts; the manual's table says 128, so the figure below is half of the manual's). Assumed by analogy: the same
half for the I and D gains and the feed-forward; one control cycle a millisecond as the unit of time of I, D and the
feed-forward; the position law's output in current ticks in current-based position mode; the velocity law's gains as the
manual has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from sim.twin.arrays import Flags, Floats, Ints
from sim.twin.profile import Profiles
from sim.twin.servo_data import ServoData

POSITION_P, POSITION_I, POSITION_D = 1 / 256, 1 / 131072, 1 / 32
FEEDFORWARD = 1 / 8
"""Output ticks for a gain of 1 and an error of one tick (P), one tick a cycle (D, 1st), one tick a cycle² (2nd)."""
VELOCITY_P, VELOCITY_I = 1 / 128, 1 / 65536
"""PWM ticks for a gain of 1 and an error of one velocity tick; manual."""
CYCLE = 0.001
"""s, the firmware's control cycle that the gains count in; assumed."""

_POSITION_MODES = ("position", "extended_position", "current_position")
_CURRENT_MODES = ("current", "current_position")
_TRAJECTORY_MODES = (*_POSITION_MODES, "velocity")


class Registers(Protocol):
    """The inputs as the firmware writes them, in ticks, one entry a servo."""

    torque_on: Flags
    powered: Flags
    mode: Ints
    goal_pwm: Ints
    goal_current: Ints
    goal_velocity: Ints
    goal_position: Ints
    pwm_limit: Ints
    current_limit: Ints
    velocity_limit: Ints
    min_position_limit: Ints
    max_position_limit: Ints
    drive_mode: Ints
    profile_velocity: Ints
    profile_acceleration: Ints
    position_p_gain: Ints
    position_i_gain: Ints
    position_d_gain: Ints
    velocity_p_gain: Ints
    velocity_i_gain: Ints
    feedforward_1st_gain: Ints
    feedforward_2nd_gain: Ints


class Control:
    """The controllers of all servos. `command` is a duty (-1..1) or a current (A), as `is_current` says."""

    def __init__(self, servos: Sequence[ServoData], period: float) -> None:
        """Start with every controller off."""
        n = len(servos)
        self._servos = tuple(servos)
        self._mode_names = [{code: name for name, code in s.modes.items()} for s in servos]
        self._cycles = period / CYCLE
        self.profiles = Profiles(servos, period)
        self.command = np.zeros(n)
        self.is_current = np.zeros(n, dtype=bool)
        self.duty_low, self.duty_high = np.zeros(n), np.zeros(n)  # between which current controllers may set the duty
        self.on = np.zeros(n, dtype=bool)
        self.mode: list[str] = [""] * n
        self._kp, self._ki, self._kd, self._ff1, self._ff2 = (np.zeros(n) for _ in range(5))
        self._vp, self._vi = np.zeros(n), np.zeros(n)
        self._base, self._low, self._high = np.zeros(n), np.zeros(n), np.zeros(n)
        self._integral, self._last_error = np.zeros(n), np.zeros(n)
        self._error, self._work = np.zeros(n), np.zeros(n)
        self.any_position = self.any_velocity = False  # whether any law reads the encoder, the velocity
        self._any_shaping = self._any_integral = self._any_feedforward = False
        self.all_voltage = True
        self._pwm_unit = [s.units["pwm"] for s in servos]
        self._current_unit = [s.units.get("current", 0.0) for s in servos]

    def mode_name(self, i: int, code: int) -> str:
        """Name of an operating mode's register value."""
        return self._mode_names[i].get(code, "")

    def reset(self, i: int, position: float) -> None:
        """Forget what the controller of servo i remembers; its trajectory starts where the shaft is (ticks)."""
        self._integral[i] = self._last_error[i] = 0.0
        self.profiles.reset(i, position)

    def refresh(self, i: int, registers: Registers) -> None:
        """Take over all registers of servo i."""
        servo = self._servos[i]
        mode = self.mode[i] = self.mode_name(i, int(registers.mode[i]))
        self.on[i] = registers.torque_on[i] and registers.powered[i]
        self.is_current[i] = mode in _CURRENT_MODES
        for gain in (self._kp, self._ki, self._kd, self._ff1, self._ff2, self._vp, self._vi, self._base):
            gain[i] = 0.0
        pwm = servo.units["pwm"]
        self.profiles.velocity_mode[i] = mode == "velocity"
        if mode == "velocity":
            self._vp[i] = int(registers.velocity_p_gain[i]) * VELOCITY_P * pwm
            self._vi[i] = int(registers.velocity_i_gain[i]) * VELOCITY_I * pwm * self._cycles
        elif mode in _POSITION_MODES:
            unit = self._current_unit[i] if mode == "current_position" else pwm
            self._kp[i] = int(registers.position_p_gain[i]) * POSITION_P * unit
            self._ki[i] = int(registers.position_i_gain[i]) * POSITION_I * unit * self._cycles
            self._kd[i] = int(registers.position_d_gain[i]) * POSITION_D * unit / self._cycles
            self._ff1[i] = int(registers.feedforward_1st_gain[i]) * FEEDFORWARD * unit * CYCLE
            self._ff2[i] = int(registers.feedforward_2nd_gain[i]) * FEEDFORWARD * unit * CYCLE**2
        self.refresh_goals(i, registers)
        self._sort()

    def refresh_goals(self, i: int, registers: Registers) -> None:
        """Take over the goals of servo i, the rest being as it was."""
        if not self.on[i]:
            self._low[i] = self._high[i] = self._base[i] = self.command[i] = 0.0
            return
        mode = self.mode[i]
        open_pwm = int(registers.pwm_limit[i]) * self._pwm_unit[i]
        full_pwm = min(abs(int(registers.goal_pwm[i])) * self._pwm_unit[i], open_pwm)
        limit, duty = full_pwm, open_pwm
        if mode == "pwm":
            limit = open_pwm
            self._base[i] = int(registers.goal_pwm[i]) * self._pwm_unit[i]
        elif mode == "current":
            limit = int(registers.current_limit[i]) * self._current_unit[i]
            self._base[i] = int(registers.goal_current[i]) * self._current_unit[i]
        elif mode == "current_position":
            limit = min(abs(int(registers.goal_current[i])), int(registers.current_limit[i])) * self._current_unit[i]
            duty = full_pwm
        self._low[i], self._high[i] = -limit, limit
        self.duty_low[i], self.duty_high[i] = -duty, duty
        self.command[i] = min(max(float(self._base[i]), -limit), limit)
        if mode in _TRAJECTORY_MODES:
            self.profiles.refresh(i, self._goal(i, mode, registers), registers)

    def _goal(self, i: int, mode: str, registers: Registers) -> float:
        """Where the trajectory of servo i leads: ticks, or velocity ticks in velocity mode."""
        if mode == "velocity":
            limit = int(registers.velocity_limit[i])
            return float(min(max(int(registers.goal_velocity[i]), -limit), limit))
        goal = int(registers.goal_position[i])
        if mode == "position":
            goal = min(max(goal, int(registers.min_position_limit[i])), int(registers.max_position_limit[i]))
        return float(goal)

    def _sort(self) -> None:
        """Note which laws any servo uses. Servos that are off count as whatever costs least."""
        modes = {mode for mode, on in zip(self.mode, self.on, strict=True) if on}
        self.any_position = not modes.isdisjoint(_POSITION_MODES)
        self.any_velocity = "velocity" in modes
        self._any_integral = bool(np.any(self._ki))
        self._any_feedforward = bool(np.any(self._ff1) or np.any(self._ff2))
        self._any_shaping = self._any_integral or self._any_feedforward or bool(np.any(self._kd))
        self.all_voltage = modes.isdisjoint(_CURRENT_MODES)

    def step(self, position: Floats, velocity: Floats) -> Floats:
        """One control cycle. `position` and `velocity` in ticks, as the registers show them."""
        command = self.command
        if not (self.any_position or self.any_velocity):
            return command
        profiles = self.profiles
        if profiles.any_moving:
            profiles.advance()
        if self.any_position:
            np.subtract(profiles.position, position, out=self._error)
            np.multiply(self._error, self._kp, out=command)
            if self._any_shaping:
                self._shape()
            np.add(command, self._base, out=command)
        else:
            command[:] = self._base
        if self.any_velocity:
            self._hold_velocity(velocity)
        np.minimum(command, self._high, out=command)
        np.maximum(command, self._low, out=command)
        return command

    def _shape(self) -> None:
        """Add I, D and feed-forward. The integral stops growing where the output's limit is reached."""
        command, error, work = self.command, self._error, self._work
        if self._any_integral:
            np.multiply(self._ki, error, out=work)
            np.add(self._integral, work, out=work)
            np.minimum(work, self._high, out=work)
            np.maximum(work, self._low, out=self._integral)
            np.add(command, self._integral, out=command)
        np.subtract(error, self._last_error, out=work)
        np.multiply(work, self._kd, out=work)
        np.add(command, work, out=command)
        self._last_error[:] = error
        if self._any_feedforward:
            command += self._ff1 * self.profiles.velocity + self._ff2 * self.profiles.acceleration

    def _hold_velocity(self, velocity: Floats) -> None:
        np.subtract(self.profiles.velocity_ticks, velocity, out=self._work)
        np.clip(self._integral + self._vi * self._work, self._low, self._high, out=self._integral, where=self._vi > 0)
        command = self.command
        command += self._vp * self._work
        np.add(command, self._integral, out=command, where=self._vi > 0)
