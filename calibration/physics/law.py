"""The servos' command laws: what duty or current their firmware makes of a command. Rows of simulations x joints.

Position: duty = P (goal - position) + D (change of the error), the goal no faster than `goal_speed`; PWM: the command
is the duty; current: torque over the data file's constant is the current, as far as the supply voltage allows.

A D gain sees the encoder tick by tick, a kick for each. The kicks push through the gears, whose friction grows with
what passes them, and shake the joint: without them a fit finds a fifth too much friction. They need `FINE` steps.
A last digit that flickers kicks too: with 0.2 ticks of it, which the twin's XL430 has, its true numbers leave 0.9 mrad
instead of 1.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from robot_runtime.arrays import Floats
from robot_runtime.spec import JointSpec
from sim.worlds.drives import POSITION_D, POSITION_P

POSITION_MODES = ("position", "extended_position")
MODES = (*POSITION_MODES, "pwm", "current")
"""Modes that calibration knows the law of."""

FINE = 0.001
"""s, the servos' own control cycle: at steps of this length or less, D gains see ticks."""

SUPPLY_SHARE = 0.5
"""Share of the way to its new value that the supply goes in a step: capacitors, and an even solution."""


class Laws:
    """All joints of an arm; which of them obeys which law."""

    def __init__(self, joints: Sequence[JointSpec]) -> None:
        """Raises ValueError for a mode whose law is not known."""
        if unknown := [j.name for j in joints if j.mode not in MODES]:
            raise ValueError(f"no law for the modes of {', '.join(unknown)}; known: {', '.join(MODES)}")
        self.position = np.array([j.mode in POSITION_MODES for j in joints])
        self.current = np.array([j.mode == "current" for j in joints])
        self.constant = np.array(
            [j.gear * j.servo.motor.torque_constant for j in joints]
        )  # what the runtime divides by
        duty_per_radian = [j.servo.units["pwm"].scale / j.servo.units["position"].scale * j.gear for j in joints]
        self.p_unit = POSITION_P * np.array(duty_per_radian)  # duty for 1 rad and a register of 1
        self.d_unit = POSITION_D * 1e-3 * np.array(duty_per_radian)  # duty for 1 rad/s and a register of 1
        self.default_p, self.default_d = default_gains(joints)
        self.tick = np.array([abs(j.rad_per_tick) for j in joints])
        self.rounding = self.tick**2 / 12.0  # rad², of an encoder that only rounds
        # Servos of one nominal voltage hang on one rail.
        rail = np.array([j.servo.motor.nominal_voltage for j in joints])
        self.nominal_volts = rail
        self.same_rail = (rail[:, None] == rail[None, :]).astype(float)


def default_gains(joints: Sequence[JointSpec]) -> tuple[Floats, Floats]:
    """Position P and D registers as the arm file sets them, or as the servo starts with them."""
    p, d = (np.array([float(j.gain(name)) for j in joints]) for name in ("position_p_gain", "position_d_gain"))
    return p, d


class Servos:
    """The laws at work in a batch of simulations. Arrays: simulations x joints, or x 1."""

    def __init__(
        self, laws: Laws, numbers: dict[str, Floats], volts: Floats, gains: tuple[Floats, Floats], step: float
    ) -> None:
        """`numbers`: Physics.expand, a row a simulation; `volts`: open supply; `gains`: registers, nan: default."""
        self._laws, self._n, self._step = laws, numbers, step
        self._open = np.where(np.isnan(volts), laws.nominal_volts, volts)
        self._volts = self._open.copy()
        self._p = np.where(np.isnan(gains[0]), laws.default_p, gains[0]) * laws.p_unit
        self._d = np.where(np.isnan(gains[1]), laws.default_d, gains[1]) * laws.d_unit
        self._any_d = bool(np.any(self._d[:, laws.position]))
        self.kicks = self._any_d and step <= FINE
        self._error: Floats | None = None
        self._goal: Floats | None = None
        self._reach = numbers["goal_speed"] * step
        self.duty = np.zeros_like(self._open)
        self.amps = np.zeros_like(self._open)

    def torque(self, command: Floats, on: npt.NDArray[np.bool_], q: Floats, dq: Floats) -> Floats:
        """N·m at the joints for these commands; `q` as the encoders show it, `dq` truly."""
        laws, n = self._laws, self._n
        constant, resistance = n["torque_constant"], n["resistance"]
        duty = command
        if laws.position.any():
            goal = command
            if self._goal is None:
                self._goal = goal.copy()
            goal = np.clip(goal, self._goal - self._reach, self._goal + self._reach)
            if self.kicks:
                wanted = self._by_ticks(goal, q)
            else:
                wanted = self._p * (goal - q)
                if self._any_d:
                    wanted += self._d * ((goal - self._goal) / self._step - dq)
            self._goal = goal
            duty = np.where(laws.position, wanted, command)
        duty = np.clip(duty, -1.0, 1.0)
        emf = constant * dq
        amps = (duty * self._volts - emf) / resistance
        if laws.current.any():
            ends = (-self._volts - emf) / resistance, (self._volts - emf) / resistance
            by_current = np.clip(command / laws.constant, *ends)
            amps = np.where(laws.current, by_current, amps)
            duty = np.where(laws.current, (by_current * resistance + emf) / self._volts, duty)
        amps = np.where(on, amps, 0.0)
        sag = n["supply_resistance"] * ((duty * amps) @ laws.same_rail)
        self._volts += SUPPLY_SHARE * (self._open - sag - self._volts)
        self.duty, self.amps = duty, amps
        torque: Floats = amps * constant
        return torque

    def _by_ticks(self, goal: Floats, q: Floats) -> Floats:
        """Duty of P and D gains on what encoders show, where there is a D gain."""
        tick = self._laws.tick
        error = np.where(self._d > 0, (np.rint(goal / tick) - np.rint(q / tick)) * tick, goal - q)
        change = np.zeros_like(error) if self._error is None else error - self._error
        self._error = error
        wanted: Floats = self._p * error + self._d * change / self._step
        return wanted
