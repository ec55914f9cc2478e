"""Words for a joint's positive direction agree with the arm files' own."""

from __future__ import annotations

import pytest

from robot_runtime.setup.directions import positive_directions
from robot_runtime.spec import load_arm, shipped_arms


def test_open_manipulator_x() -> None:
    words = positive_directions(load_arm("open-manipulator-x"), "home")
    assert words["joint1"] == "the tip moves to the left"  # about z, arm pointing forward
    assert "down" in words["joint2"]  # positive joints 2 to 4 tilt forward and down
    assert "down" in words["joint3"]
    assert "down" in words["joint4"]
    assert words["gripper"] == "the fingers close"  # as its arm.toml says


def test_a_roll_is_told_by_where_it_is_seen_from() -> None:
    words = positive_directions(load_arm("koch-v1.1"), "home")
    assert words["wrist_roll"].startswith("turns counter-clockwise, seen from")


@pytest.mark.parametrize("arm", shipped_arms())
def test_every_joint_of_every_arm_has_a_direction_in_every_pose(arm: str) -> None:
    spec = load_arm(arm)
    for pose in spec.poses:
        words = positive_directions(spec, pose)
        assert set(words) == set(spec.joint_names)
        assert all(words.values())
