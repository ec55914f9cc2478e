"""Held joints come to rest, on arms that differ from their files; and they do not trust what they have not heard."""

from __future__ import annotations

import numpy as np
import pytest

from robot_runtime.arm import JointCommand, Move
from tests.robot_runtime.arm.twins import TwinArm, start

PERIOD = 0.01  # s
GAPS = ["none", "mild", "harsh", "random:1", "random:2", "random:3", "random:4", "random:5"]


def arrive(rig: TwinArm, pose: str) -> None:
    """A soft move to the pose: only what arrives from a move shows whether it swings; friction hides the rest."""
    rig.arm.prepare()
    rig.arm.torque_on()
    move = Move.between(rig.arm.spec, rig.arm.hold_angle, np.array(rig.arm.spec.poses[pose]))
    command, begin = JointCommand(len(rig.arm.spec.joints)), rig.port.now()
    while rig.port.now() < begin + move.duration:
        due = rig.port.now() + PERIOD
        rig.arm.read(due)
        move.at(rig.port.now() - begin, rig.arm.hold_angle)
        rig.arm.write(command)
        rig.port.sleep_until(due)


def swing(rig: TwinArm, seconds: float) -> tuple[float, float]:
    """Largest peak-to-peak angle and distance from where it should be, after it had time to settle."""
    rig.run(4.0)
    angles, begin = [], rig.port.now()
    command = JointCommand(len(rig.arm.spec.joints))
    while rig.port.now() < begin + seconds:
        due = rig.port.now() + PERIOD
        rig.arm.read(due)
        rig.arm.write(command)
        rig.port.sleep_until(due)
        angles.append(rig.truth)
    path = np.array(angles)
    off = np.abs(path.mean(axis=0) - rig.arm.hold_angle)
    return float(np.ptp(path, axis=0).max()), float(off.max())


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize(("name", "pose"), [("open-manipulator-x", "home"), ("xl330-pendulum", "home")])
def test_a_held_arm_comes_to_rest(name: str, pose: str, gap: str) -> None:
    rig = start(name, gap=None if gap == "none" else gap)
    arrive(rig, pose)
    peak, _ = swing(rig, 2.0)
    assert peak < 0.03


def test_a_held_joint_that_is_not_heard_gets_gravity_and_no_spring() -> None:
    rig = start()
    arrive(rig, "home")
    rig.arm.hold_angle[0] += 0.3  # a spring that will pull
    for servo in (11, 12, 13, 14, 15):
        rig.twin.inject(f"packet-lost:servo={servo}")
    rig.run(0.1)
    before = rig.truth
    rig.run(2.0)
    assert np.abs(rig.truth - before).max() < 0.3


def test_where_joints_are_held_stays_inside_the_limits() -> None:
    rig = start()
    arrive(rig, "home")
    rig.arm.hold_angle[0] = 9.0
    for _ in range(400):
        rig.run(0.01)
        rig.arm.hold_angle[0] = 9.0
    assert rig.truth[0] < rig.arm.spec.joints[0].limits.upper + 0.02


def test_a_hold_that_was_moved_out_of_the_limits_does_not_widen_them_when_another_joint_is_held() -> None:
    rig = start("koch-v1.1")
    rig.arm.torque_on()
    command = JointCommand(6)
    command.held[5] = False
    rig.run(0.05, command)
    rig.arm.hold_angle[0] = 3.0
    command.held[5] = True
    rig.run(0.05, command)
    pan = rig.arm.spec.joints[0]
    assert rig.drives.goal_position[0] == pan.ticks(pan.limits.upper)


def test_duty_stays_inside_the_torque_limit() -> None:
    rig = start("xl330-pendulum")
    rig.arm.prepare()
    rig.arm.torque_on()
    limit = rig.arm.spec.joints[0].limits.torque
    command = JointCommand(1)
    command.held[0] = False
    command.values[0] = 1.0
    strongest = 0.0
    for _ in range(60):
        rig.run(0.005, command)
        strongest = max(strongest, float(np.abs(rig.drives.motor_torque[0])))
    assert 0.5 * limit < strongest < 1.3 * limit  # the speed that it knows is 20 ms old
