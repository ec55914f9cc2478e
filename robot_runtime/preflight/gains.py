"""Gains of position loops that nobody simulates: calibration and training know P and D, as most servos start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from robot_runtime.arm.scaling import POSITION_MODES
from robot_runtime.preflight.table import Check, Odd, notes
from robot_runtime.spec import ArmSpec, JointSpec

BEYOND = ("position_i_gain", "feedforward_1st_gain", "feedforward_2nd_gain")
"""What a servo adds to P and D, if these registers are not 0."""


def beyond_p_and_d(joint: JointSpec, logged: Mapping[str, float] | None = None) -> dict[str, float]:
    """Such gains of a joint that are in effect: as a log says, else the arm file, else as the servo starts."""
    if joint.mode not in POSITION_MODES:
        return {}
    every = {name: (logged or {}).get(name, joint.gain(name)) for name in BEYOND if name in joint.servo.registers}
    return {name: value for name, value in every.items() if value}


def told(gains: Mapping[str, float]) -> str:
    """In words."""
    return " and ".join(f"{name} {value:g}" for name, value in gains.items())


def line_without(joint: JointSpec, gains: Iterable[str]) -> str:
    """The joint's line in its arm file that sets these to 0."""
    return line_with(joint, dict.fromkeys(gains, 0))


def line_with(joint: JointSpec, gains: Mapping[str, float]) -> str:
    """The joint's line in its arm file that sets these, too."""
    every = {**joint.gains, **gains}
    return f"gains = {{ {', '.join(f'{name} = {value}' for name, value in every.items())} }}"


def check_gains(spec: ArmSpec) -> Iterator[Check]:
    """Whether the position loops are those that policies are trained with and that a calibration can be fitted to; and
    whether those that ask a current loop for torque are damped.
    """

    def odd() -> Iterator[Odd]:
        for joint in spec.joints:
            if found := beyond_p_and_d(joint):
                yield Odd(
                    found=f"{joint.name}: {told(found)}",
                    wanted="0: policies are trained, and calibrations fitted, with P and D gains alone",
                    advice=f"write {line_without(joint, found)} at joint '{joint.name}' in {spec.path.name}",
                )

    yield from notes("gains", "no position loop has more than P and D gains", odd())
    yield from (check for joint in spec.joints for check in _undamped(joint))


def _undamped(joint: JointSpec) -> Iterator[Check]:
    """A position loop that asks a current loop for torque has none of the motor's own damping: without a D gain it
    swings. Source: makers and owners of arms (ROBOTIS-GIT/open_manipulator#135, Rhoban/bam#14), and the twin.
    """
    if joint.mode == "current_position" and not joint.gain("position_d_gain"):
        line = line_with(joint, {"position_d_gain": 1600})
        yield Check(
            "damping",
            ok=None,
            found=f"{joint.name}: position_d_gain 0 in current-based position mode, where it swings",
            wanted="more than 0",
            advice=f"write {line} at joint '{joint.name}' in the arm file; try less and more",
        )
