"""Bringing servos into the state that a run needs, before torque: mode, gains, indirect addresses, watchdog cleared."""

from __future__ import annotations

from robot_runtime.arm.errors import TorqueIsOnError
from robot_runtime.arm.identify import ServoOnBus
from robot_runtime.arm.scaling import POSITION_MODES
from robot_runtime.bus import Bus, GroupWrite

_ANSWER_EVERYTHING = 2
"""Status Return Level at which writes are confirmed."""


def prepare(bus: Bus, servos: tuple[ServoOnBus, ...], mapping: tuple[int, bytes] | None) -> None:
    """Set up every servo. Torque must be off: operating modes lie in EEPROM, which torque locks.

    Raises:
        TorqueIsOnError: a servo holds torque; nothing was changed.
        BusError: a servo does not answer or refuses a setting.
    """
    _require_torque_off(bus, servos)
    for servo in servos:
        _set_up(bus, servo)
        if mapping is not None:
            bus.write_bytes_verified(servo.joint.servo_id, *mapping)


def _require_torque_off(bus: Bus, servos: tuple[ServoOnBus, ...]) -> None:
    on = [s.joint.servo_id for s in servos if bus.read(s.joint.servo_id, s.model.register("torque_enable"))]
    if on:
        raise TorqueIsOnError(
            f"servos {on} hold torque, perhaps from a program that ended without letting go; support the arm by hand "
            "and run 'robot-setup release', or cut the power"
        )


def _set_up(bus: Bus, servo: ServoOnBus) -> None:
    joint, model = servo.joint, servo.model
    level = model.register("status_return_level")
    if bus.read(joint.servo_id, level) != _ANSWER_EVERYTHING:  # then a write is not confirmed: broadcast it
        bus.write_group(GroupWrite([(joint.servo_id, level)]), [_ANSWER_EVERYTHING])
    mode = model.register("operating_mode")
    if bus.read(joint.servo_id, mode) != model.modes[joint.mode]:
        bus.write_verified(joint.servo_id, mode, model.modes[joint.mode])
    settings: dict[str, int] = {"bus_watchdog": 0}
    if joint.mode in POSITION_MODES:  # the runtime shapes motion; a profile in the servo would only add lag
        settings |= {"profile_acceleration": 0, "profile_velocity": 0}
    if joint.mode == "current_position":
        amperes = joint.limits.torque / abs(joint.torque_per_ampere)
        settings["goal_current"] = int(amperes / model.units["current"].scale)
    settings |= joint.gains
    for name, value in settings.items():
        bus.write_verified(joint.servo_id, model.register(name), value)
