"""PWM mode: which duty makes which torque, and the duties that stay inside a joint's torque limit at its present speed.

A motor at duty d carries the current i = (d V - k w) / R and makes the torque k i (k: torque constant, w: its speed).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot_runtime.arm.state import JointState
from robot_runtime.arrays import Floats
from robot_runtime.spec import ArmSpec


class Duty:
    """Torque and duty of all joints, whatever their mode; only PWM joints use it."""

    def __init__(self, spec: ArmSpec) -> None:
        """Constants of the motors, seen at the joints."""
        joints = spec.joints
        constant = np.array([j.servo.motor.torque_constant * j.gear for j in joints])
        self.is_pwm: NDArray[np.bool_] = np.array([j.mode == "pwm" for j in joints])
        self.any_pwm = bool(self.is_pwm.any())
        self._nominal = np.array([j.servo.motor.nominal_voltage for j in joints])
        self._volts_per_torque = np.array([j.servo.motor.resistance for j in joints]) / constant
        self._volts_per_speed = constant
        self._limit = np.array([j.limits.torque for j in joints])

    def of_torque(self, torque: Floats, state: JointState) -> Floats:
        """The duty that makes this torque (N·m) at the present speed and voltage, between -1 and 1."""
        volts = torque * self._volts_per_torque + state.dq * self._volts_per_speed
        duty: Floats = (volts / state.supply(self._nominal)).clip(-1.0, 1.0)
        return duty

    def nominal_torque(self, duty: Floats, dq: Floats) -> Floats:
        """N·m that the simulator's motors make of these duties at these speeds (rad/s): at nominal voltage, as far as
        the joints' torque limits go.
        """
        volts = duty.clip(-1.0, 1.0) * self._nominal - dq * self._volts_per_speed
        torque: Floats = (volts / self._volts_per_torque).clip(-self._limit, self._limit)
        return torque

    def clip(self, values: Floats, state: JointState) -> None:
        """Keep the duties of PWM joints where the torque stays inside its limit; other joints' values stay."""
        supply = state.supply(self._nominal)
        centre = state.dq * self._volts_per_speed
        reach = self._limit * self._volts_per_torque
        low = np.maximum((centre - reach) / supply, -1.0)
        high = np.minimum((centre + reach) / supply, 1.0)
        np.copyto(values, values.clip(low, high), where=self.is_pwm & np.isfinite(values))
