"""The arms of the comparison: twins with a gap, each a gap file that twin, recording and training all read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from sim.twin.gap import Gap, load_gap

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
        gap = load_gap(self.gap)
        first = gap.joint(joints[0])
        path.write_text(gap_text(gap, joints, replace(first, offset=0.0) if self.zeroed else first), encoding="utf-8")
        return path


def gap_text(gap: Gap, joints: Sequence[str], first: object | None = None) -> str:
    """A gap as TOML, joint by joint; `first`: another gap of the first joint."""
    lines = [f'name = "{gap.name}"']
    lines += [f"{key} = {float(getattr(gap, key))!r}" for key in ("payload", "command_delay", "ambient")]
    tables: dict[str, object] = {f"joint.{name}": gap.joint(name) for name in joints}
    if first is not None:
        tables[f"joint.{joints[0]}"] = first
    tables |= {"supply": gap.supply, "bus": gap.bus}
    for name, table in tables.items():
        lines += ["", f"[{name}]"]
        lines += [f"{key} = {float(value)!r}" for key, value in asdict(table).items() if value is not None]  # type: ignore[call-overload]
    return "\n".join(lines) + "\n"
