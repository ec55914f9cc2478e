"""How long things take on the wire, and how long to wait for them: computed, never guessed."""

from __future__ import annotations

from robot_runtime.bus.packets import STATUS_OVERHEAD

BITS_PER_BYTE = 10
"""Start bit, 8 data bits, stop bit."""

HOST_MARGIN = 0.002
"""s: one USB frame each way (1 ms, full speed) that no setting removes. Waiting longer only delays the verdict."""

SLOW_MARGIN = 0.020
"""s, on top, off the hot path: EEPROM writes and a busy computer may take their time there."""


def wire_time(count: int, baudrate: int) -> float:
    """Seconds that `count` bytes take on the wire."""
    return count * BITS_PER_BYTE / baudrate


def sync_read_reply_bytes(servos: int, length: int, *, fast: bool) -> int:
    """Bytes of all replies: one packet each, or one packet for all."""
    return 8 + servos * (length + 4) if fast else servos * (STATUS_OVERHEAD + length)
