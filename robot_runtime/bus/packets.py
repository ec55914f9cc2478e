"""Protocol 2.0 packets: CRC, byte stuffing, building instructions, and finding status packets in a stream.

    FF FF FD 00 | ID | length, 2 bytes | instruction | parameters ... | CRC, 2 bytes

Source: ROBOTIS e-Manual, Protocol 2.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from fastcrc.crc16 import umts

HEADER = b"\xff\xff\xfd\x00"
PATTERN = b"\xff\xff\xfd"
"""Inside a packet these three bytes would look like a header, so a fourth, FD, is stuffed behind them."""
STUFFED = PATTERN + b"\xfd"

BROADCAST = 0xFE
STATUS = 0x55
ALERT = 0x80
"""Bit of a status packet's error byte: Hardware Error Status is not zero."""

STATUS_OVERHEAD = 11
"""Bytes of a status packet besides its data: header 4, ID, length 2, instruction, error, CRC 2."""

_MAX_LENGTH = 1024
"""Largest length field taken seriously; X-series control tables end below 700. Same bound as dynamixel-sdk."""


class Instruction(IntEnum):
    """Instructions that the runtime itself puts on the wire."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83
    FAST_SYNC_READ = 0x8A
    BULK_WRITE = 0x93


def crc16(data: bytes | bytearray | memoryview) -> int:
    """CRC-16 of Protocol 2.0: polynomial 0x8005, start 0, nothing reflected (known as UMTS or BUYPASS)."""
    return umts(data)


def stuff(body: bytes) -> bytes:
    """Instruction and parameters as they go on the wire."""
    return body.replace(PATTERN, STUFFED)


def unstuff(body: bytes) -> bytes:
    """Instruction and parameters as they were meant."""
    return body.replace(STUFFED, PATTERN)


def instruction_packet(servo_id: int, instruction: int, parameters: bytes = b"") -> bytes:
    """A complete instruction packet."""
    body = stuff(bytes((instruction,)) + parameters)
    head = HEADER + bytes((servo_id,)) + (len(body) + 2).to_bytes(2, "little") + body
    return head + crc16(head).to_bytes(2, "little")


@dataclass(frozen=True, slots=True)
class StatusPacket:
    """One intact status packet; `parameters` follow the error byte and are unstuffed unless it is a fast reply."""

    servo_id: int
    error: int
    parameters: bytes


def status_packets(stream: bytes) -> Iterator[StatusPacket]:
    """Every intact status packet in the stream, in order; whatever lies between is passed over.

    After a packet that fails its CRC the search goes on one byte behind its header, so a header that was damaged or
    made up by noise costs no packet that follows it.
    """
    start = 0
    while (start := stream.find(HEADER, start)) >= 0:
        packet = _status_at(stream, start)
        if packet is None:
            start += 1
            continue
        status, start = packet
        yield status


def _status_at(stream: bytes, start: int) -> tuple[StatusPacket, int] | None:
    """The intact status packet that starts here, and where it ends."""
    if len(stream) - start < STATUS_OVERHEAD:
        return None
    servo_id, length = stream[start + 4], stream[start + 5] | stream[start + 6] << 8
    end = start + 7 + length
    if servo_id > BROADCAST or servo_id == 0xFD or not 4 <= length <= _MAX_LENGTH or end > len(stream):
        return None
    if stream[start + 7] != STATUS or crc16(stream[start : end - 2]) != int.from_bytes(stream[end - 2 : end], "little"):
        return None
    body = stream[start + 8 : end - 2]
    if servo_id != BROADCAST:  # a fast reply carries CRCs of its own inside and is not stuffed
        body = unstuff(body)
    return StatusPacket(servo_id, body[0], body[1:]), end
