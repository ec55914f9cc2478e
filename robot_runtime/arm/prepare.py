"""Bringing servos into the state that a run needs, before torque: mode, gains, indirect addresses, watchdog cleared.

Whatever another program left in the servos' RAM is replaced: gains that the arm file does not name go back to their
factory values.
"""

from __future__ import annotations

from collections.abc import Mapping

from robot_runtime.arm.errors import ServoSettingError, TorqueIsOnError, TorqueOnError
from robot_runtime.arm.identify import ServoOnBus, answer_everything
from robot_runtime.arm.scaling import goal_reach, goal_register
from robot_runtime.bus import Bus
from robot_runtime.bus.scan import read_registers
from robot_runtime.servos.protocol import ANSWER_EVERYTHING


def prepare(bus: Bus, servos: tuple[ServoOnBus, ...], mapping: tuple[int, bytes] | None) -> None:
    """Set up every servo. Torque must be off: operating modes lie in EEPROM, which torque locks.

    Raises:
        TorqueIsOnError: a servo holds torque; nothing was changed.
        ServoSettingError: a limit in a servo is narrower than the arm file's: it would refuse commands, unheard.
        BusError: a servo does not answer or refuses a setting.
    """
    _require_torque_off(bus, servos)
    for servo in servos:
        _set_mode(bus, servo)
        values = read_registers(bus, servo.joint.servo_id, servo.model)
        _require_reach(servo, values)
        for name, value in _settings(servo, values).items():
            if values.get(name) != value:
                bus.write_verified(servo.joint.servo_id, servo.model.register(name), value)
        if mapping is not None:
            bus.write_bytes_verified(servo.joint.servo_id, *mapping)


def require_prepared(bus: Bus, servos: tuple[ServoOnBus, ...]) -> None:
    """Whether what `prepare` set is still there. A servo that restarts loses it, and answers as before: once its
    watchdog is armed that shows, between `prepare` and then nothing else would.

    Raises:
        TorqueOnError: a servo has lost its settings.
        BusError: a servo does not answer.
    """
    for servo in servos:
        values = read_registers(bus, servo.joint.servo_id, servo.model)
        lost = [n for n, v in _settings(servo, values).items() if values.get(n) != v and n != "bus_watchdog"]
        if lost:
            raise TorqueOnError(
                f"joint '{servo.joint.name}' (servo {servo.joint.servo_id}) has lost {', '.join(lost)} since it was "
                "set: it has restarted; look at its supply and its plugs"
            )


def _require_torque_off(bus: Bus, servos: tuple[ServoOnBus, ...]) -> None:
    on = [s.joint.servo_id for s in servos if bus.read(s.joint.servo_id, s.model.register("torque_enable"))]
    if on:
        raise TorqueIsOnError(
            f"servos {on} hold torque, perhaps from a program that ended without letting go; support the arm by hand "
            "and run 'robot-setup release', or cut the power"
        )


def _set_mode(bus: Bus, servo: ServoOnBus) -> None:
    joint, model = servo.joint, servo.model
    if bus.read(joint.servo_id, model.register("status_return_level")) != ANSWER_EVERYTHING:
        answer_everything(bus, [joint])
    mode = model.register("operating_mode")
    if bus.read(joint.servo_id, mode) != model.modes[joint.mode]:
        bus.write_verified(joint.servo_id, mode, model.modes[joint.mode])


def _settings(servo: ServoOnBus, values: Mapping[str, int]) -> dict[str, int]:
    """What the RAM registers should hold that no goal is written to in a run."""
    joint, model = servo.joint, servo.model
    settings = {name: r.initial for name, r in model.registers.items() if name.endswith("_gain")}
    wanted = {name: initial for name, initial in settings.items() if initial is not None}
    # The runtime shapes motion; a profile in the servo would only add lag.
    wanted |= {"bus_watchdog": 0, "profile_acceleration": 0, "profile_velocity": 0}
    if joint.mode != "pwm":
        wanted["goal_pwm"] = values["pwm_limit"]  # in the other modes it caps the motor's voltage
    if joint.mode == "current_position":
        wanted["goal_current"] = joint.current_bound  # a cap: how hard it grips
    return wanted | dict(joint.gains)


def _require_reach(servo: ServoOnBus, values: Mapping[str, int]) -> None:
    """A sync write beyond a servo's limit is refused without a word, and the last goal stays: rule it out now."""
    joint = servo.joint
    low, high = goal_reach(joint)
    register = goal_register(joint)
    if joint.mode == "position":
        _require(servo, "min_position_limit", values, values["min_position_limit"] <= low, low)
        _require(servo, "max_position_limit", values, values["max_position_limit"] >= high, high)
    elif register.limited_by is not None:
        _require(servo, register.limited_by, values, values[register.limited_by] >= high, high)
    if joint.mode == "current_position":
        needed = joint.current_bound
        _require(servo, "current_limit", values, values["current_limit"] >= needed, needed)


def _require(servo: ServoOnBus, name: str, values: Mapping[str, int], reaches: bool, needed: float) -> None:
    if not reaches:
        raise ServoSettingError(
            f"joint '{servo.joint.name}' (servo {servo.joint.servo_id}): {name} is {values[name]}, narrower than the "
            f"arm file's limits, which need {needed:.0f}: the servo would refuse commands; run 'robot-setup arm', or "
            "narrow the arm file"
        )
