"""Every row of the preflight, made wrong on the lock-step twin: it fails, says where, and says what to do."""

from __future__ import annotations

import io
import json
import math
import os
import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import models
from robot_runtime.arm import Arm, Kinematics
from robot_runtime.bus.latency_timer import LatencyTimer
from robot_runtime.flight.recorder import RESERVE, NullRecorder, Recorder
from robot_runtime.policy.contract import Action, Contract, Term
from robot_runtime.policy.load import arm_named, load_policy
from robot_runtime.preflight.gate import (
    BYTES_A_CYCLE,
    Recording,
    belongs,
    inspect,
    preflight,
    records,
    room,
    scheduling,
    watchdog,
)
from robot_runtime.preflight.rest import check_at_rest
from robot_runtime.preflight.table import Check, as_data, passed, table
from robot_runtime.realtime import Fact
from robot_runtime.safety.clearance import Box
from robot_runtime.servos import servo_model
from robot_runtime.session import layout_of
from robot_runtime.setup.plan import wanted
from robot_runtime.spec import ArmSpec, load_arm, shipped_arms
from sim.twin import LockstepPort, Twin
from tests.robot_runtime.arm.twins import variant

PERIOD = 0.005
OMX = "open-manipulator-x"
POLICIES = Path(models.__file__).parent / "policies"


def set_up(twin: Twin, spec: ArmSpec) -> None:
    """What `robot-setup arm` leaves in the servos."""
    for servo, joint in zip(twin.servos, spec.servos, strict=True):
        model = joint.servo.for_firmware(servo.memory.get("firmware_version"))
        servo.set_eeprom(**{name: want.value for name, want in wanted(joint, spec.bus, model).items()})


@dataclass
class Rig:
    spec: ArmSpec
    twin: Twin
    port: LockstepPort

    def inspect(self, period: float = PERIOD) -> list[Check]:
        return inspect(self.spec, self.port, period)[1]

    def failed(self, period: float = PERIOD) -> Check:
        (check,) = [c for c in self.inspect(period) if not c.ok]
        return check


def rig(name: str = OMX, *, spec: ArmSpec | None = None, **twin: Any) -> Rig:
    """An arm that was set up and lacks nothing."""
    wants, here = spec or load_arm(name), Twin.load(name, **twin)
    set_up(here, wants)
    return Rig(wants, here, LockstepPort(here))


def edited(spec: ArmSpec, **limits: float) -> ArmSpec:
    """The arm with other limits of its second joint."""
    joint = spec.joints[1]
    changed = replace(joint, limits=replace(joint.limits, **limits))
    return replace(spec, joints=(spec.joints[0], changed, *spec.joints[2:]))


@pytest.mark.parametrize("gap", [None, "mild", "harsh"])
@pytest.mark.parametrize("name", shipped_arms())
def test_an_arm_as_robot_setup_leaves_it_passes(name: str, gap: str | None) -> None:
    here = rig(name, gap=gap)
    arm, checks = inspect(here.spec, here.port, 0.05)
    assert arm is not None
    assert [c for c in checks if c.ok is not True and c.name not in ("latency timer", "replies")] == []
    assert passed(checks)
    names = {c.name for c in checks}
    assert names >= {"servos", "firmware", "mode", "limits in servos", "self-protection", "return delay", "voltage"}
    assert names >= {"temperature", "hardware errors", "torque", "replies", "position", "encoders", "bus"}
    arm.torque_on()  # what passed the gate starts
    arm.torque_off()


def test_it_takes_a_fraction_of_half_a_second_and_leaves_the_servos_as_they_are() -> None:
    here = rig()
    here.port.sleep_until(1.0)
    before = [bytes(s.memory.bytes[:120]) for s in here.twin.servos]  # what can be written; behind it is what is sensed
    start = here.port.now()
    assert passed(here.inspect())
    assert here.port.now() - start < 0.25
    assert before == [bytes(s.memory.bytes[:120]) for s in here.twin.servos]


