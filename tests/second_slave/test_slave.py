"""The second slave is right: the manual's own packets byte for byte, and two programs that know real servos."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dynamixel_sdk as sdk
import pytest
import rustypot

from tests.second_slave.servo import XL330_M288, XM430_W350, Servo
from tests.second_slave.slave import Instruction, Slave, crc, status_packet, unstuff

GOAL_POSITION, PRESENT_POSITION = 116, 132
PATIENCE = 2.0  # s for every reply, so that a busy computer breaks no test


class PatientPort(sdk.PortHandler):  # type: ignore[misc]
    """The SDK's port without its 34 ms of patience."""

    def setPacketTimeout(self, packet_length: int) -> None:
        self.setPacketTimeoutMillis(PATIENCE * 1e3)


@pytest.fixture
def slave() -> Iterator[Slave]:
    """Three XL330, as the SDK and rustypot know them, far apart."""
    slave = Slave(*(Servo(XL330_M288, i, position=1000 * i) for i in (3, 1, 2)))
    yield slave
    slave.close()


@pytest.fixture
def port(slave: Slave) -> Iterator[Any]:
    port = PatientPort(slave.port)
    assert port.openPort()
    yield port
    port.closePort()


# Source of all these bytes: ROBOTIS e-Manual, Protocol 2.0, the example of each instruction (there with XM430-W210).
MANUAL = {
    "ping": ("FF FF FD 00 01 03 00 01 19 4E", "FF FF FD 00 01 07 00 55 00 06 04 26 65 5D"),
    "broadcast ping": (
        "FF FF FD 00 FE 03 00 01 31 42",
        "FF FF FD 00 01 07 00 55 00 06 04 26 65 5D FF FF FD 00 02 07 00 55 00 06 04 26 6F 6D",
    ),
    "read": ("FF FF FD 00 01 07 00 02 84 00 04 00 1D 15", "FF FF FD 00 01 08 00 55 00 A6 00 00 00 8C C0"),
    "write": ("FF FF FD 00 01 09 00 03 74 00 00 02 00 00 CA 89", "FF FF FD 00 01 04 00 55 00 A1 0C"),
    "reboot": ("FF FF FD 00 01 03 00 08 2F 4E", "FF FF FD 00 01 04 00 55 00 A1 0C"),
    "sync read": (
        "FF FF FD 00 FE 09 00 82 84 00 04 00 01 02 CE FA",
        "FF FF FD 00 01 08 00 55 00 A6 00 00 00 8C C0 FF FF FD 00 02 08 00 55 00 1F 08 00 00 BA BE",
    ),
    "sync write": ("FF FF FD 00 FE 11 00 83 74 00 04 00 01 96 00 00 00 02 AA 00 00 00 82 87", ""),
    "bulk write": ("FF FF FD 00 FE 10 00 93 01 20 00 02 00 A0 00 02 1F 00 01 00 50 B7 68", ""),
}


@pytest.mark.parametrize("name", MANUAL)
def test_answers_as_the_manual_does(name: str) -> None:
    first, second = (Servo(XM430_W350, i, firmware=38, position=p) for i, p in ((1, 166), (2, 2079)))
    for servo in (first, second):
        servo["model_number"] = 1030
        servo["max_voltage_limit"], servo["temperature_limit"] = 150, 70
    slave = Slave(first, second)
    request, reply = (bytes.fromhex(text) for text in MANUAL[name])
    try:
        assert slave.take(request) == (reply, b"")
    finally:
        slave.close()
    if name == "write":
        assert first["goal_position"] == 512
    if name == "sync write":
        assert (first["goal_position"], second["goal_position"]) == (150, 170)
    if name == "bulk write":
        assert (first["max_voltage_limit"], second["max_voltage_limit"]) == (160, 150)
        assert (first["temperature_limit"], second["temperature_limit"]) == (70, 80)


@pytest.mark.parametrize(
    "data", ["fffffd00", "fffffdfd", "fffffdfdfd", "fffffdfffffd00", "fffffffd", "fdfffffd", "fffd"]
)
def test_stuffing_is_undone_and_hides_headers(data: str) -> None:
    packet = status_packet(1, 0, bytes.fromhex(data))
    assert packet.find(b"\xff\xff\xfd\x00", 1) < 0
    assert int.from_bytes(packet[5:7], "little") == len(packet) - 7
    assert unstuff(packet[9:-2]) == bytes.fromhex(data)


def test_a_packet_is_found_between_noise_and_in_pieces(slave: Slave) -> None:
    ping = bytes.fromhex("FF FF FD 00 01 03 00 01 19 4E")
    reply, rest = slave.take(b"\x00\xff\xff" + b"\xff\xff\xfd\x00\x01\xff\xff" + ping[:6])
    assert reply == b""
    reply, rest = slave.take(rest + ping[6:] + b"\xff\xff")
    assert reply == status_packet(1, 0, b"\xb0\x04\x34")
    assert rest.endswith(b"\xff\xff")


def test_a_damaged_instruction_is_refused_by_the_servo_it_names(slave: Slave) -> None:
    assert slave.take(bytes.fromhex("FF FF FD 00 01 03 00 01 19 4F"))[0] == status_packet(1, 3)
    assert slave.take(bytes.fromhex("FF FF FD 00 09 03 00 01 19 4F"))[0] == b""


