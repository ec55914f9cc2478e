"""How far a positioned joint stands from its command under its own weight: a servo's position loop is a spring.

A command kept inside the limits would let such a joint hang outside. So commands stop that much earlier on the side to
which the weight pulls. Two answers are taken, and the larger counts: what the model says (gravity over the stiffness of
the loop, known before the joint gets there), and what is seen (the average difference beyond what a moving joint
lags, which knows payload and wear).

Before the table and the arm itself only what is seen counts: what the model fears would keep an arm from lowering
itself to its rest, millimetres above the table.
"""

from __future__ import annotations

import numpy as np

from robot_runtime.arm.kinematics import Kinematics
from robot_runtime.arrays import Floats
from robot_runtime.spec import ArmSpec, JointSpec

_POSITION_P = 1 / 256
"""Output ticks (PWM, or current in current-based position mode) for a gain of 1 and an error of one position tick: as
logs of a real XL330 show it. The manual's table says twice that, and so half the sag."""

_HEAVIER = 2.0
"""Times the model's weight over the loop's stiffness: a payload and a weak motor that the model does not know."""

_MOVING = 0.5
"""rad/s of average speed from which the model counts in full; at rest only what is seen does."""

_AVERAGED = 0.2
"""s over which differences are averaged: longer than a loop swings."""

_REMEMBERED = 0.5
"""s over which speeds are averaged: until then what is seen has settled."""

_LATE = 0.02
"""s that a command takes to act, besides what the loop lags; 0 to 30 ms were seen."""


class Sag:
    """Sag of all joints towards their upper and lower ends, rad, not negative."""

    def __init__(self, spec: ArmSpec, kinematics: Kinematics, period: float) -> None:
        """Stiffness from the gains that the arm file or the servo's initial values say."""
        joints = spec.joints
        self._kinematics = kinematics
        self._compliance = [_HEAVIER / _stiffness(j) for j in joints]  # rad/(N·m)
        self._lag = [_damping(j) / _stiffness(j) + _LATE for j in joints]  # s
        self._share, self._speed_share = min(period / _AVERAGED, 1.0), min(period / _REMEMBERED, 1.0)
        self._weight = np.zeros(len(joints))
        self.reset()

    def reset(self) -> None:
        """Nothing seen yet."""
        count = len(self._lag)
        self._seen, self._speed = [0.0] * count, [0.0] * count
        self.up, self.down = [0.0] * count, [0.0] * count
        self.seen_up, self.seen_down = [0.0] * count, [0.0] * count

    def look(self, q: Floats, command: list[float], speed: list[float]) -> None:
        """Where the joints are (rad) and what was commanded last (rad, rad/s)."""
        weights: list[float] = self._kinematics.gravity(q, self._weight).tolist()
        angles: list[float] = q.tolist()
        for i, angle in enumerate(angles):
            seen = self._seen[i] + self._share * (angle - command[i] + self._lag[i] * speed[i] - self._seen[i])
            moved = self._speed[i] + self._speed_share * (abs(speed[i]) - self._speed[i])
            # Gravity's torque is what holds: the joint hangs to the other side.
            hangs = weights[i] * self._compliance[i] * min(moved / _MOVING, 1.0)
            self._seen[i], self._speed[i] = seen, moved
            up, down = max(seen, 0.0), max(-seen, 0.0)
            self.seen_up[i], self.seen_down[i] = up, down
            self.up[i], self.down[i] = max(-hangs, up), max(hangs, down)


def _stiffness(joint: JointSpec) -> float:
    """N·m/rad of the joint's position loop at nominal voltage."""
    servo, motor = joint.servo, joint.servo.motor
    register = servo.register("position_p_gain")
    gain = joint.gains.get("position_p_gain", register.initial or register.maximum)
    output = gain * _POSITION_P / abs(joint.rad_per_tick)  # ticks/rad
    if joint.mode == "current_position":
        return output * servo.units["current"].scale * abs(joint.torque_per_ampere)
    stall = motor.nominal_voltage / motor.resistance * motor.torque_constant * joint.gear
    return output * servo.units["pwm"].scale * stall


def _damping(joint: JointSpec) -> float:
    """N·m·s/rad that a moving joint's motor brakes with by itself, on a voltage; a current it keeps up."""
    motor = joint.servo.motor
    if joint.mode == "current_position":
        return motor.viscous_friction * joint.gear**2
    return ((motor.torque_constant**2) / motor.resistance + motor.viscous_friction) * joint.gear**2
