"""Preview: what an excitation will do, before it does: a table, and a moving picture of the arm by its own model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE
from rich.table import Table

from calibration.excitation.segment import Excitation, Segment
from robot_runtime.flight.clip import film
from robot_runtime.spec import ArmSpec

FILE = "preview.png"
SECONDS = 12.0
"""That the picture moves for, at most: a longer motion is shown faster."""
RATE = 10.0  # pictures a second


def table(excitation: Excitation, spec: ArmSpec) -> Table:
    """Segment by segment: how long, and for every joint that moves its range and its greatest speed."""
    shown = Table(title=f"{excitation.level}: {excitation.seconds:.0f} s of motion", title_justify="left", box=SIMPLE)
    for column in ("segment", "s", "joint", "rad", "rad/s, of limit"):
        shown.add_column(column, justify="left" if column in ("segment", "joint") else "right", no_wrap=True)
    limits = {joint.name: joint.limits.velocity for joint in spec.joints}
    for row in rows(excitation, spec):
        name = row["segment"] + (f" ({row['part']})" if row["part"] else "")
        first = [name, f"{row['seconds']:.0f}"]
        for joint, cell in row["joints"].items():
            speed = f"{cell['speed']:.2f} {cell['speed'] / limits[joint]:4.0%}"
            shown.add_row(*first, joint, f"{cell['low']:+.2f} to {cell['high']:+.2f}", speed)
            first = ["", ""]
        shown.add_section()
    return shown


def rows(excitation: Excitation, spec: ArmSpec) -> list[dict[str, Any]]:
    """The same for machines: rad, rad/s."""
    return [_row(s, excitation.period, spec) for s in excitation.segments]


def _row(segment: Segment, period: float, spec: ArmSpec) -> dict[str, Any]:
    speeds = np.abs(segment.speeds(period)).max(axis=0)
    low, high = segment.q.min(axis=0), segment.q.max(axis=0)
    joints = {
        name: {"low": float(low[i]), "high": float(high[i]), "speed": float(speeds[i])}
        for i, name in enumerate(spec.joint_names)
        if name in segment.joints
    }
    return {
        "segment": segment.name,
        "kind": segment.kind,
        "part": segment.part,
        "seconds": segment.duration(period),
        "joints": joints,
    }


def pace(excitation: Excitation) -> float:
    """How much faster than the motion itself its picture is."""
    return max(1.0, excitation.seconds / SECONDS)


def picture(folder: Path, excitation: Excitation, spec: ArmSpec) -> Path:
    """Render all segments into a file of this folder.

    Raises:
        ClipError: it cannot be rendered here; the message says why.
    """
    q = np.concatenate([s.q for s in excitation.segments])
    count = max(1, round(excitation.seconds / pace(excitation) * RATE))
    chosen = np.linspace(0, len(q) - 1, count).astype(int)
    file = folder / FILE
    file.write_bytes(film(spec.mjcf, spec.joint_names, q[chosen], 1.0 / RATE))
    return file
