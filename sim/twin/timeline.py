"""Things that happen at a time."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from typing import Any


class Timeline:
    """Actions in the order of their times; those of one time in the order in which they were put in."""

    def __init__(self) -> None:
        """Start empty."""
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()
        self.now = 0.0
        """s, time of the last action."""
        self.due = math.inf
        """s, when the next action is to happen."""

    def put(self, time: float, action: Callable[..., None], *arguments: Any) -> None:
        """Let `action(*arguments)` happen at that time."""
        heapq.heappush(self._heap, (time, next(self._order), action, arguments))
        self.due = self._heap[0][0]

    def happen(self) -> None:
        """Do the next action."""
        self.now, _, action, arguments = heapq.heappop(self._heap)
        self.due = self._heap[0][0] if self._heap else math.inf
        action(*arguments)
