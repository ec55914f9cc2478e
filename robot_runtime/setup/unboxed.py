"""Set up servos fresh from the box without questions and without an undo file: for a twin, which nobody owns."""

from __future__ import annotations

from robot_runtime.bus import Bus
from robot_runtime.bus.scan import read_registers
from robot_runtime.setup.plan import changes, wanted
from robot_runtime.spec import ArmSpec

_FIRMWARE = (6, 1)
"""Address and length of the firmware version: the same on every Protocol 2.0 servo."""


def set_up_unboxed(bus: Bus, spec: ArmSpec) -> None:
    """Give every servo of the arm the settings that `robot-setup arm` would.

    Raises:
        BusError: a servo does not answer or refuses.
    """
    for joint in spec.joints:
        model = joint.servo.for_firmware(bus.read_bytes(joint.servo_id, *_FIRMWARE)[0])
        values = read_registers(bus, joint.servo_id, model)
        for change in changes(joint.servo_id, spec.bus.baudrate, model, values, wanted(joint, spec.bus, model)):
            bus.write_verified(joint.servo_id, change.register, change.after)
