"""What an arm is too weak for: by numbers set by hand, and by those of the twins that have been flown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.weak_arms import true_numbers
from calibration.judging.strength import Weakness, poses, weaknesses
from calibration.physics.numbers import Physics
from calibration.physics.rollout import Rig
from robot_runtime.arm import Kinematics
from robot_runtime.arrays import Floats
from robot_runtime.spec import load_arm
from sim.twin.gap import load_gap
from sim.twin.protection import OVERLOAD_SHARE

ARMS = ("open-manipulator-x", "koch-v1.1", "xl330-pendulum")
RIGS = {arm: Rig.of(load_arm(arm)) for arm in ARMS}


def nominal(arm: str) -> dict[str, Floats]:
    return {kind: value.copy() for kind, value in Physics(RIGS[arm].world, ()).nominal.items()}


def found(arm: str, numbers: dict[str, Floats], voltage: float = 1.0) -> dict[str, Weakness]:
    rig = RIGS[arm]
    return {one.joint: one for one in weaknesses(rig, numbers, voltage * rig.laws.nominal_volts)}


def of_gap(arm: str, name: str) -> dict[str, Weakness]:
    """What a fit would say if it found the truth."""
    rig = RIGS[arm]
    return {one.joint: one for one in weaknesses(rig, *true_numbers(rig, load_gap(name)))}


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("gap", ["none", "mild"])
def test_nothing_is_said_of_a_healthy_arm(arm: str, gap: str) -> None:
    assert not of_gap(arm, gap)


def test_on_harsh_the_joints_that_fail_in_flight_are_named() -> None:
    arm = of_gap("open-manipulator-x", "harsh")
    assert list(arm) == ["joint2"]
    assert 0.02 < arm["joint2"].weak < 0.2
    assert arm["joint2"].limited
    assert arm["joint2"].asked > arm["joint2"].there == pytest.approx(2.0)
    rod = of_gap("xl330-pendulum", "harsh")["pendulum"]
    assert rod.weak > 0.3
    assert rod.tired > 0.3
    elbow = of_gap("koch-v1.1", "harsh")
    assert list(elbow) == ["elbow_flex"]
    assert elbow["elbow_flex"].weak == 0.0
    assert elbow["elbow_flex"].tired > 0.3


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("seed", range(1, 6))
def test_of_drawn_arms_those_are_named_whose_servos_let_go(arm: str, seed: int) -> None:
    """docs/calibration_figures.md has the flights."""
    let_go = {
        ("xl330-pendulum", 1): ["pendulum"],
        ("xl330-pendulum", 5): ["pendulum"],
        ("koch-v1.1", 4): ["elbow_flex"],
    }
    assert list(of_gap(arm, f"random:{seed}")) == let_go.get((arm, seed), [])


def test_torque_is_counted_as_the_arm_file_does() -> None:
    """A level rod: the weight of rod and payload, and dry friction, through a motor of which a duty makes less."""
    numbers = nominal("xl330-pendulum")
    numbers["torque_constant"] *= 0.8
    numbers["resistance"] *= 1.25
    numbers["payload"][:] = 0.06
    one = found("xl330-pendulum", numbers)["pendulum"]
    weight = np.abs(_heaviest(0.06))
    lifted = (weight + numbers["coulomb"][0]) / (1.0 - numbers["load_friction"][0])
    assert one.asked == pytest.approx(lifted * 1.25 / 0.8, rel=0.01)
    assert one.there == pytest.approx(0.25)
    held = (weight + 0.5 * numbers["coulomb"][0]) / (1.0 - 0.5 * numbers["load_friction"][0])
    servo = RIGS["xl330-pendulum"].world.joints[0].servo.motor
    assert one.load == pytest.approx(held / numbers["torque_constant"][0] / servo.stall_current, rel=0.01)


def test_of_the_worst_pose_only_what_the_simulator_can_is_asked() -> None:
    """A limit that leaves both hanging: the simulator's lifts itself a part of the way up."""
    (joint,) = load_arm("xl330-pendulum").joints
    limit = 0.1
    spec = replace(load_arm("xl330-pendulum"), joints=(replace(joint, limits=replace(joint.limits, torque=limit)),))
    rig, numbers = Rig.of(spec), nominal("xl330-pendulum")
    numbers["torque_constant"] *= 0.8
    (one,) = weaknesses(rig, numbers, rig.laws.nominal_volts)
    assert 0.0 < one.weak < 1.0
    assert limit < one.asked <= limit / 0.8


def _heaviest(payload: float) -> float:
    rod = load_arm("xl330-pendulum")
    kinematics = Kinematics(rod)
    level = np.array([np.pi / 2])
    own = kinematics.gravity(level, np.zeros(1))[0]
    lever = np.linalg.norm(kinematics.tip_jacobian(level))
    return float(abs(own) + 9.81 * payload * lever)


def test_a_supply_that_sags_is_a_limit_of_its_own() -> None:
    numbers = nominal("koch-v1.1")
    assert not found("koch-v1.1", numbers)
    numbers["supply_resistance"][:] = 15.0
    lift = found("koch-v1.1", numbers, voltage=0.6)["shoulder_lift"]
    assert not lift.limited
    assert lift.weak > 0.0
    assert "motor and supply have" in lift.text
    assert "limits.torque" not in lift.text


def test_gears_that_lock_lift_nothing() -> None:
    numbers = nominal("open-manipulator-x")
    numbers["load_friction"][2] = 1.1
    assert found("open-manipulator-x", numbers)["joint3"].weak == 1.0


def test_the_words() -> None:
    weak = Weakness("joint2", 0.09, 2.27, 2.0, True, 0.0, 0.31)
    assert weak.text == (
        "joint2 is weak: in 9% of the poses that the simulator's lifts itself to it cannot (asks for up to 2.3 N·m, "
        "limits.torque leaves 2), and a policy that goes there misses; lighten the arm, raise its limits.torque in "
        "arm.toml, or keep targets nearer"
    )
    tired = Weakness("elbow", 0.0, 0.1, 0.2, True, 0.3, 0.47)
    assert "in 30% of the poses that the simulator's holds its servo may let go" in tired.text
    assert f"up to 47% of its full load, overload protection bears about {OVERLOAD_SHARE:.0%}" in tired.text
    assert "raise" not in Weakness("both", 0.3, 0.3, 0.25, True, 0.3, 0.47).text
    assert not Weakness("fine", 0.01, 0.1, 0.2, True, 0.05, 0.3).text


def test_poses_are_of_an_arm_that_touches_nothing() -> None:
    rig = RIGS["koch-v1.1"]
    drawn, kinematics = poses(rig), Kinematics(rig.world.spec)
    assert len(drawn) > 100
    for pose in drawn[:50]:
        near = kinematics.clearance(pose, 0.01)
        assert near is None or near.distance > 0.0
