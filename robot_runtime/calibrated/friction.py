"""What of an arm's friction its calibration has found, beyond what can be counted on without it."""

from __future__ import annotations

from robot_runtime.calibrated.check import held_back
from robot_runtime.calibrated.file import Calibration
from robot_runtime.safety.friction import Friction
from robot_runtime.spec import ArmSpec

KNOWN_SHARE = 0.7
"""Of the low end of an interval: gears that get warm and wear lose some of it. When two fifths of it have gone, and
0.9 N·m besides let go of a joint, nothing is exceeded (tests/robot_runtime/safety/test_envelope_friction.py). What
gears eat of the load is left out: there is most of it where something else holds the joint, which might let go.
"""


def known_friction(spec: ArmSpec, calibration: Calibration) -> Friction:
    """That share, where the calibration was accepted and the data said how large a number is; nothing else.

    Nothing of one that flies because somebody forced it: what sticks in another arm does not stick in this one. It is
    the arm's files that tell, since a replay has no adapter to ask, and must command the same.
    """
    if held_back(calibration, spec):
        return Friction.none(spec)
    sure, physics = Friction.sure(spec), calibration.physics

    def beyond(label: str, sure_of_it: tuple[float, ...]) -> tuple[float, ...]:
        numbers = (physics.get(f"{joint.name}.{label}") for joint in spec.joints)
        return tuple(
            max(KNOWN_SHARE * number.low - least, 0.0) if number is not None and number.seen else 0.0
            for number, least in zip(numbers, sure_of_it, strict=True)
        )

    return Friction(beyond("coulomb", sure.dry), beyond("viscous", sure.viscous))
