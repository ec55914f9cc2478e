"""Targets beyond the arm are noted before it flies to them, those within are not."""

from __future__ import annotations

import numpy as np
import pytest

from robot_runtime.arm import Kinematics
from robot_runtime.preflight.reach import MOST, NEAR, check_reach
from robot_runtime.preflight.table import Check
from robot_runtime.safety.clearance import MARGIN
from robot_runtime.spec import load_arm

ARMS = ("open-manipulator-x", "koch-v1.1")


def looked_at(name: str, *targets: tuple[float, ...]) -> Check:
    spec = load_arm(name)
    return check_reach(spec, Kinematics(spec), targets)


@pytest.mark.parametrize("name", ARMS)
def test_where_the_tip_can_be_is_within_reach(name: str) -> None:
    spec = load_arm(name)
    kinematics = Kinematics(spec)
    low, high = zip(*((j.limits.lower, j.limits.upper) for j in spec.joints), strict=True)
    poses = np.random.default_rng(7).uniform(low, high, (60, len(low)))
    clear = [pose for pose in poses if kinematics.clearance(pose, MARGIN) is None]
    assert len(clear) > 20
    places = [tuple(kinematics.tip_position(pose).tolist()) for pose in clear]
    for first in range(0, len(places), MOST):
        check = check_reach(spec, kinematics, places[first : first + MOST])
        assert check.ok is True, check.found


@pytest.mark.parametrize("name", ARMS)
def test_a_target_beyond_reach_is_noted_with_what_is_missing(name: str) -> None:
    spec = load_arm(name)
    kinematics = Kinematics(spec)
    low, high = zip(*((j.limits.lower, j.limits.upper) for j in spec.joints), strict=True)
    poses = np.random.default_rng(8).uniform(low, high, (20_000, len(low)))
    far = max(float(np.linalg.norm(kinematics.tip_position(pose))) for pose in poses)
    check = looked_at(name, (0.2, 0.0, 0.15), (far + 0.1, 0.0, 0.0))
    assert check.ok is None
    told = float(check.found.split("is nearer than ")[1].split(" mm")[0]) / 1000
    assert told > 0.1 - 2 * NEAR
    assert "+0.200" not in check.found


def test_a_target_in_millimetres_is_refused() -> None:
    check = looked_at("koch-v1.1", (200.0, 50.0, 150.0))
    assert check.ok is False
    assert "millimetres" in check.advice


def test_a_target_inside_the_table_is_noted_by_what_would_touch() -> None:
    check = looked_at("open-manipulator-x", (0.25, 0.0, -0.05))
    assert check.ok is None
    assert "table" in check.found


def test_many_targets_are_told_in_a_few_words() -> None:
    check = looked_at("koch-v1.1", *((1.0 + 0.1 * k, 0.0, 0.1) for k in range(30)))
    assert check.found.count("is nearer than") == 3
    assert check.found.endswith("and 17 more")
