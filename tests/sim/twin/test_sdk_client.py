"""The vendor's own Python library as an independent client of the twin behind its pseudo-terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from sim.twin.packets import fast_status_length
from sim.twin.server import TwinServer
from tests.sim.twin.bench import bench_twin, still

sdk = pytest.importorskip("dynamixel_sdk")

OK, TIMEOUT = 0, -3001
MODELS = ("XM430-W350", "XL430-W250", "XL330-M288")


@pytest.fixture
def server() -> Iterator[TwinServer]:
    twin = bench_twin(MODELS, wire_time=False)
    for servo, voltage in zip(twin.servos, (120, 111, 50), strict=True):
        still(twin).present_input_voltage[servo.index] = voltage
    with TwinServer(twin) as server:
        yield server


@pytest.fixture
def port(server: TwinServer) -> Iterator[Any]:
    handler = sdk.PortHandler(server.port)
    assert handler.setBaudRate(1_000_000)
    yield handler
    handler.closePort()


@pytest.fixture
def packets() -> Any:
    return sdk.PacketHandler(2.0)


def until_back(port: Any, packets: Any, servo_id: int) -> int:
    """Ping until the servo has booted; its model number."""
    for _ in range(200):
        model, result, _ = packets.ping(port, servo_id)
        if result == OK:
            return int(model)
        time.sleep(0.02)
    raise AssertionError(f"servo {servo_id} did not come back")


def test_ping(port: Any, packets: Any) -> None:
    assert [packets.ping(port, i)[0] for i in (11, 12, 13)] == [1020, 1060, 1200]
    assert packets.ping(port, 99)[1] == TIMEOUT


def test_broadcast_ping(server: TwinServer, port: Any, packets: Any) -> None:
    found, result = packets.broadcastPing(port)
    assert result == OK
    firmware = [servo.firmware for servo in server.twin.servos]
    assert found == {11: [1020, firmware[0]], 12: [1060, firmware[1]], 13: [1200, firmware[2]]}


def test_read_and_write(port: Any, packets: Any) -> None:
    assert packets.read4ByteTxRx(port, 11, 132) == (2048, OK, 0)
    assert packets.read2ByteTxRx(port, 11, 0) == (1020, OK, 0)
    assert packets.write4ByteTxRx(port, 11, 116, 1234) == (OK, 0)
    assert packets.read4ByteTxRx(port, 11, 116) == (1234, OK, 0)
    assert packets.write1ByteTxRx(port, 11, 65, 9) == (OK, 4)
    assert packets.write1ByteTxRx(port, 11, 132, 9) == (OK, 7)
    assert packets.write1ByteTxRx(port, 11, 64, 1) == (OK, 0)
    assert packets.write1ByteTxRx(port, 11, 11, 0) == (OK, 7)


def test_a_stuffed_reply(server: TwinServer, port: Any, packets: Any) -> None:
    """Bytes FF FF FD 00 in the data force a stuffing byte into the reply, and none into a fast one.

    The other direction is not tried: the library (4.1) works out the stuffed instruction and then sends the bare one.
    """
    server.twin.servos[0].memory.bytes[224:228] = b"\xff\xff\xfd\x00"
    assert packets.read4ByteTxRx(port, 11, 224) == (0x00FDFFFF, OK, 0)
    read = sdk.GroupSyncRead(port, packets, 224, 4)
    assert read.addParam(11)
    assert read.fastSyncRead() == OK
    assert read.getData(11, 224, 4) == 0x00FDFFFF


def test_sync_read_and_write(server: TwinServer, port: Any, packets: Any) -> None:
    write = sdk.GroupSyncWrite(port, packets, 116, 4)
    for servo_id in (11, 12, 13):
        assert write.addParam(servo_id, list((1000 + servo_id).to_bytes(4, "little")))
    assert write.txPacket() == OK
    read = sdk.GroupSyncRead(port, packets, 116, 4)
    for servo_id in (11, 12, 13):
        assert read.addParam(servo_id)
    assert read.txRxPacket() == OK
    assert [read.getData(i, 116, 4) for i in (11, 12, 13)] == [1011, 1012, 1013]


def test_fast_sync_read(port: Any, packets: Any) -> None:
    read = sdk.GroupSyncRead(port, packets, 126, 10)
    for servo_id in (13, 11, 12):
        assert read.addParam(servo_id)
    assert read.fastSyncRead() == OK
    assert [read.getData(i, 132, 4) for i in (11, 12, 13)] == [2048, 2058, 2068]
    assert fast_status_length([10] * 3) == 43


def test_bulk_read_and_write(port: Any, packets: Any) -> None:
    write = sdk.GroupBulkWrite(port, packets)
    assert write.addParam(11, 65, 1, [1])
    assert write.addParam(12, 116, 4, list((777).to_bytes(4, "little")))
    assert write.txPacket() == OK
    for fast in (False, True):
        read = sdk.GroupBulkRead(port, packets)
        assert read.addParam(11, 65, 1)
        assert read.addParam(12, 116, 4)
        assert read.addParam(13, 144, 2)
        assert (read.fastBulkRead() if fast else read.txRxPacket()) == OK
        assert (read.getData(11, 65, 1), read.getData(12, 116, 4), read.getData(13, 144, 2)) == (1, 777, 50)


def test_reg_write_and_action(port: Any, packets: Any) -> None:
    assert packets.regWriteTxRx(port, 11, 65, 1, [1]) == (OK, 0)
    assert packets.read1ByteTxRx(port, 11, 69) == (1, OK, 0)
    assert packets.action(port, 11) == OK  # the library does not wait for the reply
    for _ in range(200):
        if port.getBytesAvailable() == 11:
            break
        time.sleep(0.01)
    port.clearPort()
    assert packets.read1ByteTxRx(port, 11, 65) == (1, OK, 0)


def test_reboot(port: Any, packets: Any) -> None:
    assert packets.write1ByteTxRx(port, 11, 65, 1) == (OK, 0)
    assert packets.reboot(port, 11) == (OK, 0)
    assert packets.ping(port, 11)[1] == TIMEOUT
    assert until_back(port, packets, 11) == 1020
    assert packets.read1ByteTxRx(port, 11, 65) == (0, OK, 0)


def test_factory_reset(port: Any, packets: Any) -> None:
    assert packets.write2ByteTxRx(port, 12, 36, 100) == (OK, 0)
    assert packets.factoryReset(port, 12, 0x02) == (OK, 0)
    assert until_back(port, packets, 12) == 1060
    assert packets.read2ByteTxRx(port, 12, 36) == (885, OK, 0)
    assert packets.factoryReset(port, 12, 0xFF) == (OK, 0)
    assert port.setBaudRate(57_600)
    assert until_back(port, packets, 1) == 1060


def test_clear_multi_turn(server: TwinServer, port: Any, packets: Any) -> None:
    assert packets.write1ByteTxRx(port, 11, 11, 4) == (OK, 0)
    still(server.twin).turn(0, 5000)
    assert packets.clearMultiTurn(port, 11) == (OK, 0)
    assert packets.read4ByteTxRx(port, 11, 132) == (904, OK, 0)


def test_change_of_id_and_speed(port: Any, packets: Any) -> None:
    assert packets.write1ByteTxRx(port, 13, 7, 33) == (OK, 0)
    assert packets.ping(port, 13)[1] == TIMEOUT
    assert packets.write1ByteTxRx(port, 33, 8, 6) == (OK, 0)
    assert packets.ping(port, 33)[1] == TIMEOUT
    assert port.setBaudRate(4_000_000)
    assert packets.ping(port, 33)[:2] == (1200, OK)
    assert packets.ping(port, 11)[1] == TIMEOUT


def test_the_alert_bit(server: TwinServer, port: Any, packets: Any) -> None:
    still(server.twin).set_temperature(0, 95)
    for _ in range(200):
        _, result, error = packets.read4ByteTxRx(port, 11, 132)
        assert result == OK
        if error == 0x80:
            break
        time.sleep(0.01)
    assert packets.read1ByteTxRx(port, 11, 70) == (0x04, OK, 0x80)


def test_the_wire_takes_time_and_the_client_understands() -> None:
    with TwinServer(bench_twin()) as server:
        port, packets = sdk.PortHandler(server.port), sdk.PacketHandler(2.0)
        assert port.setBaudRate(1_000_000)
        read = sdk.GroupSyncRead(port, packets, 126, 10)
        for servo_id in (11, 12, 13):
            read.addParam(servo_id)
        assert [read.fastSyncRead() for _ in range(20)] == [OK] * 20
        assert read.txRxPacket() == OK
        port.closePort()
