"""Friction of an arm: what its data files let one count on, and what somebody has measured beyond that."""

from __future__ import annotations

from dataclasses import dataclass

from robot_runtime.spec import ArmSpec

SURE_SHARE = 0.5
"""Of the data file's friction: gears were seen from half to three times of it."""

BEYOND_SHARE = 0.5
"""Of the torque that a joint's acceleration limit takes, at most: what may be counted on besides. With a bound no
adversary exceeds a limit whatever is claimed."""


@dataclass(frozen=True, slots=True)
class Friction:
    """Of every joint of an arm."""

    dry: tuple[float, ...]  # N·m
    viscous: tuple[float, ...]  # N·m·s/rad

    @classmethod
    def sure(cls, spec: ArmSpec) -> Friction:
        """What can be counted on without knowing this very arm."""
        motors = [(joint.servo.motor, joint.gear) for joint in spec.joints]
        return cls(
            tuple(SURE_SHARE * gear * motor.coulomb_friction for motor, gear in motors),
            tuple(SURE_SHARE * gear**2 * motor.viscous_friction for motor, gear in motors),
        )

    @classmethod
    def none(cls, spec: ArmSpec) -> Friction:
        """Nothing."""
        nothing = (0.0,) * len(spec.joints)
        return cls(nothing, nothing)
