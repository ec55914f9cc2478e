"""What a servo's supply has without load, from a register that under load shows the ripple of the PWM."""

from __future__ import annotations

import numpy as np

from robot_runtime.arm.state import POWERED, JointState
from robot_runtime.arrays import Floats
from robot_runtime.spec import ArmSpec

QUIET = 0.1
"""Duty below which the register shows the supply. Joints in other modes than PWM: whenever it is read."""

SETTLE = 2.0
"""s over which readings are averaged: supplies and batteries change slowly, ripple does not."""


class Supply:
    """The supply of all joints, followed slowly."""

    def __init__(self, spec: ArmSpec) -> None:
        """Nominal, until something was read."""
        self._nominal = np.array([j.servo.motor.nominal_voltage for j in spec.joints])
        self._is_pwm = np.array([j.mode == "pwm" for j in spec.joints])
        self.volts: Floats = self._nominal.copy()
        self._stamp = -np.inf

    def reset(self, state: JointState) -> None:
        """Begin with what is read now: the arm stands still."""
        np.copyto(self.volts, state.supply(self._nominal))
        self._stamp = float(state.health_stamp[0])

    def look(self, state: JointState, sent: Floats) -> None:
        """Take a new reading, if there is one."""
        stamp = float(state.health_stamp[0])
        if stamp == self._stamp:
            return
        share = min((stamp - self._stamp) / SETTLE, 1.0)
        self._stamp = stamp
        quiet = (~self._is_pwm | (np.abs(sent) < QUIET)) & (state.voltage > POWERED)
        self.volts += np.where(quiet, share * (state.voltage - self.volts), 0.0)
