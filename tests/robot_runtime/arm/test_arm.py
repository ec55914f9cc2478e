"""The arm on the lock-step twin: finding it, torque-on that moves nothing in any mode, reading, writing, holding."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_runtime.arm import (
    Arm,
    CommandError,
    EncoderWrapError,
    FollowerError,
    JointCommand,
    Move,
    OutsideLimitsError,
    ServoSettingError,
    TorqueIsOnError,
    TorqueOnError,
    TorqueStaysError,
    WrongServoError,
)
from robot_runtime.arm.arm import HEALTH_EVERY
from robot_runtime.bus import (
    Bus,
    BusError,
    GroupWrite,
    MissingServosError,
    NoReplyError,
    PortVanishedError,
    WrongBaudError,
)
from robot_runtime.bus.packets import BROADCAST, Instruction
from robot_runtime.servos import Register, servo_model
from robot_runtime.spec import load_arm, shipped_arms
from sim.twin import LockstepPort, Twin
from tests.robot_runtime.arm.twins import PERIOD, TwinArm, start, variant

STILL = 0.006  # rad, a third of a degree: gears settle when their load changes hands

# -- finding it --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped_arms())
def test_every_shipped_arm_is_found_and_read(name: str) -> None:
    rig = start(name)
    rig.arm.prepare()
    assert rig.arm.read(rig.port.now() + 0.1) == 0
    state = rig.arm.state
    assert state.fresh.all()
    np.testing.assert_allclose(state.q, rig.truth, atol=0.003)
    assert (state.voltage > 4).all()
    assert (np.abs(state.temperature - 25) < 5).all()
    assert not state.torque_on.any()
    assert not (state.alert | state.jumped | state.restarted).any()


def test_motion_can_be_read_before_anything_is_prepared() -> None:
    rig = start()
    for _ in range(20):
        assert rig.arm.read(rig.port.now() + 0.1) == 0
    np.testing.assert_allclose(rig.arm.state.q, rig.truth, atol=0.005)
    assert not rig.arm.state.restarted.any()
    assert np.isinf(rig.arm.state.health_stamp).all()


def test_old_firmware_means_plain_reads_and_it_is_said_whose() -> None:
    assert start("koch-v1.1").arm.plan.description.startswith("fast sync read;")
    description = start("koch-v1.1", firmware={1: 44}).arm.plan.description
    assert description.startswith("sync read (servo 1 has firmware 44, needs 45)")


def test_servos_without_a_common_indirect_block_are_read_directly() -> None:
    rig = start("koch-v1.1", firmware={3: 52, 4: 52, 5: 52, 6: 52})
    assert "27 contiguous bytes" in rig.arm.plan.description
    rig.arm.prepare()
    rig.arm.torque_on()
    rig.run(0.2)
    assert (rig.arm.state.temperature > 20).all()
    assert rig.arm.state.torque_on.all()
    assert not rig.arm.state.restarted.any()


@pytest.mark.parametrize("servo", [1, 3, 6])
def test_servos_that_are_read_directly_are_asked_what_they_do_by_themselves(servo: int) -> None:
    turn = (2 * HEALTH_EVERY + 2) * PERIOD  # s, until both have been asked
    rig = start("koch-v1.1", firmware={3: 52, 4: 52, 5: 52, 6: 52})
    rig.arm.prepare()
    rig.arm.torque_on()
    rig.run(2 * turn)
    assert rig.arm.state.torque_on.all()
    rig.arm.bus.write(servo, rig.arm.servos[servo - 1].model.register("torque_enable"), 0)
    rig.run(turn)
    assert list(np.flatnonzero(~rig.arm.state.torque_on)) == [servo - 1]
    rig.arm.torque_off()
    rig.arm.torque_on()
    rig.run(turn)
    assert rig.arm.state.torque_on.all()
    rig.twin.inject(f"servo-silent:servo={servo},for=0.15")
    rig.run(0.15 + turn)
    assert list(np.flatnonzero(rig.arm.state.watchdog_tripped)) == [servo - 1]
    assert not rig.arm.state.restarted.any()


def test_a_missing_servo_is_named() -> None:
    with pytest.raises(MissingServosError, match=r"joint3 \(servo 13\).*cable") as caught:
        start(faults=["servo-dead:servo=13"])
    assert caught.value.missing == (13,)


def test_servos_that_are_set_to_answer_pings_only_are_told_to_answer() -> None:
    twin = Twin.load("open-manipulator-x")
    port = LockstepPort(twin)
    level = servo_model("XM430-W350").register("status_return_level")
    Bus(port).write_group(GroupWrite([(12, level)]), [0])
    arm = Arm.open(load_arm("open-manipulator-x"), port)
    arm.prepare()
    assert arm.read(port.now() + 0.1) == 0


def test_no_power_at_all() -> None:
    with pytest.raises(MissingServosError, match="powered"):
        start(faults=[f"servo-dead:servo={i}" for i in (11, 12, 13, 14, 15)])


def test_servos_at_another_baud_rate_are_found_there(tmp_path: Path) -> None:
    file = variant(tmp_path, "open-manipulator-x", ("baudrate = 1_000_000", "baudrate = 57600"))
    port = LockstepPort(Twin.load(str(file)))
    port.set_baudrate(1_000_000)
    with pytest.raises(WrongBaudError, match="at 57600 bit/s") as caught:
        Arm.open(load_arm("open-manipulator-x"), port)
    assert caught.value.found == {57600: (11, 12, 13, 14, 15)}
    assert port.baudrate == 1_000_000


def test_another_model_at_a_joints_id_is_refused(tmp_path: Path) -> None:
    file = variant(tmp_path, "koch-v1.1", (r'id = 2, model = "XL430-W250"', 'id = 2, model = "XL330-M288"'))
    with pytest.raises(WrongServoError, match="servo 2 is XL330-M288, the arm file says XL430-W250"):
        start(file, spec=load_arm("koch-v1.1"))


def test_a_servo_that_obeys_one_of_the_arms_unasked_is_refused(tmp_path: Path) -> None:
    """Somebody's arm has two servos at a joint, and the arm file names one of them."""
    twin = Twin.load("koch-v1.1")
    file = variant(tmp_path, "koch-v1.1", (r'(?s)\[\[joint\]\]\nname = "gripper".*', ""), (r", gripper = [0-9.]+", ""))
    Arm(load_arm(file), Bus(LockstepPort(twin)))  # a stranger is nobody's business
    twin.servos[5].memory.set("secondary_id", 5)
    with pytest.raises(FollowerError, match=r"servo 6 obeys what is written to servo 5, joint 'wrist_roll'"):
        Arm(load_arm(file), Bus(LockstepPort(twin)))


