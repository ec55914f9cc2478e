"""Packets against the manual's own examples, and the parser against everything else."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.twin.packets import (
    MAX_LENGTH,
    Block,
    InstructionParser,
    crc16,
    fast_status_length,
    fast_status_parts,
    instruction_packet,
    status_packet,
    stuff,
    unstuff,
)

# Examples of the manual (https://emanual.robotis.com/docs/en/dxl/protocol2/): ID, instruction, parameters, bytes.
INSTRUCTIONS = {
    "ping": (1, 0x01, "", "FF FF FD 00 01 03 00 01 19 4E"),
    "broadcast ping": (254, 0x01, "", "FF FF FD 00 FE 03 00 01 31 42"),
    "read": (1, 0x02, "84 00 04 00", "FF FF FD 00 01 07 00 02 84 00 04 00 1D 15"),
    "write": (1, 0x03, "74 00 00 02 00 00", "FF FF FD 00 01 09 00 03 74 00 00 02 00 00 CA 89"),
    "reg write": (1, 0x04, "68 00 C8 00 00 00", "FF FF FD 00 01 09 00 04 68 00 C8 00 00 00 AE 8E"),
    "action": (1, 0x05, "", "FF FF FD 00 01 03 00 05 02 CE"),
    "factory reset": (1, 0x06, "01", "FF FF FD 00 01 04 00 06 01 A1 E6"),
    "reboot": (1, 0x08, "", "FF FF FD 00 01 03 00 08 2F 4E"),
    "clear": (1, 0x10, "01 44 58 4C 22", "FF FF FD 00 01 08 00 10 01 44 58 4C 22 B1 DC"),
    "sync read": (254, 0x82, "84 00 04 00 01 02", "FF FF FD 00 FE 09 00 82 84 00 04 00 01 02 CE FA"),
    "sync write": (
        254,
        0x83,
        "74 00 04 00 01 96 00 00 00 02 AA 00 00 00",
        "FF FF FD 00 FE 11 00 83 74 00 04 00 01 96 00 00 00 02 AA 00 00 00 82 87",
    ),
    "bulk read": (
        254,
        0x92,
        "01 90 00 02 00 02 92 00 01 00",
        "FF FF FD 00 FE 0D 00 92 01 90 00 02 00 02 92 00 01 00 1A 05",
    ),
    "bulk write": (
        254,
        0x93,
        "01 20 00 02 00 A0 00 02 1F 00 01 00 50",
        "FF FF FD 00 FE 10 00 93 01 20 00 02 00 A0 00 02 1F 00 01 00 50 B7 68",
    ),
}
STATUSES = {
    "ping": (1, 0, "06 04 26", "FF FF FD 00 01 07 00 55 00 06 04 26 65 5D"),
    "ping of ID 2": (2, 0, "06 04 26", "FF FF FD 00 02 07 00 55 00 06 04 26 6F 6D"),
    "read": (1, 0, "A6 00 00 00", "FF FF FD 00 01 08 00 55 00 A6 00 00 00 8C C0"),
    "write": (1, 0, "", "FF FF FD 00 01 04 00 55 00 A1 0C"),
    "sync read": (2, 0, "1F 08 00 00", "FF FF FD 00 02 08 00 55 00 1F 08 00 00 BA BE"),
    "bulk read": (1, 0, "77 00", "FF FF FD 00 01 06 00 55 00 77 00 C3 69"),
}


def raw(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_instruction_packets_equal_the_manual(name: str) -> None:
    packet_id, instruction, params, expected = INSTRUCTIONS[name]
    assert instruction_packet(packet_id, instruction, raw(params)) == raw(expected)


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_parser_reads_the_manuals_instructions(name: str) -> None:
    packet_id, instruction, params, data = INSTRUCTIONS[name]
    (packet,) = InstructionParser().feed(raw(data))
    assert (packet.id, packet.instruction, packet.params, packet.intact) == (packet_id, instruction, raw(params), True)
    assert packet.end == len(raw(data))


@pytest.mark.parametrize("name", STATUSES)
def test_status_packets_equal_the_manual(name: str) -> None:
    packet_id, error, params, expected = STATUSES[name]
    assert status_packet(packet_id, error, raw(params)) == raw(expected)


def test_fast_sync_read_equals_the_manual() -> None:
    blocks = [Block(0, 3, raw("A6000000")), Block(0, 7, raw("1F080000")), Block(0, 4, raw("FF030000"))]
    parts = fast_status_parts(blocks, fast_status_length([4, 4, 4]))
    assert parts == [
        raw("FF FF FD 00 FE 19 00 55 00 03 A6 00 00 00 84 08"),
        raw("00 07 1F 08 00 00 16 CA"),
        raw("00 04 FF 03 00 00 D1 9E"),
    ]


def test_fast_bulk_read_has_the_manuals_layout() -> None:
    """The CRCs of the manual's fast bulk read examples are not those of its bytes; everything else is compared."""
    blocks = [Block(0, 3, raw("A6000000")), Block(0, 7, raw("A501")), Block(0, 4, raw("1F"))]
    parts = fast_status_parts(blocks, fast_status_length([4, 2, 1]))
    assert [part[:-2] for part in parts] == [
        raw("FF FF FD 00 FE 14 00 55 00 03 A6 00 00 00"),
        raw("00 07 A5 01"),
        raw("00 04 1F"),
    ]
    whole = b"".join(parts)
    assert crc16(whole[:-2]) == int.from_bytes(whole[-2:], "little")


