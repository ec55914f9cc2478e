"""The poses that a flight goes to, against the table and the arm itself: the envelope must be able to get there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from robot_runtime.arm import Kinematics
from robot_runtime.arrays import Floats
from robot_runtime.preflight.table import Check, or_fine
from robot_runtime.safety.clearance import MARGIN
from robot_runtime.spec import ArmSpec

INEXACT = 0.001
"""m: less than what an arm's file knows of its own shape. At rest an arm may lie on something, but not inside it."""


def check_poses(spec: ArmSpec, kinematics: Kinematics, start_pose: Floats | None = None) -> Iterator[Check]:
    """Whether `rest`, `home` and `start_pose` (rad) are places that the arm can be at.

    Rest counts by contact: there the arm lets go, and may lie on something. Elsewhere the envelope's margin counts.
    """
    rest, home = (np.array(spec.poses[name]) for name in ("rest", "home"))
    correct = (
        f"correct [poses] in {spec.path}, or the shapes in {spec.mjcf.name}; parts that always touch are left out "
        "there (<contact><exclude>)"
    )
    places = [("rest", rest, -INEXACT, correct), ("home", home, MARGIN, correct)]
    if start_pose is not None and not any(np.array_equal(start_pose, pose) for pose in (rest, home)):
        advice = "choose a start in the policy's contract that is clear of the table and of the arm itself"
        places.append(("the policy's start pose", start_pose, MARGIN, advice))

    def blocked() -> Iterator[Check]:
        for name, q, least, advice in places:
            near = kinematics.clearance(q, MARGIN)
            if near is None:
                continue
            apart = f"{near.distance * 1e3:.1f} mm apart"
            if near.distance < 0:
                apart = f"{-near.distance * 1e3:.0f} mm inside each other"
            found = f"{name}: {near.first} and {near.second} are {apart}"
            if near.distance < least:
                want = "no contact" if least < 0 else f"at least {MARGIN * 1e3:g} mm"
                yield Check("poses", ok=False, found=found, wanted=want, advice=advice)
            else:
                hint = "it stops at that distance, and lets go there; a rest pose further away ends without a fall"
                yield Check("poses", ok=None, found=found, wanted=f"{MARGIN * 1e3:g} mm", advice=hint)

    clear = "clear of the table and of the arm itself" if kinematics.has_table else "clear of the arm itself; no table"
    yield from or_fine(blocked(), Check("poses", ok=True, found=clear))
