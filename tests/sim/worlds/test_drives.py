"""What servos make of a command."""

from dataclasses import replace

import numpy as np
import pytest

from robot_runtime.spec import JointSpec, load_arm
from sim.worlds.drives import Drives

STEP = 0.002


def drives(joint: JointSpec, inertia: float = 1e9) -> Drives:
    """One servo; unless told otherwise with so much inertia that torque may change at once."""
    return Drives([joint], 1, STEP, np.array([inertia]))


def torque(servo: Drives, command: float, q: float = 0.0, dq: float = 0.0) -> float:
    servo.following.reset(np.array([0]), np.array([[command]]))  # a position goal is there already
    return float(servo.step(np.array([[command]]), np.array([[q]]), np.array([[dq]]))[0, 0])


def test_a_torque_is_made_as_asked_within_the_joints_limit() -> None:
    joint = load_arm("open-manipulator-x").joints[1]
    servo = drives(joint)
    assert torque(servo, 0.7) == pytest.approx(0.7)
    assert torque(servo, 9.0) == pytest.approx(joint.limits.torque)


def test_the_voltage_bounds_the_torque_of_a_fast_motor() -> None:
    joint = load_arm("open-manipulator-x").joints[1]
    motor = joint.servo.motor
    speed = 0.9 * motor.nominal_voltage / motor.torque_constant
    left = 0.1 * motor.nominal_voltage / motor.resistance * motor.torque_constant
    assert torque(drives(joint), joint.limits.torque, dq=speed) == pytest.approx(left)


def test_a_torque_changes_no_faster_than_the_jerk_limit_makes_it() -> None:
    joint = load_arm("open-manipulator-x").joints[0]
    servo = drives(joint, inertia=0.02)
    assert torque(servo, 1.0) == pytest.approx(joint.limits.jerk * 0.02 * STEP)
    servo.reset(np.array([0]), np.zeros((1, 1)), np.zeros((1, 1)))
    assert torque(servo, -1.0) == pytest.approx(-joint.limits.jerk * 0.02 * STEP)


def test_a_stronger_magnet_makes_more_torque_of_the_same_command() -> None:
    servo = drives(load_arm("open-manipulator-x").joints[1])
    servo.constant *= 1.1
    assert torque(servo, 0.5) == pytest.approx(0.55)


def test_a_duty_is_a_share_of_the_voltage() -> None:
    joint = load_arm("xl330-pendulum").joints[0]
    motor = joint.servo.motor
    amps = (0.2 * motor.nominal_voltage - motor.torque_constant * 1.0) / motor.resistance
    assert torque(drives(joint), 0.2, dq=1.0) == pytest.approx(amps * motor.torque_constant)
    assert torque(drives(joint), 1.0) == pytest.approx(joint.limits.torque)


def test_a_position_error_becomes_a_duty_as_logs_of_a_real_servo_show() -> None:
    joint = next(j for j in load_arm("koch-v1.1").joints if j.name == "wrist_flex")
    joint = replace(joint, gains={"position_p_gain": 400, "position_d_gain": 0})
    motor = joint.servo.motor
    error = 20 * joint.servo.radians_per_tick
    duty = 400 * 20 / 256 / 885
    expected = duty * motor.nominal_voltage / motor.resistance * motor.torque_constant
    assert torque(drives(joint), error) == pytest.approx(expected, rel=1e-3)


def test_a_goal_that_holds_a_weight_does() -> None:
    joint = load_arm("koch-v1.1").joints[1]
    servo = drives(joint)
    goal = servo.holding(np.array([[0.2]]), np.array([[0.15]]))
    assert goal[0, 0] > 0.2
    assert torque(servo, float(goal[0, 0]), q=0.2) == pytest.approx(0.15)


def test_a_joint_that_keeps_up_with_its_goal_is_not_damped() -> None:
    joint = load_arm("koch-v1.1").joints[0]

    def push(gain: int) -> float:
        servo, goal = drives(replace(joint, gains={"position_p_gain": 640, "position_d_gain": gain})), 0.0
        for _ in range(500):
            goal += 1.0 * STEP
            q, dq = servo.following.p.copy(), servo.following.v.copy()
            made = servo.step(np.array([[goal]]), q, dq)
        return float(made[0, 0])

    assert push(4000) == pytest.approx(push(0), abs=1e-3)


def test_loaded_gears_rub() -> None:
    joint = load_arm("open-manipulator-x").joints[1]
    servo = drives(joint)
    torque(servo, -0.5)
    assert servo.friction[0, 0] == pytest.approx(0.5 * joint.servo.motor.load_friction)


def test_joints_that_take_different_commands_are_refused() -> None:
    joints = [load_arm("open-manipulator-x").joints[0], load_arm("xl330-pendulum").joints[0]]
    with pytest.raises(ValueError, match="one mode"):
        Drives(joints, 1, STEP, np.ones(2))
