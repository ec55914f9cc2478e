"""Finding an arm's servos on the bus, and checking that they are the ones that its file describes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robot_runtime.arm.errors import FollowerError, ServoSettingError, WrongServoError
from robot_runtime.bus import Bus, BusError, GroupRead, GroupWrite, MissingServosError, PortSettingError, WrongBaudError
from robot_runtime.servos import ServoModel, UnknownServoError, servo_baudrates, servo_model_by_number
from robot_runtime.servos.protocol import (
    ANSWER_EVERYTHING,
    HIGHEST_ID,
    IDENTITY,
    REVERSED,
    SECONDARY_ID,
    TORQUE_AT_POWER_UP,
    TORQUE_BY_GOAL,
    decode_identity,
)
from robot_runtime.spec import ArmSpec, JointSpec

_PATIENCE, _PROBE_TIMES = 1.0, 3
"""s for a read of all identities, in which lost replies are asked for again; and how often."""

_BESIDE = (-1, 1, 2)
"""How far from the arm's IDs servos are looked for that obey them: makers number the servos of a joint in a row."""


@dataclass(frozen=True, slots=True)
class ServoOnBus:
    """One servo of the arm as it was found."""

    joint: JointSpec
    model: ServoModel  # as its firmware lays it out
    firmware: int


def identify(bus: Bus, spec: ArmSpec) -> tuple[ServoOnBus, ...]:
    """Find every servo of the arm, in joint order.

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
        answer_everything(bus, spec.joints)
        if missing := bus.read_group_patiently(group, _PATIENCE, _PROBE_TIMES):
            ids = [i for k, i in enumerate(spec.servo_ids) if missing >> k & 1]
            raise MissingServosError(ids, f"servos {ids} answer a ping but lose every group read; check the cable")
    servos = tuple(_check_model(joint, group.data(i)) for i, joint in enumerate(spec.joints))
    _require_no_followers(bus, spec)
    return servos


def _require_no_followers(bus: Bus, spec: ArmSpec) -> None:
    """Torque would come on in a servo that nobody watches."""
    near = sorted({i + away for i in spec.servo_ids for away in _BESIDE} - set(spec.servo_ids))
    for servo_id in near:
        if not 0 <= servo_id <= HIGHEST_ID or not _answers(bus, servo_id):
            continue
        obeys = int.from_bytes(bus.read_bytes(servo_id, *SECONDARY_ID), "little")
        for joint in spec.joints:
            if joint.servo_id == obeys:
                raise FollowerError(
                    f"servo {servo_id} obeys what is written to servo {obeys}, joint '{joint.name}' (Secondary ID): it "
                    "would switch its torque on unwatched, and the joint would be stronger than its limits. Joints "
                    "that two servos move are not supported; a servo that is there for nothing wants Secondary ID 255"
                )


def answers_fast_reads(bus: Bus, servos: tuple[ServoOnBus, ...]) -> bool:
    """Whether all servos take part in a Fast Sync Read: their firmware should, and a trial shows it."""
    if not all(s.model.has_fast_sync_read(s.firmware) for s in servos):
        return False
    group = GroupRead([s.joint.servo_id for s in servos], *IDENTITY, fast=True)
    return any(bus.try_group(group) == 0 for _ in range(_PROBE_TIMES))


def check_settings(bus: Bus, servos: tuple[ServoOnBus, ...]) -> None:
    """Settings that would make every angle wrong, or switch torque on when nobody asked for it.

    Raises:
        ServoSettingError: drive mode, startup configuration or homing offset cannot be left as they are.
        BusError: a servo does not answer.
    """
    for servo in servos:
        joint = servo.joint
        where = f"joint '{joint.name}' (servo {joint.servo_id})"
        drive_mode = bus.read(joint.servo_id, servo.model.register("drive_mode"))
        if drive_mode & REVERSED:
            raise ServoSettingError(
                f"{where}: Drive Mode is reversed, the arm file's signs assume it is not; run 'robot-setup arm'"
            )
        if drive_mode & TORQUE_BY_GOAL:
            raise ServoSettingError(
                f"{where}: Drive Mode lets any goal switch torque on (bit 3); run 'robot-setup arm' to clear it"
            )
        startup = servo.model.registers.get("startup_configuration")
        if startup is not None and bus.read(joint.servo_id, startup) & TORQUE_AT_POWER_UP:
            raise ServoSettingError(
                f"{where}: Startup Configuration switches torque on at power-up; run 'robot-setup arm' to clear it"
            )
        offset = bus.read(joint.servo_id, servo.model.register("homing_offset"))
        if offset != joint.homing_offset:
            raise ServoSettingError(
                f"{where}: Homing Offset is {offset} ticks, the arm file was zeroed with {joint.homing_offset}; "
                "run 'robot-setup zero', or set it back"
            )


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
    names = ", ".join(f"{j.name} (servo {j.servo_id})" for j in spec.joints if j.servo_id in missing)
    if found:
        places = "; ".join(f"{list(ids)} at {rate} bit/s" for rate, ids in found.items())
        return WrongBaudError(
            missing,
            found,
            f"no answer at {asked} bit/s from {names}, but {places}; run 'robot-setup baud', or set baudrate in "
            f"{spec.path.name}",
        )
    everyone = len(missing) == len(spec.joints)
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
