"""What all servos of Protocol 2.0 have in common, whatever their model. Source: e-Manual, Protocol 2.0 and X series."""

from __future__ import annotations

HIGHEST_ID = 252
"""Of a servo; 253 and above mean something else."""

MODEL_NUMBER = (0, 2)
"""Address and bytes of the model number."""

FIRMWARE = (6, 1)
"""Address and bytes of the firmware version."""

IDENTITY = (0, 7)
"""Address and bytes of model number, model information and firmware version; `decode_identity` understands them."""

SECONDARY_ID = (12, 1)
"""Address and bytes of Secondary ID: what is written to the RAM of that ID, this servo obeys too, without an answer."""

RETURN_DELAY_STEP = 2e-6
"""s, unit of Return Delay Time."""

RETURN_DELAY_MAX = 254 * RETURN_DELAY_STEP
"""s, the longest Return Delay Time a servo can be set to (250 x 2 µs fresh from the box)."""

ANSWER_EVERYTHING = 2
"""Status Return Level at which reads and writes are answered."""

REVERSED = 0x01
"""Bit of Drive Mode: the servo counts the other way."""

TIME_PROFILE = 0x04
"""Bit of Drive Mode: profiles are times, not speeds."""

TORQUE_BY_GOAL = 0x08
"""Bit of Drive Mode: writing a goal switches torque on."""

TORQUE_AT_POWER_UP = 0x01
"""Bit of Startup Configuration: torque is on as soon as the servo has power."""

RAM_RESTORE = 0x02
"""Bit of Startup Configuration: gains and goals come back from a backup."""


def decode_identity(data: bytes) -> tuple[int, int]:
    """Model number and firmware version in the bytes of `IDENTITY`."""
    return int.from_bytes(data[:2], "little"), data[6]