def test_fast_status_is_not_stuffed() -> None:
    (part,) = fast_status_parts([Block(0, 1, raw("FFFFFD00"))], fast_status_length([4]))
    assert raw("FFFFFD00") in part[8:]


def test_stuffing_as_the_manual_describes_it() -> None:
    assert stuff(raw("FFFFFD")) == raw("FFFFFDFD")
    assert stuff(raw("FFFFFDFFFFFD")) == raw("FFFFFDFDFFFFFDFD")
    assert unstuff(raw("FFFFFDFDFD")) == raw("FFFFFDFD")
    assert instruction_packet(1, 3, raw("0000FFFFFD"))[5:7] == raw("0900"), "LENGTH counts the stuffed bytes"


header_rich = st.lists(st.sampled_from([0xFF, 0xFF, 0xFD, 0x00, 0x01]), max_size=40).map(bytes)


@given(header_rich | st.binary(max_size=60))
def test_stuffing_round_trip(body: bytes) -> None:
    assert unstuff(stuff(body)) == body
    assert b"\xff\xff\xfd\x00" not in stuff(body)


@given(st.integers(0, 252), st.sampled_from([1, 2, 3, 0x83]), header_rich | st.binary(max_size=60), st.data())
def test_a_packet_cut_anywhere_comes_out_whole(
    packet_id: int, instruction: int, params: bytes, data: st.DataObject
) -> None:
    packet = instruction_packet(packet_id, instruction, params)
    cut = data.draw(st.integers(0, len(packet)))
    parser = InstructionParser()
    found = parser.feed(packet[:cut]) + parser.feed(packet[cut:])
    assert [(p.id, p.instruction, p.params, p.intact) for p in found] == [(packet_id, instruction, params, True)]
    assert parser.pending == 0


@given(st.binary(max_size=80), header_rich | st.binary(max_size=20))
def test_a_packet_behind_garbage_is_found(garbage: bytes, params: bytes) -> None:
    """Unless the garbage itself starts a longer packet: then at the latest the packet after that is found."""
    parser = InstructionParser()
    packet = instruction_packet(7, 3, params)
    parser.feed(garbage)
    found = parser.feed(packet) + parser.feed(packet)
    assert (7, 3, params, True) in [(p.id, p.instruction, p.params, p.intact) for p in found]


def test_a_packet_cut_short_does_not_swallow_the_next() -> None:
    parser = InstructionParser()
    assert parser.feed(instruction_packet(1, 3, bytes(100))[:30]) == []
    (packet,) = parser.feed(instruction_packet(2, 1))
    assert packet.id == 2


def test_a_damaged_packet_is_reported_and_the_next_one_found() -> None:
    damaged = bytearray(instruction_packet(1, 3, bytes(8)))
    damaged[12] ^= 1
    first, second = InstructionParser().feed(bytes(damaged) + instruction_packet(2, 1))
    assert (first.id, first.intact) == (1, False)
    assert (second.id, second.intact) == (2, True)


def test_memory_is_bounded_whatever_comes() -> None:
    dice = random.Random(1)
    parser = InstructionParser()
    for _ in range(500):
        parser.feed(dice.choice([b"\xff\xff\xfd\x00\x01\xff\x03", dice.randbytes(50), b"\xff" * 50]))
        assert parser.pending <= MAX_LENGTH + 7


def mutate(dice: random.Random, packet: bytes) -> bytes:
    data = bytearray(packet)
    for _ in range(dice.randrange(1, 4)):
        action = dice.randrange(4)
        at = dice.randrange(len(data) or 1)
        if action == 0 and data:
            data[at] ^= 1 << dice.randrange(8)
        elif action == 1 and data:
            del data[at]
        elif action == 2:
            data.insert(at, dice.choice([0xFF, 0xFD, 0x00, dice.randrange(256)]))
        else:
            data = data[:at]
    return bytes(data)


def fuzz(rounds: int, seed: int) -> None:
    """Every packet taken for intact must carry the CRC that a reference, bit by bit, computes for its bytes."""
    dice = random.Random(seed)
    parser = InstructionParser()
    for _ in range(rounds):
        packet = instruction_packet(
            dice.randrange(253), dice.choice([1, 2, 3, 0x83]), dice.randbytes(dice.randrange(12))
        )
        data = mutate(dice, packet)
        parser.reset()
        for found in parser.feed(data):
            if found.intact:
                rebuilt = instruction_packet(found.id, found.instruction, found.params)
                assert reference_crc(rebuilt[:-2]).to_bytes(2, "little") == rebuilt[-2:]
                assert rebuilt in data


def reference_crc(data: bytes) -> int:
    """The CRC by its definition: division by x^16 + x^15 + x^2 + 1."""
    crc = 0
    for byte in data:
        for bit in range(7, -1, -1):
            crc = crc << 1 | byte >> bit & 1
            if crc & 0x10000:
                crc ^= 0x18005
    for _ in range(16):
        crc <<= 1
        if crc & 0x10000:
            crc ^= 0x18005
    return crc


def test_mutated_packets() -> None:
    fuzz(2_000, seed=1)


@pytest.mark.slow
def test_a_million_mutated_packets() -> None:
    fuzz(1_000_000, seed=2)


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_crc_equals_its_definition(data: bytes) -> None:
    assert crc16(data) == reference_crc(data)
    half = len(data) // 2
    assert crc16(data[half:], crc16(data[:half])) == crc16(data)
