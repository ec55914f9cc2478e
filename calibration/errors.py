"""What calibration refuses, and why: each error says what happened, where, and what to do."""

from __future__ import annotations

from typing import ClassVar


class CalibrationError(ValueError):
    """Something that calibration cannot do with what it was given."""

    exit_code: ClassVar[int] = 2
    """For the shell."""
