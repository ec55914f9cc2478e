"""Who answers, with what, in which order."""

from __future__ import annotations

import struct

import pytest

from sim.twin.packets import BROADCAST_ID, InstructionParser, crc16, instruction_packet, status_packet
from tests.sim.twin.bench import (
    ask,
    bench_twin,
    read_packet,
    still,
    sync_read_packet,
    sync_write_packet,
    write_packet,
)

POSITION = 132


def split(stream: bytes) -> list[bytes]:
    """Status packets, one behind the other."""
    packets = []
    while stream:
        assert stream.startswith(b"\xff\xff\xfd\x00")
        end = 7 + int.from_bytes(stream[5:7], "little")
        packets.append(stream[:end])
        stream = stream[end:]
    return packets


def ids(stream: bytes) -> list[int]:
    return [packet[4] for packet in split(stream)]


def test_only_the_servo_named_answers() -> None:
    twin = bench_twin()
    assert ids(ask(twin, instruction_packet(12, 0x01))) == [12]
    assert ask(twin, instruction_packet(99, 0x01)) == b""


def test_ping_tells_model_and_firmware() -> None:
    twin = bench_twin(("XL430-W250",), firmware={11: 44})
    assert ask(twin, instruction_packet(11, 0x01)) == status_packet(11, 0, struct.pack("<HB", 1060, 44))


def test_broadcast_ping_is_answered_in_the_order_of_the_ids() -> None:
    twin = bench_twin(ids=(30, 2, 11))
    assert ids(ask(twin, instruction_packet(BROADCAST_ID, 0x01), wait=1.0)) == [2, 11, 30]


def test_sync_read_is_answered_in_the_order_asked() -> None:
    twin = bench_twin()
    stream = ask(twin, sync_read_packet(POSITION, 4, [13, 11, 12]))
    assert ids(stream) == [13, 11, 12]
    assert [struct.unpack("<i", p[9:13])[0] for p in split(stream)] == [2068, 2048, 2058]


def test_a_servo_that_is_missing_silences_those_behind_it() -> None:
    twin = bench_twin()
    assert ids(ask(twin, sync_read_packet(POSITION, 4, [11, 99, 13]))) == [11]
    assert ids(ask(twin, sync_read_packet(POSITION, 4, [13, 11, 99]))) == [13, 11]


def test_an_id_counts_once_in_a_sync_read() -> None:
    twin = bench_twin()
    assert ids(ask(twin, sync_read_packet(POSITION, 4, [11, 11, 12]))) == [11, 12]


def test_fast_sync_read_is_one_packet_with_a_running_crc() -> None:
    twin = bench_twin()
    stream = ask(twin, sync_read_packet(POSITION, 4, [11, 13], fast=True))
    (packet,) = split(stream)
    assert (packet[4], packet[7]) == (BROADCAST_ID, 0x55)
    assert packet[8:14] == b"\x00\x0b" + struct.pack("<i", 2048)
    assert packet[16:22] == b"\x00\x0d" + struct.pack("<i", 2068)
    for end in (16, 24):
        assert crc16(packet[: end - 2]) == int.from_bytes(packet[end - 2 : end], "little")
    assert len(packet) == 24


def test_a_fast_read_stops_at_the_servo_that_is_missing() -> None:
    twin = bench_twin()
    stream = ask(twin, sync_read_packet(POSITION, 4, [11, 99, 13], fast=True))
    assert stream[5:7] == (1 + 3 * 8).to_bytes(2, "little"), "the first servo announces all three"
    assert len(stream) == 16


@pytest.mark.parametrize(("model", "since"), [("XM430-W350", 45), ("XL330-M288", 46)])
def test_fast_reads_need_the_firmware_for_it(model: str, since: int) -> None:
    request = sync_read_packet(POSITION, 4, [11], fast=True)
    assert ask(bench_twin((model,), firmware={11: since - 1}), request) == b""
    assert len(ask(bench_twin((model,), firmware={11: since}), request)) == 16


