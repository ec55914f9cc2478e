"""An arm's two files, looked at before there is an arm: what its flights, its twin and its policies will rest on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from robot_runtime.arm import Kinematics
from robot_runtime.arrays import Floats
from robot_runtime.preflight.acceleration import check_acceleration
from robot_runtime.preflight.drawn import drawn_poses
from robot_runtime.preflight.gains import check_gains
from robot_runtime.preflight.mjcf import check_mjcf
from robot_runtime.preflight.model import check_model
from robot_runtime.preflight.poses import check_poses
from robot_runtime.preflight.table import Check, Odd, notes
from robot_runtime.spec import ArmSpec, ArmSpecError, load_arm

POSES = 300
"""Drawn from inside the joints' limits, the same ones every time."""

HOLDS = 0.75
"""Of a joint's torque limit that gravity may take: the rest is for moving."""

BEARS = 0.5
"""Of the stall torque that a limit may be: more heats the motor until its servo lets go."""

TURNS = 0.8
"""Of the no-load speed that a limit may be: what carries something turns no faster."""


def check_arm_file(spec: ArmSpec) -> list[Check]:
    """Every check that needs no servo. A failure is refused by every flight; a note is worth a look.

    Raises:
        ArmSpecError: the MJCF lacks what the arm file names, or does not compile.
    """
    kinematics = Kinematics(spec)
    parts: tuple[Iterable[Check], ...] = (
        check_model(spec, kinematics),
        check_mjcf(spec, kinematics),
        check_poses(spec, kinematics),
        check_acceleration(spec, kinematics),
        _speed(spec),
        _torque(spec),
        _weight(spec, kinematics),
        check_gains(spec),
        _heat(spec),
        _supply(spec),
        _zero(spec),
    )
    return [check for part in parts for check in part]


def _speed(spec: ArmSpec) -> Iterator[Check]:
    def odd() -> Iterator[Odd]:
        for joint in spec.joints:
            share = joint.limits.velocity * joint.gear / joint.servo.motor.no_load_speed
            if share > TURNS:
                yield Odd(
                    found=f"{joint.name}: {joint.limits.velocity:g} rad/s is {share:.0%} of its servo's no-load speed",
                    wanted=f"at most {TURNS:.0%}",
                    advice=f"lower limits.velocity in {spec.path.name}: a servo that carries something turns no faster",
                )

    yield from notes("speed", "limits that the servos reach", odd())


def _torque(spec: ArmSpec) -> Iterator[Check]:
    def odd() -> Iterator[Odd]:
        for joint in spec.joints:
            share = joint.limits.torque / joint.gear / joint.servo.motor.stall_torque
            if share > BEARS:
                yield Odd(
                    found=f"{joint.name}: {joint.limits.torque:g} N·m is {share:.0%} of the stall torque",
                    wanted=f"at most {BEARS:.0%}",
                    advice=f"lower limits.torque in {spec.path.name}: held for seconds, more makes a servo let go",
                )

    yield from notes("torque", "limits that the servos bear", odd())


def _weight(spec: ArmSpec, kinematics: Kinematics) -> Iterator[Check]:
    """Gravity against the torque limits, in poses from everywhere."""
    gravity: Floats = np.zeros(len(spec.joints))
    asked = np.abs([kinematics.gravity(pose, gravity).copy() for pose in drawn_poses(spec, POSES)])
    limit = np.array([joint.limits.torque for joint in spec.joints])
    many, worst = (asked > HOLDS * limit).mean(axis=0), asked.max(axis=0)

    def odd() -> Iterator[Odd]:
        for joint, share, most in zip(spec.joints, many.tolist(), worst.tolist(), strict=True):
            if share > 0:
                yield Odd(
                    found=f"{joint.name}: up to {most:.2g} N·m, too much in {share:.0%} of all poses",
                    wanted=f"at most {HOLDS:.0%} of limits.torque",
                    advice="a stronger servo, a lighter arm, or limits.position that keep it out of there; policies "
                    "that go there sag",
                )

    fine = f"at most {float((worst / limit).max()):.0%} of limits.torque, in poses from everywhere"
    yield from notes("weight", fine, odd())


def _supply(spec: ArmSpec) -> Iterator[Check]:
    """Each servo hangs on the highest voltage that some servo of the arm is made for and it bears; others behind a
    converter, and then the arm file's voltages span several rails.
    """
    (low, high), motors = spec.supply, [joint.servo.motor for joint in spec.joints]
    rails = [max(m.nominal_voltage for m in motors if m.nominal_voltage <= motor.voltage_range[1]) for motor in motors]
    span = len(set(rails)) > 1

    def odd() -> Iterator[Odd]:
        for joint, motor, rail in zip(spec.joints, motors, rails, strict=True):
            least, most = motor.tolerated_voltage
            if low <= rail <= high and (span or (low >= least and high <= most)):
                continue
            yield Odd(
                found=f"{low:g} to {high:g} V, {joint.name}: {joint.servo.name} bears {least:.3g} to {most:.3g} V",
                wanted=f"a window around {rail:g} V that all servos on it bear",
                advice=f"correct [supply] voltage in {spec.path.name}: outside it the arm is not started",
            )

    yield from notes("supply", f"{low:g} to {high:g} V, what the servos are made for", odd())


def _heat(spec: ArmSpec) -> Iterator[Check]:
    def odd() -> Iterator[Odd]:
        for joint in spec.joints:
            factory = joint.servo.register("temperature_limit").initial
            if factory is not None and joint.limits.temperature > factory:
                yield Odd(
                    found=f"{joint.name}: {joint.limits.temperature:g} °C",
                    wanted=f"at most {factory} °C, where a {joint.servo.name} lets go by itself",
                    advice=f"lower limits.temperature in {spec.path.name}: a flight is to end before its servo does",
                )

    yield from notes("heat", "limits below those of the servos", odd())


def _zero(spec: ArmSpec) -> Iterator[Check]:
    """What setting up lets pass and flights do not: an encoder that wraps inside its joint's range."""
    try:
        load_arm(spec.path)
    except ArmSpecError as error:
        yield Check(
            "zero",
            ok=False,
            found=str(error),
            wanted="encoders that wrap outside the limits",
            advice="do what it says; an arm that has no zero yet gets one by 'robot-setup zero'",
        )
    else:
        yield Check("zero", ok=True, found="no encoder wraps inside its joint's range")
