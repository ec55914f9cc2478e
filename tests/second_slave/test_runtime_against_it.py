"""The runtime's bus and arm, unchanged, against servos that somebody else wrote.

A wrong baud rate is not tried here: a pseudo-terminal passes bytes at any.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from robot_runtime.arm import Arm, JointCommand, WrongServoError
from robot_runtime.bus import (
    Bus,
    GroupRead,
    GroupWrite,
    Identity,
    MissingServosError,
    NoReplyError,
    SerialPort,
    ServoRefusedError,
)
from robot_runtime.cli.scan import main as robot_scan
from robot_runtime.servos import Register, servo_model
from robot_runtime.spec import load_arm
from tests.second_slave.servo import XL330_M288, XL330_M288_FW53, XL430_W250, XM430_W350, Model, Servo
from tests.second_slave.slave import Instruction, Slave

PATIENCE = 2.0  # s for every reply, so that a busy computer breaks no test
SHORT = 0.25  # s, where a test waits for a reply that will not come
LONG = 60.0  # s, only so that a broken test ends
TICK = 2 * math.pi / 4096
CYCLES = 50

Serve = Callable[..., tuple[Slave, SerialPort]]

XL330 = servo_model("XL330-M288")
GOAL, PRESENT = XL330.register("goal_position"), XL330.register("present_position")


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Put servos behind a port and open it."""
    with contextlib.ExitStack() as opened:

        def start(*servos: Servo, patience: float = PATIENCE) -> tuple[Slave, SerialPort]:
            slave = Slave(*servos)
            opened.callback(slave.close)
            port = SerialPort(slave.port, 1_000_000)
            opened.callback(port.close)
            port.adapter_latency = patience
            return slave, port

        yield start


@pytest.fixture
def servos() -> list[Servo]:
    return [Servo(XL330_M288, i, position=1000 * i) for i in (1, 2, 3)]


@pytest.fixture
def bus(serve: Serve, servos: list[Servo]) -> Bus:
    return Bus(serve(*servos)[1])


@pytest.fixture
def hasty_bus(serve: Serve, servos: list[Servo]) -> Bus:
    return Bus(serve(*servos, patience=SHORT)[1])


def scratch(size: int, *, signed: bool = False) -> Register:
    """Indirect data 1 and following: bytes that take any value."""
    top = 1 << 8 * size - signed
    return Register(
        name="scratch", address=208, size=size, signed=signed, writable=True, eeprom=False,
        unit=None, minimum=-top if signed else 0, maximum=top - 1, initial=0, limited_by=None,
    )  # fmt: skip


# -- one servo at a time -----------------------------------------------------------------------------------------------


def test_everyone_is_found_by_one_ping(hasty_bus: Bus) -> None:
    assert hasty_bus.broadcast_ping() == {i: Identity(1200, 52) for i in (1, 2, 3)}


def test_a_ping_names_the_model_and_silence_is_an_error(hasty_bus: Bus) -> None:
    assert hasty_bus.ping(2) == Identity(1200, None)
    with pytest.raises(NoReplyError) as caught:
        hasty_bus.ping(9, tries=1)
    assert caught.value.servo_id == 9


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("XM430-W350", XM430_W350),
        ("XL430-W250", XL430_W250),
        ("XL330-M288", XL330_M288),
    ],
)
def test_every_register_is_where_the_manual_has_it(serve: Serve, name: str, model: Model) -> None:
    servo = Servo(model, 7)
    _, port = serve(servo)
    bus = Bus(port)
    for register in servo_model(name).registers.values():
        value = bus.read(7, register)
        if register.name != "realtime_tick":
            assert value == servo[register.name], register.name
        assert (register.address, register.size, register.writable) == model.registers[register.name][:3]


def test_what_is_written_is_there(bus: Bus, servos: list[Servo]) -> None:
    bus.write(2, GOAL, 1234)
    assert servos[1]["goal_position"] == bus.read(2, GOAL) == 1234
    bus.write_verified(2, XL330.register("homing_offset"), -5)
    assert servos[1]["homing_offset"] == -5


