"""The arm's MJCF against its arm file: what the envelope takes from one must be true of the other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from robot_runtime.arm import Kinematics
from robot_runtime.preflight.table import Check, or_fine
from robot_runtime.spec import ArmSpec

ROUNDED = 0.02
"""rad by which limits may go beyond the MJCF's range without a word."""

OTHER_UNITS = 0.5
"""A range that is this share of the limits or less is no rounding: degrees were read as radians, or the reverse."""


def check_model(spec: ArmSpec, kinematics: Kinematics) -> Iterator[Check]:
    """Whether the MJCF has a table, no joints but the arm's, and lets these turn as far as the arm file does."""

    def wrong() -> Iterator[Check]:
        if not kinematics.has_table:
            yield Check(
                "model",
                ok=False,
                found=f"{spec.mjcf.name} has no geom 'table'",
                wanted="a plane that the arm keeps away from",
                advice=f'add <geom name="table" type="plane" size="1 1 0.1"/> to the worldbody of {spec.mjcf}; where '
                "there is no table, as low as the floor",
            )
        if kinematics.loose:
            yield Check(
                "model",
                ok=False,
                found=f"joint {', '.join(kinematics.loose)} has no servo in {spec.path.name}, and follows none",
                wanted="joints that a servo turns, or that follow one",
                advice="give it a [[joint]], or an <equality><joint> to the joint that moves it, or take it out of "
                f"{spec.mjcf.name} if it is fixed",
            )
        for joint, (low, high) in zip(spec.joints, kinematics.ranges, strict=True):
            limits = joint.limits
            if limits.lower >= low - ROUNDED and limits.upper <= high + ROUNDED:
                continue
            yield Check(
                "model",
                ok=None if high - low > OTHER_UNITS * (limits.upper - limits.lower) else False,
                found=f"{joint.name} turns from {low:.3g} to {high:.3g} rad",
                wanted="as far as [limits] position of the arm file",
                advice=f"correct one of both; in {spec.mjcf.name} ranges are degrees unless "
                '<compiler angle="radian"/> says otherwise',
            )

    span = np.ptp(np.where(np.isfinite(kinematics.ranges), kinematics.ranges, 0.0), axis=1).max()
    yield from or_fine(wrong(), Check("model", ok=True, found=f"a table, and joints that turn by up to {span:.1f} rad"))
