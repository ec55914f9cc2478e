"""Values that must stay below a limit, except for a while: many kinds and all joints at once.

Time above a limit adds up, time below it counts back: what swings across its limit and is above it more often than not
is found out too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from robot_runtime.arrays import Flags, Floats

_ROUNDING = 1e-9  # s


class Windows:
    """One row a kind, one column a joint. Fill `rows`, then `look`: it costs one comparison while all is well."""

    def __init__(self, limits: Sequence[Sequence[float]], windows: Iterable[float]) -> None:
        """`windows`: how long (s) the values of a row may be above their limits."""
        self.limits: Floats = np.array(limits, dtype=float)
        self.values: Floats = np.zeros_like(self.limits)
        self.rows: tuple[Floats, ...] = tuple(self.values)
        self.over: Flags = np.zeros(self.limits.shape, dtype=bool)
        self._windows = np.array([[w] for w in windows])
        self._spent = np.zeros(self.limits.shape)  # s above, less s below
        self._then = np.zeros(self.limits.shape[1])  # s, when a joint was judged last
        self._was = np.zeros_like(self.over)  # above its limit then
        self._last = 0.0  # s, when any joint was judged last
        self._pending = False

    def look(self) -> bool:
        """Whether anything is above its limit, or was: then `due` must be asked."""
        np.greater(self.values, self.limits, out=self.over)
        return self._pending or 1 in self.over.tobytes()

    def due(self, new: Flags, now: float) -> list[tuple[int, int]]:
        """Row and joint of what is above its limit (`over`) and has been for its window.

        Only joints with new values are judged; an old value is no reason in either direction. Nor is the silence before
        a joint's first value above its limit, which may have lasted longer than a window.
        """
        over, spent = self.over, self._spent
        passed = np.where(new, now - self._then, 0.0) if self._pending else np.zeros_like(self._then)
        above = np.where(self._was, passed, np.minimum(passed, now - self._last))
        np.copyto(self._then, now, where=new if self._pending else True)
        np.copyto(self._was, over, where=new)
        self._last = now
        spent += np.where(over, above, -passed)
        np.maximum(spent, 0.0, out=spent)
        self._pending = bool(np.count_nonzero(spent) or np.count_nonzero(over))
        rows, joints = np.nonzero((spent >= self._windows - _ROUNDING) & over & new)
        return list(zip(rows.tolist(), joints.tolist(), strict=True))
