"""Giving one servo its ID and baud rate, and a whole arm another baud rate.

Power may fail between any two writes: the ID comes first, at the old rate, then the rate. A servo that was left
half-way is found by a scan, and the same command finishes the work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from robot_runtime.bus import Bus, NoReplyError, PortSettingError, ServoError, VerifyError
from robot_runtime.bus.scan import FoundServo, Progress, scan, speaks
from robot_runtime.servos import ServoModel
from robot_runtime.setup.apply import UndoLog, require_torque_off, write_identity
from robot_runtime.setup.errors import NoServoError, WhichServoError
from robot_runtime.setup.plan import Change

_TRIES = 3
"""Times that a servo is looked for at its new place; one lost packet is no reason to give up."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a servo answers."""

    servo_id: int
    baudrate: int  # bit/s

    def __str__(self) -> str:
        """As people say it."""
        return f"ID {self.servo_id} at {self.baudrate} bit/s"


def the_one_servo(
    bus: Bus,
    baudrates: Sequence[int],
    *,
    settled: Iterable[Place] = (),
    servo_id: int | None = None,
    progress: Progress | None = None,
) -> FoundServo:
    """The only servo on the bus besides the settled ones; with `servo_id`, the only one of that ID.

    Raises:
        NoServoError: there is none.
        WhichServoError: there are several, or several share an ID.
    """
    known = set(settled)
    servos = [s for s in scan(bus, baudrates, progress).servos if Place(s.servo_id, s.baudrate) not in known]
    if servo_id is not None:
        servos = [s for s in servos if s.servo_id == servo_id]
    if shared := [s for s in servos if s.shared]:
        raise WhichServoError(
            f"several servos share ID {shared[0].servo_id} at {shared[0].baudrate} bit/s; connect one at a time"
        )
    if not servos:
        who = "no servo" if servo_id is None else f"no servo with ID {servo_id}"
        raise NoServoError(f"{who} answers at {', '.join(map(str, baudrates))} bit/s; check cable and power")
    if len(servos) > 1:
        listed = "; ".join(f"{_name(s)}, ID {s.servo_id} at {s.baudrate} bit/s" for s in servos)
        raise WhichServoError(
            f"{len(servos)} servos could be meant ({listed}); connect one at a time, or say --from ID"
        )
    return servos[0]


def locate(bus: Bus, servo_ids: Iterable[int], baudrates: Sequence[int]) -> dict[Place, int]:
    """Where servos with these IDs answer, and their model numbers. The port is left at the rate that it had.

    Raises:
        NoServoError: one of them answers at none of these rates.
    """
    before = bus.port.baudrate
    missing, found = list(servo_ids), {}
    try:
        for rate in baudrates:
            try:
                bus.set_baudrate(rate)
            except PortSettingError:
                continue  # the adapter does not do it, so nobody was ever heard there
            for servo_id in list(missing):
                try:
                    found[Place(servo_id, rate)] = bus.ping(servo_id).model_number
                    missing.remove(servo_id)
                except NoReplyError:
                    continue
            if not missing:
                return found
    finally:
        bus.set_baudrate(before)
    listed, rates = ", ".join(map(str, missing)), ", ".join(map(str, baudrates))
    raise NoServoError(f"no answer from ID {listed} at {rates} bit/s; check cable and power")


def identity_changes(servo: FoundServo, target: Place) -> tuple[Change, ...]:
    """What has to be written to bring a servo to its place, in order.

    Raises:
        WhichServoError: the model is unknown, or does not do that baud rate.
    """
    model = _known(servo.model, servo)
    if target.baudrate not in model.baudrates:
        raise WhichServoError(f"{model.name} does not do {target.baudrate} bit/s; it does {list(model.baudrates)}")
    found = []
    if servo.servo_id != target.servo_id:
        register = model.register("id")
        found.append(Change(servo.servo_id, servo.baudrate, model, register, servo.servo_id, target.servo_id, "its ID"))
    if servo.baudrate != target.baudrate:
        codes = model.baudrates[servo.baudrate], model.baudrates[target.baudrate]
        register = model.register("baud_rate")
        found.append(Change(target.servo_id, servo.baudrate, model, register, *codes, f"{target.baudrate} bit/s"))
    return tuple(found)


