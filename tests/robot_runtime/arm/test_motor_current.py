"""The torque of servos that measure their supply's current, computed from their duty: XL330s."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from robot_runtime.arm import JointCommand
from robot_runtime.arm.motor_current import MotorCurrent
from robot_runtime.arm.read_plan import plan_reads
from robot_runtime.safety.load import Load
from robot_runtime.safety.settings import Settings
from robot_runtime.servos import servo_model
from robot_runtime.spec import load_arm
from tests.robot_runtime.arm.twins import PERIOD, TwinArm, start, variant

PENDULUM, KOCH, OMX = "xl330-pendulum", "koch-v1.1", "open-manipulator-x"
OLD = dict.fromkeys((3, 4, 5, 6), 52)
"""XL330 firmware by which the Koch's servos have no common indirect block."""

LEVEL = (r"rest = \{ pendulum = 0\.0 \}", "rest = { pendulum = 1.3 }")


def caught(rig: TwinArm) -> None:
    """Torque on in a pose that the arm would fall from: somebody holds it until then."""
    gravity = rig.drives.model.opt.gravity
    weight, gravity[:] = gravity.copy(), 0.0
    rig.arm.torque_on()
    gravity[:] = weight
    rig.run(1.0)


def torques(rig: TwinArm, seconds: float, move: Callable[[float], float]) -> tuple[np.ndarray, np.ndarray]:
    """True torques of the motors and those of the state, averaged over 0.1 s, while held joints are led by `move`."""
    start_at, begin, command = rig.arm.hold_angle.copy(), rig.port.now(), JointCommand(len(rig.arm.spec.joints))
    true, seen = [], []
    for k in range(1, round(seconds / PERIOD) + 1):
        rig.arm.read(begin + k * PERIOD)
        true.append(rig.drives.motor_torque)
        seen.append(rig.arm.state.tau.copy())
        rig.arm.hold_angle[:] = start_at + move(k * PERIOD)
        rig.arm.write(command)
        rig.port.sleep_until(begin + k * PERIOD)
    mean = np.ones(20) / 20
    each = [np.apply_along_axis(np.convolve, 0, np.array(rows), mean, "valid") for rows in (true, seen)]
    return each[0], each[1]


def still(_time: float) -> float:
    return 0.0


def wave(time: float) -> float:
    return 0.25 * math.sin(2 * math.pi * 0.7 * time)


@pytest.mark.parametrize("firmware", [None, OLD])
def test_an_elbows_torque_is_its_motors(firmware: dict[int, int] | None) -> None:
    """Within 0.025 N·m, a tenth of the torque limit. An XL430's load is off by more than 0.3 in such waves."""
    rig = start(KOCH, firmware=firmware, pose="home")
    assert ("18 indirect bytes" in rig.arm.plan.description) == (firmware is None)
    caught(rig)
    for move, seconds in ((still, 1.0), (wave, 3.0)):
        true, seen = torques(rig, seconds, move)
        assert np.abs(seen - true)[:, 2:].max() < 0.025  # elbow, wrist, gripper: its XL330s
    assert np.abs(true[:, 2]).max() > 0.1
    supplys = rig.twin.servos[2].get("present_current") * 0.001 * rig.arm.spec.joints[2].torque_per_ampere
    assert 0.0 < supplys / rig.arm.state.tau[2] < 0.5  # which is not it


def test_a_pendulums_torque_is_its_motors(tmp_path: Path) -> None:
    rig = start(variant(tmp_path, PENDULUM, LEVEL), pose="rest")
    caught(rig)
    for move in (still, wave):
        true, seen = torques(rig, 3.0, move)
        assert np.abs(true).max() > 0.04
        assert np.abs(seen - true).max() < 0.01


def test_two_at_a_joint_push_together(tmp_path: Path) -> None:
    second = (r'(servo = \{ id = 1, model = "XL330-M288" \})', r"\1\nsecond = { id = 2 }")
    rig = start(variant(tmp_path, PENDULUM, LEVEL, second), pose="rest")
    caught(rig)
    true, seen = torques(rig, 2.0, still)
    assert abs(true.sum(axis=1)).max() > 0.04
    assert seen[:, 0] == pytest.approx(true.sum(axis=1), abs=0.01)


