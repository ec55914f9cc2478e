"""Transactions: timeouts from bytes and baud, retries inside the deadline, strays, and the slow path's errors."""

from __future__ import annotations

import pytest

from robot_runtime.bus import (
    Bus,
    CorruptReplyError,
    GroupRead,
    GroupWrite,
    NoReplyError,
    ServoRefusedError,
    VerifyError,
)
from robot_runtime.bus.timing import HOST_MARGIN
from robot_runtime.servos import servo_model
from tests.robot_runtime.bus.fake_port import FakePort, Reply, fast_status, status

IDS = (1, 2, 3)
XL = servo_model("XL330-M288")


def data(i: int) -> bytes:
    return bytes((i, 0, 0, 0, 0, 0, i, 8, 0, 0))


def answers(silent: set[int], *, recovers: bool = True, delay: float = 0.001):  # type: ignore[no-untyped-def]
    """Servos that answer plain reads; those in `silent` only from their second request on."""
    asked: dict[int, int] = {}

    def answer(request: bytes) -> Reply:
        if request[7] != 0x82:
            return []
        out = b""
        for i in request[12:-2]:
            asked[i] = asked.get(i, 0) + 1
            if i not in silent or (recovers and asked[i] > 1):
                out += status(i, data(i))
        return [(delay, out)] if out else []

    return answer


def test_a_complete_read_is_stamped_when_it_arrived() -> None:
    port = FakePort(answers(set()))
    group = GroupRead(IDS, 126, 10, fast=False)
    assert Bus(port).read_group(group) == 0
    assert group.received_at == pytest.approx(100.001)


def test_a_lost_reply_costs_the_computed_time_and_no_more() -> None:
    port = FakePort(answers({2}, recovers=False))
    bus, group = Bus(port, return_delay=0.0), GroupRead(IDS, 126, 10, fast=False)
    assert bus.read_group(group) == 0b010
    wire = (17 + 3 * 21) * 10 / 1_000_000
    assert port.time - 100.0 == pytest.approx(wire + port.adapter_latency + HOST_MARGIN)
    assert bus.statistics.lost == {2: 1}
    assert bus.statistics.incomplete == 1


def test_only_the_missing_are_asked_again_and_only_before_the_deadline() -> None:
    port = FakePort(answers({2}))
    bus, group = Bus(port), GroupRead(IDS, 126, 10, fast=False)
    assert bus.read_group(group, deadline=100.020) == 0
    assert [packet[12:-2] for packet in port.sent] == [bytes(IDS), bytes((2,))]
    assert group.data(1) == data(2)
    assert bus.statistics.retries == 1


def test_no_retry_that_would_miss_the_deadline() -> None:
    port = FakePort(answers({2}))
    bus, group = Bus(port), GroupRead(IDS, 126, 10, fast=False)
    assert bus.read_group(group, deadline=100.004) == 0b010
    assert len(port.sent) == 1
    assert port.time <= 100.004


def test_a_broken_fast_reply_is_completed_by_a_plain_read() -> None:
    def answer(request: bytes) -> Reply:
        if request[7] == 0x8A:
            return [(0.001, fast_status([(1, data(1), 0)], announced=3))]
        return [(0.001, b"".join(status(i, data(i)) for i in request[12:-2]))]

    port = FakePort(answer)
    group = GroupRead(IDS, 126, 10, fast=True)
    assert Bus(port).read_group(group, deadline=100.05) == 0
    assert [group.data(i) for i in range(3)] == [data(1), data(2), data(3)]


def test_a_late_reply_is_thrown_away_before_the_next_request() -> None:
    late = [True]

    def answer(request: bytes) -> Reply:
        if late.pop() if late else False:
            return [(0.006, b"".join(status(i, bytes(10)) for i in IDS))]  # after the deadline of the first read
        return [(0.001, b"".join(status(i, data(i)) for i in IDS))]

    port = FakePort(answer)
    bus, group = Bus(port, return_delay=0.0), GroupRead(IDS, 126, 10, fast=False)
    assert bus.read_group(group) == 0b111
    port.sleep_until(100.010)
    assert bus.read_group(group) == 0
    assert group.data(0) == data(1)
    assert bus.statistics.strays == 63