def test_every_crc_of_a_fast_reply_runs_from_the_first_byte(slave: Slave) -> None:
    body = bytes.fromhex("FF FF FD 00 FE 0A 00 8A 84 00 04 00 01 02 03")
    reply, _ = slave.take(body + crc(body))
    assert reply[:8] == bytes.fromhex("FF FF FD 00 FE 19 00 55")
    for i, servo_id in enumerate((1, 2, 3)):
        end = 8 + 8 * (i + 1)
        block = b"\x00" + bytes((servo_id,)) + (1000 * servo_id).to_bytes(4, "little")
        assert reply[end - 8 : end] == block + crc(reply[: end - 2])
    assert len(reply) == 32


def test_the_sdk_pings(slave: Slave, port: Any) -> None:
    packets = sdk.PacketHandler(2.0)
    assert packets.ping(port, 2) == (1200, sdk.COMM_SUCCESS, 0)
    assert packets.ping(port, 9)[1] == sdk.COMM_RX_TIMEOUT
    found, result = packets.broadcastPing(port)
    assert result == sdk.COMM_SUCCESS
    assert list(found.items()) == [(i, [1200, 52]) for i in (1, 2, 3)]


def test_the_sdk_reads_and_writes(slave: Slave, port: Any) -> None:
    packets = sdk.PacketHandler(2.0)
    assert packets.read4ByteTxRx(port, 3, PRESENT_POSITION) == (3000, sdk.COMM_SUCCESS, 0)
    assert packets.write4ByteTxRx(port, 3, GOAL_POSITION, 1234) == (sdk.COMM_SUCCESS, 0)
    assert packets.read4ByteTxRx(port, 3, GOAL_POSITION)[0] == 1234
    assert packets.write2ByteTxRx(port, 3, GOAL_POSITION, 1) == (sdk.COMM_SUCCESS, sdk.ERRNUM_DATA_LENGTH)
    assert packets.write4ByteTxRx(port, 3, PRESENT_POSITION, 1) == (sdk.COMM_SUCCESS, sdk.ERRNUM_ACCESS)
    assert packets.write4ByteTxRx(port, 3, GOAL_POSITION, 4096) == (sdk.COMM_SUCCESS, sdk.ERRNUM_DATA_LIMIT)
    assert packets.write1ByteTxRx(port, 3, 64, 2) == (sdk.COMM_SUCCESS, sdk.ERRNUM_DATA_RANGE)
    assert packets.clearMultiTurn(port, 3) == (sdk.COMM_SUCCESS, sdk.ERRNUM_INSTRUCTION)
    assert packets.write1ByteTxRx(port, 3, 65, 1) == (sdk.COMM_SUCCESS, 0)
    assert packets.reboot(port, 3) == (sdk.COMM_SUCCESS, 0)
    assert packets.read1ByteTxRx(port, 3, 65) == (0, sdk.COMM_SUCCESS, 0)


@pytest.mark.parametrize("fast", [False, True])
def test_the_sdk_reads_and_writes_groups(slave: Slave, port: Any, fast: bool) -> None:
    packets = sdk.PacketHandler(2.0)
    write = sdk.GroupSyncWrite(port, packets, GOAL_POSITION, 4)
    read = sdk.GroupSyncRead(port, packets, GOAL_POSITION, 4)
    for i in (1, 2, 3):
        write.addParam(i, (100 * i).to_bytes(4, "little"))
        read.addParam(i)
    assert write.txPacket() == sdk.COMM_SUCCESS
    assert (read.fastSyncRead() if fast else read.txRxPacket()) == sdk.COMM_SUCCESS
    assert [read.getData(i, GOAL_POSITION, 4) for i in (1, 2, 3)] == [100, 200, 300]


def test_the_sdk_writes_in_bulk(slave: Slave, port: Any) -> None:
    packets = sdk.PacketHandler(2.0)
    write = sdk.GroupBulkWrite(port, packets)
    write.addParam(1, GOAL_POSITION, 4, (77).to_bytes(4, "little"))
    write.addParam(2, 65, 1, b"\x01")
    assert write.txPacket() == sdk.COMM_SUCCESS
    assert packets.read4ByteTxRx(port, 1, GOAL_POSITION)[0] == 77
    assert packets.read1ByteTxRx(port, 2, 65)[0] == 1


@pytest.mark.parametrize("fast", [False, True])
def test_rustypot_pings_reads_and_writes(slave: Slave, fast: bool) -> None:
    controller = rustypot.Xl330PyController(slave.port, 1_000_000, PATIENCE)
    controller.set_fast_sync_read(fast)
    assert controller.ping(2)
    assert list(controller.sync_read_raw_present_position([1, 2, 3])) == [1000, 2000, 3000]
    assert Instruction.FAST_SYNC_READ in slave.heard or not fast
    radians = controller.sync_read_present_position([2])[0]
    assert radians == pytest.approx((2000 - 2048) * 2 * 3.141592653589793 / 4096, abs=1e-3)
    controller.sync_write_torque_enable([1, 2, 3], [True, True, True])
    controller.sync_write_raw_goal_position([1, 2, 3], [1500, 1600, 1700])
    assert list(controller.sync_read_raw_present_position([1, 2, 3])) == [1500, 1600, 1700]
