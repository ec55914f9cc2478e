"""Values that must stay below a limit, except for a while: many kinds and all joints at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from robot_runtime.arm.state import Flags, Floats


class Windows:
    """One row a kind, one column a joint. Fill `rows`, then `look`: it costs one comparison while all is well."""

    def __init__(self, limits: Sequence[Sequence[float]], windows: Iterable[float]) -> None:
        """`windows`: how long (s) the values of a row may be above their limits."""
        self.limits: Floats = np.array(limits, dtype=float)
        self.values: Floats = np.zeros_like(self.limits)
        self.rows: tuple[Floats, ...] = tuple(self.values)
        self.over: Flags = np.zeros(self.limits.shape, dtype=bool)
        self._windows = np.array([[w] for w in windows])
        self._since = np.full(self.limits.shape, np.inf)
        self._pending = False

    def look(self) -> bool:
        """Whether anything is above its limit, or was: then `due` must be asked."""
        np.greater(self.values, self.limits, out=self.over)
        return self._pending or bool(np.count_nonzero(self.over))

    def due(self, new: Flags, now: float) -> list[tuple[int, int]]:
        """Row and joint of what has been above its limit (`over`) for its window.

        Only joints with new values are judged; an old value is no reason in either direction.
        """
        over, since = self.over, self._since
        np.copyto(since, np.inf, where=~over & new)
        np.copyto(since, now, where=over & new & np.isinf(since))
        self._pending = bool(np.isfinite(since).any())
        if not self._pending:
            return []
        rows, joints = np.nonzero((now - since >= self._windows) & over & new)
        return list(zip(rows.tolist(), joints.tolist(), strict=True))
