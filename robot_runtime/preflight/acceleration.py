"""Acceleration limits against what the servos can do: who plans to brake harder brakes too late."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from robot_runtime.arm import Kinematics
from robot_runtime.arrays import Floats
from robot_runtime.preflight.drawn import drawn_poses
from robot_runtime.preflight.table import Check, or_fine
from robot_runtime.spec import ArmSpec

_POSES = 200
"""Drawn from inside the joints' limits, the same ones every time: 5 ms."""

_GRAVITY_SHARE = 0.5
"""Of the stall torque that gravity is taken to need at most: limits also allow poses that no arm is held in."""


def check_acceleration(spec: ArmSpec, kinematics: Kinematics) -> Iterator[Check]:
    """Whether the arm as its MJCF has it, all other joints held, can be accelerated as its limits say."""

    def too_much() -> Iterator[Check]:
        for joint, most in zip(spec.joints, _attainable(spec, kinematics).tolist(), strict=True):
            if joint.limits.acceleration > most:
                found = f"{joint.name} ({joint.moved_by}): {joint.limits.acceleration:g} rad/s²"
                want = f"at most {most:.0f} rad/s², what its servo can do against gravity"
                advice = (
                    f"correct that limit in {spec.path}, or masses and lengths in {spec.mjcf.name} (kg, m): the arm "
                    "could not brake before its other limits"
                )
                yield Check("acceleration", ok=False, found=found, wanted=want, advice=advice)

    yield from or_fine(too_much(), Check("acceleration", ok=True, found="limits that the servos can keep"))


def _attainable(spec: ArmSpec, kinematics: Kinematics) -> Floats:
    """rad/s² by joint, in the worst of many poses."""
    joints = spec.joints
    stall = np.array([j.servo.motor.stall_torque * j.gear for j in joints])
    still, gravity, inertia = np.zeros(len(joints)), np.zeros(len(joints)), np.zeros((len(joints), len(joints)))
    least = np.full(len(joints), np.inf)
    for pose in drawn_poses(spec, _POSES):
        kinematics.dynamics(pose, still, gravity, inertia)
        left = stall - np.minimum(np.abs(gravity), _GRAVITY_SHARE * stall)
        np.minimum(least, left / np.diag(inertia), out=least)
    return least
