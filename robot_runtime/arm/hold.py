"""Keeping joints where they are: what a joint does that no policy commands."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot_runtime.arm.scaling import POSITION_MODES
from robot_runtime.arm.state import Flags, Floats, JointState
from robot_runtime.spec import ArmSpec

_FULL_TORQUE_ERROR = 0.25
"""rad: the spring of a held torque joint reaches the joint's torque limit here. Soft enough for a lagging velocity."""

_DAMPING_TIME = 0.05
"""s: damping over stiffness; about critical for the inertia of small arms."""

_VELOCITY_GAIN = 4.0
"""1/s: a held velocity joint goes back to its place at this rate."""


class Hold:
    """A spring, a damper and gravity for torque and PWM joints; the goal itself for joints that the servo positions."""

    def __init__(self, spec: ArmSpec) -> None:
        """Gains from the joints' limits and motors."""
        joints = spec.joints
        self.angle: Floats = np.zeros(len(joints))
        self._stiffness = np.array([j.limits.torque / _FULL_TORQUE_ERROR for j in joints])
        self._damping = self._stiffness * _DAMPING_TIME
        self._limit = np.array([j.limits.torque for j in joints])
        self._velocity_limit = np.array([j.limits.velocity for j in joints])
        self._is_position = np.array([j.mode in POSITION_MODES for j in joints])
        self._is_velocity = np.array([j.mode == "velocity" for j in joints])
        self._is_pwm = np.array([j.mode == "pwm" for j in joints])
        volts = sum(spec.supply) / 2
        motor = [j.servo.motor for j in joints]
        # Duty for a torque at a speed: (R i + k w) / V with i = tau / (k gear) and w = dq gear.
        self._duty_per_torque = np.array(
            [m.resistance / (m.torque_constant * j.gear * volts) for m, j in zip(motor, joints, strict=True)]
        )
        self._duty_per_speed = np.array(
            [m.torque_constant * j.gear / volts for m, j in zip(motor, joints, strict=True)]
        )

    def fill(self, values: Floats, held: Flags, state: JointState, gravity: NDArray[np.float64]) -> None:
        """Write the commands of the held joints into `values`, in the unit of each joint's mode."""
        error = self.angle - state.q
        torque = np.clip(self._stiffness * error - self._damping * state.dq + gravity, -self._limit, self._limit)
        duty = np.clip(torque * self._duty_per_torque + state.dq * self._duty_per_speed, -1.0, 1.0)
        speed = np.clip(_VELOCITY_GAIN * error, -self._velocity_limit, self._velocity_limit)
        wanted = np.where(
            self._is_position,
            self.angle,
            np.where(self._is_velocity, speed, np.where(self._is_pwm, duty, torque)),
        )
        np.copyto(values, wanted, where=held)
