"""Keeping joints where they are: what a joint does that no policy commands."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot_runtime.arm.duty import Duty
from robot_runtime.arm.scaling import POSITION_MODES
from robot_runtime.arm.state import JointState
from robot_runtime.arrays import Flags, Floats
from robot_runtime.spec import ArmSpec

_FULL_TORQUE_ERROR = 0.4
"""rad: the spring of a held torque joint reaches the joint's torque limit here. At 0.25 it swings for ever on arms
whose commands and velocities are 60 ms late; from 0.35 on none was seen (tests/robot_runtime/arm/test_hold.py).
"""

_DAMPING_TIME = 0.05
"""s: damping over stiffness; about critical for the inertia of small arms."""

_VELOCITY_GAIN = 4.0
"""1/s: a held velocity joint goes back to its place at this rate."""

_STALE = 0.05
"""s: a spring that pulls towards where a joint was so long ago may pull the wrong way."""


class Hold:
    """A spring, a damper and gravity for torque and PWM joints; the goal itself for joints that the servo positions.

    A joint whose state is stale gets gravity alone, or speed 0, until its servo answers again.
    """

    def __init__(self, spec: ArmSpec, duty: Duty) -> None:
        """Gains from the joints' limits."""
        joints = spec.joints
        self.angle: Floats = np.zeros(len(joints))
        self.captured: Floats = np.zeros(len(joints))
        self._lower = np.array([j.limits.lower for j in joints])
        self._upper = np.array([j.limits.upper for j in joints])
        self._low, self._high = self._lower.copy(), self._upper.copy()
        self._inside = np.zeros(len(joints))
        self._limit = np.array([j.limits.torque for j in joints])
        self._stiffness = self._limit / _FULL_TORQUE_ERROR
        self._damping = self._stiffness * _DAMPING_TIME
        self._velocity_limit = np.array([j.limits.velocity for j in joints])
        self._is_position = np.array([j.mode in POSITION_MODES for j in joints])
        self._is_velocity = np.array([j.mode == "velocity" for j in joints])
        self._any_velocity = bool(self._is_velocity.any())
        self._duty = duty

    def capture(self, q: Floats, newly: Flags) -> None:
        """Hold these joints where they stand, even a little outside their limits: nothing is pulled in at once."""
        np.copyto(self.angle, q, where=newly)
        np.copyto(self.captured, q, where=newly)
        np.minimum(self._lower, self.captured, out=self._low)
        np.maximum(self._upper, self.captured, out=self._high)

    def fill_positions(self, values: Floats, held: Flags) -> None:
        """As `fill`, for joints that their servos position."""
        np.maximum(self.angle, self._low, out=self._inside)
        np.minimum(self._inside, self._high, out=self._inside)
        np.copyto(values, self._inside, where=held)

    def fill(self, values: Floats, held: Flags, state: JointState, gravity: NDArray[np.float64], now: float) -> None:
        """Write the commands of the held joints into `values`, in the unit of each joint's mode."""
        angle = self.angle.clip(self._low, self._high)  # the method: np.clip takes four times as long
        error, dq = angle - state.q, state.dq
        stale = now - state.stamp >= _STALE
        if np.count_nonzero(stale):
            error, dq = np.where(stale, 0.0, error), np.where(stale, 0.0, dq)
        spring = self._stiffness * error - self._damping * dq
        torque = (spring + gravity).clip(-self._limit, self._limit)
        wanted = np.where(self._is_position, angle, torque)
        if self._any_velocity:
            speed = (_VELOCITY_GAIN * error).clip(-self._velocity_limit, self._velocity_limit)
            wanted = np.where(self._is_velocity, speed, wanted)
        if self._duty.any_pwm:
            wanted = np.where(self._duty.is_pwm, self._duty.of_torque(torque, state), wanted)
        np.copyto(values, wanted, where=held)
