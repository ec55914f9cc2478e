"""The port in virtual time."""

from __future__ import annotations

import errno

import pytest

from robot_runtime.bus.port import Port
from sim.twin.adapter import AdapterTiming
from sim.twin.lockstep import LockstepPort
from sim.twin.packets import instruction_packet, status_packet
from tests.sim.twin.bench import bench_twin, still, sync_read_packet, write_packet

PING = instruction_packet(11, 0x01)


def read(port: LockstepPort, deadline: float, size: int = 200) -> bytes:
    buffer = bytearray(size)
    count = port.read_into(memoryview(buffer), deadline)
    return bytes(buffer[:count])


def test_time_passes_only_while_one_waits() -> None:
    port = LockstepPort(bench_twin())
    assert port.now() == 0.0
    port.write(PING)
    assert port.now() == 0.0
    assert len(read(port, 1.0)) == 14
    assert port.now() == pytest.approx(24e-5)
    port.sleep_until(0.5)
    assert port.now() == 0.5
    port.sleep_until(0.1)
    assert port.now() == 0.5, "never back"


def test_it_has_the_shape_of_the_runtimes_port() -> None:
    """The type checker compares the two; neither side imports the other."""
    port: Port = LockstepPort(bench_twin())
    assert port.name == "lockstep:bench"
    assert port.baudrate == 1_000_000


def test_reading_stops_at_the_deadline() -> None:
    port = LockstepPort(bench_twin())
    assert read(port, 0.25) == b""
    assert port.now() == 0.25
    port.write(PING)
    assert read(port, 0.25) == b"", "a deadline that has passed"
    assert len(read(port, 0.26)) == 14


def test_a_small_buffer_takes_what_fits() -> None:
    port = LockstepPort(bench_twin())
    port.write(PING)
    parts = [read(port, 1.0, size=6) for _ in range(3)]
    assert [len(part) for part in parts] == [6, 6, 2]
    assert b"".join(parts)[:8] == status_packet(11, 0, bytes(3))[:8]


def test_the_physics_keeps_step() -> None:
    twin = bench_twin()
    port = LockstepPort(twin)
    port.sleep_until(0.0105)
    assert still(twin).steps == 10
    port.sleep_until(1.0)
    assert still(twin).steps == 1000


def test_discarding() -> None:
    port = LockstepPort(bench_twin())
    port.write(PING)
    port.sleep_until(0.1)
    assert port.discard_input() == 14
    assert port.discard_input() == 0
    assert read(port, 0.2) == b""


def test_the_speed_of_the_host_counts() -> None:
    port = LockstepPort(bench_twin())
    assert port.baudrate == 1_000_000
    port.set_baudrate(57_600)
    port.write(PING)
    assert read(port, 0.1) == b""
    port.set_baudrate(1_000_000)
    port.write(PING)
    assert len(read(port, 0.2)) == 14


def test_any_buffer_can_be_written() -> None:
    port = LockstepPort(bench_twin())
    for kind in (bytes, bytearray, memoryview):
        port.write(kind(PING))
        assert len(read(port, port.now() + 0.1)) == 14


def test_the_adapters_latency_is_told_and_felt() -> None:
    port = LockstepPort(bench_twin(adapter=AdapterTiming(latency_timer=0.016)))
    assert port.adapter_latency == 0.016
    port.write(PING)
    read(port, 1.0)
    assert port.now() == pytest.approx(11e-5 + 0.016)


def test_an_unplugged_port_is_an_io_error_for_good() -> None:
    twin = bench_twin(faults=["unplugged:at=0.1,for=0.1"])
    port = LockstepPort(twin)
    with pytest.raises(OSError, match="gone") as caught:
        read(port, 1.0)
    assert caught.value.errno == errno.EIO
    with pytest.raises(OSError, match="no such port") as caught:
        LockstepPort(twin)
    assert caught.value.errno == errno.ENOENT
    port.sleep_until(0.3)
    for act in (lambda: port.write(PING), port.discard_input, lambda: port.set_baudrate(9600)):
        with pytest.raises(OSError, match="gone"):
            act()
    again = LockstepPort(twin)
    again.write(PING)
    assert len(read(again, 1.0)) == 14


def test_closing_twice_is_harmless_and_ends_it() -> None:
    port = LockstepPort(bench_twin())
    port.close()
    port.close()
    with pytest.raises(OSError, match="closed") as caught:
        port.write(PING)
    assert caught.value.errno == errno.EBADF


def transcript(seed: int) -> list[tuple[float, bytes]]:
    twin = bench_twin(
        faults=["packet-lost:p=0.1", "garbage:p=0.1"],
        adapter=AdapterTiming(latency_timer=0.001, frame=0.000125, jitter=0.0002),
        seed=seed,
    )
    port = LockstepPort(twin)
    log = []
    for n in range(100):
        port.write(sync_read_packet(132, 4, [11, 12, 13], fast=bool(n % 2)))
        log.append((port.now(), read(port, 0.005 * (n + 1))))
        port.write(write_packet(254, 65, bytes([n % 2])))
        port.sleep_until(0.005 * (n + 1))
    return log


def test_a_run_repeats_to_the_byte_and_the_moment() -> None:
    assert transcript(1) == transcript(1)
    assert transcript(1) != transcript(2)
