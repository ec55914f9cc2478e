"""Poses from everywhere inside the joints' limits, the same ones every time."""

from __future__ import annotations

import numpy as np

from robot_runtime.arrays import Floats
from robot_runtime.spec import ArmSpec


def limits_of(spec: ArmSpec) -> tuple[Floats, Floats]:
    """Lower and upper ends (rad), by joint."""
    limits = [joint.limits for joint in spec.joints]
    return np.array([limit.lower for limit in limits]), np.array([limit.upper for limit in limits])


def drawn_poses(spec: ArmSpec, count: int) -> Floats:
    """Poses x joints (rad), drawn evenly."""
    low, high = limits_of(spec)
    return np.random.default_rng(0).uniform(low, high, (count, len(low)))
