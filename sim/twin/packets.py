"""Protocol 2.0 packets as the servo side of the bus sees them: instructions come in, status packets go out.

This is the twin's own packet code. It shares nothing with the code that a host uses, so that an error made
twice cannot cancel itself out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

HEADER = b"\xff\xff\xfd\x00"
STUFFED = b"\xff\xff\xfd\xfd"
BROADCAST_ID = 0xFE
HIGHEST_ID = 0xFC

MAX_LENGTH = 1024
"""Longest LENGTH field the firmware accepts, in bytes.

Assumption: the size of the buffers in the vendor's own library.
"""

_PREFIX_SIZE = 7  # header, ID, LENGTH
_PATTERN = HEADER[:3]


class Instruction:
    """Instruction numbers."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REG_WRITE = 0x04
    ACTION = 0x05
    FACTORY_RESET = 0x06
    REBOOT = 0x08
    CLEAR = 0x10
    STATUS = 0x55
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83
    FAST_SYNC_READ = 0x8A
    BULK_READ = 0x92
    BULK_WRITE = 0x93
    FAST_BULK_READ = 0x9A


class Error:
    """Error numbers of a status packet, and the alert bit beside them."""

    NONE = 0
    RESULT_FAIL = 1
    INSTRUCTION = 2
    CRC = 3
    DATA_RANGE = 4
    DATA_LENGTH = 5
    DATA_LIMIT = 6
    ACCESS = 7
    ALERT = 0x80


class Packet(NamedTuple):
    """One instruction packet that came out of the byte stream."""

    id: int
    instruction: int
    params: bytes
    end: int
    """How many bytes of the feed had gone by when its last byte came."""
    intact: bool = True
    """False: the CRC did not match."""


def _crc_table() -> tuple[int, ...]:
    table = []
    for index in range(256):
        crc = index << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x8005 if crc & 0x8000 else crc << 1) & 0xFFFF
        table.append(crc)
    return tuple(table)


_CRC = _crc_table()


def crc16(data: bytes | bytearray, crc: int = 0) -> int:
    """CRC-16 of Protocol 2.0 (polynomial 0x8005, most significant bit first), continued from `crc`."""
    table = _CRC
    for byte in data:
        crc = (crc << 8 & 0xFFFF) ^ table[crc >> 8 ^ byte]
    return crc


def stuff(body: bytes) -> bytes:
    """Put a 0xFD behind every FF FF FD, so that no header can appear inside a packet."""
    return body.replace(_PATTERN, STUFFED)


def unstuff(body: bytes) -> bytes:
    """Undo `stuff`."""
    return body.replace(STUFFED, _PATTERN)


def _frame(packet_id: int, body: bytes) -> bytes:
    if _PATTERN in body:
        body = stuff(body)
    packet = HEADER + bytes((packet_id,)) + (len(body) + 2).to_bytes(2, "little") + body
    return packet + crc16(packet).to_bytes(2, "little")


def instruction_packet(packet_id: int, instruction: int, params: bytes = b"") -> bytes:
    """An instruction packet, as a host sends it."""
    return _frame(packet_id, bytes((instruction,)) + params)


def status_packet(packet_id: int, error: int, params: bytes = b"") -> bytes:
    """The status packet of one servo."""
    return _frame(packet_id, bytes((Instruction.STATUS, error)) + params)


class Block(NamedTuple):
    """What one servo adds to the common status packet of a fast read."""

    error: int
    id: int
    data: bytes


def fast_status_length(sizes: Iterable[int]) -> int:
    """LENGTH field of a fast read's status packet whose blocks carry that many data bytes."""
    return 1 + sum(4 + size for size in sizes)


def fast_status_parts(blocks: Sequence[Block], length: int) -> list[bytes]:
    """The pieces of a fast read's status packet, one a servo, in the order in which they go over the wire.

    Each piece ends with the CRC of everything before it; nothing is stuffed. `length` is what the first servo
    announces, for all the servos asked; with fewer blocks the packet just stops.
    """
    crc = 0
    parts = []
    piece = HEADER + bytes((BROADCAST_ID, length & 0xFF, length >> 8, Instruction.STATUS))
    for block in blocks:
        piece += bytes((block.error, block.id)) + block.data
        crc = crc16(piece, crc)
        check = crc.to_bytes(2, "little")
        crc = crc16(check, crc)
        parts.append(piece + check)
        piece = b""
    return parts


class InstructionParser:
    """Finds instruction packets in a stream of bytes: any bytes, cut anywhere.

    It holds at most one packet's worth of bytes, never raises, and finds the next packet behind any garbage. Because
    the body of an instruction is stuffed, a header inside it proves that the packet around it was cut short.
    """

    def __init__(self) -> None:
        """Start with nothing received."""
        self._buffer = b""

    @property
    def pending(self) -> int:
        """Number of bytes held back because their packet is not complete."""
        return len(self._buffer)

    def reset(self) -> None:
        """Forget a packet begun."""
        self._buffer = b""

    def feed(self, data: bytes) -> list[Packet]:
        """Take bytes; return the packets that are complete now, damaged ones included (`intact` says which)."""
        before = len(self._buffer)
        buffer = self._buffer + data if before else data
        size = len(buffer)
        packets: list[Packet] = []
        at = 0
        while True:
            found = buffer.find(HEADER, at)
            if found < 0:
                self._buffer = _header_begun(buffer[max(at, size - 3) :])
                return packets
            at = found
            if size - at < _PREFIX_SIZE:
                break
            packet_id = buffer[at + 4]
            length = buffer[at + 5] | buffer[at + 6] << 8
            if (packet_id > HIGHEST_ID and packet_id != BROADCAST_ID) or not 3 <= length <= MAX_LENGTH:
                at += 1
                continue
            end = at + _PREFIX_SIZE + length
            nested = buffer.find(HEADER, at + _PREFIX_SIZE, end - 2)
            if nested >= 0:
                at = nested
                continue
            if end > size:
                break
            intact = crc16(buffer[at : end - 2]) == buffer[end - 2] | buffer[end - 1] << 8
            body = buffer[at + _PREFIX_SIZE + 1 : end - 2]
            if STUFFED in body:
                body = unstuff(body)
            packets.append(Packet(packet_id, buffer[at + _PREFIX_SIZE], body, end - before, intact))
            # A damaged length may have swallowed the start of the next packet: look for it behind this header.
            at = end if intact else at + 1
        self._buffer = buffer[at:]
        return packets


def _header_begun(end: bytes) -> bytes:
    """What of the last bytes may be the beginning of a header."""
    while end and not HEADER.startswith(end):
        end = end[1:]
    return end