def test_two_that_obey_and_share_an_id_are_refused_as_well(tmp_path: Path) -> None:
    twin = Twin.load("koch-v1.1")
    spec = load_arm(
        variant(
            tmp_path,
            "koch-v1.1",
            (r'(?s)\[\[joint\]\]\nname = "wrist_roll".*', ""),
            (r", wrist_roll = [0-9.]+, gripper = [0-9.]+", ""),
        )
    )
    bus = Bus(LockstepPort(twin))
    for servo_id, obeys in ((5, 4), (6, 3)):
        bus.write(servo_id, servo_model("XL330-M288").register("secondary_id"), obeys)
    bus.write(6, servo_model("XL330-M288").register("id"), 5)
    with pytest.raises(FollowerError, match="ID 5.*cannot be understood"):
        Arm(spec, bus)


def test_a_lost_reply_hides_nobody_who_obeys(tmp_path: Path) -> None:
    twin = Twin.load("koch-v1.1")
    file = variant(tmp_path, "koch-v1.1", (r'(?s)\[\[joint\]\]\nname = "gripper".*', ""), (r", gripper = [0-9.]+", ""))
    twin.servos[5].memory.set("secondary_id", 5)
    port = LosesOnce(twin, bytes((BROADCAST,)), bytes((Instruction.SYNC_READ, 12, 0, 1, 0, 6)))
    with pytest.raises(FollowerError, match="servo 6 obeys"):
        Arm(load_arm(file), Bus(port))
    assert port.lost


def test_a_joint_whose_servo_obeys_another_joints_is_refused() -> None:
    twin = Twin.load("koch-v1.1")
    twin.servos[5].memory.set("secondary_id", 5)
    with pytest.raises(ServoSettingError, match=r"'gripper' \(servo 6\): Secondary ID is 5.*robot-setup arm"):
        Arm(load_arm("koch-v1.1"), Bus(LockstepPort(twin)))


class LosesOnce(LockstepPort):
    """The first packet to this ID with this beginning goes nowhere."""

    def __init__(self, twin: Twin, servo_id: bytes, begins: bytes) -> None:
        super().__init__(twin)
        self.servo_id, self.begins, self.lost = servo_id, begins, False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        packet = bytes(data)
        if not self.lost and packet[4:5] == self.servo_id and packet[7:].startswith(self.begins):
            self.lost = True
            return
        super().write(data)


def test_one_lost_ping_makes_no_servo_missing() -> None:
    port = LosesOnce(Twin.load("open-manipulator-x"), bytes((12,)), bytes((Instruction.PING,)))
    level = servo_model("XM430-W350").register("status_return_level")
    Bus(port).write_group(GroupWrite([(12, level)]), [0])  # it answers pings only
    Arm.open(load_arm("open-manipulator-x"), port)
    assert port.lost


def test_a_reversed_servo_and_a_foreign_homing_offset_are_refused() -> None:
    twin = Twin.load("open-manipulator-x")
    twin.servos[1].set_eeprom(drive_mode=1)
    with pytest.raises(ServoSettingError, match="joint2.*reversed"):
        Arm.open(load_arm("open-manipulator-x"), LockstepPort(twin))
    twin = Twin.load("open-manipulator-x")
    twin.servos[3].set_eeprom(homing_offset=1024)
    with pytest.raises(ServoSettingError, match=r"joint4.*1024 ticks.*zeroed with 0"):
        Arm.open(load_arm("open-manipulator-x"), LockstepPort(twin))


