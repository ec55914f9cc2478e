"""Time on the wire."""

from __future__ import annotations

import pytest

from sim.twin.packets import instruction_packet, status_packet
from sim.twin.twin import Twin
from tests.sim.twin.bench import ask, bench_twin, read_packet, sync_read_packet, write_packet

PING = instruction_packet(11, 0x01)  # 10 bytes, answered by 14
BYTE = 1e-5  # s, at 1 Mbaud


def arrival(twin: Twin, packet: bytes, within: float = 0.1) -> float:
    """When the last byte of the reply is there, in s after the packet was sent."""
    start = twin.time
    twin.transmit(packet)
    last = 0.0
    while twin.due() <= start + within:
        twin.advance(twin.due())
        if twin.take():
            last = twin.time
    return last - start


def test_a_byte_takes_ten_bits() -> None:
    assert arrival(bench_twin(), PING) == pytest.approx((10 + 14) * BYTE)


def test_a_slower_bus_takes_longer() -> None:
    twin = bench_twin(factory=True, ids=(1, 2, 3))
    twin.servos[1].set_eeprom(id=2)
    twin.servos[2].set_eeprom(id=3)
    assert arrival(twin, instruction_packet(1, 0x01)) == pytest.approx(24 * 10 / 57_600 + 500e-6), "and 500 µs delay"


def test_the_return_delay_is_waited_for() -> None:
    twin = bench_twin()
    ask(twin, write_packet(11, 9, bytes([100])))
    assert arrival(twin, PING) == pytest.approx(24 * BYTE + 200e-6)


def test_return_delays_add_up_in_a_sync_read_and_not_in_a_fast_one() -> None:
    twin = bench_twin()
    for servo in twin.servos:
        ask(twin, write_packet(servo.id, 9, bytes([100])))
    request = sync_read_packet(132, 4, [11, 12, 13])
    assert arrival(twin, request) == pytest.approx((17 + 3 * 15) * BYTE + 3 * 200e-6)
    request = sync_read_packet(132, 4, [11, 12, 13], fast=True)
    assert arrival(twin, request) == pytest.approx((17 + 8 + 3 * 8) * BYTE + 200e-6)


def test_instructions_wait_for_each_other_on_the_wire() -> None:
    twin = bench_twin()
    twin.transmit(write_packet(11, 65, b"\1")[:5])
    twin.transmit(write_packet(11, 65, b"\1")[5:])
    twin.advance(12 * BYTE)
    assert twin.servos[0].get("led") == 0, "the last byte is still on its way"
    twin.advance(13.1 * BYTE)
    assert twin.servos[0].get("led") == 1


def test_a_servo_reads_its_sensors_when_the_instruction_is_there() -> None:
    """A packet sent at 0 ms over a slow wire shows the time at its end."""
    twin = bench_twin(factory=True, ids=(1,), models=("XM430-W350",))
    reply = ask(twin, read_packet(1, 120, 2), wait=0.05)
    assert int.from_bytes(reply[9:11], "little") == pytest.approx(14 * 10 / 57.6, abs=1.0)


def test_at_another_speed_nobody_hears_or_answers() -> None:
    twin = bench_twin()
    twin.line.baudrate = 57_600
    assert ask(twin, PING) == b""
    twin.line.baudrate = 1_020_000
    assert ask(twin, PING) != b"", "2 % off does no harm"


def test_a_new_speed_counts_behind_the_reply() -> None:
    twin = bench_twin()
    assert ask(twin, write_packet(11, 8, b"\4")) == status_packet(11, 0)
    assert ask(twin, PING) == b""
    assert ask(twin, instruction_packet(12, 0x01)) != b""
    twin.line.baudrate = 2_000_000
    assert ask(twin, PING) != b""


def test_an_instruction_into_a_reply_garbles_both() -> None:
    twin = bench_twin()
    twin.transmit(PING)
    twin.advance(15 * BYTE)  # five bytes of the reply are out
    twin.transmit(write_packet(12, 65, b"\1"))
    twin.advance(twin.time + 0.01)
    reply = twin.take()
    assert reply[:5] == status_packet(11, 0)[:5]
    assert len(reply) == 14
    assert reply != status_packet(11, 0, reply[9:12])
    assert twin.servos[1].get("led") == 0
    assert ask(twin, PING) == status_packet(11, 0, (1020).to_bytes(2, "little") + bytes([twin.servos[0].firmware]))


def test_a_reply_into_an_instruction_garbles_both() -> None:
    twin = bench_twin()
    twin.transmit(PING + write_packet(12, 65, b"\1"))
    twin.advance(0.01)
    assert twin.take() != b""
    assert twin.servos[1].get("led") == 0


def test_a_write_without_reply_may_be_followed_at_once() -> None:
    twin = bench_twin()
    twin.transmit(instruction_packet(254, 0x03, b"\x41\x00\x01") + PING)
    twin.advance(0.01)
    assert len(twin.take()) == 14
    assert [s.get("led") for s in twin.servos] == [1, 1, 1]


def test_silence_inside_a_packet_ends_it() -> None:
    twin = bench_twin()
    packet = write_packet(11, 65, b"\1")
    ask(twin, packet[:6], wait=0.1)
    ask(twin, packet[6:])
    assert twin.servos[0].get("led") == 0
    ask(twin, packet[:6], wait=0.001)
    ask(twin, packet[6:])
    assert twin.servos[0].get("led") == 1


def test_without_wire_time_a_reply_is_there_at_once() -> None:
    twin = bench_twin(wire_time=False)
    twin.transmit(sync_read_packet(132, 4, [11, 12, 13]))
    assert len(twin.take()) == 3 * 15
    assert twin.time == 0.0
    twin.transmit(PING + PING)
    assert len(twin.take()) == 28, "nothing collides where nothing takes time"
