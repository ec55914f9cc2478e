"""The USB adapter's habits."""

from __future__ import annotations

import pytest

from sim.twin.adapter import Adapter, AdapterTiming

BYTE = 1e-5


def deliveries(adapter: Adapter) -> list[tuple[float, int]]:
    """(time, size) of everything that comes to the host."""
    found = []
    while (due := adapter.due()) < 1.0:
        if portion := adapter.take(due):
            found.append((due, len(portion)))
    return found


def assert_delivered(adapter: Adapter, expected: list[tuple[float, int]]) -> None:
    found = deliveries(adapter)
    assert [size for _, size in found] == [size for _, size in expected]
    assert [time for time, _ in found] == pytest.approx([time for time, _ in expected])


def test_without_delays_a_packet_is_there_when_its_last_byte_is() -> None:
    adapter = Adapter(AdapterTiming())
    adapter.receive(0.001, BYTE, bytes(20))
    adapter.receive(0.002, BYTE, bytes(30))
    assert_delivered(adapter, [(0.0012, 20), (0.0023, 30)])


def test_a_few_bytes_wait_for_the_latency_timer() -> None:
    adapter = Adapter(AdapterTiming(latency_timer=0.016))
    adapter.receive(0.001, BYTE, bytes(20))
    assert_delivered(adapter, [(0.001 + BYTE + 0.016, 20)])


def test_a_full_portion_goes_at_once_and_the_rest_waits() -> None:
    adapter = Adapter(AdapterTiming(latency_timer=0.016))
    adapter.receive(0.0, BYTE, bytes(100))
    assert_delivered(adapter, [(62 * BYTE, 62), (63 * BYTE + 0.016, 38)])


def test_bytes_of_several_packets_share_a_portion() -> None:
    adapter = Adapter(AdapterTiming(latency_timer=0.016))
    for n in range(5):
        adapter.receive(n * 20 * BYTE, BYTE, bytes(20))
    sizes = [size for _, size in deliveries(adapter)]
    assert sizes == [62, 38]


def test_the_timer_takes_what_has_come_by_then() -> None:
    adapter = Adapter(AdapterTiming(latency_timer=0.001))
    adapter.receive(0.0, 0.0005, bytes(6))  # 0.5 ms a byte
    assert [size for _, size in deliveries(adapter)] == [3, 3]


def test_portions_leave_with_a_usb_frame() -> None:
    adapter = Adapter(AdapterTiming(latency_timer=0.001, frame=0.000125, extra_delay=0.0005))
    adapter.receive(0.0, BYTE, bytes(10))
    assert_delivered(adapter, [(0.001125 + 0.0005, 10)])


def test_jitter_delays_never_reorders_and_repeats_by_seed() -> None:
    def run(seed: int) -> list[tuple[float, int]]:
        adapter = Adapter(AdapterTiming(jitter=0.005), seed)
        for n in range(20):
            adapter.receive(n * 0.001, BYTE, bytes(n + 1))
        return deliveries(adapter)

    times = [time for time, _ in run(1)]
    assert times == sorted(times)
    assert sum(size for _, size in run(1)) == 210
    assert run(1) == run(1) != run(2)


def test_bytes_keep_their_order_and_none_is_lost() -> None:
    adapter = Adapter(AdapterTiming(latency_timer=0.001, frame=0.000125, jitter=0.0003), seed=3)
    sent = bytes(range(256)) * 4
    for n in range(0, len(sent), 37):
        adapter.receive(n * 2e-5, 1e-6, sent[n : n + 37])
    received = b""
    while (due := adapter.due()) < 1.0:
        received += adapter.take(due)
    assert received == sent


def test_spoiling_leaves_what_was_already_received() -> None:
    adapter = Adapter(AdapterTiming())
    adapter.receive(0.0, BYTE, b"\xff" * 20)
    adapter.spoil(10.5 * BYTE)
    data = adapter.take(1.0)
    assert data[:10] == b"\xff" * 10
    assert len(data) == 20
    assert data[10:] != b"\xff" * 10


def test_a_late_reply_that_is_overtaken_stops_nothing() -> None:
    adapter = Adapter(AdapterTiming(latency_timer=0.001, frame=0.0, extra_delay=0.0, jitter=0.0))
    adapter.receive(0.010, 1e-5, b"late" * 30)
    adapter.receive(0.002, 1e-5, b"soon" * 30)
    assert adapter.take(0.005) == b"soon" * 30
    assert adapter.take(0.020) == b"late" * 30