@pytest.mark.parametrize(
    ("settings", "what"),
    [({"drive_mode": 0b1000}, "any goal switch torque on"), ({"startup_configuration": 1}, "torque on at power-up")],
)
def test_a_servo_that_switches_torque_on_by_itself_is_refused(settings: dict[str, int], what: str) -> None:
    twin = Twin.load("open-manipulator-x")
    twin.servos[2].set_eeprom(**settings)
    with pytest.raises(ServoSettingError, match=f"joint3.*{what}"):
        Arm.open(load_arm("open-manipulator-x"), LockstepPort(twin))


def test_an_unplugged_port_has_one_error_everywhere() -> None:
    rig = start()
    rig.twin.unplug()
    with pytest.raises(PortVanishedError):
        rig.arm.read()
    with pytest.raises(PortVanishedError):
        rig.arm.prepare()
    with pytest.raises(PortVanishedError):
        rig.arm.bus.listen(b"anybody?", 14)


# -- torque ------------------------------------------------------------------------------------------------------------

MODES = [
    ("open-manipulator-x", "current"),
    ("open-manipulator-x", "position"),
    ("open-manipulator-x", "extended_position"),
    ("open-manipulator-x", "current_position"),
    ("open-manipulator-x", "velocity"),
    ("koch-v1.1", "position"),
    ("xl330-pendulum", "pwm"),
    ("xl330-pendulum", "velocity"),
]


@pytest.mark.parametrize(("name", "mode"), MODES)
def test_torque_on_moves_nothing_and_holds(tmp_path: Path, name: str, mode: str) -> None:
    file = variant(tmp_path, name, (r'(?m)^mode = "\w+"', f'mode = "{mode}"'))
    rig = start(file, pose="rest")
    rig.twin.advance(1.0)  # it has come to lie
    rig.arm.prepare()
    before = rig.truth
    rig.arm.torque_on()
    assert np.abs(rig.truth - before).max() < STILL
    assert rig.arm.state.torque_on.all()
    rig.run(1.0)
    assert np.abs(rig.truth - before).max() < 5 * STILL


def test_torque_on_carries_gravity_where_the_arm_would_fall() -> None:
    rig = start(pose="home")
    rig.arm.prepare()  # takes 0.15 s, in which the arm sinks a little
    assert np.abs(rig.drives.joint_velocity).max() > 0.01
    rig.arm.torque_on()
    caught = rig.arm.hold_angle.copy()
    rig.run(1.0)
    assert np.abs(rig.truth - caught).max() < 0.15
    assert np.abs(rig.drives.joint_velocity).max() < 0.01


def test_a_goal_that_was_left_behind_does_not_move_the_arm() -> None:
    rig = start("koch-v1.1")
    rig.arm.prepare()
    rig.twin.advance(rig.port.now() + 1.0)
    register = rig.arm.servos[0].model.register("goal_position")
    rig.arm.bus.write(1, register, 2048 + 600)
    before = rig.truth
    rig.arm.torque_on()
    assert np.abs(rig.truth - before).max() < STILL


def test_a_servo_that_would_go_to_its_old_goal_is_held_in_time() -> None:
    rig = start("koch-v1.1", faults=["stale-goal:servo=1"])
    rig.arm.prepare()
    real = rig.arm.bus.write_verified

    def lose_the_goal(servo_id: int, register: Register, value: int) -> None:
        real(servo_id, register, value + 400 * (register.name == "goal_position"))

    rig.arm.bus.write_verified = lose_the_goal  # type: ignore[method-assign]
    rig.twin.advance(rig.port.now() + 1.0)
    before = rig.truth
    rig.arm.torque_on()  # the first command comes one read after torque, and takes the goal back
    rig.run(0.5)
    assert abs(rig.truth - before)[0] < STILL


def test_a_goal_that_cannot_be_taken_back_switches_torque_off_again() -> None:
    rig = start("koch-v1.1", faults=["stale-goal:servo=1"])
    rig.arm.prepare()
    before = rig.truth
    rig.arm.bus.write_group = _without(rig.arm.bus.write_group, "goal_position")  # type: ignore[method-assign]
    real = rig.arm.bus.write_verified

    def lose_the_goal(servo_id: int, register: Register, value: int) -> None:
        real(servo_id, register, value + 400 * (register.name == "goal_position"))

    rig.arm.bus.write_verified = lose_the_goal  # type: ignore[method-assign]
    with pytest.raises(TorqueOnError, match="shoulder_pan.*wants to go"):
        rig.arm.torque_on()
    assert not rig.drives.torque_on.any()
    assert abs(rig.truth - before)[0] < 0.3


def _without(write_group: Callable[..., None], address_name: str) -> Callable[..., None]:
    """Group writes that lose the goals but not the torque switch."""
    address = servo_model("XL330-M288").register(address_name).address.to_bytes(2, "little")

    def write(group: GroupWrite, values: list[int]) -> None:
        if bytes(group.packet(values))[8:10] != address:
            write_group(group, values)

    return write


