"""What went over a port, in order, as bytes: the clock readings, and what every call gave back."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

_HEAD = struct.Struct("<4I")
"""Number of this piece, calls, clock readings, things."""


class Call(IntEnum):
    """A call of the port. Those after SLEEP carry a thing, RAISED the error of the call before it."""

    NOW = 0  # a clock reading
    SLEEP = 1
    WRITE = 2  # the bytes sent
    READ = 3  # the bytes received
    DISCARD = 4  # how many bytes, 4 bytes
    BAUD = 5  # bit/s, 4 bytes
    CLOSE = 6  # nothing
    OPEN = 7  # JSON: name, baudrate, adapter_latency
    RAISED = 8  # JSON: call, type, errno, strerror, filename


@dataclass(frozen=True, slots=True)
class Piece:
    """Some calls in a row; pieces are numbered from 0 without gaps."""

    number: int
    calls: bytes
    clock: NDArray[np.float64]
    things: Sequence[bytes]


def pack(number: int, calls: bytes | bytearray, clock: Sequence[float], things: Sequence[bytes]) -> bytes:
    """One piece as bytes."""
    lengths = struct.pack(f"<{len(things)}I", *map(len, things))
    times = struct.pack(f"<{len(clock)}d", *clock)
    return b"".join((_HEAD.pack(number, len(calls), len(clock), len(things)), times, lengths, calls, *things))


def unpack(data: bytes) -> Iterator[Piece]:
    """The pieces in a number of bytes. Raises struct.error or ValueError when they are not pieces."""
    at = 0
    while at < len(data):
        number, calls, clock, things = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        times = np.frombuffer(data, "<f8", clock, at)
        at += times.nbytes
        lengths = struct.unpack_from(f"<{things}I", data, at)
        at += 4 * things
        codes = data[at : at + calls]
        at += calls
        found = []
        for length in lengths:
            found.append(data[at : at + length])
            at += length
        yield Piece(number, codes, times, found)
