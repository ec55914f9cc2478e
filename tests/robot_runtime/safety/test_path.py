"""Soft ways: straight where nothing is in the way, by the home pose where the straight one would scrape."""

from __future__ import annotations

import numpy as np
import pytest

from robot_runtime.arm import Kinematics
from robot_runtime.safety.path import CLEARANCE, soft_path
from robot_runtime.spec import load_arm, shipped_arms


@pytest.mark.parametrize("name", shipped_arms())
def test_from_home_to_rest_it_goes_straight(name: str) -> None:
    spec = load_arm(name)
    home, rest = np.array(spec.poses["home"]), np.array(spec.poses["rest"])
    moves = soft_path(spec, Kinematics(spec), home, rest)
    assert len(moves) == 1
    np.testing.assert_array_equal(moves[0].start, home)
    np.testing.assert_array_equal(moves[0].goal, rest)


def test_where_the_straight_way_scrapes_it_goes_by_home() -> None:
    spec = load_arm("open-manipulator-x")
    kinematics, out = Kinematics(spec), np.zeros(5)
    rng = np.random.default_rng(1)
    lower = np.array([j.limits.lower for j in spec.joints])
    upper = np.array([j.limits.upper for j in spec.joints])
    around = 0
    for _ in range(400):
        start, goal = rng.uniform(lower, upper), rng.uniform(lower, upper)
        found = [kinematics.clearance(q, CLEARANCE) for q in (start, goal)]
        if found != [None, None]:
            continue
        moves = soft_path(spec, kinematics, start, goal)
        np.testing.assert_array_equal(moves[0].start, start)
        np.testing.assert_array_equal(moves[-1].goal, goal)
        if len(moves) == 2:
            around += 1
            np.testing.assert_array_equal(moves[0].goal, np.array(spec.poses["home"]))
            np.testing.assert_array_equal(moves[1].start, moves[0].goal)
            straight = [start + s * (goal - start) for s in np.linspace(0, 1, 20)]
            assert any(kinematics.clearance(q, CLEARANCE) is not None for q in straight)
        else:
            middle = [moves[0].at(s * moves[0].duration, out).copy() for s in np.linspace(0, 1, 20)]
            assert np.isfinite(middle).all()
    assert around


def test_joints_that_may_not_move_stay() -> None:
    spec = load_arm("koch-v1.1")
    start, goal = np.array(spec.poses["home"]), np.array(spec.poses["rest"])
    moves = np.array((True, True, False, True, True, True))
    for move in soft_path(spec, Kinematics(spec), start, goal, moves=moves):
        assert move.start[2] == move.goal[2] == start[2]
        assert move.goal[1] != start[1]
