"""Packets against golden bytes of the manual, against dynamixel-sdk, and against noise."""

from __future__ import annotations

import random

import dynamixel_sdk as sdk
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_runtime.bus.packets import (
    PATTERN,
    Instruction,
    StatusPacket,
    crc16,
    instruction_packet,
    status_packets,
    stuff,
    unstuff,
)
from tests.robot_runtime.bus.fake_port import status
from tests.robot_runtime.bus.sdk_reference import Playback, RecordingPort

awkward = st.lists(st.sampled_from([0xFF, 0xFD, 0x00, 0x55, 0xFE, 1]), max_size=60).map(bytes)


def test_golden_bytes_of_the_manual() -> None:
    assert instruction_packet(1, Instruction.PING).hex(" ") == "ff ff fd 00 01 03 00 01 19 4e"
    assert instruction_packet(1, Instruction.READ, bytes((0x84, 0, 4, 0))).hex(" ") == (
        "ff ff fd 00 01 07 00 02 84 00 04 00 1d 15"
    )
    assert instruction_packet(1, Instruction.WRITE, bytes((0x74, 0, 0, 2, 0, 0))).hex(" ") == (
        "ff ff fd 00 01 09 00 03 74 00 00 02 00 00 ca 89"
    )
    reply = bytes.fromhex("fffffd0001080055 00a60000008cc0")
    assert list(status_packets(reply)) == [StatusPacket(1, 0, bytes((0xA6, 0, 0, 0)))]


@given(st.binary(max_size=200))
def test_crc_is_the_sdks(data: bytes) -> None:
    assert crc16(data) == sdk.PacketHandler(2.0).updateCRC(0, list(data), len(data))


@given(awkward)
def test_stuffing_hides_every_header_and_comes_off_again(body: bytes) -> None:
    stuffed = stuff(b"\x03" + body)
    for start in range(len(stuffed)):
        if stuffed[start : start + 3] == PATTERN:
            assert stuffed[start + 3 : start + 4] == b"\xfd"
    assert unstuff(stuffed) == b"\x03" + body


@given(awkward)
def test_stuffing_is_the_sdks(parameters: bytes) -> None:
    port = RecordingPort()
    packet = [0] * (10 + len(parameters))
    packet[4], packet[5], packet[7] = 1, 3 + len(parameters), int(Instruction.WRITE)
    packet[8 : 8 + len(parameters)] = list(parameters)
    sdk.PacketHandler(2.0).txPacket(port, packet)
    assert port.sent == instruction_packet(1, Instruction.WRITE, parameters)


@given(awkward, st.integers(0, 252), st.integers(0, 255))
def test_status_packets_come_back_whole_between_noise(data: bytes, servo_id: int, error: int) -> None:
    packet = status(servo_id, data, error)
    found = list(status_packets(b"\xff\x00\xff\xff\xfd" + packet + b"\xff\xff" + packet))
    assert found == [StatusPacket(servo_id, error, data)] * 2


def test_a_false_header_in_front_costs_no_packet() -> None:
    packet = status(3, b"abcd")
    lying = bytes.fromhex("fffffd00 05 0a00 55")  # promises more bytes than noise delivers, and swallows the header
    assert [p.servo_id for p in status_packets(lying + packet)] == [3]


def _fuzz(rounds: int, seed: int) -> int:
    """Mutated and random streams: whatever we accept, the SDK accepts too, byte for byte. Returns how many were."""
    chance = random.Random(seed)
    accepted = 0
    for _ in range(rounds):
        stream = _mutated(chance)
        for packet in status_packets(stream):
            accepted += 1
            assert _sdk_accepts(packet, stream), stream.hex()
    return accepted


def _mutated(chance: random.Random) -> bytes:
    kind = chance.randrange(4)
    if kind == 0:
        return chance.randbytes(chance.randrange(64))
    if kind == 1:
        return bytes(chance.choice((0xFF, 0xFD, 0, 0x55, 4, 7, 0xFE)) for _ in range(chance.randrange(64)))
    stream = bytearray()
    for _ in range(chance.randrange(1, 4)):
        data = bytes(chance.choice((0xFF, 0xFD, 0, 1, 0x80)) for _ in range(chance.randrange(14)))
        stream += status(chance.randrange(253), data, chance.choice((0, 0, 0x80, 4)))
    if kind == 2:
        for _ in range(chance.randrange(3)):
            stream[chance.randrange(len(stream))] ^= 1 << chance.randrange(8)
    else:
        cut = chance.randrange(len(stream))
        del stream[cut : cut + chance.randrange(5)]
    return bytes(stream)


def _sdk_accepts(packet: StatusPacket, stream: bytes) -> bool:
    """Whether the SDK takes the same bytes, started at the same header.

    `fast_option` leaves out its unstuffing, which works in place and misreads what it has just moved (4.1.0).
    """
    start = stream.find(status(packet.servo_id, packet.parameters, packet.error))
    received, result = sdk.PacketHandler(2.0).rxPacket(Playback(stream[start:]), fast_option=True)
    length = received[5] | received[6] << 8
    content = bytes((packet.error,)) + packet.parameters
    return start >= 0 and result == sdk.COMM_SUCCESS and unstuff(bytes(received[8 : 5 + length])) == content


def test_no_packet_is_accepted_that_the_sdk_would_not() -> None:
    assert _fuzz(20_000, seed=1) > 5_000


@pytest.mark.slow
def test_no_packet_is_accepted_that_the_sdk_would_not_million() -> None:
    assert _fuzz(1_000_000, seed=2) > 250_000
