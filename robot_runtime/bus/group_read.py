"""One read of the same registers of several servos, prepared once: bytes out, one parse over the whole reply."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from fastcrc.crc16 import umts
from numpy.typing import NDArray

from robot_runtime.bus.packets import (
    ALERT,
    BROADCAST,
    HEADER,
    STATUS,
    STUFFED,
    Instruction,
    instruction_packet,
    status_packets,
)
from robot_runtime.bus.timing import sync_read_reply_bytes

_SLACK = 256
"""Bytes of room behind the reply that is expected: stuffing, strays, and the tail of an older reply."""


class GroupRead:
    """A Sync Read or Fast Sync Read of `length` bytes from `address` of every servo in `ids`, in that order.

    The last good data of every servo stay in `frame`; `field` gives live numpy views into it, so a cycle copies nothing
    but the reply itself. `errors[i]` is the error byte that came with servo i's data. The servos took their samples
    between `sent_at` and `received_at` (monotonic s).
    """

    def __init__(self, ids: Sequence[int], address: int, length: int, *, fast: bool) -> None:
        """Prepare the request and the place where replies land."""
        self.ids = tuple(ids)
        self.address, self.length, self.fast = address, length, fast
        count = len(self.ids)
        kind = Instruction.FAST_SYNC_READ if fast else Instruction.SYNC_READ
        span = address.to_bytes(2, "little") + length.to_bytes(2, "little")
        self.request = instruction_packet(BROADCAST, kind, span + bytes(self.ids))
        self.size = sync_read_reply_bytes(count, length, fast=fast)
        self.frame = bytearray(self.size)
        self.receive = memoryview(bytearray(self.size + _SLACK))
        self.errors = [0] * count
        self.sent_at = 0.0
        self.received_at = 0.0
        self.heard = 0
        """Bytes that came the last time, good or bad."""
        self._index = {servo_id: i for i, servo_id in enumerate(self.ids)}
        self._all = (1 << count) - 1
        self._data_start, self._stride = (10, length + 4) if fast else (9, length + 11)
        if fast:  # header, then for each servo: error, ID, data, CRC over everything so far
            self._head = HEADER + bytes((BROADCAST,)) + (3 + count * (length + 4) - 2).to_bytes(2, "little")
            self._head += bytes((STATUS,))
            self._layout = struct.Struct("<8s" + f"BB{length}x2x" * count)
        else:  # for each servo: a packet of its own
            tail = (length + 4).to_bytes(2, "little") + bytes((STATUS,))
            self._heads = tuple(HEADER + bytes((servo_id,)) + tail for servo_id in self.ids)
            self._layout = struct.Struct("<" + f"8sB{length}xH" * count)

    def field(self, offset: int, dtype: str) -> NDArray[Any]:
        """Live view of one field, `offset` bytes into the data, one value a servo (unaligned, little-endian)."""
        return np.ndarray((len(self.ids),), np.dtype(dtype), self.frame, self._data_start + offset, (self._stride,))

    def reader(self, offset: int, kinds: str) -> Callable[[], tuple[int, ...]]:
        """Reads registers that lie in a row, `offset` bytes into the data: the first servo's, then the next one's.

        `kinds`: of `struct`, a letter a register.
        """
        body = struct.calcsize("<" + kinds)
        layout = (kinds + f"{self._stride - body}x") * (len(self.ids) - 1) + kinds
        return partial(struct.Struct("<" + layout).unpack_from, self.frame, self._data_start + offset)

    def data(self, index: int) -> bytes:
        """The last good data of one servo."""
        start = self._data_start + index * self._stride
        return bytes(self.frame[start : start + self.length])

    def store(self, index: int, error: int, data: bytes) -> None:
        """Put one servo's data, received another way, where `field` looks for them."""
        start = self._data_start + index * self._stride
        self.frame[start : start + self.length] = data
        self.errors[index] = error

    def accept(self, count: int) -> int:
        """Take over what the first `count` received bytes hold; return the servos still missing, one bit each."""
        received = self.receive[:count]
        if count == self.size and (self._accept_fast(received) if self.fast else self._accept_plain(received)):
            return 0
        return self._salvage_fast(bytes(received)) if self.fast else self._salvage_plain(bytes(received))

    def _accept_fast(self, received: memoryview) -> bool:
        """The whole reply as it should be: one header, one CRC over all of it, every ID in its place."""
        parts = self._layout.unpack(received)
        if parts[0] != self._head or parts[2::2] != self.ids:
            return False
        if umts(received[:-2]) != received[-2] | received[-1] << 8 or _refused(parts[1::2]):
            return False
        self.frame[:] = received
        self.errors[:] = parts[1::2]
        return True

    def _accept_plain(self, received: memoryview) -> bool:
        """All packets as they should be: in order, unstuffed, each with its CRC.

        A stuffed packet of fewer data, a late reply to another read, is as long as one of these and has their head.
        """
        if STUFFED in received.tobytes():
            return False
        parts = self._layout.unpack(received)
        if parts[0::3] != self._heads or _refused(parts[1::3]):
            return False
        stride = self._stride
        for i, crc in enumerate(parts[2::3]):
            if umts(received[i * stride : (i + 1) * stride - 2]) != crc:
                return False
        self.frame[:] = received
        self.errors[:] = parts[1::3]
        return True

    def _salvage_fast(self, received: bytes) -> int:
        """The servos at the front of a fast reply whose running CRC still holds; behind the first bad one nothing can
        be told.
        """
        missing = self._all
        start = received.find(self._head)
        if start < 0:
            return missing
        for i, servo_id in enumerate(self.ids):
            begin = start + 8 + i * self._stride
            end = begin + self._stride
            block = received[begin:end]
            if len(block) < self._stride or block[1] != servo_id:
                break
            if umts(received[start : end - 2]) != block[-2] | block[-1] << 8:
                break
            if block[0] & ~ALERT == 0:
                self.store(i, block[0], block[2:-2])
                missing &= ~(1 << i)
        return missing

    def _salvage_plain(self, received: bytes) -> int:
        """Every intact packet of a servo that was asked, wherever it stands."""
        missing = self._all
        for packet in status_packets(received):
            index = self._index.get(packet.servo_id)
            if index is None or len(packet.parameters) != self.length or packet.error & ~ALERT:
                continue
            self.store(index, packet.error, packet.parameters)
            missing &= ~(1 << index)
        return missing


def _refused(errors: tuple[int, ...]) -> bool:
    """Whether any servo answered with an error number: its data are then not what was asked for."""
    return any(errors) and any(error & ~ALERT for error in errors)
