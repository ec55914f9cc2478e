"""The arm's MJCF against its arm file: what the envelope takes from one must be true of the other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from robot_runtime.arm import Kinematics
from robot_runtime.preflight.table import Check, or_fine
from robot_runtime.spec import ArmSpec

ROUNDED = 0.02
"""rad by which limits may go beyond the MJCF's range without a word."""

DEGREES = 4 * np.pi
"""rad, two turns: limits that are further apart are no radians, but of a joint that winds something."""

ROTOR = 0.3
"""Of what the servo's data file says: less is no measurement of another specimen, but a rotor that was forgotten."""

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
                advice='call its plane that, or put <geom name="table" type="plane" size="1 1 0.1"/> into the world of '
                f"{spec.mjcf}; where there is no table, as low as the floor",
            )
        if kinematics.has_table and kinematics.tip_is_bare:
            yield Check(
                "model",
                ok=False,
                found=f"nothing at the tip ({spec.tip}) can touch the table: nothing would keep it away",
                wanted="shapes of the links that collide",
                advice=f"give links in {spec.mjcf.name} geoms (capsules do) whose contype and conaffinity are not 0 "
                "and that no <exclude> keeps from the table",
            )
        elif kinematics.has_table and kinematics.bare_links:
            yield Check(
                "model",
                ok=None,
                found=f"{', '.join(kinematics.bare_links)} cannot touch the table",
                wanted="shapes of the links that collide",
                advice="nothing keeps them from it: fine for links that never come near, or lie inside others' shapes",
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
        for joint, has in zip(spec.joints, kinematics.armatures.tolist(), strict=True):
            if has < ROTOR * (rotor := joint.servo.motor.armature * joint.gear**2):
                yield Check(
                    "model",
                    ok=False,
                    found=f"{joint.name} has armature {has:.3g}",
                    wanted="the servos' rotors, which weigh more than most links",
                    advice=f'write armature="{rotor:.3g}" into the joints of {joint.servos_named} in {spec.mjcf.name}: '
                    "without it the arm would be taken to brake in no time",
                )
        for joint, (low, high) in zip(spec.joints, kinematics.ranges, strict=True):
            limits = joint.limits
            if limits.lower >= low - ROUNDED and limits.upper <= high + ROUNDED:
                continue
            these = f"limits.position of {spec.path.name} look like degrees"
            those = (
                f"correct one of both; in {spec.mjcf.name} ranges are degrees unless "
                '<compiler angle="radian"/> says otherwise'
            )
            yield Check(
                "model",
                ok=None if high - low > OTHER_UNITS * (limits.upper - limits.lower) else False,
                found=f"{joint.name} turns from {low:.3g} to {high:.3g} rad",
                wanted="as far as [limits] position of the arm file",
                advice=these if limits.upper - limits.lower > DEGREES else those,
            )

    span = np.ptp(np.where(np.isfinite(kinematics.ranges), kinematics.ranges, 0.0), axis=1).max()
    yield from or_fine(wrong(), Check("model", ok=True, found=f"a table, and joints that turn by up to {span:.1f} rad"))