def test_refusals_are_typed(bus: Bus, servos: list[Servo]) -> None:
    bus.write(1, XL330.register("torque_enable"), 1)
    with pytest.raises(ServoRefusedError, match="locked while torque is on") as caught:
        bus.write(1, XL330.register("operating_mode"), 0)
    assert (caught.value.servo_id, caught.value.number) == (1, 7)
    assert servos[0]["operating_mode"] == 3
    with pytest.raises(ServoRefusedError, match="beyond a limit") as caught:
        bus.write(1, GOAL, 5000)
    assert caught.value.number == 6


def test_an_alert_is_noticed_and_ends_with_a_reboot(bus: Bus, servos: list[Servo]) -> None:
    servos[2]["hardware_error_status"] = 0b100000
    assert bus.read(3, PRESENT) == 3000
    assert bus.alerts == {3}
    group = GroupRead((2, 3), PRESENT.address, PRESENT.size, fast=True)
    assert bus.read_group(group) == 0
    assert group.errors == [0, 0x80]
    bus.reboot(3)
    assert bus.read(3, PRESENT) == 3000
    assert bus.alerts == set()


# -- groups ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fast", [False, True])
def test_a_group_is_read_at_once(bus: Bus, fast: bool) -> None:
    group = GroupRead((3, 1, 2), PRESENT.address, PRESENT.size, fast=fast)
    assert bus.read_group(group) == 0
    assert group.field(0, "<i4").tolist() == [3000, 1000, 2000]
    assert bus.statistics.strays == 0


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("silent", [0, 1, 3])
def test_a_missing_servo_is_named_and_the_others_are_kept(serve: Serve, silent: int, fast: bool) -> None:
    servos = [Servo(XL330_M288, i, position=1000 * i) for i in (1, 2, 3, 4)]
    bus = Bus(serve(*servos, patience=SHORT)[1])
    group = GroupRead((1, 2, 3, 4), PRESENT.address, PRESENT.size, fast=fast)
    assert bus.read_group(group) == 0
    for servo in servos:
        servo["present_position"] = 11 * servo.servo_id
    servos[silent].silent = True
    assert bus.read_group(group, deadline=bus.port.now() + LONG) == 1 << silent
    expected = [11, 22, 33, 44]
    expected[silent] = 1000 * (silent + 1)
    assert group.field(0, "<i4").tolist() == expected
    assert bus.statistics.lost[silent + 1] == 1
    servos[silent].silent = False
    assert bus.read_group(group) == 0


def test_a_fast_read_breaks_at_the_servo_that_is_silent(hasty_bus: Bus, servos: list[Servo]) -> None:
    servos[1].silent = True
    group = GroupRead((1, 2, 3), PRESENT.address, PRESENT.size, fast=True)
    assert hasty_bus.read_group(group) == 0b110
    assert group.data(0) == (1000).to_bytes(4, "little")


def test_a_group_is_written_at_once(bus: Bus, servos: list[Servo]) -> None:
    bus.write_group(GroupWrite([(i, GOAL) for i in (3, 1)]), [303, 101])
    assert [bus.read(i, GOAL) for i in (1, 2, 3)] == [101, 2000, 303]


def test_different_registers_are_written_at_once(bus: Bus, servos: list[Servo]) -> None:
    led, current = XL330.register("led"), XL330.register("goal_current")
    bus.write_group(GroupWrite([(1, led), (2, current), (3, GOAL)]), [1, -1, 303])
    assert [bus.read(1, led), bus.read(2, current), bus.read(3, GOAL)] == [1, -1, 303]


# -- values that look like headers -------------------------------------------------------------------------------------

HEADERS = ["fffffd00", "fffffdfd", "fdfffffd", "fffffffd", "00fffffd", "fffffdff"]


