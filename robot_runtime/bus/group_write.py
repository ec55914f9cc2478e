"""One write of a register of several servos, prepared once: Sync Write, or Bulk Write when the registers differ."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from fastcrc.crc16 import umts

from robot_runtime.bus.packets import BROADCAST, HEADER, PATTERN, Instruction, stuff
from robot_runtime.servos import Register

_FORMAT = {(1, False): "B", (1, True): "b", (2, False): "H", (2, True): "h", (4, False): "I", (4, True): "i"}
_BODY = 7
"""Where instruction and parameters start in a packet."""


class GroupWrite:
    """Writes one register of each servo in one packet; nobody answers a broadcast, so nothing is waited for."""

    def __init__(self, targets: Sequence[tuple[int, Register]]) -> None:
        """Prepare the packet for (servo ID, register) pairs, in the order in which values will come."""
        first = targets[0][1]
        alike = all((r.address, r.size, r.signed) == (first.address, first.size, first.signed) for _, r in targets)
        if alike:
            head = struct.pack("<BHH", Instruction.SYNC_WRITE, first.address, first.size)
            layout = "".join("B" + _FORMAT[first.size, first.signed] for _ in targets)
            self._arguments = [part for servo_id, _ in targets for part in (servo_id, 0)]
            self._values = slice(1, None, 2)
        else:
            head = struct.pack("<B", Instruction.BULK_WRITE)
            layout = "".join("BHH" + _FORMAT[r.size, r.signed] for _, r in targets)
            self._arguments = [part for servo_id, r in targets for part in (servo_id, r.address, r.size, 0)]
            self._values = slice(3, None, 4)
        self._layout = struct.Struct("<" + layout)
        self._start = _BODY + len(head)
        end = self._start + self._layout.size
        self._packet = bytearray(end + 2)
        self._packet[:_BODY] = HEADER + bytes((BROADCAST,)) + (end + 2 - _BODY).to_bytes(2, "little")
        self._packet[_BODY : self._start] = head
        self._covered = memoryview(self._packet)[:end]
        self._end = end
        self.size = end + 2

    def packet(self, values: Sequence[int]) -> bytearray:
        """The packet that writes these values (register ticks). Valid until the next call.

        Raises:
            struct.error: a value does not fit its register.
        """
        self._arguments[self._values] = values
        self._layout.pack_into(self._packet, self._start, *self._arguments)
        if self._packet.find(PATTERN, self._start, self._end) >= 0:
            return self._stuffed()
        crc = umts(self._covered)
        self._packet[-2] = crc & 0xFF
        self._packet[-1] = crc >> 8
        return self._packet

    def _stuffed(self) -> bytearray:
        """The same packet when the values happen to look like a header."""
        body = stuff(bytes(self._covered[_BODY:]))
        packet = self._packet[: _BODY - 2] + (len(body) + 2).to_bytes(2, "little") + body
        return packet + umts(packet).to_bytes(2, "little")
