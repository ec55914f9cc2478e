"""What a servo should hold for its joint, and the order in which differences are written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from robot_runtime.servos import servo_model
from robot_runtime.setup.plan import POSITION_REGISTERS, Wanted, changes, only, wanted
from robot_runtime.spec import LIMIT_SLACK, ArmSpec, JointSpec, load_arm, shipped_arms


def joint_of(arm: str, name: str) -> tuple[ArmSpec, JointSpec]:
    spec = load_arm(arm)
    return spec, next(j for j in spec.joints if j.name == name)


@pytest.mark.parametrize("arm", shipped_arms())
def test_limits_in_the_servo_are_the_arm_files_and_positions_have_a_little_to_spare(arm: str) -> None:
    spec = load_arm(arm)
    for joint in spec.joints:
        want, units, limits = wanted(joint, spec.bus, joint.servo), joint.servo.units, joint.limits
        half_tick = abs(joint.rad_per_tick) / 2
        ends = sorted(joint.angle(want[n].value) for n in ("min_position_limit", "max_position_limit"))
        assert limits.lower - LIMIT_SLACK - half_tick <= ends[0] <= limits.lower + half_tick
        assert limits.upper - half_tick <= ends[1] <= limits.upper + LIMIT_SLACK + half_tick
        assert want["velocity_limit"].value * units["velocity"].scale / joint.gear <= limits.velocity
        assert want["temperature_limit"].value <= limits.temperature
        assert want["temperature_limit"].value <= (joint.servo.register("temperature_limit").initial or 0)
        if joint.servo.has_current:
            amperes = want["current_limit"].value * units["current"].scale
            if joint.servo.senses_supply:  # of the supply; in the motor by its highest voltage
                amperes = (amperes * joint.servo.motor.voltage_range[1] / joint.servo.motor.resistance) ** 0.5
            assert amperes * abs(joint.torque_per_ampere) <= limits.torque
        else:
            assert "current_limit" not in want


@pytest.mark.parametrize("arm", shipped_arms())
def test_a_goal_at_the_edge_of_the_limits_is_not_refused_by_the_servo(arm: str) -> None:
    """The runtime clips goals to the joint's limits in ticks; the servo must accept all of those."""
    spec = load_arm(arm)
    for joint in spec.joints:
        want = wanted(joint, spec.bus, joint.servo)
        low, high = joint.position_ticks
        assert 0 <= want["min_position_limit"].value <= low < high <= want["max_position_limit"].value < 4096


def test_limits_are_not_slack_either() -> None:
    spec, joint = joint_of("open-manipulator-x", "joint2")
    want = wanted(joint, spec.bus, joint.servo)
    assert want["velocity_limit"].value == 125  # 3 rad/s at 0.02398 rad/s a tick
    assert (want["current_limit"].value + 1) * joint.servo.units["current"].scale * joint.torque_per_ampere > 2.0


def test_mode_and_return_delay_come_from_the_arm_file() -> None:
    spec, joint = joint_of("open-manipulator-x", "gripper")
    bus = replace(spec.bus, return_delay=20e-6)
    want = wanted(joint, bus, joint.servo)
    assert want["operating_mode"].value == joint.servo.modes["current_position"]
    assert want["return_delay_time"].value == 10
    assert want["shutdown"].value == joint.servo.recommended["shutdown"]


def test_what_a_register_cannot_hold_becomes_narrower_not_wider() -> None:
    spec, joint = joint_of("koch-v1.1", "elbow_flex")
    strong = replace(joint, limits=replace(joint.limits, torque=100.0, velocity=1000.0))
    want = wanted(strong, spec.bus, joint.servo)
    assert want["current_limit"].value == joint.servo.register("current_limit").maximum
    assert want["velocity_limit"].value == joint.servo.register("velocity_limit").maximum


def test_a_joint_that_turns_further_than_once_gets_no_position_limits() -> None:
    spec, joint = joint_of("koch-v1.1", "wrist_roll")
    far = replace(joint, mode="extended_position", limits=replace(joint.limits, lower=-9.0, upper=9.0))
    assert not {"min_position_limit", "max_position_limit"} & set(wanted(far, spec.bus, joint.servo))


def test_registers_that_the_firmware_lacks_are_not_wanted() -> None:
    spec, joint = joint_of("koch-v1.1", "elbow_flex")
    assert "startup_configuration" in wanted(joint, spec.bus, joint.servo)
    assert "startup_configuration" not in wanted(joint, spec.bus, joint.servo.for_firmware(45))


def test_changes_are_the_differences_with_old_and_new_value() -> None:
    spec, joint = joint_of("koch-v1.1", "elbow_flex")
    want = wanted(joint, spec.bus, joint.servo)
    values = {name: entry.value for name, entry in want.items()} | {"return_delay_time": 250}
    (change,) = changes(3, 1_000_000, joint.servo, values, want)
    assert (change.servo_id, change.register.name, change.before, change.after) == (3, "return_delay_time", 250, 0)
    assert changes(3, 1_000_000, joint.servo, values | {"return_delay_time": 0}, want) == ()


def test_the_operating_mode_goes_first() -> None:
    model = servo_model("XM430-W350")
    want = {"return_delay_time": Wanted(0, ""), "operating_mode": Wanted(0, "")}
    values = {"return_delay_time": 250, "operating_mode": 3}
    assert [c.register.name for c in changes(1, 1, model, values, want)] == ["operating_mode", "return_delay_time"]


@pytest.mark.parametrize(("old", "new"), [((0, 4095), (1000, 2000)), ((0, 500), (1000, 2000)), ((3000, 3500), (1, 2))])
def test_position_limits_never_cross_on_the_way(old: tuple[int, int], new: tuple[int, int]) -> None:
    names = ("min_position_limit", "max_position_limit")
    want = {name: Wanted(value, "") for name, value in zip(names, new, strict=True)}
    held = dict(zip(names, old, strict=True))
    for change in changes(1, 1, servo_model("XM430-W350"), held, want):
        held[change.register.name] = change.after
        assert held["min_position_limit"] < held["max_position_limit"]
    assert tuple(held.values()) == new


def test_only_picks_some() -> None:
    spec, joint = joint_of("koch-v1.1", "elbow_flex")
    assert set(only(wanted(joint, spec.bus, joint.servo), POSITION_REGISTERS)) == set(POSITION_REGISTERS)
