"""Set up servos fresh from the box without questions and without an undo file: for a twin, which nobody owns."""

from __future__ import annotations

from robot_runtime.bus import Bus
from robot_runtime.bus.scan import as_laid_out, read_registers
from robot_runtime.setup.plan import changes, wanted
from robot_runtime.spec import ArmSpec


def set_up_unboxed(bus: Bus, spec: ArmSpec) -> None:
    """Give every servo of the arm the settings that `robot-setup arm` would.

    Raises:
        BusError: a servo does not answer or refuses.
    """
    for joint in spec.servos:
        model = as_laid_out(bus, joint.servo_id, joint.servo)
        values = read_registers(bus, joint.servo_id, model)
        for change in changes(joint.servo_id, spec.bus.baudrate, model, values, wanted(joint, spec.bus, model)):
            bus.write_verified(joint.servo_id, change.register, change.after)