def test_a_fast_read_that_one_servo_cannot_do_keeps_its_shape() -> None:
    twin = bench_twin(("XM430-W350", "XL430-W250"))
    stream = ask(twin, sync_read_packet(152, 6, [11], fast=True))
    assert len(stream) == 18
    assert stream[8] == 7, "access error"


def test_a_fast_read_too_long_for_a_packet_is_not_answered() -> None:
    assert ask(bench_twin(), sync_read_packet(0, 65_000, [11, 12, 13], fast=True)) == b""


def test_the_alert_bit_is_in_the_block_of_its_servo() -> None:
    twin = bench_twin()
    still(twin).set_temperature(1, 90)
    twin.advance(0.1)
    stream = ask(twin, sync_read_packet(146, 1, [11, 12, 13], fast=True))
    assert [stream[8], stream[8 + 5], stream[8 + 10]] == [0, 0x80, 0]


def bulk(*entries: tuple[int, int, int]) -> bytes:
    return b"".join(struct.pack("<BHH", *entry) for entry in entries)


def test_bulk_read_and_fast_bulk_read() -> None:
    twin = bench_twin()
    entries = bulk((12, POSITION, 4), (11, 146, 1))
    first, second = split(ask(twin, instruction_packet(BROADCAST_ID, 0x92, entries)))
    assert first == status_packet(12, 0, struct.pack("<i", 2058))
    assert second == status_packet(11, 0, b"\x1e")
    (fast,) = split(ask(twin, instruction_packet(BROADCAST_ID, 0x9A, entries)))
    assert fast[8:14] == b"\x00\x0c" + struct.pack("<i", 2058)
    assert fast[16:19] == b"\x00\x0b\x1e"


def test_sync_write_and_bulk_write_are_done_and_not_answered() -> None:
    twin = bench_twin()
    assert ask(twin, sync_write_packet(102, {11: b"\x05\x00", 13: b"\xfb\xff"})) == b""
    assert list(still(twin).goal_current) == [5, 1193, -5]
    params = struct.pack("<BHHB", 11, 65, 1, 1) + struct.pack("<BHHh", 12, 102, 2, 9)
    assert ask(twin, instruction_packet(BROADCAST_ID, 0x93, params)) == b""
    assert twin.servos[0].get("led") == 1
    assert still(twin).goal_current[1] == 9


def test_sync_write_refused_by_one_servo_reaches_the_others() -> None:
    twin = bench_twin()
    ask(twin, sync_write_packet(102, {11: b"\x05\x00", 12: b"\xff\x7f", 13: b"\x06\x00"}))
    assert list(still(twin).goal_current) == [5, 1193, 6]


def test_broadcasts_are_done_and_not_answered() -> None:
    twin = bench_twin()
    assert ask(twin, write_packet(BROADCAST_ID, 65, b"\1")) == b""
    assert [s.get("led") for s in twin.servos] == [1, 1, 1]
    assert ask(twin, read_packet(BROADCAST_ID, POSITION, 4)) == b""
    ask(twin, instruction_packet(11, 0x04, b"\x41\x00\x00"))
    ask(twin, instruction_packet(12, 0x04, b"\x41\x00\x00"))
    assert ask(twin, instruction_packet(BROADCAST_ID, 0x05)) == b""
    assert [s.get("led") for s in twin.servos] == [0, 0, 1]
    assert ask(twin, instruction_packet(BROADCAST_ID, 0x08)) == b""
    assert ask(twin, instruction_packet(11, 0x01)) == b"", "all of them reboot"


def test_resetting_everything_by_broadcast_is_obeyed_by_old_firmware_only() -> None:
    twin = bench_twin(firmware={12: 41})
    ask(twin, instruction_packet(BROADCAST_ID, 0x06, b"\xff"))
    assert [s.id for s in twin.servos] == [11, 1, 13]
    twin = bench_twin()
    ask(twin, instruction_packet(BROADCAST_ID, 0x06, b"\x01"))
    assert [s.get("return_delay_time") for s in twin.servos] == [250] * 3