def assign(bus: Bus, servo: FoundServo, target: Place, log: UndoLog) -> None:
    """Give a servo its ID and baud rate, and look that it answers there. The port is at the new rate afterwards.

    Raises:
        WhichServoError: another servo answers at the target already; nothing was written.
        RefusedError: the servo holds torque; nothing was written.
        PortSettingError: the adapter does not do that baud rate; nothing was written.
        ServoError: the servo refuses, or is not where it should be; the message says how to find it.
    """
    todo = identity_changes(servo, target)
    bus.set_baudrate(target.baudrate)
    bus.set_baudrate(servo.baudrate)
    require_torque_off(bus, {servo.servo_id: _known(servo.model, servo)})
    _require_free(bus, servo, target)
    if not todo:
        bus.set_baudrate(target.baudrate)
        return
    log.add(todo)
    for change in todo:
        log.begin(change)
        write_identity(bus, change.servo_id, change.register, change.after)
        arrived = Place(target.servo_id, target.baudrate if change.register.name == "baud_rate" else servo.baudrate)
        require_answer(bus, arrived, change)


def change_baudrate(bus: Bus, servos: Mapping[Place, ServoModel], baudrate: int, log: UndoLog) -> None:
    """Bring servos from wherever they answer to another rate. The port is at the new rate afterwards.

    Everything that can be known is looked at before the first write, in all of them.

    Raises:
        WhichServoError: a model does not do that rate; nothing was written.
        RefusedError: a servo holds torque; nothing was written.
        PortSettingError: the adapter does not do that rate; nothing was written.
        UndoFileError: the undo file cannot be written; nothing was written.
        ServoError: a servo refuses or gets lost; those before it are at the new rate. Run it again.
    """
    before = bus.port.baudrate
    for model in servos.values():
        if baudrate not in model.baudrates:
            raise WhichServoError(f"{model.name} does not do {baudrate} bit/s; it does {list(model.baudrates)}")
    bus.set_baudrate(baudrate)
    bus.set_baudrate(before)
    for rate in dict.fromkeys(place.baudrate for place in servos):
        bus.set_baudrate(rate)
        require_torque_off(bus, {place.servo_id: model for place, model in servos.items() if place.baudrate == rate})
    todo = baudrate_changes(servos, baudrate)
    log.add(todo)
    bus.set_baudrate(baudrate)
    for change in todo:
        bus.set_baudrate(change.baudrate)
        log.begin(change)
        write_identity(bus, change.servo_id, change.register, change.after)
        require_answer(bus, Place(change.servo_id, baudrate), change)


def baudrate_changes(servos: Mapping[Place, ServoModel], baudrate: int) -> tuple[Change, ...]:
    """What has to be written to bring servos to a rate that their models do."""
    return tuple(
        Change(
            place.servo_id,
            place.baudrate,
            model,
            model.register("baud_rate"),
            model.baudrates[place.baudrate],
            model.baudrates[baudrate],
            f"{baudrate} bit/s",
        )
        for place, model in servos.items()
        if place.baudrate != baudrate
    )


def _require_free(bus: Bus, servo: FoundServo, target: Place) -> None:
    """Nobody else may answer where this servo goes, nor on its way there."""
    here = Place(servo.servo_id, servo.baudrate)
    for place in dict.fromkeys((Place(target.servo_id, servo.baudrate), target)):
        if place == here:
            continue
        bus.set_baudrate(place.baudrate)
        taken = speaks(bus, place.servo_id)
        bus.set_baudrate(servo.baudrate)
        if taken:
            raise WhichServoError(f"another servo answers as {place} already; unplug it, or choose another ID")


def require_answer(bus: Bus, place: Place, change: Change) -> None:
    """Look that a servo answers where it should be now. Raises VerifyError."""
    bus.set_baudrate(place.baudrate)
    for attempt in range(1, _TRIES + 1):
        try:
            if bus.read(place.servo_id, change.register) == change.after:
                return
        except ServoError:
            if attempt < _TRIES:
                continue
    raise VerifyError(
        place.servo_id,
        f"the servo does not answer as {place} after its {change.register.name} was written; power-cycle it, find it "
        "with 'robot-scan', and run this command again",
    )


def _known(model: ServoModel | None, servo: FoundServo) -> ServoModel:
    if model is None:
        raise WhichServoError(
            f"ID {servo.servo_id} is an unknown model (number {servo.model_number}); docs/servos.md says how to add one"
        )
    return model


def _name(servo: FoundServo) -> str:
    return servo.model.name if servo.model else f"unknown model {servo.model_number}"