def test_a_servo_that_shut_itself_down_does_not_come_on() -> None:
    rig = start()
    rig.arm.prepare()
    rig.twin.inject("overload:servo=12")
    rig.twin.advance(rig.port.now() + 0.5)
    with pytest.raises(TorqueOnError, match=r"joint2.*did not switch torque on \(overload\).*reboot"):
        rig.arm.torque_on()
    assert not rig.drives.torque_on.any()


def switching_lost(rig: TwinArm, times: int) -> list[float]:
    """Lose the packets that switch torque on, so many of them; returns a live list of when."""
    write_group = rig.arm.bus.write_group
    lost: list[float] = []

    def write(group: GroupWrite, values: Iterable[int]) -> None:
        values = list(values)
        if set(values) == {1} and len(lost) < times:
            lost.append(rig.port.now())
        else:
            write_group(group, values)

    rig.arm.bus.write_group = write  # type: ignore[method-assign]
    return lost


def test_a_damaged_packet_does_not_keep_an_arm_limp() -> None:
    rig = start()
    rig.arm.prepare()
    lost = switching_lost(rig, 1)
    rig.arm.torque_on()
    assert len(lost) == 1
    assert rig.drives.torque_on.all()


def test_servos_that_do_not_come_on_are_named_and_none_is_blamed_for_an_error() -> None:
    rig = start()
    rig.arm.prepare()
    lost = switching_lost(rig, 2)
    with pytest.raises(TorqueOnError, match=r"'joint1' \(servo 11\), .*'gripper' \(servo 15\).*told twice") as caught:
        rig.arm.torque_on()
    assert len(lost) == 2
    assert "reboot" not in str(caught.value)
    assert not rig.drives.torque_on.any()


def test_what_was_dealt_with_is_forgotten_when_torque_comes_on_again() -> None:
    rig = start("koch-v1.1", pose="home")
    rig.arm.prepare()
    rig.arm.torque_on()
    rig.twin.inject("brown-out:servo=2")
    rig.run(1.0)
    rig.arm.torque_off()
    assert list(np.flatnonzero(rig.arm.state.restarted)) == [1]
    rig.arm.torque_on()
    rig.run(0.1)
    assert not rig.arm.state.restarted.any()
    assert rig.arm.state.torque_on.all()


def test_prepare_refuses_while_torque_is_on_and_changes_nothing() -> None:
    rig = start()
    rig.arm.prepare()
    rig.arm.torque_on()
    second = Arm.open(rig.arm.spec, rig.port)
    with pytest.raises(TorqueIsOnError, match=r"\[11, 12, 13, 14, 15\]"):
        second.prepare()
    assert rig.drives.torque_on.all()


def test_outside_the_limits_torque_stays_off(tmp_path: Path) -> None:
    file = variant(tmp_path, "open-manipulator-x")
    spec = load_arm(file)
    tight = replace(spec.joints[1].limits, upper=-2.0, lower=-2.5)
    joints = (spec.joints[0], replace(spec.joints[1], limits=tight), *spec.joints[2:])
    rig = start(file, spec=replace(spec, joints=joints))
    with pytest.raises(OutsideLimitsError, match="joint2.*move it inside by hand"):
        rig.arm.torque_on()
    assert not rig.drives.torque_on.any()


def test_a_whole_turn_off_is_an_encoder_wrap() -> None:
    rig = start()
    rig.twin.inject("encoder-jump:servo=11,ticks=4096")
    rig.twin.advance(0.1)
    with pytest.raises(EncoderWrapError, match="joint1.*whole servo turn"):
        rig.arm.torque_on()
    assert not rig.drives.torque_on.any()


def test_leaving_the_block_touches_no_torque_and_torque_off_reaches_everyone() -> None:
    rig = start()
    with rig.arm as arm:
        arm.prepare()
        arm.torque_on()
    assert rig.drives.torque_on.all()
    again = start()
    again.arm.prepare()
    again.arm.torque_on()
    again.arm.torque_off()
    assert not again.drives.torque_on.any()


def test_when_the_program_dies_the_servos_stop_by_themselves() -> None:
    rig = start("koch-v1.1")
    rig.arm.prepare()
    rig.arm.torque_on()
    rig.run(0.1)
    rig.twin.advance(rig.port.now() + rig.arm.spec.bus.watchdog + 0.05)  # silence
    for _ in range(8):
        rig.arm.read(rig.port.now() + 0.02)
    assert rig.arm.state.watchdog_tripped.all()
    rig.arm.clear_flags()
    rig.arm.torque_off()
    rig.arm.torque_on()  # clears the watchdogs; goals are accepted again
    rig.run(0.1)
    assert not rig.arm.state.watchdog_tripped.any()


# -- reading -----------------------------------------------------------------------------------------------------------


def test_lost_replies_are_asked_for_again_inside_the_cycle() -> None:
    rig = start(faults=["packet-lost:p=0.02"])
    rig.arm.prepare()
    misses = 0
    for k in range(1000):
        due = (k + 1) * 0.02 + 1.0
        misses += rig.arm.read(due) != 0
        rig.port.sleep_until(due)
    assert rig.arm.bus.statistics.retries > 20
    assert misses < 5