def test_a_group_instruction_to_one_id_is_ignored() -> None:
    params = sync_read_packet(POSITION, 4, [11])[8:-2]
    assert ask(bench_twin(), instruction_packet(11, 0x82, params)) == b""


def test_two_servos_of_one_id_garble_each_other() -> None:
    twin = bench_twin(ids=(11, 11, 12))
    reply = ask(twin, instruction_packet(11, 0x01))
    assert len(reply) == 14
    assert reply != status_packet(11, 0, reply[9:12])
    assert ids(ask(twin, instruction_packet(12, 0x01))) == [12]
    ask(twin, write_packet(11, 65, b"\1"))
    assert [s.get("led") for s in twin.servos] == [1, 1, 0], "both do what they are told"


def test_a_doubled_id_ends_a_fast_read() -> None:
    twin = bench_twin(ids=(11, 12, 12))
    stream = ask(twin, sync_read_packet(POSITION, 4, [11, 12, 13], fast=True))
    assert len(stream) == 24
    assert crc16(stream[:14]) == int.from_bytes(stream[14:16], "little")
    assert crc16(stream[:22]) != int.from_bytes(stream[22:24], "little")


def test_the_secondary_id_writes_ram_and_is_not_answered() -> None:
    twin = bench_twin()
    for servo_id in (11, 12, 13):
        ask(twin, write_packet(servo_id, 12, b"\x05"))
    assert ask(twin, write_packet(5, 65, b"\1")) == b""
    assert [s.get("led") for s in twin.servos] == [1, 1, 1]
    assert ask(twin, write_packet(5, 20, bytes(3) + b"\1")) == b""
    assert [s.get("homing_offset") for s in twin.servos] == [0, 0, 0], "EEPROM is out of its reach"
    assert ask(twin, read_packet(5, POSITION, 4)) == b""


def test_the_id_goes_before_the_secondary_id() -> None:
    """The manual's example: five servos, all with secondary ID 5, one of them with ID 5."""
    twin = bench_twin(("XM430-W350",) * 5, ids=(1, 2, 3, 4, 5))
    ask(twin, write_packet(BROADCAST_ID, 12, b"\x05"))
    assert ids(ask(twin, write_packet(1, 65, b"\1"))) == [1]
    assert [s.get("led") for s in twin.servos] == [1, 0, 0, 0, 0]
    assert ids(ask(twin, write_packet(5, 65, b"\1"))) == [5]
    assert [s.get("led") for s in twin.servos] == [1, 1, 1, 1, 1]


def test_a_damaged_instruction_gets_a_crc_error() -> None:
    twin = bench_twin()
    packet = bytearray(instruction_packet(11, 0x03, b"\x41\x00\x01"))
    packet[-1] ^= 0x10
    assert ask(twin, bytes(packet)) == status_packet(11, 3)
    assert twin.servos[0].get("led") == 0


def test_a_new_id_counts_behind_the_reply() -> None:
    twin = bench_twin()
    assert ids(ask(twin, write_packet(11, 7, b"\x21"))) == [11]
    assert ask(twin, instruction_packet(11, 0x01)) == b""
    assert ids(ask(twin, instruction_packet(0x21, 0x01))) == [0x21]


def test_group_instructions_of_any_shape_are_survived() -> None:
    twin = bench_twin()
    for instruction in (0x82, 0x83, 0x8A, 0x92, 0x93, 0x9A):
        for params in (b"", b"\x84", b"\x84\x00\x04\x00", bytes(7), b"\xff" * 30, b"\x0b\x84\x00\xff\xff"):
            packet = instruction_packet(BROADCAST_ID, instruction, params)
            assert InstructionParser().feed(packet)[0].intact
            ask(twin, packet)
    assert ids(ask(twin, instruction_packet(11, 0x01))) == [11]
