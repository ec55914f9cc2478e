"""Why the envelope changed a command, counted by joint and reason."""

from __future__ import annotations

from enum import IntFlag
from functools import cache

import numpy as np
from numpy.typing import NDArray


class Why(IntFlag):
    """Reasons to change a command; a command can have several."""

    NOT_FINITE = 1  # it was no number: the joint brakes and stands
    POSITION = 2  # a joint limit is near
    VELOCITY = 4
    ACCELERATION = 8
    JERK = 16
    TORQUE = 32
    POWER = 64
    HEAT = 128  # derated: the servo is within 10 °C of its limit
    CLEARANCE = 256  # table or the arm itself
    WORKSPACE = 512  # the box given for the tip
    WINDUP = 1024  # a goal too far from where the joint stands
    STALE = 2048  # the joint's servo has not answered for too long to know where it is


REASONS: tuple[Why, ...] = tuple(Why)


@cache
def _reasons_in(bits: int) -> tuple[int, ...]:
    return tuple(place for place in range(len(REASONS)) if bits >> place & 1)


class Tally:
    """What was changed in the last cycle, and how often since the start."""

    def __init__(self, names: tuple[str, ...]) -> None:
        """Nothing changed yet."""
        self._names = names
        self.now: NDArray[np.uint16] = np.zeros(len(names), dtype=np.uint16)
        self._counts = [[0] * len(REASONS) for _ in names]
        self._last: list[int] = []
        self.cycles = 0

    def take(self, why: list[int]) -> None:
        """The reasons of one cycle, one entry a joint."""
        self.cycles += 1
        if why != self._last:  # mostly nothing changes
            self.now[:] = self._last = why
        for bits, counts in zip(why, self._counts, strict=True):
            for reason in _reasons_in(bits):
                counts[reason] += 1

    @property
    def counts(self) -> NDArray[np.int64]:
        """Cycles in which something was changed (joints x reasons, in the order of `Why`)."""
        return np.array(self._counts, dtype=np.int64)

    def summary(self) -> dict[str, dict[str, int]]:
        """Joint -> reason -> cycles, reasons that occurred."""
        return {
            name: {str(why.name).lower(): n for why, n in zip(REASONS, row, strict=True) if n}
            for name, row in zip(self._names, self._counts, strict=True)
        }