def test_a_silent_servo_is_named_keeps_its_last_values_and_comes_back() -> None:
    rig = start()
    rig.arm.prepare()
    rig.arm.torque_on()
    rig.run(0.1)
    rig.twin.inject("servo-silent:servo=13,for=0.2")
    rig.port.sleep_until(rig.port.now() + 0.005)
    stamp = rig.arm.state.stamp[2]
    assert rig.arm.read(rig.port.now() + 0.02) == 0b00100
    assert list(rig.arm.state.fresh) == [True, True, False, True, True]
    assert rig.arm.state.stamp[2] == stamp < rig.arm.state.stamp[1]
    rig.run(0.4)
    assert rig.arm.state.fresh.all()
    assert rig.arm.bus.statistics.lost[13] > 10


@pytest.mark.parametrize("firmware", [None, {3: 52, 4: 52, 5: 52, 6: 52}])
def test_a_servo_that_browned_out_and_came_back_is_noticed(firmware: dict[int, int] | None) -> None:
    rig = start("koch-v1.1", firmware=firmware)
    rig.arm.prepare()
    rig.arm.torque_on()
    rig.run(0.5)
    angle = rig.arm.state.q.copy()
    rig.twin.inject("brown-out:servo=4,for=0.01")
    rig.run(0.5)
    assert list(np.flatnonzero(rig.arm.state.restarted)) == [3]
    assert not rig.arm.state.torque_on[3]
    assert rig.arm.state.torque_on[[0, 1, 2, 4, 5]].all()
    assert abs(rig.arm.state.q[3] - angle[3]) < 1.0  # what a wiped memory says is not taken for an angle


def test_an_encoder_jump_is_noticed_and_motion_is_not_taken_for_one() -> None:
    rig = start()
    rig.arm.prepare()
    rig.arm.torque_on()
    home = np.array(rig.arm.spec.poses["home"])
    move = Move.between(rig.arm.spec, rig.arm.state.q, home, share=1.0)
    begin = rig.port.now()
    command = JointCommand(5)
    while rig.port.now() < begin + move.duration:
        rig.arm.read(rig.port.now() + PERIOD)
        move.at(rig.port.now() - begin, rig.arm.hold_angle)
        rig.arm.write(command)
        rig.port.sleep_until(rig.port.now() + PERIOD)
    assert not rig.arm.state.jumped.any()
    rig.twin.inject("encoder-jump:servo=14,ticks=300")
    rig.run(0.02)
    assert list(np.flatnonzero(rig.arm.state.jumped)) == [3]


@pytest.mark.parametrize("ticks", [100, -600, 5000])
def test_one_odd_reading_is_left_aside_and_a_second_one_is_believed(ticks: int) -> None:
    rig = start()
    rig.arm.torque_on()
    rig.run(0.1)
    state, model = rig.arm.state, rig.arm.spec.joints[3].rad_per_tick
    stood, asked = state.q.copy(), state.stamp.copy()
    rig.twin.inject(f"encoder-glitch:servo=14,ticks={ticks},for=1.0")
    assert rig.arm.read(rig.port.now() + PERIOD) == 1 << 3  # as if it had not answered
    assert list(np.flatnonzero(~state.fresh)) == [3]
    assert not state.jumped.any()
    assert state.q[3] == stood[3]
    assert state.stamp[3] == asked[3]
    rig.port.sleep_until(rig.port.now() + PERIOD)
    assert rig.arm.read(rig.port.now() + PERIOD) == 0
    assert list(np.flatnonzero(state.jumped)) == [3]
    assert state.q[3] == pytest.approx(stood[3] + ticks * model, abs=0.01)


def test_an_odd_reading_that_is_gone_again_leaves_no_trace() -> None:
    rig = start()
    rig.arm.torque_on()
    rig.run(0.1)
    for _ in range(20):
        rig.twin.inject("encoder-glitch:servo=14,ticks=200")
        rig.run(0.05)
        assert not rig.arm.state.jumped.any()
        assert rig.arm.state.fresh.all()


class Pausing:
    """A port whose computer pauses, once, between a servo's sample and its arrival here."""

    def __init__(self, port: LockstepPort) -> None:
        self._port, self.pause = port, 0.0

    def read_into(self, buffer: memoryview, deadline: float) -> int:
        count = self._port.read_into(buffer, deadline)
        if self.pause and count:
            self._port.sleep_until(self._port.now() + self.pause)
            self.pause = 0.0
        return count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


def test_a_pause_of_the_computer_inside_a_read_is_no_encoder_jump() -> None:
    rig = start()
    arm, port = rig.arm, Pausing(rig.port)
    arm.bus.port = port
    arm.prepare()
    arm.torque_on()
    move = Move.between(arm.spec, arm.state.q, np.array(arm.spec.poses["home"]), share=1.0)
    begin, command, last = rig.port.now(), JointCommand(5), np.array(arm.state.q)
    fastest = 0.0
    while rig.port.now() < begin + move.duration:
        port.pause = 0.045 if abs(rig.port.now() - begin - move.duration / 2) < PERIOD / 2 else 0.0
        arm.read(rig.port.now() + PERIOD)
        fastest, last = max(fastest, float(np.abs(arm.state.q - last).max())), np.array(arm.state.q)
        move.at(rig.port.now() - begin, arm.hold_angle)
        arm.write(command)
        rig.port.sleep_until(rig.port.now() + PERIOD)
    assert fastest > 0.06  # rad in a cycle, the one after the pause
    assert not arm.state.jumped.any()


