"""From SI units to register ticks and back, for all joints at once; signs, gears and offsets live only here."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robot_runtime.servos import Register
from robot_runtime.spec import SPLIT, ArmSpec, JointSpec

GOAL_REGISTER = {
    "current": "goal_current",
    "velocity": "goal_velocity",
    "position": "goal_position",
    "extended_position": "goal_position",
    "current_position": "goal_position",
    "pwm": "goal_pwm",
}
"""Operating mode -> the register that commands it."""

POSITION_MODES = ("position", "extended_position", "current_position")

_LOAD_UNIT = 0.001
"""Present Load of an XL430: shares of its stall torque, inferred by the servo from its own output. Source: e-Manual."""


def goal_register(joint: JointSpec) -> Register:
    """The register that commands the joint in its mode."""
    return joint.servo.register(GOAL_REGISTER[joint.mode])


@dataclass(frozen=True, slots=True, eq=False)
class SenseScale:
    """value = ticks * scale (+ offset), one entry a servo. Torque: the joint's, if its other servo does as much."""

    position: NDArray[np.float64]  # rad/tick
    offset: NDArray[np.float64]  # rad
    velocity: NDArray[np.float64]  # rad/s/tick
    torque: NDArray[np.float64]  # N·m/tick

    @classmethod
    def of(cls, spec: ArmSpec) -> SenseScale:
        """From the arm's spec."""
        servos = spec.servos
        position = np.array([j.rad_per_tick for j in servos])
        zero = np.array([j.servo.zero_tick for j in servos])
        return cls(
            position=position,
            offset=np.array([j.offset for j in servos]) - zero * position,
            velocity=np.array([j.sign / j.gear * j.servo.units["velocity"].scale for j in servos]),
            torque=np.array([_torque_per_tick(j) for j in servos]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class GoalScale:
    """ticks = clip(round(value * scale + offset), low, high), one entry a servo."""

    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    is_position: NDArray[np.bool_]

    @classmethod
    def of(cls, spec: ArmSpec) -> GoalScale:
        """From the arm's spec. The bounds are the limits of what the mode commands: a position, a velocity, a torque.

        In PWM mode they are the full duty: which torque that makes depends on the speed (`Duty.clip`).
        """
        rows = [_goal_row(j) for j in spec.servos]
        return cls(
            scale=np.array([row[0] for row in rows]),
            offset=np.array([row[1] for row in rows]),
            low=np.array([row[2] for row in rows], dtype=float),
            high=np.array([row[3] for row in rows], dtype=float),
            is_position=np.array([j.mode in POSITION_MODES for j in spec.servos]),
        )


def goal_bounds(joint: JointSpec) -> tuple[float, float]:
    """The goals (ticks) that the arm file's limits allow."""
    _, _, low, high = _goal_row(joint)
    return low, high


def goal_reach(joint: JointSpec) -> tuple[float, float]:
    """How far the servo's own limits must reach (ticks): to those goals, and where a second servo differs from its
    first, as far beyond them.
    """
    low, high = goal_bounds(joint)
    if joint.is_second and joint.mode in POSITION_MODES:
        beyond = math.ceil(SPLIT / abs(joint.rad_per_tick))
        low, high = low - beyond, high + beyond
    if joint.mode == "position":  # which knows no more than a turn
        low, high = max(low, 0), min(high, joint.servo.ticks_per_turn - 1)
    return low, high


def _torque_per_tick(joint: JointSpec) -> float:
    if joint.servo.has_current:
        return joint.torque_per_ampere * joint.servo.units["current"].scale
    return joint.sign * joint.gear * joint.servo.motor.stall_torque * _LOAD_UNIT


def _goal_row(joint: JointSpec) -> tuple[float, float, float, float]:
    register, limits = goal_register(joint), joint.limits
    if joint.mode in POSITION_MODES:
        scale = 1.0 / joint.rad_per_tick
        low, high = joint.position_ticks
        return scale, joint.servo.zero_tick - joint.offset * scale, low, high
    if joint.mode == "current":
        scale = 1.0 / (joint.torque_per_ampere * joint.servo.units["current"].scale)
        bound = limits.torque * abs(scale)
    elif joint.mode == "velocity":
        scale = joint.sign * joint.gear / joint.servo.units["velocity"].scale
        bound = limits.velocity * abs(scale)
    else:
        scale = joint.sign / joint.servo.units["pwm"].scale
        bound = abs(scale)
    bound = min(float(np.floor(bound)), register.maximum)
    return scale, 0.0, -bound, bound
