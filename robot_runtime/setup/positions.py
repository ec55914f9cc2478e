"""Reading where every joint stands, while nothing holds it."""

from __future__ import annotations

from collections.abc import Sequence

from robot_runtime.bus import Bus, GroupRead
from robot_runtime.spec import JointSpec

_PATIENCE = 0.03
"""s that one reading of all joints may take, lost replies asked for again."""


class PositionReader:
    """Present Position of all joints, in ticks, in joint order."""

    def __init__(self, bus: Bus, joints: Sequence[JointSpec]) -> None:
        """Prepare the reads: one for all servos that have the register at the same address."""
        self._bus = bus
        self._count = len(joints)
        places: dict[int, list[int]] = {}
        for i, joint in enumerate(joints):
            places.setdefault(joint.servo.register("present_position").address, []).append(i)
        self._reads = [
            (indices, GroupRead([joints[i].servo_id for i in indices], address, 4, fast=False))
            for address, indices in places.items()
        ]

    def read(self) -> list[int | None]:
        """One value a joint; None: no answer. Raises PortVanishedError."""
        ticks: list[int | None] = [None] * self._count
        for indices, group in self._reads:
            missing = self._bus.read_group(group, deadline=self._bus.port.now() + _PATIENCE)
            for position, i in enumerate(indices):
                if not missing >> position & 1:
                    ticks[i] = int.from_bytes(group.data(position), "little", signed=True)
        return ticks
