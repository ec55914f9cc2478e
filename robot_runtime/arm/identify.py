"""Finding an arm's servos on the bus, and checking that they are the ones that its file describes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robot_runtime.arm.errors import ServoSettingError, WrongServoError
from robot_runtime.arm.followers import require_no_followers
from robot_runtime.bus import Bus, BusError, GroupRead, GroupWrite, MissingServosError, PortSettingError, WrongBaudError
from robot_runtime.servos import Register, ServoModel, UnknownServoError, servo_baudrates, servo_model_by_number
from robot_runtime.servos.protocol import (
    ANSWER_EVERYTHING,
    HIGHEST_ID,
    IDENTITY,
    REVERSED,
    TORQUE_AT_POWER_UP,
    TORQUE_BY_GOAL,
    decode_identity,
)
from robot_runtime.spec import ArmSpec, JointSpec

_PATIENCE, _PROBE_TIMES = 1.0, 3
"""s for a read of all identities, in which lost replies are asked for again; and how often."""


@dataclass(frozen=True, slots=True)
class ServoOnBus:
    """One servo of the arm as it was found."""

    joint: JointSpec
    model: ServoModel  # as its firmware lays it out
    firmware: int


def identify(bus: Bus, spec: ArmSpec) -> tuple[ServoOnBus, ...]:
    """Find every servo of the arm, in the order of the spec's.

    Raises:
        MissingServosError: some do not answer, at any baud rate.
        WrongBaudError: they answer at another baud rate than the arm file's.
        WrongServoError: a servo is another model than the arm file says.
        FollowerError: a servo beside the arm's obeys what one of them is told.
    """
    group = GroupRead(spec.servo_ids, *IDENTITY, fast=False)
    missing = bus.read_group_patiently(group, _PATIENCE, _PROBE_TIMES)
    if missing:
        silent = [i for k, i in enumerate(spec.servo_ids) if missing >> k & 1 and not _answers(bus, i, _PROBE_TIMES)]
        if silent:
            raise _explain_missing(bus, spec, silent)
        answer_everything(bus, spec.servos)
        if missing := bus.read_group_patiently(group, _PATIENCE, _PROBE_TIMES):
            ids = [i for k, i in enumerate(spec.servo_ids) if missing >> k & 1]
            raise MissingServosError(ids, f"servos {ids} answer a ping but lose every group read; check the cable")
    servos = tuple(_check_model(joint, group.data(i)) for i, joint in enumerate(spec.servos))
    require_no_followers(bus, spec)
    return servos


def answers_fast_reads(bus: Bus, servos: tuple[ServoOnBus, ...]) -> bool:
    """Whether all servos take part in a Fast Sync Read: their firmware should, and a trial shows it."""
    if not all(s.model.has_fast_sync_read(s.firmware) for s in servos):
        return False
    group = GroupRead([s.joint.servo_id for s in servos], *IDENTITY, fast=True)
    return any(bus.try_group(group) == 0 for _ in range(_PROBE_TIMES))


def check_settings(bus: Bus, servos: tuple[ServoOnBus, ...]) -> None:
    """Settings that would make every angle wrong, or switch torque on when nobody asked for it.

    Raises:
        ServoSettingError: drive mode, secondary ID, startup configuration or homing offset cannot be left as they are.
        MissingServosError: a servo does not answer any more.
    """
    modes, obeyed, startups, offsets = (
        everywhere(bus, servos, name)
        for name in ("drive_mode", "secondary_id", "startup_configuration", "homing_offset")
    )
    for servo in servos:
        joint, me = servo.joint, servo.joint.servo_id
        where = f"joint '{joint.name}' (servo {me})"
        if modes[me] & REVERSED:
            raise ServoSettingError(
                f"{where}: Drive Mode is reversed, the arm file's signs assume it is not; run 'robot-setup arm'"
            )
        if modes[me] & TORQUE_BY_GOAL:
            raise ServoSettingError(
                f"{where}: Drive Mode lets any goal switch torque on (bit 3); run 'robot-setup arm' to clear it"
            )
        if obeyed[me] <= HIGHEST_ID and obeyed[me] != me:
            raise ServoSettingError(
                f"{where}: Secondary ID is {obeyed[me]}, so it obeys what is written to that servo, too; run "
                "'robot-setup arm' to clear it"
            )
        if startups.get(me, 0) & TORQUE_AT_POWER_UP:
            raise ServoSettingError(
                f"{where}: Startup Configuration switches torque on at power-up; run 'robot-setup arm' to clear it"
            )
        if offsets[me] != joint.homing_offset:
            raise ServoSettingError(
                f"{where}: Homing Offset is {offsets[me]} ticks, the arm file was zeroed with {joint.homing_offset}; "
                "run 'robot-setup zero', or set it back"
            )


def everywhere(bus: Bus, servos: Sequence[ServoOnBus], name: str) -> dict[int, int]:
    """A register of all servos that have it (ticks, by ID): one request for all whose models put it in one place.

    Raises:
        MissingServosError: a servo does not answer any more.
    """
    places: dict[Register, list[int]] = {}
    for servo in servos:
        if (register := servo.model.registers.get(name)) is not None:
            places.setdefault(register, []).append(servo.joint.servo_id)
    values: dict[int, int] = {}
    for register, ids in places.items():
        group = GroupRead(ids, register.address, register.size, fast=False)
        if missing := bus.read_group_patiently(group, _PATIENCE, _PROBE_TIMES):
            lost = [i for k, i in enumerate(ids) if missing >> k & 1]
            raise MissingServosError(lost, f"servos {lost} were found, and do not answer any more; check the cable")
        values |= {i: register.decode(group.data(k)) for k, i in enumerate(ids)}
    return values


def answer_everything(bus: Bus, joints: Sequence[JointSpec]) -> None:
    """Broadcast that reads and writes are to be answered: below that level, writes at least are not confirmed."""
    levels = GroupWrite([(j.servo_id, j.servo.register("status_return_level")) for j in joints])
    bus.write_group(levels, [ANSWER_EVERYTHING] * len(joints))


def _check_model(joint: JointSpec, data: bytes) -> ServoOnBus:
    number, firmware = decode_identity(data)
    if number != joint.servo.number:
        try:
            found = servo_model_by_number(number).name
        except UnknownServoError:
            found = f"an unknown model (number {number})"
        raise WrongServoError(
            f"joint '{joint.name}': servo {joint.servo_id} is {found}, the arm file says {joint.servo.name}; "
            "are two IDs swapped, or is this another arm?"
        )
    return ServoOnBus(joint, joint.servo.for_firmware(firmware), firmware)


def _explain_missing(bus: Bus, spec: ArmSpec, missing: list[int]) -> MissingServosError:
    asked = bus.port.baudrate
    found = find_baudrates(bus, missing, skip=asked)
    names = ", ".join(f"{j.name} (servo {j.servo_id})" for j in spec.servos if j.servo_id in missing)
    if found:
        places = "; ".join(f"{list(ids)} at {rate} bit/s" for rate, ids in found.items())
        return WrongBaudError(
            missing,
            found,
            f"no answer at {asked} bit/s from {names}, but {places}; run 'robot-setup baud', or set baudrate in "
            f"{spec.path.name}",
        )
    everyone = len(missing) == len(spec.servos)
    advice = "is the arm powered, is this its port?" if everyone else "check the cable in front of the first of them"
    return MissingServosError(missing, f"no answer from {names} at any baud rate; {advice}")


def find_baudrates(bus: Bus, ids: list[int], skip: int) -> dict[int, tuple[int, ...]]:
    """At which other baud rates any of these servos answer. Leaves the port at the rate that it had."""
    rates = [rate for rate in servo_baudrates() if rate != skip]
    found: dict[int, tuple[int, ...]] = {}
    before = bus.port.baudrate
    try:
        for rate in rates:
            try:
                bus.set_baudrate(rate)
            except PortSettingError:
                continue  # the adapter does not do it, so nobody was ever heard there
            answering = tuple(i for i in ids if _answers(bus, i))
            if answering:
                found[rate] = answering
    finally:
        bus.set_baudrate(before)
    return found


def _answers(bus: Bus, servo_id: int, tries: int = 1) -> bool:
    try:
        bus.ping(servo_id, tries)
    except BusError as error:
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            raise  # the port itself, not the servo
        return False
    return True