def test_without_torque_a_turned_shaft_pushes_nothing_and_at_duty_0_it_brakes() -> None:
    spec = load_arm(PENDULUM)
    motor, units = spec.joints[0].servo.motor, spec.joints[0].servo.units
    current = MotorCurrent(spec.servos, spec.turned_by)

    def amperes(duty: float, speed: float, volts: float, *, drives: bool) -> float:
        ticks: list[float] = [7, round(speed / units["velocity"].scale), 2048]
        current.put(ticks, [round(duty / units["pwm"].scale)], np.array([volts]), [drives])
        return ticks[0] * units["current"].scale

    assert amperes(0.0, 3.0, 5.0, drives=False) == 0.0
    assert amperes(0.0, 3.0, 5.0, drives=True) == pytest.approx(
        -3.0 * motor.torque_constant / motor.resistance, rel=0.01
    )
    assert amperes(-0.5, 0.0, 5.0, drives=False) == pytest.approx(-2.5 / motor.resistance, rel=0.01)  # it drives, then
    assert amperes(-0.5, 0.0, 5.5, drives=True) == pytest.approx(-2.75 / motor.resistance, rel=0.01)
    assert amperes(1.0, 0.0, 0.0, drives=True) == pytest.approx(5.0 / motor.resistance)  # voltage not known yet


def test_a_hand_is_no_torque() -> None:
    rig = start(PENDULUM)
    rig.arm.prepare()
    rig.drives.hand(0, 0.8, 0.3)
    for _ in range(40):
        rig.arm.read(rig.port.now() + PERIOD)
        rig.port.sleep_until(rig.port.now() + PERIOD)
        assert rig.arm.state.tau[0] == 0.0
    assert rig.truth[0] > 0.3


def test_a_load_that_tires_it_is_seen_and_its_servo_lets_go() -> None:
    """Held fast at a duty of 0.49, its motor carries 0.41 of its stall current and its supply 0.2."""
    rig = start(PENDULUM)
    rig.arm.torque_on()
    rig.drives.stick(0, True)
    load, command = Load(rig.arm.spec, Settings(), PERIOD), JointCommand(1)
    command.held[:], command.values[:] = False, 0.49
    while rig.port.now() < 4.0:
        rig.run(0.02, command)
        load.look(rig.arm.state, rig.port.now())
    true = abs(rig.drives.motor_current[0]) / rig.arm.spec.joints[0].servo.motor.stall_current
    assert not rig.arm.state.alert[0]
    rig.run(4.0, command)
    assert rig.arm.servos[0].model.error_names(int(rig.arm.state.hardware_error[0])) == ("overload",)
    assert load.lately[0] == pytest.approx(true, rel=0.05)
    assert true > 0.38


def test_a_grip_pushes_with_no_more_than_its_torque_limit_and_hardly_less(tmp_path: Path) -> None:
    rig = start(
        variant(tmp_path, KOCH, (r'(?s)(name = "gripper".*?)mode = "position"', r'\1mode = "current_position"'))
    )
    rig.arm.torque_on()
    command, limit = JointCommand(6), rig.arm.spec.joints[5].limits.torque
    rig.drives.stick(5, True)
    command.held[5], command.values[5] = False, 1.5
    rig.run(0.5, command)
    assert 0.88 * limit < rig.drives.motor_torque[5] <= limit
    assert rig.arm.state.tau[5] == pytest.approx(rig.drives.motor_torque[5], abs=0.01)


@pytest.mark.parametrize("others", ["XM430-W350", "XL430-W250"])
def test_arms_without_such_a_servo_ask_for_what_they_always_did(others: str) -> None:
    models = [servo_model(name).for_firmware(50) for name in ("XM430-W350", others)]
    plan = plan_reads((11, 12), models, (50, 50), fast=True)
    sent = [read.group.request.hex() for read in (*plan.motion, plan.full)]
    head = "fffffd00fe09008a"
    assert sent == [f"{head}7e000a000b0c9ca6", f"{head}7e000b000b0c9f32", f"{head}e00010000b0c0fbe"]
    assert plan.motion[0].motion.duties is plan.full.motion.duties is None
    assert plan.mapping is not None
    assert plan.mapping[1].hex() == "7e007f0080008100820083008400850086008700900091009200460040006200"


def test_with_one_such_servo_all_are_asked_for_their_duty_too() -> None:
    models = [servo_model(name) for name in ("XL430-W250", "XL330-M077")]
    plan = plan_reads((1, 2), models, (50, 52), fast=True)
    assert [(read.group.address, read.group.length) for read in plan.motion] == [(124, 12), (124, 13)]
    assert len({read.group.length for read in (*plan.motion, plan.full)} | {g.length for g in plan.apart}) >= 3
    alone = plan_reads((2,), models[1:], (52,), fast=True)
    assert alone.mapping is not None
    assert (alone.full.group.length, len(alone.mapping[1])) == (18, 36)  # of 20 places
