"""The arms of the comparison: twins with a gap, each a gap file that twin, recording and training all read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gaps import gap_text, zeroed_gap
from sim.twin.gap import load_gap

ARM = "open-manipulator-x"


@dataclass(frozen=True, slots=True)
class GapArm:
    """One arm. Zeroed: its first joint's encoder stands as it should, as after `robot-setup zero`."""

    gap: str  # mild, random:1, ...
    zeroed: bool = True

    @property
    def name(self) -> str:
        """In the results."""
        return self.gap if self.zeroed else f"{self.gap}, base as it is"

    def file(self, joints: Sequence[str], folder: Path) -> Path:
        """The gap as a file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.gap.replace(':', '-')}{'-zeroed' if self.zeroed else ''}.toml"
        gap = zeroed_gap(load_gap(self.gap), joints, joints[: int(self.zeroed)])
        path.write_text(gap_text(gap, joints), encoding="utf-8")
        return path
