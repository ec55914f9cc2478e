"""The guard: how far the arm is from what its maps were fitted to. Beyond their bound a cycle counts as outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from robot_runtime.calibrated.network import Singles


class Guard:
    """Counts, of one map, the cycles outside of what it knows; and by joint how often, and how far at most."""

    def __init__(self, joints: Sequence[str], bound: float) -> None:
        """`bound`: novelty from which on a joint is outside."""
        self._joints, self._bound = tuple(joints), bound
        self.watched = [True] * len(joints)
        """Joints that count: what nobody drives by the map cannot lead it astray."""
        self.cycles = self.outside = 0
        self._by_joint, self._furthest = [0] * len(joints), [0.0] * len(joints)

    def look(self, novelty: Singles) -> bool:
        """One cycle's novelty of all joints; True: one of them is outside. What is no number is outside."""
        self.cycles += 1
        outside = False
        furthest, bound = self._furthest, self._bound
        for i, far in enumerate(novelty.tolist()):  # plain numbers: of so few they are cheaper than arrays
            if not far <= furthest[i] and self.watched[i]:
                furthest[i] = far
            if not far < bound and self.watched[i]:
                self._by_joint[i] += 1
                outside = True
        self.outside += outside
        return outside

    def summary(self) -> dict[str, Any]:
        """What was seen, for the verdict."""
        return {
            "cycles": self.cycles,
            "outside": self.outside,
            "joints": dict(zip(self._joints, self._by_joint, strict=True)),
            "furthest": {name: round(far, 3) for name, far in zip(self._joints, self._furthest, strict=True)},
            "bound": self._bound,
        }