def test_garbage_in_front_is_skipped_and_does_not_fill_the_buffer() -> None:
    port = FakePort(lambda _: [(0.0005, b"\xff\xff\xfd" * 20), (0.001, b"".join(status(i, data(i)) for i in IDS))])
    assert Bus(port).read_group(GroupRead(IDS, 126, 10, fast=False)) == 0


def test_endless_noise_ends() -> None:
    port = FakePort(lambda _: [(0.0001 * k, b"\xff" * 64) for k in range(1000)])
    assert Bus(port).read_group(GroupRead(IDS, 126, 10, fast=False)) == 0b111


def test_write_sends_one_packet_and_waits_for_nobody() -> None:
    port = FakePort(lambda _: [])
    Bus(port).write_group(GroupWrite([(i, XL.register("goal_position")) for i in IDS]), [1, 2, 3])
    assert len(port.sent) == 1
    assert port.time == 100.0


def test_slow_read_tries_three_times_then_names_the_servo() -> None:
    port = FakePort(lambda _: [])
    with pytest.raises(NoReplyError, match="servo 7 does not answer") as caught:
        Bus(port).read(7, XL.register("present_position"))
    assert caught.value.servo_id == 7
    assert len(port.sent) == 3
    assert isinstance(caught.value, TimeoutError)


def test_slow_timeout_is_ours_and_not_the_sdks_34_ms() -> None:
    port = FakePort(lambda _: [])
    with pytest.raises(NoReplyError):
        Bus(port).ping(7, tries=1)
    assert port.time - 100.0 < 0.030


def test_a_block_that_is_stuffed_twice_is_read_as_it_was_meant() -> None:
    block = bytes((0xFF, 0xFF, 0xFD, 0x80, 0xFF, 0xFD, 0xFD, 0xFF, 0xFF, 0xFD, 0xFD))
    bus = Bus(FakePort(lambda _: [(0.001, status(7, block))]))
    assert bus.read_bytes(7, 100, len(block)) == block


def test_a_value_that_looks_like_a_header_is_stuffed_on_the_way_out() -> None:
    port = FakePort(lambda _: [(0.001, status(7))])
    Bus(port).write(7, XL.register("homing_offset"), -131_073)
    assert b"\xff\xff\xfd\xfd\xff" in port.sent[0]


def test_damaged_reply_is_told_from_silence() -> None:
    broken = bytearray(status(7, b"\x00\x08\x00\x00"))
    broken[10] ^= 1
    with pytest.raises(CorruptReplyError, match="share this ID"):
        Bus(FakePort(lambda _: [(0.001, bytes(broken))])).read(7, XL.register("present_position"))


@pytest.mark.parametrize("size", range(4, 12))
def test_cut_replies_that_make_the_sdk_stumble_are_corrupt_replies(size: int) -> None:
    cut = bytearray(status(7, b"\x00\x08\x00\x00"))
    cut[5] = size - 4  # a length field that is too short for what follows
    with pytest.raises((CorruptReplyError, NoReplyError)):
        Bus(FakePort(lambda _: [(0.001, bytes(cut))])).read(7, XL.register("present_position"))


def test_refusal_says_what_was_refused_and_why() -> None:
    bus = Bus(FakePort(lambda _: [(0.001, status(7, error=7))]))
    with pytest.raises(
        ServoRefusedError, match=r"servo 7 refused to set operating_mode to 0: error 7.*locked while"
    ) as e:
        bus.write(7, XL.register("operating_mode"), 0)
    assert e.value.number == 7
    assert "locked while torque is on" in str(e.value)


def test_alert_bit_is_kept_not_swallowed_and_not_an_error() -> None:
    bus = Bus(FakePort(lambda _: [(0.001, status(7, b"\x00\x08\x00\x00", error=0x80))]))
    assert bus.read(7, XL.register("present_position")) == 2048
    assert bus.alerts == {7}


def test_write_verified_notices_that_the_value_did_not_stay() -> None:
    def answer(request: bytes) -> Reply:
        return [(0.001, status(7, b"\x05" if request[7] == 2 else b""))]

    with pytest.raises(VerifyError, match="was set to 9 but reads 5"):
        Bus(FakePort(answer)).write_verified(7, XL.register("bus_watchdog"), 9)


def test_value_out_of_the_registers_range_never_leaves() -> None:
    port = FakePort(lambda _: [])
    with pytest.raises(OverflowError, match="operating_mode"):
        Bus(port).write(7, XL.register("operating_mode"), 200)
    assert not port.sent


