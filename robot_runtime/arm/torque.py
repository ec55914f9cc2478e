"""Switching torque on without moving the arm, and off."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from robot_runtime.arm.errors import TorqueOnError
from robot_runtime.arm.identify import ServoOnBus
from robot_runtime.arm.scaling import POSITION_MODES, goal_register
from robot_runtime.bus import Bus, GroupWrite, NoReplyError, ServoError, ServoRefusedError

_GOAL_TOLERANCE = 12
"""ticks (1 degree): how far the goal may be from where the joint stood when torque came on; limits may clip it."""

_OFF_TRIES = 3
_ON_TRIES = 2
"""One packet tells all servos: where it was damaged on its way nobody came on, and nobody is at fault."""


def set_neutral_goals(bus: Bus, servos: tuple[ServoOnBus, ...], watchdog_ticks: int) -> None:
    """Goals that move nothing, and the watchdog; torque is off.

    In position modes the goal is the present position, read back; in velocity and PWM mode it is 0; in current mode 0
    until the first command sends gravity.

    Raises:
        TorqueOnError: a servo refuses them.
        BusError: a servo stopped answering.
    """
    for servo in servos:
        _set_neutral_goal(bus, servo, watchdog_ticks)


def torque_on(bus: Bus, servos: tuple[ServoOnBus, ...], first_command: Callable[[], Iterable[float]]) -> None:
    """Torque, at once the first command (gravity), then look whether all is as it should be.

    `first_command` is sent in the very next packet but one; it returns the angles (rad) at which the arm is held.

    Raises, with torque as far on as it got (the caller switches it off):
        TorqueOnError: a servo would move, or did not come on.
        BusError: a servo stopped answering.
    """
    limp = servos
    for _ in range(_ON_TRIES):
        bus.write_group(_switch(limp), [1] * len(limp))
        angles = first_command()
        limp = tuple(s for s in servos if not bus.read(s.joint.servo_id, s.model.register("torque_enable")))
        _require_no_error(bus, limp)
        if not limp:
            break
    else:
        names = ", ".join(f"'{s.joint.name}' (servo {s.joint.servo_id})" for s in limp)
        raise TorqueOnError(f"joint {names} did not switch torque on, told twice; look at its plugs and its supply")
    for servo, angle in zip(servos, angles, strict=True):
        _require_in_place(bus, servo, angle)


def torque_off(bus: Bus, servos: tuple[ServoOnBus, ...]) -> None:
    """Torque off everywhere by one packet, then each servo asked. As long as one has not confirmed it, all are told
    again: a servo that cannot be heard may still hear.

    Raises:
        BusError: a servo does not confirm; the others are off.
    """
    pending, failed = list(servos), None
    for _ in range(_OFF_TRIES):
        bus.write_group(_switch(servos), [0] * len(servos))
        failed = None
        for servo in list(pending):
            try:
                if not bus.read(servo.joint.servo_id, servo.model.register("torque_enable")):
                    bus.write(servo.joint.servo_id, servo.model.register("bus_watchdog"), 0)
                    pending.remove(servo)
            except ServoError as error:
                failed = error
        if not pending:
            break
    if pending:
        names = ", ".join(f"{s.joint.name} (servo {s.joint.servo_id})" for s in pending)
        first = pending[0].joint.servo_id
        raise NoReplyError(first, f"{names} did not confirm that torque is off; cut the power") from failed


def _switch(servos: tuple[ServoOnBus, ...]) -> GroupWrite:
    return GroupWrite([(s.joint.servo_id, s.model.register("torque_enable")) for s in servos])


def _set_neutral_goal(bus: Bus, servo: ServoOnBus, watchdog_ticks: int) -> None:
    joint, model = servo.joint, servo.model
    bus.write(joint.servo_id, model.register("bus_watchdog"), 0)  # a tripped watchdog refuses goals until cleared
    goal = goal_register(joint)
    try:
        if joint.mode in POSITION_MODES:
            present = bus.read(joint.servo_id, model.register("present_position"))
            bus.write_verified(joint.servo_id, goal, present)
        else:
            bus.write_verified(joint.servo_id, goal, 0)
        bus.write_verified(joint.servo_id, model.register("bus_watchdog"), watchdog_ticks)
    except ServoRefusedError as error:
        raise TorqueOnError(f"joint '{joint.name}': {error}; torque stays off") from error


def _require_no_error(bus: Bus, limp: Iterable[ServoOnBus]) -> None:
    for servo in limp:
        joint, model = servo.joint, servo.model
        if names := model.error_names(bus.read(joint.servo_id, model.register("hardware_error_status"))):
            raise TorqueOnError(
                f"joint '{joint.name}': servo {joint.servo_id} did not switch torque on ({', '.join(names)}); "
                "a servo that shut itself down needs a reboot ('robot-setup reboot')"
            )


def _require_in_place(bus: Bus, servo: ServoOnBus, angle: float) -> None:
    joint = servo.joint
    if joint.mode in POSITION_MODES:
        goal = bus.read(joint.servo_id, goal_register(joint))
        stood = joint.ticks(angle)
        if abs(goal - stood) > _GOAL_TOLERANCE:
            raise TorqueOnError(
                f"joint '{joint.name}': servo {joint.servo_id} stood at {stood} but wants to go to {goal} ticks; "
                "torque was switched off again"
            )
