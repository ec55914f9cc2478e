"""Somebody who moves a twin's joints by hand, in virtual time, as robot-setup zero asks for it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from sim.twin.drives import Drives
from sim.twin.twin import Twin

SPEED = 0.5
"""rad/s, of a hand that takes its time."""


class Hand:
    """Holds every joint where it is, and moves joints through the angles that it is told, one after the other."""

    def __init__(self, twin: Twin) -> None:
        assert isinstance(twin.drives, Drives)
        self.twin = twin
        self.names = [joint.name for joint in twin.arm.joints]
        self.angles = np.array(twin.drives.joint_position)
        self._paths: dict[str, list[float]] = {name: [] for name in self.names}
        self._step = twin.drives.step
        twin.drives.step = self._stepping  # type: ignore[method-assign]

    def move(self, **angles: float | list[float]) -> None:
        """Go to these angles (rad, the twin's own zero) from here, one after the other; the others stay."""
        for name, path in angles.items():
            self._paths[name] = list(path) if isinstance(path, list) else [path]

    @property
    def moving(self) -> list[str]:
        """The joints that are on their way."""
        return [name for name, path in self._paths.items() if path]

    def to_pose(self, name: str, slips: Mapping[str, float] | None = None) -> None:
        """Go to a pose of the twin's arm file, some joints beside it by so much."""
        pose = dict(zip(self.names, self.twin.arm.pose(name), strict=True))
        self.move(**{joint: angle + (slips or {}).get(joint, 0.0) for joint, angle in pose.items()})

    def obey(self, instruction: str, by: float = 0.4) -> None:
        """Do what an instruction of robot-setup zero says: joints go `by` rad in their positive direction."""
        if match := re.match(r"Move '(\w+)' in its positive direction", instruction):
            name = match[1]
            self.move(**{name: self.angles[self.names.index(name)] + by})
        elif match := re.match(r"Hold the arm still in the pose '(\w+)'", instruction):
            self.to_pose(match[1])

    def _stepping(self) -> None:
        drives = self.twin.drives
        assert isinstance(drives, Drives)
        stride = SPEED * drives.period
        for i, name in enumerate(self.names):
            path = self._paths[name]
            if path:
                left = path[0] - self.angles[i]
                self.angles[i] += np.clip(left, -stride, stride)
                if abs(left) <= stride:
                    path.pop(0)
        drives._physics.place(self.angles.tolist())
        drives.data.qvel[:] = 0.0
        self._step()
