"""Letting go of an arm, whatever state it is in."""

from __future__ import annotations

from collections.abc import Sequence

from robot_runtime.bus import Bus, GroupWrite, ServoError
from robot_runtime.spec import JointSpec

_TIMES = 3
"""Packets that say torque off to all at once; one may be lost."""


def release(bus: Bus, joints: Sequence[JointSpec]) -> dict[str, str]:
    """Torque off in every servo that can be reached; what went wrong, by the servo's label (empty: all are off).

    One servo that is missing or broken keeps none of the others from letting go.

    Raises:
        PortVanishedError: the port went away.
    """
    switch = GroupWrite([(j.servo_id, j.servo.register("torque_enable")) for j in joints])
    for _ in range(_TIMES):
        bus.write_group(switch, [0] * len(joints))
    failed = {}
    for joint in joints:
        register = joint.servo.register("torque_enable")
        try:
            if bus.read(joint.servo_id, register):
                bus.write_verified(joint.servo_id, register, 0)
        except ServoError as error:
            failed[joint.servo_label] = str(error)
    return failed