def test_hardware_errors_arrive_with_the_cycle() -> None:
    rig = start()
    rig.arm.prepare()
    rig.arm.torque_on()
    rig.twin.inject("hot:servo=12,celsius=95")
    rig.run(0.3)
    state = rig.arm.state
    assert list(np.flatnonzero(state.alert)) == [1]
    assert rig.arm.servos[1].model.error_names(int(state.hardware_error[1])) == ("overheating",)
    assert state.temperature[1] > 85
    assert not state.torque_on[1]


# -- writing -----------------------------------------------------------------------------------------------------------


def test_commands_are_clipped_to_the_arm_files_limits() -> None:
    rig = start()
    rig.arm.prepare()
    rig.arm.torque_on()
    command = JointCommand(5)
    command.held[:] = False
    command.values[:] = [100.0, -100.0, 100.0, -100.0, 0.0]
    rig.arm.write(command)
    rig.port.sleep_until(rig.port.now() + 0.002)
    for i in range(4):
        joint = rig.arm.spec.joints[i]
        unit = joint.servo.units["current"].scale
        torque = rig.drives.goal_current[i] * unit * joint.torque_per_ampere
        assert 0.98 * joint.limits.torque < abs(torque) <= joint.limits.torque


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_command_that_is_not_finite_is_refused_and_nothing_is_sent(bad: float) -> None:
    rig = start()
    rig.arm.prepare()
    rig.arm.torque_on()
    writes = rig.arm.bus.statistics.writes
    command = JointCommand(5)
    command.held[:] = False
    command.values[2] = bad
    with pytest.raises(CommandError, match="joint3"):
        rig.arm.write(command)
    assert rig.arm.bus.statistics.writes == writes


def test_a_joint_a_little_outside_its_limits_is_held_there_and_not_pulled_in(tmp_path: Path) -> None:
    file = variant(tmp_path, "koch-v1.1")
    spec = load_arm(file)
    pan = spec.joints[0]
    inside = replace(spec, joints=(replace(pan, limits=replace(pan.limits, lower=0.04)), *spec.joints[1:]))
    rig = start(file, spec=inside)  # pan stands at 0, 0.04 rad outside
    rig.arm.prepare()
    before = rig.truth
    rig.arm.torque_on()
    rig.run(1.0)
    assert abs(rig.truth - before)[0] < 0.002
    command = JointCommand(6)
    command.held[0] = False
    command.values[0] = -0.5  # a command is clipped to the limits all the same
    rig.run(0.1, command)
    assert rig.drives.goal_position[0] == inside.joints[0].ticks(0.04)


def test_held_joints_stay_while_another_moves() -> None:
    rig = start("koch-v1.1", pose="home")
    rig.arm.prepare()
    rig.arm.torque_on()
    rig.run(0.5)
    before = rig.truth
    command = JointCommand(6)
    command.held[0] = False
    command.values[0] = 0.3
    rig.run(1.0, command)
    moved = np.abs(rig.truth - before)
    assert 0.25 < moved[0] < 0.35
    assert moved[1:].max() < 0.03


def test_mixed_modes_on_one_bus(tmp_path: Path) -> None:
    file = variant(
        tmp_path, "open-manipulator-x", (r'(?s)(name = "joint1".*?)mode = "current"', r'\1mode = "velocity"')
    )
    rig = start(file)
    assert {j.mode for j in rig.arm.spec.joints} == {"velocity", "current", "current_position"}
    rig.arm.prepare()
    rig.arm.torque_on()
    command = JointCommand(5)
    command.held[0] = False
    command.values[0] = 0.5
    before = rig.truth
    rig.run(1.0, command)
    assert rig.truth[0] - before[0] == pytest.approx(0.5, abs=0.1)
    assert np.abs(rig.truth - before)[1:].max() < 0.05


def test_a_soft_move_arrives_in_torque_mode() -> None:
    rig = start()
    rig.arm.prepare()
    rig.arm.torque_on()
    goal = np.array(rig.arm.spec.poses["home"])
    move = Move.between(rig.arm.spec, rig.arm.state.q, goal)
    begin, command = rig.port.now(), JointCommand(5)
    fastest = 0.0
    while rig.port.now() < begin + move.duration + 1.0:
        due = rig.port.now() + PERIOD
        rig.arm.read(due)
        move.at(rig.port.now() - begin, rig.arm.hold_angle)
        rig.arm.write(command)
        rig.port.sleep_until(due)
        fastest = max(fastest, float(np.abs(rig.drives.joint_velocity[:4]).max()))
    np.testing.assert_allclose(rig.truth[:4], goal[:4], atol=0.06)  # what dry friction leaves of the spring
    assert fastest < rig.arm.spec.joints[0].limits.velocity / 2