@pytest.mark.parametrize(
    ("register", "value"),
    [
        ("velocity_limit", 126),
        ("current_limit", 315),
        ("temperature_limit", 71),
        ("min_position_limit", 1037),
        ("max_position_limit", 3059),
    ],
)
def test_a_limit_one_tick_wider_than_the_arm_file_fails(register: str, value: int) -> None:
    here = rig()
    here.twin.servos[1].set_eeprom(**{register: value})
    check = here.failed()
    assert (check.name, check.ok) == ("limits in servos", False)
    assert f"joint2 (servo 12): {register} {value}" in check.found
    assert "robot-setup arm" in check.advice


def test_a_factory_fresh_servo_is_one_row() -> None:
    here = rig()
    here.twin.servos[2].set_eeprom(velocity_limit=200, current_limit=1193, temperature_limit=80)
    here.twin.servos[2].set_eeprom(min_position_limit=0, max_position_limit=4095)
    assert here.failed().found.count("_limit ") == 5


def test_a_limit_narrower_than_the_goals_fails_as_torque_on_would() -> None:
    here = rig()
    here.twin.servos[1].set_eeprom(current_limit=100)
    check = here.failed()
    assert "current_limit 100 (314)" in check.found
    assert "wide enough" in check.wanted


def test_narrower_limits_that_stop_no_goal_pass() -> None:
    here = rig()
    here.twin.servos[1].set_eeprom(temperature_limit=60, min_position_limit=1500, max_position_limit=2500)
    assert passed(here.inspect())  # in current mode positions are nobody's goals


def test_a_motor_that_may_not_use_its_duty_is_told_and_set_up_again() -> None:
    weak, refused = rig("koch-v1.1"), rig("xl330-pendulum")
    weak.twin.servos[1].set_eeprom(pwm_limit=300)
    refused.twin.servos[0].set_eeprom(pwm_limit=300)
    check = weak.failed()
    assert (check.name, check.ok) == ("strength", None)
    assert "34% of its strength" in check.found
    check = refused.failed()  # its goals are duties, and would not be taken
    assert (check.name, check.ok) == ("limits in servos", False)
    assert "pwm_limit 300 (885)" in check.found
    for here in (weak, refused):
        assert "robot-setup arm" in check.advice
        set_up(here.twin, here.spec)
        assert all(c.name != "strength" for c in here.inspect())
        assert passed(here.inspect())


def test_another_mode_is_a_note() -> None:
    here = rig()
    here.twin.servos[0].set_eeprom(operating_mode=3)
    check = here.failed()
    assert (check.name, check.ok, check.wanted) == ("mode", None, "current")


def test_a_servo_that_does_not_protect_itself_fails() -> None:
    here = rig()
    here.twin.servos[4].set_eeprom(shutdown=0b10000)
    check = here.failed()
    assert check.name == "self-protection"
    assert "overheating" in check.found
    assert "gripper" in check.found


def test_return_delay_is_a_note_for_all_servos_together() -> None:
    here = rig()
    for servo in here.twin.servos:
        servo.set_eeprom(return_delay_time=250)
    notes = [c for c in here.inspect(0.02) if c.ok is not True]
    assert [(c.name, c.ok) for c in notes] == [("return delay", None)]
    assert notes[0].found.count("500 µs") == 5


def test_old_firmware_fails() -> None:
    here = rig(firmware={13: 37})
    check = next(c for c in here.inspect() if c.name == "firmware")
    assert check.ok is False
    assert "joint3 (servo 13): 37" in check.found
    assert "38" in check.wanted


@pytest.mark.parametrize("volts", [10.5, 13.5])
def test_supply_outside_the_arm_files_fails(volts: float) -> None:
    here = rig()
    for servo in here.twin.servos:
        servo.plant.set_supply(volts)
    check = here.failed()
    assert check.name == "voltage"
    assert f"{volts} V" in check.found


