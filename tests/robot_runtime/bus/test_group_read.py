"""Prepared reads: the SDK's bytes out, every kind of reply in."""

from __future__ import annotations

import random

import dynamixel_sdk as sdk
import numpy as np
import pytest

from robot_runtime.bus import GroupRead
from tests.robot_runtime.bus.fake_port import fast_status, status
from tests.robot_runtime.bus.sdk_reference import Playback, RecordingPort

IDS = (11, 12, 13)
DATA = [bytes((i, 0, 0xFD, 0xFF, 0xFF, 0xFF, 10 + i, 8, 0, 0)) for i in range(3)]


def receive(group: GroupRead, reply: bytes) -> int:
    group.receive[: len(reply)] = reply
    return group.accept(len(reply))


def plain(*positions: int) -> bytes:
    return b"".join(status(IDS[i], DATA[i]) for i in positions)


@pytest.mark.parametrize("fast", [True, False])
def test_request_is_the_sdks(fast: bool) -> None:
    port = RecordingPort()
    sdk.PacketHandler(2.0).syncReadTx(port, 126, 10, list(IDS), len(IDS), fast)
    assert port.sent == GroupRead(IDS, 126, 10, fast=fast).request


@pytest.mark.parametrize("fast", [True, False])
def test_fields_are_live_views_of_what_came(fast: bool) -> None:
    group = GroupRead(IDS, 126, 10, fast=fast)
    position, velocity = group.field(6, "<i4"), group.field(2, "<i4")
    data = [bytes((i, 0, 5, 0, 0, 0, 10 + i, 8, 0, 0)) for i in range(3)]
    packets = [(servo_id, data[i], 0x80 if i == 1 else 0) for i, servo_id in enumerate(IDS)]
    reply = fast_status(packets) if fast else b"".join(status(*p) for p in packets)
    assert receive(group, reply) == 0
    np.testing.assert_array_equal(position, [2058, 2059, 2060])
    np.testing.assert_array_equal(velocity, [5, 5, 5])
    assert group.errors == [0, 0x80, 0]


def test_current_minus_one_and_velocity_minus_three_look_like_a_header_and_are_understood() -> None:
    group = GroupRead(IDS, 126, 10, fast=False)
    awkward = bytes((0xFF, 0xFF, 0xFD, 0xFF, 0xFF, 0xFF, 0, 8, 0, 0))
    reply = b"".join(status(i, awkward) for i in IDS)
    assert len(reply) == group.size + 3  # one stuffed byte each
    assert receive(group, reply) == 0
    np.testing.assert_array_equal(group.field(0, "<i2"), [-1] * 3)
    np.testing.assert_array_equal(group.field(2, "<i4"), [-3] * 3)


def test_a_late_stuffed_reply_to_a_shorter_read_is_no_reply_to_this_one() -> None:
    """It is as long, has the same header, and its CRC is right: read as it stands, the angle would be 400 rad."""
    standing = bytes((0, 0, 0xFB, 0xFF, 0xFF, 0xFF, 0xFD, 3, 0, 0))  # velocity -5, position 1021
    late = b"".join(status(i, standing) for i in IDS)
    group = GroupRead(IDS, 126, 11, fast=False)
    assert len(late) == group.size
    assert receive(group, late) == 0b111  # all missing
    assert group.data(0) == bytes(11)


def test_a_crc_that_ends_what_looks_stuffed_is_understood() -> None:
    """Data that end in FF FF, before a CRC of FD FD, are not stuffed."""
    for number in range(1 << 16):
        data = bytes((number & 0xFF, number >> 8, 0, 0, 0xFF, 0xFF))
        if (packet := status(IDS[0], data)).endswith(b"\xff\xff\xfd\xfd"):
            break
    group = GroupRead(IDS[:1], 126, 6, fast=False)
    assert len(packet) == group.size
    assert receive(group, packet) == 0
    assert group.data(0) == data


def test_a_fast_reply_is_not_unstuffed() -> None:
    group = GroupRead(IDS, 126, 10, fast=True)
    awkward = bytes((0xFF, 0xFF, 0xFD, 0xFF, 0xFF, 0xFF, 0, 8, 0, 0))
    assert receive(group, fast_status([(i, awkward, 0) for i in IDS])) == 0
    np.testing.assert_array_equal(group.field(2, "<i4"), [-3] * 3)