# -- what a review found ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["open-manipulator-x", "koch-v1.1"])
def test_replies_that_are_a_cycle_late_are_never_taken_for_fresh(name: str) -> None:
    rig = start(name, faults=["packet-late:by=0.006,at=0.5"])
    rig.arm.prepare()
    rig.port.sleep_until(1.0)
    age = []
    for k in range(200):
        begin = 1.0 + 0.005 * k
        rig.arm.read(begin + 0.005)
        fresh = rig.arm.state.fresh
        age += list((rig.port.now() - rig.arm.state.stamp)[fresh])
        sampled = rig.arm.plan.motion[0].group.received_at
        assert sampled <= rig.port.now()
        rig.port.sleep_until(begin + 0.005)
    assert rig.arm.bus.statistics.strays > 1000  # late replies were found and thrown away
    assert len(age) < 0.2 * 200 * len(rig.arm.spec.joints)


@pytest.mark.parametrize(
    ("name", "mode", "setting", "what"),
    [
        ("open-manipulator-x", "current", {"current_limit": 200}, "current_limit is 200"),
        ("open-manipulator-x", "velocity", {"velocity_limit": 20}, "velocity_limit is 20"),
        ("open-manipulator-x", "position", {"max_position_limit": 2100}, "max_position_limit is 2100"),
        ("xl330-pendulum", "pwm", {"pwm_limit": 300}, "pwm_limit is 300"),
    ],
)
def test_a_servo_that_would_refuse_commands_is_refused(
    tmp_path: Path, name: str, mode: str, setting: dict[str, int], what: str
) -> None:
    file = variant(tmp_path, name, (r'(?m)^mode = "\w+"', f'mode = "{mode}"'))
    twin = Twin.load(str(file))
    twin.servos[0].set_eeprom(**setting)
    arm = Arm.open(load_arm(file), LockstepPort(twin))
    with pytest.raises(ServoSettingError, match=f"{what}, narrower than the arm file"):
        arm.torque_on()
    drives: Any = twin.drives
    assert not drives.torque_on.any()


def test_what_another_program_left_in_ram_is_replaced() -> None:
    rig = start("koch-v1.1")
    bus, model = rig.arm.bus, servo_model("XL430-W250")
    for name, value in (("position_p_gain", 16000), ("goal_pwm", 40), ("profile_velocity", 5)):
        bus.write(1, model.register(name), value)
    rig.arm.prepare()
    assert bus.read(1, model.register("position_p_gain")) == model.register("position_p_gain").initial
    assert bus.read(1, model.register("goal_pwm")) == 885
    assert bus.read(1, model.register("profile_velocity")) == 0
    elbow = rig.arm.spec.joints[2]
    for name, value in elbow.gains.items():
        assert bus.read(3, elbow.servo.register(name)) == value


@pytest.mark.parametrize("firmware", [None, {3: 52, 4: 52, 5: 52, 6: 52}])
def test_a_servo_that_restarts_between_prepare_and_torque_on_is_set_up_again(firmware: dict[int, int] | None) -> None:
    rig = start("koch-v1.1", firmware=firmware)
    rig.arm.prepare()
    rig.twin.inject("brown-out:servo=6,for=0.01")
    rig.port.sleep_until(rig.port.now() + 1.0)
    rig.arm.torque_on()
    gripper = rig.arm.spec.joints[5]
    assert rig.arm.bus.read(6, gripper.servo.register("position_p_gain")) == gripper.gains.get(
        "position_p_gain", gripper.servo.register("position_p_gain").initial
    )
    assert rig.arm.state.torque_on.all()