def test_a_servo_on_the_wrong_rail_fails_by_its_own_rating() -> None:
    spec = load_arm("koch-v1.1")
    assert spec.supply[1] > 12 * 1.05 - 0.1 > servo_model("XL330-M288").motor.voltage_range[1]
    low, high = replace(spec, supply=(1.0, 20.0)), spec.joints[2]
    fragile = replace(high, servo=replace(high.servo, motor=replace(high.servo.motor, voltage_range=(3.7, 4.0))))
    here = rig("koch-v1.1", spec=replace(low, joints=(*spec.joints[:2], fragile, *spec.joints[3:])))
    arm, _ = inspect(here.spec, here.port, 0.01)
    assert arm is not None
    servos = list(arm.servos)
    servos[2] = replace(servos[2], model=replace(servos[2].model, motor=fragile.servo.motor))
    arm.servos = tuple(servos)
    from robot_runtime.preflight.servos import check_servos

    (check,) = [c for c in check_servos(arm) if not c.ok]
    assert (check.name, check.wanted) == ("voltage", "3.5 to 4.2 V")
    assert "elbow_flex" in check.found


def test_a_warm_servo_fails() -> None:
    here = rig(faults=["hot:servo=12,celsius=68"])
    check = here.failed()
    assert check.name == "temperature"
    assert "joint2 (servo 12): 68 °C" in check.found
    assert check.wanted == "at most 65 °C"


def test_a_hardware_error_fails_and_names_the_cure() -> None:
    here = rig(faults=["hot:servo=14,celsius=90"])
    here.port.sleep_until(0.5)
    check = next(c for c in here.inspect() if c.name == "hardware errors")
    assert check.ok is False
    assert "joint4 (servo 14): overheating" in check.found
    assert "robot-setup reboot --id 14" in check.advice


def test_torque_that_is_on_fails() -> None:
    here = rig()
    arm = Arm.open(here.spec, here.port)
    arm.torque_on()
    check = next(c for c in here.inspect() if c.name == "torque")
    assert check.ok is False
    assert "robot-setup release" in check.advice


def test_a_joint_outside_its_limits_fails() -> None:
    here = rig(spec=edited(load_arm(OMX), upper=-1.6, lower=-1.9))
    check = next(c for c in here.inspect() if c.name == "position")
    assert check.ok is False
    assert "joint2 (servo 12): -1.4" in check.found
    assert "by hand" in check.advice


def test_a_joint_a_whole_turn_off_is_told_from_one_that_is_outside() -> None:
    here = rig()
    moved = edited(here.spec, lower=-7.9, upper=-7.5)
    _, checks = inspect(moved, here.port, PERIOD)
    check = next(c for c in checks if c.name == "position")
    assert "robot-setup zero" in check.advice


def test_a_joint_that_may_be_a_whole_turn_off_is_told(tmp_path: Path) -> None:
    path = variant(
        tmp_path,
        "xl330-pendulum",
        (r'mode = "pwm"', 'mode = "extended_position"\nturn_is_known = true'),
        (r"position = \[-1.15, 4.3\]", "position = [-6.5, 6.5]"),
    )
    here = rig(str(path), spec=load_arm(path))
    (note,) = [c for c in here.inspect() if c.name == "position"]
    assert note.ok is None
    assert "pendulum (servo 1): 0.0" in note.found
    assert "off by 6.283 rad" in note.advice


def test_an_arm_that_keeps_moving_is_not_at_rest() -> None:
    here = rig(pose="home")
    joint = here.spec.joints[0]
    here.twin.inject(f"hand:servo={joint.servo_id},at=0,for=3,rad=1.5")
    check = next(c for c in here.inspect() if c.name == "encoders")
    assert check.ok is False
    assert "moves" in check.found


def test_an_arm_that_was_just_put_down_gets_a_moment() -> None:
    here = rig(pose="home")
    start = here.port.now()
    assert passed(here.inspect())
    assert here.port.now() - start < 2.0


def test_an_encoder_that_jumps_fails() -> None:
    here = rig()
    here.port.sleep_until(1.0)
    start = Arm.open(here.spec, here.port)
    here.twin.inject("encoder-jump:servo=13,at=0.03,ticks=-400")
    (check,) = [c for c in check_at_rest(start, PERIOD) if c.ok is False]
    assert check.name == "encoders"
    assert "joint3 (servo 13) jumps" in check.found


