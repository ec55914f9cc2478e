"""A hand that turns joints, on the shipped arms."""

from __future__ import annotations

import pytest

from sim.twin.twin import Twin
from tests.sim.twin.bench import ask, write_packet


def angle(twin: Twin, joint: str) -> float:
    """Where a joint is, rad."""
    names = [j.name for j in twin.arm.joints]
    return float(twin.drives.joint_position[names.index(joint)])


@pytest.mark.parametrize(
    ("arm", "joint", "radians"),
    [("koch-v1.1", "shoulder_pan", 0.5), ("open-manipulator-x", "joint2", 0.7), ("xl330-pendulum", "pendulum", -0.8)],
)
def test_it_turns_the_joint_by_the_angle_smoothly(arm: str, joint: str, radians: float) -> None:
    twin = Twin.load(arm)
    before = angle(twin, joint)
    twin.inject(f"hand:servo={joint},for=2,rad={radians}")
    twin.advance(1.0)
    assert angle(twin, joint) - before == pytest.approx(radians / 2, abs=0.03), "half of the way in half of the time"
    twin.advance(2.0)
    assert angle(twin, joint) - before == pytest.approx(radians, abs=0.03)


def test_it_stays_within_the_stops() -> None:
    twin = Twin.load("koch-v1.1")
    high = float(twin.drives.model.joint("shoulder_pan").range[1])
    twin.inject("hand:servo=shoulder_pan,for=2,rad=9")
    twin.advance(2.0)
    assert angle(twin, "shoulder_pan") == pytest.approx(high, abs=0.03)


def test_then_it_lets_go() -> None:
    twin = Twin.load("xl330-pendulum", faults=["hand:servo=pendulum,for=1,rad=1"])
    twin.advance(1.0)
    assert angle(twin, "pendulum") == pytest.approx(1.0, abs=0.03)
    twin.advance(6.0)
    assert abs(angle(twin, "pendulum")) < 0.1, "it hangs again"


def test_by_no_angle_is_holding() -> None:
    faults = ["hand:servo=pendulum,for=1,rad=1", "hand:servo=pendulum,at=1,for=5,rad=0"]
    twin = Twin.load("xl330-pendulum", faults=faults)
    twin.advance(5.9)
    assert angle(twin, "pendulum") == pytest.approx(1.0, abs=0.03)


def test_a_servo_with_its_torque_on_holds_against_it() -> None:
    twin = Twin.load("open-manipulator-x")
    free, held = Twin.load("open-manipulator-x"), twin
    joint = next(j for j in held.arm.joints if j.name == "joint1")
    ask(held, write_packet(joint.servo_id, 11, b"\3"))
    ask(held, write_packet(joint.servo_id, 64, b"\1"))
    for one in (free, held):
        one.inject("hand:servo=joint1,for=2,rad=0.8")
        one.advance(one.time + 1.9)
    assert angle(free, "joint1") > 0.7
    assert angle(held, "joint1") < 0.6 * angle(free, "joint1")