def test_the_silent_servo_is_named_and_the_others_are_kept() -> None:
    group = GroupRead(IDS, 126, 10, fast=False)
    assert receive(group, plain(0, 1, 2)) == 0
    group.frame[:] = bytes(group.size)
    assert receive(group, plain(0, 2)) == 0b010
    assert (group.data(0), group.data(1), group.data(2)) == (DATA[0], bytes(10), DATA[2])


def test_fast_keeps_the_servos_in_front_of_the_first_bad_one() -> None:
    group = GroupRead(IDS, 126, 10, fast=True)
    whole = fast_status([(i, DATA[k], 0) for k, i in enumerate(IDS)])
    damaged = bytearray(whole)
    damaged[8 + 14 + 4] ^= 1  # in the data of the second servo
    assert receive(group, bytes(damaged)) == 0b110
    assert group.data(0) == DATA[0]
    assert receive(group, whole[: 8 + 2 * 14]) == 0b100
    assert group.data(1) == DATA[1]


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0)])
def test_replies_in_another_order_land_where_they_belong(order: tuple[int, ...]) -> None:
    group = GroupRead(IDS, 126, 10, fast=False)
    assert receive(group, plain(*order)) == 0
    assert [group.data(i) for i in range(3)] == DATA


def test_a_stranger_and_a_wrong_length_are_not_taken() -> None:
    group = GroupRead(IDS, 126, 10, fast=False)
    assert receive(group, status(99, DATA[0]) + status(12, DATA[1][:4]) + status(13, DATA[2])) == 0b011


def test_fast_reply_of_other_ids_is_not_taken() -> None:
    group = GroupRead(IDS, 126, 10, fast=True)
    assert receive(group, fast_status([(i + 1, DATA[0], 0) for i in IDS])) == 0b111


def _fuzz(group: GroupRead, rounds: int, seed: int) -> int:
    """Random and mutated replies: never wrong data, and never a whole reply that the SDK would not take.

    Returns how often at least one servo's data were accepted.
    """
    chance = random.Random(seed)
    good = fast_status([(i, DATA[k], 0) for k, i in enumerate(IDS)]) if group.fast else plain(0, 1, 2)
    accepted = 0
    for _ in range(rounds):
        reply = _mutated(good, chance)
        group.frame[:] = bytes(group.size)
        missing = receive(group, reply)
        kept = [i for i in range(3) if not missing >> i & 1]
        accepted += bool(kept)
        for i in kept:
            assert group.data(i) == DATA[i], reply.hex()
        if group.fast and not missing:
            assert _sdk_takes(reply), reply.hex()
    return accepted


def _mutated(good: bytes, chance: random.Random) -> bytes:
    if chance.random() < 0.1:
        return chance.randbytes(chance.randrange(len(good) + 20))
    reply = bytearray(good)
    for _ in range(chance.randrange(3)):
        reply[chance.randrange(len(reply))] ^= 1 << chance.randrange(8)
    cut = chance.randrange(len(reply))
    del reply[cut : cut + chance.choice((0, 0, 0, 1, 3, 40))]
    if chance.random() < 0.2:
        at = chance.randrange(len(reply) + 1)
        reply[at:at] = bytes(chance.choice((0xFF, 0xFD, 0x00, 0x55)) for _ in range(chance.randrange(6)))
    return bytes(reply)


def _sdk_takes(reply: bytes) -> bool:
    received, result = sdk.PacketHandler(2.0).rxPacket(Playback(reply), fast_option=True)
    return bool(result == sdk.COMM_SUCCESS and received[4] == sdk.BROADCAST_ID)


@pytest.mark.parametrize("fast", [True, False])
def test_mutated_replies_never_yield_wrong_data(fast: bool) -> None:
    assert _fuzz(GroupRead(IDS, 126, 10, fast=fast), 10_000, seed=7) > 1_000


@pytest.mark.slow
@pytest.mark.parametrize("fast", [True, False])
def test_mutated_replies_never_yield_wrong_data_million(fast: bool) -> None:
    assert _fuzz(GroupRead(IDS, 126, 10, fast=fast), 1_000_000, seed=8) > 100_000


@pytest.mark.parametrize("fast", [True, False])
def test_plain_numbers_are_those_of_the_fields(fast: bool) -> None:
    group = GroupRead(IDS, 126, 10, fast=fast)
    random.seed(3)
    group.frame[:] = random.randbytes(len(group.frame))
    fields = [group.field(offset, kind).tolist() for offset, kind in ((0, "<i2"), (2, "<i4"), (6, "<i4"))]
    assert group.reader(0, "hii")() == tuple(value for servo in zip(*fields, strict=True) for value in servo)
    assert group.reader(9, "B")() == tuple(group.field(9, "u1").tolist())