def test_lost_replies_are_a_note_and_many_of_them_a_failure() -> None:
    here = rig()
    arm = Arm.open(here.spec, here.port)
    here.port.sleep_until(1.0)
    here.twin.inject("servo-silent:servo=15,at=0.02,for=0.012")
    few = next(c for c in check_at_rest(arm, PERIOD) if c.name == "replies")
    assert few.ok is None
    assert "gripper (servo 15)" in few.found
    here.twin.inject("servo-silent:servo=15,at=0.02,for=0.2")
    many = next(c for c in check_at_rest(arm, PERIOD) if c.name == "replies")
    assert many.ok is False


def test_without_one_complete_read_nothing_passes_for_well() -> None:
    here = rig()
    arm = Arm.open(here.spec, here.port)
    here.twin.inject("servo-dead:servo=13")
    here.port.sleep_until(here.port.now() + 0.01)
    failed = [c for c in check_at_rest(arm, PERIOD) if c.ok is False]
    assert [c.name for c in failed] == ["replies", "position", "encoders", "bus"]
    assert all(c.advice for c in failed)


@pytest.mark.parametrize(("rate", "ok"), [(200, True), (330, None), (600, False)])
def test_the_bus_is_measured_against_the_period(rate: int, ok: bool | None) -> None:
    check = next(c for c in rig().inspect(1 / rate) if c.name == "bus")
    assert check.ok is ok
    assert bool(check.advice) == (ok is not True)


def test_a_long_latency_timer_is_a_note() -> None:
    here = rig()
    arm = Arm.open(here.spec, here.port)
    *_, check = check_at_rest(arm, PERIOD, LatencyTimer(16, "run 'echo 1 ...'"))
    assert (check.ok, check.found, check.advice) == (None, "16 ms", "run 'echo 1 ...'")
    here.port.adapter_latency = 0.016
    *_, check = check_at_rest(arm, PERIOD)
    assert check.ok is None
    assert check.advice


@pytest.mark.parametrize(
    ("fault", "name"),
    [("servo-dead:servo=13", "servos"), ("unplugged", "port")],
)
def test_an_arm_that_cannot_be_opened_is_a_row(fault: str, name: str) -> None:
    here = rig()
    here.twin.inject(fault)
    here.port.sleep_until(0.01)
    arm, checks = inspect(here.spec, here.port, PERIOD)
    assert arm is None
    (check,) = checks
    assert (check.name, check.ok) == (name, False)
    assert check.advice


def test_the_wrong_servo_and_wrong_settings_are_rows() -> None:
    here = rig()
    koch = load_arm("koch-v1.1").joints[0]
    joint = replace(here.spec.joints[0], servo=koch.servo)
    _, checks = inspect(replace(here.spec, joints=(joint, *here.spec.joints[1:])), here.port, PERIOD)
    assert [(c.name, c.ok) for c in checks] == [("servos", False)]
    here.twin.servos[0].set_eeprom(drive_mode=1)
    check = here.failed()
    assert (check.name, check.ok) == ("settings", False)


@pytest.mark.parametrize("when", [0.001, 0.02, 0.05, 0.08])
def test_a_port_that_vanishes_meanwhile_is_a_row(when: float) -> None:
    here = rig()
    here.twin.inject(f"unplugged:at={when}")
    _, checks = inspect(here.spec, here.port, PERIOD)
    assert not passed(checks)
    assert checks[-1].name == "port"


# -- what is not the arm ---------------------------------------------------------------------------------------------


def contract(joints: Sequence[str] = ("joint1",), **of: str) -> Contract:
    observation = (Term("joint_position", len(joints), joints=tuple(joints)),)
    return Contract(observation, Action("torque", tuple(joints)), rate=50, **of)  # type: ignore[arg-type]


def test_policy_and_arm_belong_together_by_name_model_and_joints() -> None:
    spec = load_arm(OMX)
    mine = contract(arm=OMX, mjcf_digest=spec.mjcf_digest)
    assert [c.ok for c in belongs(mine, spec)] == [True, True]
    assert [c.ok for c in belongs(contract(), spec)] == [None, None]
    assert [c.ok for c in belongs(contract(arm="koch-v1.1", mjcf_digest="0" * 64), spec)] == [False, False]
    (other, *_) = belongs(contract(arm="koch-v1.1"), spec)
    assert (
        f'arm = "{OMX}"' in other.advice
    )  # for a copy under another name; never the arm file of somebody else's zeros
    strange = [c for c in belongs(contract(("elbow",), arm=OMX), spec) if c.ok is False]
    assert [c.found for c in strange] == ["joint elbow"]


