"""A workspace box against the arm: the tip must be able to begin, work and end inside it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from robot_runtime.arm import Arm
from robot_runtime.arrays import Floats
from robot_runtime.preflight.table import Check, or_fine
from robot_runtime.safety.clearance import Box

_NAME = "workspace"


def check_workspace(arm: Arm, box: Box, start_pose: Floats | None = None) -> Iterator[Check]:
    """Whether the box is one, and holds the tip where the arm is now, at `start_pose` (rad), and at rest."""
    low, high = np.array(box.low), np.array(box.high)
    if not (low < high).all():
        yield Check(
            _NAME,
            ok=False,
            found=f"from {_metres(low)} to {_metres(high)}",
            wanted="every lower end below its upper end",
            advice="--workspace X0,Y0,Z0,X1,Y1,Z1, all in m: first the lower corner, then the upper one",
        )
        return

    def outside() -> Iterator[Check]:
        places: list[tuple[str, Floats, bool | None, str]] = [
            ("now", arm.state.q, False, "move the arm inside by hand, or give a larger box")
        ]
        if start_pose is not None:
            places.append(("at the policy's start pose", start_pose, False, "give a larger box"))
        rest = np.array(arm.spec.poses["rest"])
        places.append(("at rest", rest, None, "it will let go at the side of the box: give a larger one"))
        for where, q, ok, advice in places:
            tip = arm.kinematics.tip_position(q)
            if not ((low <= tip) & (tip <= high)).all():
                want = f"inside {_metres(low)} to {_metres(high)}"
                yield Check(_NAME, ok, found=f"the tip is at {_metres(tip)} {where}", wanted=want, advice=advice)

    yield from or_fine(outside(), Check(_NAME, ok=True, found=f"from {_metres(low)} to {_metres(high)}"))


def _metres(point: Floats) -> str:
    return f"({', '.join(f'{x:.3g}' for x in point)}) m"
