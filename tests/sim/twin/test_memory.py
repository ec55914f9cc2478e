"""A servo's memory: live registers and indirect addresses."""

from __future__ import annotations

import struct

from tests.sim.twin.bench import ask, bench_twin, read_packet, still, sync_read_packet, write_packet

ID = 11
INDIRECT_ADDRESS, INDIRECT_DATA = 168, 224


def point(cell: int, *targets: int) -> bytes:
    """Let indirect data from that cell on stand for these addresses."""
    return write_packet(ID, INDIRECT_ADDRESS + 2 * cell, struct.pack(f"<{len(targets)}H", *targets))


def error_of(reply: bytes) -> int:
    return reply[8]


def data_of(reply: bytes) -> bytes:
    assert error_of(reply) == 0
    return reply[9:-2]


def test_reading_through_indirect_addresses() -> None:
    twin = bench_twin()
    still(twin).turn(0, 1234)
    ask(twin, point(0, 146, 132, 133, 134, 135, 70))
    assert data_of(ask(twin, read_packet(ID, INDIRECT_DATA, 6))) == struct.pack("<BiB", 30, 1234, 0)
    still(twin).turn(0, 1235)
    assert data_of(ask(twin, read_packet(ID, INDIRECT_DATA, 6))) == struct.pack("<BiB", 30, 1235, 0), "stays live"
    fast = ask(twin, sync_read_packet(INDIRECT_DATA, 6, [ID], fast=True))
    assert fast[10:16] == struct.pack("<BiB", 30, 1235, 0)


def test_a_changed_indirect_address_counts_at_once() -> None:
    twin = bench_twin()
    ask(twin, point(0, 146))
    assert data_of(ask(twin, read_packet(ID, INDIRECT_DATA, 1))) == bytes([30])
    ask(twin, point(0, 7))
    assert data_of(ask(twin, read_packet(ID, INDIRECT_DATA, 1))) == bytes([30]), "EEPROM cannot be pointed to"
    ask(twin, point(0, 68))
    assert data_of(ask(twin, read_packet(ID, INDIRECT_DATA, 1))) == bytes([2])


def test_writing_through_indirect_addresses_keeps_the_registers_rules() -> None:
    twin = bench_twin()
    ask(twin, point(0, 65, 116, 117, 118, 119))
    assert error_of(ask(twin, write_packet(ID, INDIRECT_DATA, struct.pack("<Bi", 1, 1000)))) == 0
    assert twin.servos[0].get("led") == 1
    assert twin.servos[0].get("goal_position") == 1000
    assert still(twin).goal_position[0] == 1000
    assert error_of(ask(twin, write_packet(ID, INDIRECT_DATA, b"\2"))) == 4, "LED takes 0 or 1"
    assert error_of(ask(twin, write_packet(ID, INDIRECT_DATA + 1, bytes(2)))) == 5, "half a register"
    ask(twin, point(0, 132))
    assert error_of(ask(twin, write_packet(ID, INDIRECT_DATA, b"\0"))) == 7, "read only"


def test_indirect_data_that_points_to_itself_is_memory() -> None:
    twin = bench_twin()
    assert error_of(ask(twin, write_packet(ID, INDIRECT_DATA + 3, b"abc"))) == 0
    assert data_of(ask(twin, read_packet(ID, INDIRECT_DATA + 3, 3))) == b"abc"


def test_indirect_addresses_are_reset_by_a_reboot() -> None:
    twin = bench_twin()
    ask(twin, point(0, 146))
    twin.line.reboot(twin.servos[0], twin.time)
    twin.advance(twin.time + 1.0)
    assert data_of(ask(twin, read_packet(ID, INDIRECT_ADDRESS, 2))) == struct.pack("<H", INDIRECT_DATA)
    assert data_of(ask(twin, read_packet(ID, INDIRECT_DATA, 1))) == b"\0"


def test_live_registers_are_little_endian_and_signed() -> None:
    twin = bench_twin()
    plant = still(twin)
    plant.present_current[0], plant.present_velocity[0], plant.present_position[0] = -2, -300, -70_000
    assert data_of(ask(twin, read_packet(ID, 126, 10))) == struct.pack("<hii", -2, -300, -70_000)


def test_a_value_too_large_for_its_register_saturates() -> None:
    twin = bench_twin()
    still(twin).present_current[0] = 1 << 20
    assert data_of(ask(twin, read_packet(ID, 126, 2))) == struct.pack("<h", 32767)


def test_the_realtime_tick_counts_milliseconds_and_wraps() -> None:
    twin = bench_twin()
    twin.advance(1.0)
    assert twin.servos[0].get("realtime_tick") == 1000
    twin.advance(32.768)
    assert twin.servos[0].get("realtime_tick") == 0