def test_torque_is_off_again_after_anything_that_goes_wrong_in_torque_on(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = start()
    rig.arm.prepare()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("robot_runtime.arm.torque._require_in_place", interrupt)
    with pytest.raises(KeyboardInterrupt):
        rig.arm.torque_on()
    assert not rig.drives.torque_on.any()


class BreaksAtTorqueOn:
    """The twin's port; a servo's data line breaks just after its torque came on."""

    def __init__(self, rig: TwinArm, fault: str) -> None:
        self._rig, self._fault = rig, fault
        self._write = rig.port.write
        rig.port.write = self.write  # type: ignore[method-assign]

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._write(data)
        if bytes(data)[8:10] == b"\x40\x00" and data[13] == 1:
            self._rig.port.sleep_until(self._rig.port.now() + 0.002)
            self._rig.twin.inject(self._fault)


def test_a_servo_that_keeps_its_torque_when_torque_on_fails_is_told() -> None:
    rig = start()
    rig.arm.prepare()
    BreaksAtTorqueOn(rig, "servo-silent:servo=13,for=1")
    with pytest.raises(TorqueStaysError, match=r"torque may still be on: joint3 \(servo 13\)") as caught:
        rig.arm.torque_on()
    assert isinstance(caught.value.first, BusError)
    assert rig.drives.torque_on.tolist() == [False, False, True, False, False]
    assert rig.arm.torque_is_expected
    rig.port.sleep_until(rig.port.now() + 1.0)  # it is back
    rig.arm.torque_off()
    assert not rig.arm.torque_is_expected
    assert not rig.drives.torque_on.any()


def test_torque_that_was_not_confirmed_to_be_off_is_still_expected() -> None:
    rig = start()
    rig.arm.prepare()
    rig.arm.torque_on()
    rig.twin.inject("servo-silent:servo=13,for=60")
    with pytest.raises(NoReplyError):
        rig.arm.torque_off()
    assert rig.arm.torque_is_expected


def test_the_last_look_before_torque_keeps_it_off() -> None:
    rig = start()

    def refuse() -> None:
        raise TimeoutError("no")

    with pytest.raises(TimeoutError):
        rig.arm.torque_on(refuse)
    assert not rig.drives.torque_on.any()
    assert not rig.arm.torque_is_expected


def test_torque_on_twice_is_refused_and_changes_nothing() -> None:
    rig = start()
    rig.arm.prepare()
    rig.arm.torque_on()
    with pytest.raises(TorqueIsOnError):
        rig.arm.torque_on()
    assert rig.drives.torque_on.all()


def test_a_servo_that_hears_but_is_not_heard_is_told_again_to_let_go() -> None:
    rig = start()
    rig.arm.prepare()
    rig.arm.torque_on()
    rig.twin.inject("packet-lost:servo=13")  # its replies never arrive
    real = rig.arm.bus.write_group
    lost: list[GroupWrite] = []

    def lose_the_first(group: GroupWrite, values: list[int]) -> None:
        if not lost:
            lost.append(group)
            return
        real(group, values)

    rig.arm.bus.write_group = lose_the_first  # type: ignore[method-assign]
    with pytest.raises(NoReplyError, match=r"joint3 \(servo 13\) did not confirm that torque is off; cut the power"):
        rig.arm.torque_off()
    assert not rig.drives.torque_on.any()


def test_a_tripped_watchdog_is_seen_where_health_does_not_carry_it() -> None:
    rig = start("koch-v1.1", firmware={3: 52, 4: 52, 5: 52, 6: 52})
    rig.arm.prepare()
    rig.arm.torque_on()
    rig.run(0.2)
    rig.port.sleep_until(rig.port.now() + 0.3)  # the host pauses
    rig.arm.read(rig.port.now() + 0.05)
    assert rig.arm.state.watchdog_tripped.all()


@pytest.mark.parametrize("gap", ["mild", "harsh", "random:1", "random:8"])
@pytest.mark.parametrize("name", shipped_arms())
def test_every_arm_can_be_switched_on_at_rest_however_it_differs(name: str, gap: str) -> None:
    rig = start(name, gap=gap)
    rig.port.sleep_until(1.0)
    if (name, gap) == ("widowx-250s", "random:8"):  # its elbow leans on its stop, and its horn sits 2.8 degrees off
        with pytest.raises(OutsideLimitsError, match="'elbow' stands at.*if that is where it lies, zero it again"):
            rig.arm.torque_on()
        return
    rig.arm.torque_on()
    assert rig.arm.state.torque_on.all()


def test_a_command_for_another_number_of_joints_is_refused() -> None:
    rig = start()
    rig.arm.prepare()
    rig.arm.torque_on()
    for count in (1, 3, 6):
        with pytest.raises(CommandError, match=f"for {count} joints, the arm has 5"):
            rig.arm.write(JointCommand(count))


def test_alert_of_a_silent_servo_is_kept_and_not_made_up() -> None:
    rig = start()
    rig.arm.prepare()
    rig.arm.torque_on()
    rig.twin.inject("hot:servo=12,celsius=95")
    rig.run(0.3)
    assert list(np.flatnonzero(rig.arm.state.alert)) == [1]
    rig.twin.inject("servo-silent:servo=12,for=1.0")
    for _ in range(20):
        rig.run(0.01)
        assert list(np.flatnonzero(rig.arm.state.alert)) == [1]


def test_signs_gears_and_offsets_hold_in_every_mode(tmp_path: Path) -> None:
    """A joint whose servo sits the other way round behind a gear stays put at torque-on and goes where it is told."""
    for i, mode in enumerate(("current", "position", "velocity", "current_position", "extended_position")):
        folder = tmp_path / str(i)
        folder.mkdir()
        file = variant(
            folder,
            "open-manipulator-x",
            (r'(?m)^mode = "\w+"', f'mode = "{mode}"'),
            (r'(?s)(name = "joint4".*?)sign = 1', r"\1sign = -1"),
            (r'(?s)(name = "joint4".*?)gear = 1\.0', r"\1gear = 1.1"),
            (r'(?s)(name = "joint4".*?)offset = 0\.0', r"\1offset = 0.1"),
        )
        rig = start(file)
        rig.port.sleep_until(1.0)
        before = rig.truth
        rig.arm.torque_on()
        rig.run(0.5)
        assert np.abs(rig.truth - before).max() < 5 * STILL, mode
        np.testing.assert_allclose(rig.arm.state.q, rig.truth, atol=0.02)
        target = rig.arm.hold_angle[3] + 0.3
        for _ in range(150):
            rig.arm.hold_angle[3] = min(rig.arm.hold_angle[3] + 0.004, target)
            rig.run(0.01)
        assert rig.truth[3] - before[3] == pytest.approx(0.3, abs=0.12), mode
