"""Servos that an arm file does not name and that obey the arm's all the same: their torque would come on unwatched."""

from __future__ import annotations

from robot_runtime.arm.errors import FollowerError
from robot_runtime.bus import Bus, GroupRead
from robot_runtime.servos.protocol import HIGHEST_ID, SECONDARY_ID
from robot_runtime.spec import ArmSpec

_BEHIND = (1, 2)
"""How far above the arm's IDs they are looked for: makers number the servos of a joint in a row."""

_TIMES = 2
"""One lost reply hides nobody."""

_REMEDY = "take it off the cable, or give it Secondary ID 255 with DYNAMIXEL Wizard"


def require_no_followers(bus: Bus, spec: ArmSpec) -> None:
    """Ask the IDs beside the arm's. Raises FollowerError."""
    beside = {i + behind for i in spec.servo_ids for behind in _BEHIND} - set(spec.servo_ids)
    for servo_id in sorted(i for i in beside if i <= HIGHEST_ID):
        obeys = _obeys(bus, servo_id)
        for joint in spec.joints:
            if joint.servo_id == obeys:
                raise FollowerError(
                    f"servo {servo_id} obeys what is written to servo {obeys}, joint '{joint.name}' (Secondary ID): "
                    "its torque would come on unwatched, and the joint would be stronger than its limits. Where both "
                    f"turn the joint, say so in {spec.path.name}: second = {{ id = {servo_id} }}, and run 'robot-setup "
                    f"arm'; where it is there for nothing, {_REMEDY}"
                )


def _obeys(bus: Bus, servo_id: int) -> int | None:
    """Whose writes a servo obeys besides its own; None: nobody is there."""
    group = GroupRead([servo_id], *SECONDARY_ID, fast=False)
    unclear = 0
    for _ in range(_TIMES):
        if not bus.try_group(group):
            return int.from_bytes(group.data(0), "little")
        if group.heard:
            unclear += 1
            bus.settle()  # what came late from another servo does not come again
    if unclear == _TIMES:
        raise FollowerError(
            f"something answers at ID {servo_id}, beside the arm's, and cannot be understood: nobody can say whether "
            f"it obeys one of the arm's servos (Secondary ID); 'robot-scan' shows who is there; {_REMEDY}"
        )
    return None