def test_a_torque_that_servos_only_guess_is_told() -> None:
    spec = load_arm("koch-v1.1")
    for joints, guessed in (("shoulder_pan", "elbow_flex"), ["shoulder_pan"]), (("elbow_flex",), []):
        seen = replace(contract(joints), observation=(Term("joint_torque", len(joints), joints=joints),))
        told = [c for c in belongs(seen, spec) if c.name == "policy: torque"]
        assert [c.ok for c in told] == [None] * len(guessed)
        assert all(f"the servos of {', '.join(guessed)} measure no current" in c.found for c in told)


def test_what_the_system_did_not_give_is_a_note() -> None:
    got, refused = Fact("cores", got=True, detail="any"), Fact("fifo", got=False, detail="refused", advice="do this")
    (check,) = scheduling((got, got))
    assert check.ok
    (check,) = scheduling((got, refused))
    assert (check.ok, check.found, check.advice) == (None, "fifo: refused", "do this")
    assert list(scheduling(())) == []


@pytest.mark.parametrize(("rate", "ok"), [(200, True), (20, True), (19, False)])
def test_the_period_leaves_the_servo_watchdogs_half_their_time(rate: float, ok: bool) -> None:
    spec = load_arm(OMX)
    assert spec.bus.watchdog == 0.1
    check = watchdog(spec, 1 / rate)
    assert check.ok is ok
    assert bool(check.advice) != ok
    here = rig()
    rows = [preflight(here.spec, here.port, 1 / rate, torque=torque)[1] for torque in (True, False)]
    assert [[c.ok for c in checks if c.name == "watchdog"] for checks in rows] == [[ok], []]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0), None),
        ((-1.0, 1.0, -1.0), (1.0, -1.0, 1.0), "from"),
        ((-1.0, -1.0, 0.15), (1.0, 1.0, 1.0), "now"),
        ((-1.0, -1.0, -1.0), (1.0, 1.0, 0.2), "start pose"),
    ],
)
def test_a_workspace_must_hold_the_arm(low: Any, high: Any, said: str | None) -> None:
    here = rig()
    _, checks = preflight(here.spec, here.port, PERIOD, contract=contract(arm=OMX), box=Box(low, high))
    wrong = [c for c in checks if c.name == "workspace" and c.ok is False]
    assert [said in c.found for c in wrong if said] == [True] * bool(said), checks
    assert all(c.advice for c in wrong)


def test_gains_that_a_loop_should_not_have_or_lacks_are_noted_before_a_flight(tmp_path: Path) -> None:
    fed = variant(
        tmp_path / "fed", "koch-v1.1", ("position_d_gain = 600", "position_d_gain = 600, position_i_gain = 90")
    )
    swings = variant(tmp_path / "swings", OMX, (r"(?m)^gains = .*$", ""))
    for spec, odd in (
        (load_arm("koch-v1.1"), []),
        (load_arm(OMX), []),
        (load_arm(fed), [("gains", "elbow_flex: position_i_gain 90")]),
        (load_arm(swings), [("damping", "gripper: position_d_gain 0 in current-based position mode, where it swings")]),
    ):
        here = rig("koch-v1.1" if "elbow_flex" in spec.joint_names else OMX, spec=spec)
        _, checks = preflight(spec, here.port, PERIOD)
        assert [(check.name, check.found) for check in checks if check.name in ("gains", "damping")] == odd
        assert passed(checks)


def model_of(tmp_path: Path, *edits: tuple[str, str]) -> Check:
    """What is said of the OpenMANIPULATOR-X with these regular-expression edits to its MJCF."""
    file = variant(tmp_path, OMX)
    text = (tmp_path / "arm.xml").read_text()
    for pattern, replacement in edits:
        text, count = re.subn(pattern, replacement, text)
        assert count, pattern
    (tmp_path / "arm.xml").write_text(text)
    here = rig(spec=load_arm(file))
    _, checks = preflight(load_arm(file), here.port, PERIOD)
    (check,) = [c for c in checks if c.name == "model"]
    return check