def test_broadcast_ping_finds_everyone() -> None:
    replies: Reply = [(0.003 * i, status(i, bytes((0xB0, 0x04, 45)))) for i in (1, 2, 9)]
    found = Bus(FakePort(lambda _: replies)).broadcast_ping()
    assert {i: (f.model_number, f.firmware) for i, f in found.items()} == dict.fromkeys((1, 2, 9), (1200, 45))


def test_data_that_come_with_an_error_number_are_not_taken() -> None:
    for fast in (True, False):
        refused = [(1, data(1), 0), (2, data(2), 7), (3, data(3), 0x80)]
        reply = fast_status(refused) if fast else b"".join(status(*packet) for packet in refused)
        port = FakePort(lambda _, reply=reply: [(0.001, reply)])  # type: ignore[misc]
        group = GroupRead(IDS, 126, 10, fast=fast)
        assert Bus(port).read_group(group) == 0b010
        assert group.errors == [0, 0, 0x80]


def test_a_read_right_behind_a_write_waits_until_the_write_has_left() -> None:
    def answer(request: bytes) -> Reply:
        return [(0.031, b"".join(status(i, data(i)) for i in IDS))] if request[7] == 0x82 else []

    port = FakePort(answer)
    port.baudrate = 57_600
    bus, goals = Bus(port, return_delay=0.0), GroupWrite([(i, XL.register("goal_position")) for i in IDS])
    for _ in range(4):
        bus.write_group(goals, [1, 2, 3])  # 5 ms each on the wire
    assert bus.read_group(GroupRead(IDS, 126, 10, fast=False)) == 0


def test_a_busy_bus_costs_no_more_than_the_deadline() -> None:
    port = FakePort(answers(set()))
    bus, group = Bus(port), GroupRead(IDS, 126, 10, fast=False)
    bus._lock.acquire()  # another thread's slow transaction
    assert bus.read_group(group, deadline=port.now() + 0.001) == 0b111
    bus._lock.release()
    assert bus.read_group(group, deadline=port.now() + 0.1) == 0


def test_an_instruction_that_arrived_damaged_is_sent_again() -> None:
    replies = [status(7, error=3), status(7, b"\x00\x08\x00\x00")]
    port = FakePort(lambda _: [(0.001, replies.pop(0))])
    assert Bus(port).read(7, XL.register("present_position")) == 2048


def test_a_slow_answer_that_comes_late_is_not_taken_for_the_next_one() -> None:
    """Every reply takes 30 ms, longer than anybody waits for it."""

    def answer(request: bytes) -> Reply:
        return [(0.03, status(7, bytes(4 if request[8] == 132 else 1)))]

    bus = Bus(FakePort(answer))
    with pytest.raises(NoReplyError):
        bus.read(7, XL.register("present_position"))
    assert bus.statistics.strays > 0


def _chained(dead: set[int]):  # type: ignore[no-untyped-def]
    """Servos that stay silent behind a silent one, in plain and in fast reads."""

    def answer(request: bytes) -> Reply:
        alive = []
        for i in request[12:-2]:
            if i in dead:
                break
            alive.append(i)
        if not alive:
            return []
        if request[7] == 0x8A:
            return [(0.001, fast_status([(i, data(i), 0) for i in alive], announced=len(request[12:-2])))]
        return [(0.001, b"".join(status(i, data(i)) for i in alive))]

    return answer


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("dead", [{1}, {2}, {3}, {1, 2}, {1, 3}])
def test_a_dead_servo_silences_nobody_else_for_long(dead: set[int], fast: bool) -> None:
    port = FakePort(_chained(dead))
    bus, group = Bus(port, return_delay=0.0), GroupRead(IDS, 126, 10, fast=fast)
    expected = sum(1 << i for i, servo_id in enumerate(IDS) if servo_id in dead)
    results = [bus.read_group(group, deadline=port.now() + 0.004) for _ in range(10)]  # too short for a second try
    assert results[3:] == [expected] * 7
    dead.clear()
    assert bus.read_group(group, deadline=port.now() + 0.004) == 0
    port.sent.clear()
    assert bus.read_group(group) == 0
    assert port.sent == [group.request]  # back to the prepared read