@pytest.mark.parametrize("value", HEADERS)
def test_stuffing_both_ways_for_one_servo(bus: Bus, servos: list[Servo], value: str) -> None:
    data = bytes.fromhex(value)
    number = int.from_bytes(data, "little")
    servos[0].memory[208:216] = b"\x77" * 8
    bus.write(1, scratch(4), number)
    assert servos[0].memory[208:216] == data + b"\x77" * 4
    assert bus.read(1, scratch(4)) == number
    servos[0].memory[212:216] = data
    assert bus.read_bytes(1, 208, 8) == data * 2


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("value", HEADERS)
def test_stuffing_both_ways_for_a_group(bus: Bus, servos: list[Servo], value: str, fast: bool) -> None:
    data = bytes.fromhex(value)
    number = int.from_bytes(data, "little")
    bus.write_group(GroupWrite([(i, scratch(4)) for i in (1, 2, 3)]), [number, 5, number])
    group = GroupRead((1, 2, 3), 208, 4, fast=fast)
    assert bus.read_group(group) == 0
    assert [group.data(i) for i in range(3)] == [data, b"\5\0\0\0", data]


@pytest.mark.parametrize("value", HEADERS)
def test_stuffing_in_a_write_of_different_registers(bus: Bus, servos: list[Servo], value: str) -> None:
    data = bytes.fromhex(value)
    number = int.from_bytes(data, "little", signed=True)
    bus.write_group(GroupWrite([(1, scratch(4, signed=True)), (2, scratch(1)), (3, GOAL)]), [number, 0xFD, 303])
    assert bus.read_bytes(1, 208, 4) == data
    assert bus.read_bytes(2, 208, 1) == b"\xfd"
    assert bus.read(3, GOAL) == 303


# -- whole arms --------------------------------------------------------------------------------------------------------


def koch(xl330: Model, firmware: int) -> list[Servo]:
    return [Servo(XL430_W250, i, firmware=46, follow=0.3) for i in (1, 2)] + [
        Servo(xl330, i, firmware=firmware, follow=0.3) for i in (3, 4, 5, 6)
    ]


def open_manipulator(firmware: int = 47) -> list[Servo]:
    return [Servo(XM430_W350, i, firmware=firmware, follow=0.3) for i in (11, 12, 13, 14, 15)]


def drive(arm: Arm, servos: list[Servo]) -> None:
    """Torque on without motion, 50 cycles, torque off; positions, torques and health must be what the servos hold."""
    arm.prepare()
    for joint, servo in zip(arm.spec.joints, servos, strict=True):
        assert servo["operating_mode"] == joint.servo.modes[joint.mode]
    arm.torque_on()
    assert [s["torque_enable"] for s in servos] == [1] * len(servos)
    assert [s.position for s in servos] == [2048] * len(servos)

    position = np.array([j.mode != "current" for j in arm.spec.joints])
    command = JointCommand(len(servos))
    command.held[:] = False
    for cycle in range(CYCLES):
        assert arm.read(arm.bus.port.now() + LONG) == 0
        command.values[:] = np.where(position, 0.004 * min(cycle, 30), 0.5)  # rad, N·m
        arm.write(command)
    for _ in range(8):  # the lag dies out, and one of these reads brings health
        assert arm.read(arm.bus.port.now() + LONG) == 0

    assert arm.state.q == pytest.approx([(s.position - 2048) * TICK for s in servos], abs=1e-9)
    assert arm.state.q == pytest.approx(np.where(position, 0.12, 0.0), abs=2 * TICK)
    for joint, servo in zip(arm.spec.joints, servos, strict=True):
        if joint.mode == "current":
            assert servo["goal_current"] == round(0.5 / joint.torque_per_ampere / 2.69e-3)
    assert arm.state.voltage == pytest.approx([s["present_input_voltage"] / 10 for s in servos])
    assert arm.state.temperature == pytest.approx(30.0)
    assert not (arm.state.jumped | arm.state.alert | arm.state.watchdog_tripped).any()
    assert stays_up(arm)

    arm.torque_off()
    assert [s["torque_enable"] for s in servos] == [0] * len(servos)
    assert [s["bus_watchdog"] for s in servos] == [0] * len(servos)
    assert arm.bus.statistics.lost == {}
    assert arm.bus.statistics.strays == 0


