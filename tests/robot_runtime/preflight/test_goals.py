"""Contracts in degrees, and those that only look odd."""

from __future__ import annotations

from typing import Any

import pytest

from robot_runtime.policy.contract import Action
from robot_runtime.preflight.goals import goals_beyond
from robot_runtime.spec import load_arm

KOCH = load_arm("koch-v1.1")
JOINTS = ("shoulder_pan", "shoulder_lift")
INSIDE = tuple((j.limits.lower + j.limits.upper) / 2 for j in KOCH.joints[:2])


def action(meaning: Any = "position", **numbers: Any) -> Action:
    return Action(meaning=meaning, joints=JOINTS, **numbers)


@pytest.mark.parametrize(
    ("numbers", "ok", "told"),
    [
        ({"offset": (0.0, -34.0)}, False, "shoulder_lift: -34 rad of"),
        ({"offset": (0.0, -340.0), "scale": (90.0,), "clip": (-1.0, 1.0)}, False, "shoulder_lift: -430 to -250 rad of"),
        ({"offset": INSIDE, "scale": (-90.0,), "clip": (-1.0, 1.0)}, None, "shoulder_pan: -90 to 90 rad of"),
        ({"offset": INSIDE, "low": (50.0,), "high": (60.0,)}, False, "rad of"),
    ],
)
def test_degrees_are_told(numbers: dict[str, Any], ok: bool | None, told: str) -> None:
    check = goals_beyond(action(**numbers), KOCH)
    assert check is not None
    assert check.ok is ok
    assert told in check.found
    assert "degrees" in check.advice


def test_what_can_be_says_nothing() -> None:
    assert goals_beyond(action(offset=INSIDE), KOCH) is None
    assert goals_beyond(action(offset=INSIDE, scale=(3.0,), clip=(-1.0, 1.0)), KOCH) is None
    assert goals_beyond(action("torque", offset=(0.0, -34.0)), KOCH) is None
    assert goals_beyond(Action(meaning="position", joints=("elbow", "nobody"), offset=(50.0,)), KOCH) is None