def test_an_arm_whose_model_has_no_table_does_not_fly(tmp_path: Path) -> None:
    assert model_of(tmp_path).ok is True
    check = model_of(tmp_path, ('name="table"', 'name="floor"'))
    assert check.ok is False
    assert "no geom 'table'" in check.found
    assert str(tmp_path / "arm.xml") in check.advice


@pytest.mark.parametrize(("share", "ok"), [(1.0, True), (0.9, None), (math.pi / 180, False)])
def test_limits_that_the_model_does_not_reach_are_told(tmp_path: Path, share: float, ok: bool | None) -> None:
    limits = load_arm(OMX).joints[1].limits
    range_ = f'range="{share * limits.lower:.5f} {share * limits.upper:.5f}"'
    check = model_of(tmp_path, (r'(name="joint2"[^>]*)range="[^"]*"', rf"\1{range_}"))
    assert check.ok is ok
    assert ok or "joint2 turns from" in check.found


def poses_of(spec: ArmSpec, **of: Any) -> list[Check]:
    here = rig(spec=spec)
    _, checks = preflight(spec, here.port, PERIOD, **of)
    return [c for c in checks if c.name == "poses"]


def posed(**poses: Any) -> ArmSpec:
    spec = load_arm(OMX)
    return replace(spec, poses={**spec.poses, **{name: tuple(pose) for name, pose in poses.items()}})


UNDER_THE_TABLE = (0.0, 1.48, 0.9, 0.4, 0.0)
"""rad, of OMX: its tip is 66 mm below the table's top."""


@pytest.mark.parametrize("pose", ["rest", "home"])
def test_a_pose_inside_the_table_fails(pose: str) -> None:
    (check,) = poses_of(posed(**{pose: UNDER_THE_TABLE}))
    assert check.ok is False
    assert f"{pose}: table and " in check.found
    assert "mm inside each other" in check.found
    assert "arm.toml" in check.advice
    assert poses_of(posed(**{pose: UNDER_THE_TABLE}), torque=False) == []


def test_a_start_pose_inside_the_table_fails() -> None:
    spec = load_arm(OMX)
    start = dict(zip(spec.joint_names, UNDER_THE_TABLE, strict=True))
    (check,) = poses_of(spec, contract=replace(contract(arm=OMX), start=start))
    assert check.ok is False
    assert "the policy's start pose: table and" in check.found
    assert "contract" in check.advice


def test_an_arm_may_rest_on_the_table_and_start_from_there() -> None:
    spec = load_arm(OMX)
    kinematics, high, low = Kinematics(spec), np.array(spec.poses["home"]), np.array(UNDER_THE_TABLE)
    for _ in range(20):
        middle = (low + high) / 2
        near = kinematics.clearance(middle, 0.0005)
        low, high = (low, middle) if near is None else (middle, high)
    (check,) = poses_of(posed(rest=high), contract=replace(contract(arm=OMX), start="rest"))
    assert check.ok is None
    assert check.found.startswith("rest: ")
    (check,) = poses_of(posed(home=high))
    assert check.ok is False


@pytest.mark.parametrize("path", sorted(POLICIES.glob("*.onnx")), ids=lambda path: path.stem)
def test_the_arms_and_policies_that_ship_go_to_places_that_are_free(path: Path) -> None:
    spec = load_arm(arm_named(path))
    here = rig(spec.name)
    _, checks = preflight(spec, here.port, PERIOD, contract=load_policy(path, spec).contract)
    assert [c.ok for c in checks if c.name == "poses"] == [True]


@pytest.mark.parametrize("name", shipped_arms())
def test_acceleration_limits_that_the_servos_keep(name: str) -> None:
    here = rig(name)
    assert [c.ok for c in preflight(here.spec, here.port, PERIOD)[1] if c.name == "acceleration"] == [True]