def stays_up(arm: Arm) -> bool:
    """All torque is on and no servo seems restarted. Where the servo's clock tells, a pause of this process may look
    like a restart: thus several looks.
    """
    for _ in range(5):
        arm.clear_flags()
        for cycle in range(17):  # two health reads at least
            arm.read(arm.bus.port.now() + LONG)
            if cycle == 8:  # long enough for the servo's clock to show that it is read rightly
                arm.bus.port.sleep_until(arm.bus.port.now() + 0.1)
        if not arm.state.restarted.any():
            return bool(arm.state.torque_on.all())
    return False


@pytest.mark.parametrize(
    ("xl330", "firmware", "mapped"),
    [(XL330_M288, 52, False), (XL330_M288_FW53, 53, True)],
    ids=["two layouts", "one layout"],
)
def test_koch_runs(serve: Serve, xl330: Model, firmware: int, mapped: bool) -> None:
    servos = koch(xl330, firmware)
    slave, port = serve(*servos)
    arm = Arm.open(load_arm("koch-v1.1"), port)
    assert arm.plan.full.group.fast
    assert bool(arm.plan.mapping) == mapped
    drive(arm, servos)
    assert slave.heard.count(Instruction.FAST_SYNC_READ) > CYCLES
    assert slave.heard.count(Instruction.SYNC_WRITE) > CYCLES


def test_open_manipulator_x_runs(serve: Serve) -> None:
    servos = open_manipulator()
    slave, port = serve(*servos)
    arm = Arm.open(load_arm("open-manipulator-x"), port)
    assert arm.plan.full.group.fast
    drive(arm, servos)
    assert slave.heard.count(Instruction.BULK_WRITE) >= CYCLES  # current and position goals in one packet


def test_open_manipulator_x_runs_with_old_firmware(serve: Serve) -> None:
    servos = open_manipulator(firmware=42)
    slave, port = serve(*servos)
    arm = Arm.open(load_arm("open-manipulator-x"), port)
    assert not arm.plan.full.group.fast
    drive(arm, servos)
    assert Instruction.FAST_SYNC_READ not in slave.heard


def test_fast_reads_that_nobody_answers_are_not_used(serve: Serve) -> None:
    servos = open_manipulator()
    servos[0].fast = False
    _, port = serve(*servos, patience=SHORT)
    arm = Arm.open(load_arm("open-manipulator-x"), port)
    assert not arm.plan.full.group.fast
    assert arm.read(port.now() + LONG) == 0


def test_an_arm_without_one_servo_says_which(serve: Serve) -> None:
    servos = open_manipulator()
    servos[2].silent = True
    _, port = serve(*servos, patience=SHORT)
    with pytest.raises(MissingServosError, match="joint3") as caught:
        Arm.open(load_arm("open-manipulator-x"), port)
    assert caught.value.missing == (13,)


def test_another_arm_is_refused(serve: Serve) -> None:
    _, port = serve(*(Servo(XL330_M288, i) for i in range(1, 7)))
    with pytest.raises(WrongServoError, match="XL330-M288"):
        Arm.open(load_arm("koch-v1.1"), port)


# -- the command -------------------------------------------------------------------------------------------------------


def test_robot_scan_lists_the_servos(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    servos = [Servo(XL430_W250, 1, firmware=46), Servo(XL330_M288, 3), Servo(XM430_W350, 11, firmware=47)]
    slave, port = serve(*servos)
    port.close()  # the command opens it itself
    robot_scan(["--port", slave.port, "--baud", "1000000", "--json"])
    found = json.loads(capsys.readouterr().out)["servos"]
    assert [(s["id"], s["model"], s["firmware"], s["shared"]) for s in found] == [
        (1, "XL430-W250", 46, False),
        (3, "XL330-M288", 52, False),
        (11, "XM430-W350", 47, False),
    ]
    for servo, entry in zip(servos, found, strict=True):
        expected = {name: servo[name] for name in servo.model.registers if name != "realtime_tick"}
        assert {name: entry["registers"].get(name) for name in expected} == expected
