"""Firmware and physics together: the shipped arms, in virtual time."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sim.twin.arm_file import SHIPPED
from sim.twin.lockstep import LockstepPort
from sim.twin.packets import instruction_packet
from sim.twin.servo import BOOT_TIME
from sim.twin.twin import Twin
from tests.sim.twin.bench import ask, bench_twin, read_packet, sync_read_packet, sync_write_packet, write_packet

ARM = "open-manipulator-x"
CURRENT, VELOCITY, POSITION = 0, 1, 3


def started(mode: int, **options: object) -> Twin:
    """The arm with all servos in a mode and torque on."""
    twin = Twin.load(ARM, **options)  # type: ignore[arg-type]
    for servo in twin.servos:
        ask(twin, write_packet(servo.id, 11, bytes([mode])))
        assert ask(twin, write_packet(servo.id, 64, b"\1"))[8] == 0
    return twin


@pytest.mark.parametrize("name", sorted(p.parent.name for p in SHIPPED.glob("*/arm.toml")))
def test_every_shipped_arm_answers(name: str) -> None:
    twin = Twin.load(name)
    for place, servo in zip(twin.arm.servos, twin.servos, strict=True):
        assert servo.data.name == twin.arm.joints[place.joint].servo_model
        reply = ask(twin, instruction_packet(place.id, 0x01))
        assert reply[8:12] == b"\x00" + struct.pack("<HB", servo.data.number, servo.firmware)
        assert servo.get("return_delay_time") == 0, "as set-up recommends"
    twin.advance(1.0)
    assert [s.get("hardware_error_status") for s in twin.servos] == [0] * len(twin.servos)


def test_from_the_factory_all_servos_have_one_id() -> None:
    twin = Twin.load(ARM, factory=True)
    assert {servo.id for servo in twin.servos} == {1}
    assert {servo.baudrate for servo in twin.servos} == {57_600}
    assert {servo.get("return_delay_time") for servo in twin.servos} == {250}


def test_servos_are_plugged_in_one_after_the_other() -> None:
    twin = bench_twin(factory=True, plugs={"joint1": 0.0, "joint3": 0.5})
    ping = instruction_packet(1, 0x01)
    assert len(ask(twin, ping)) == 14, "one servo of ID 1 alone is heard"
    ask(twin, write_packet(1, 7, b"\x15"))
    assert ask(twin, ping) == b""
    twin.advance(0.5 + BOOT_TIME + 0.01)
    assert len(ask(twin, ping)) == 14
    assert len(ask(twin, instruction_packet(0x15, 0x01))) == 14, "the first one stays in the chain"
    ask(twin, write_packet(1, 7, b"\x16"))
    twin.advance(100.0)
    assert ask(twin, ping) == b"", "joint2 is never plugged in"


def test_a_joint_that_is_not_there_cannot_be_plugged_in() -> None:
    with pytest.raises(ValueError, match="no joint 'knee' to plug in; there are joint1, joint2, joint3"):
        bench_twin(plugs={"knee": 0.0})


def test_the_position_register_is_the_joints_angle() -> None:
    twin = Twin.load(ARM, pose="home")
    for index, (joint, servo) in enumerate(zip(twin.arm.joints, twin.servos, strict=True)):
        angle = joint.sign * (servo.get("present_position") - 2048) * 2 * np.pi / 4096 / joint.gear + joint.offset
        assert angle == pytest.approx(float(twin.drives.joint_position[index]), abs=0.01)


def test_torque_on_in_position_mode_holds_the_arm() -> None:
    twin = started(POSITION, pose="home")
    before = np.array(twin.drives.joint_position)
    twin.advance(twin.time + 1.0)
    assert np.abs(twin.drives.joint_position - before).max() < 0.1


def test_without_torque_it_falls() -> None:
    twin = Twin.load(ARM, pose="home")
    before = np.array(twin.drives.joint_position)
    twin.advance(2.0)
    assert np.abs(twin.drives.joint_position - before).max() > 0.3


def test_a_goal_moves_the_joint() -> None:
    twin = started(POSITION, pose="home")
    ask(twin, sync_write_packet(116, {11: struct.pack("<i", 2248)}))
    twin.advance(twin.time + 1.0)
    assert twin.servos[0].get("present_position") == pytest.approx(2248, abs=12)


def test_a_current_turns_the_free_joint_and_the_watchdog_takes_it_away() -> None:
    twin = started(CURRENT, pose="home")
    ask(twin, write_packet(11, 98, b"\5"))
    for _ in range(20):
        ask(twin, sync_write_packet(102, {11: struct.pack("<h", 100)}))
    assert abs(twin.drives.joint_velocity[0]) > 0.1
    assert ask(twin, read_packet(11, 126, 2))[9:11] != b"\0\0"
    twin.advance(twin.time + 0.5)
    assert twin.servos[0].get("bus_watchdog") == -1
    assert twin.servos[0].get("goal_current") == 0
    assert abs(int(twin.plant.present_current[0])) < 20


def test_a_stuck_shaft_under_torque_ends_in_an_overload() -> None:
    twin = started(POSITION, pose="home")
    twin.inject("stuck-shaft:servo=11")
    ask(twin, sync_write_packet(116, {11: struct.pack("<i", 2900)}))
    for _ in range(100):
        ask(twin, sync_read_packet(132, 4, [s.id for s in twin.servos]), wait=0.1)
        if twin.servos[0].get("hardware_error_status"):
            break
    assert twin.servos[0].get("hardware_error_status") == 0x20
    assert twin.servos[0].get("torque_enable") == 0


def test_a_brown_out_lets_one_joint_go() -> None:
    twin = started(POSITION, pose="home")
    twin.inject("brown-out:servo=12")
    twin.advance(twin.time + 1.0)
    assert [s.get("torque_enable") for s in twin.servos] == [1, 0, 1, 1, 1]


def test_two_runs_are_the_same() -> None:
    def run(seed: int) -> bytes:
        port = LockstepPort(Twin.load(ARM, gap="harsh", seed=seed))
        buffer = memoryview(bytearray(200))
        received = b""
        for n in range(40):
            port.write(sync_read_packet(126, 10, [11, 12, 13, 14, 15], fast=True))
            while count := port.read_into(buffer, 0.02 * (n + 1)):
                received += bytes(buffer[:count])
        return received

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_recommended_values_that_an_old_firmware_lacks_are_left_out() -> None:
    twin = bench_twin(firmware={11: 40})
    assert "startup_configuration" not in twin.servos[0].table.registers


def test_the_twin_shares_no_code_with_the_runtime() -> None:
    code = (
        "import sys, sim.twin.cli, sim.twin.drives; sys.exit(any(m.startswith('robot_runtime') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_bad_names_are_refused() -> None:
    with pytest.raises(ValueError, match="open-manipulator-x"):
        Twin.load("open-manipulator-z")
    with pytest.raises(ValueError, match="harsh"):
        Twin.load(ARM, gap="horrible")
    with pytest.raises(ValueError, match="rest"):
        Twin.load(ARM, pose="lotus")
    assert Path(Twin.load(ARM).arm.file).is_file()