@pytest.mark.parametrize(("most", "ok"), [(100.0, True), (140.0, False), (300.0, False)])
def test_an_acceleration_limit_that_nothing_can_keep_fails(most: float, ok: bool) -> None:
    spec = load_arm("koch-v1.1")
    joint = spec.joints[2]
    changed = replace(joint, limits=replace(joint.limits, acceleration=most))
    here = rig("koch-v1.1", spec=replace(spec, joints=(*spec.joints[:2], changed, *spec.joints[3:])))
    (check,) = [c for c in preflight(here.spec, here.port, PERIOD)[1] if c.name == "acceleration"]
    assert check.ok is ok  # on the twin it stays inside its limits with 100, and leaves them with 140
    assert ok or f"elbow_flex (servo 3): {most:g} rad/s²" in check.found
    assert ok or "arm.toml" in check.advice
    assert "acceleration" not in {c.name for c in preflight(here.spec, here.port, PERIOD, torque=False)[1]}


def test_a_recorder_that_does_not_write_is_a_row(tmp_path: Path) -> None:
    here = rig()
    layout = layout_of(here.spec, None)
    for recorder in (NullRecorder(layout), Recorder(tmp_path / "a.mcap", layout)):
        with recorder:
            assert records(recorder).ok
    with Recorder(tmp_path / "b.mcap", layout) as recorder:
        os.kill(recorder.writer_pid, signal.SIGKILL)
        check = records(recorder)
    assert check.ok is False
    assert check.advice


def test_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert room(Recording(tmp_path / "not" / "yet", 1e3, 1)).ok
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=RESERVE + 999))
    assert room(Recording(tmp_path, 1e3, 1)).ok is False  # the reserve is not for the recording
    monkeypatch.undo()
    check = room(Recording(tmp_path, 1e15, 10))
    assert check.ok is False
    assert "another folder" in check.advice


def test_a_recording_needs_room_for_its_cycles(tmp_path: Path) -> None:
    assert Recording.at(tmp_path, 200.0, 10.0).bytes - RESERVE == BYTES_A_CYCLE * 200 * 600


def test_a_file_may_be_as_large_as_the_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (2_000_000, 2_000_000))
    assert room(Recording(tmp_path, 1e6, 2)).ok
    check = room(Recording(tmp_path, 1e6, 2.1))
    assert check.ok is False
    assert "2.0 MB" in check.found
    assert "ulimit -f" in check.advice


def test_everything_in_one_table_and_as_data(tmp_path: Path) -> None:
    here = rig()
    arm, checks = preflight(
        here.spec,
        here.port,
        PERIOD,
        contract=contract(arm="koch-v1.1"),
        facts=(Fact("cores", got=True, detail="any"),),
        recording=Recording(tmp_path, 1e6, 1),
        timer=LatencyTimer(1, None),
    )
    assert arm is not None
    assert not passed(checks)
    assert all(c.advice or c.ok for c in checks)
    console = Console(width=160, file=io.StringIO())
    console.print(table(checks))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "FAILED" in text
    assert "koch-v1.1" in text
    data = json.loads(json.dumps(as_data(checks)))
    assert {"name": "latency timer", "ok": True, "found": "1 ms", "wanted": "1 ms", "advice": ""} in data


def test_replies_that_come_late_are_waited_for_and_the_rate_that_leaves_is_said(tmp_path: Path) -> None:
    """A busy computer behind a hub: at 200 Hz there is no time to wait, and the row says which rate has it."""
    gap = tmp_path / "late.toml"
    gap.write_text("[bus]\nextra_delay = 0.0005\nframe = 0.001\nreply_jitter = 0.002\n")
    here = rig("xl330-pendulum", gap=str(gap))
    arm = Arm.open(here.spec, here.port)
    usual = arm.bus.host_margin
    checks = {c.name: c for c in check_at_rest(arm, PERIOD)}
    assert arm.bus.host_margin > usual
    assert checks["replies"].ok is None
    assert "later than the wire needs" in checks["replies"].found
    assert checks["bus"].ok is not True
    rate = float(checks["bus"].advice.partition("at most ")[2].partition(" Hz")[0])
    assert 100 <= rate < 200
    slow = Arm.open(here.spec, here.port)
    assert all(c.ok is not False for c in check_at_rest(slow, 0.01))
