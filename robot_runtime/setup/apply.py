"""Writing changes into servos so that they can be taken back: the old values go into a file before the first write."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from robot_runtime.bus import Bus, CorruptReplyError, NoReplyError, ServoError
from robot_runtime.bus.scan import speaks
from robot_runtime.servos import Register, ServoModel, servo_model
from robot_runtime.setup.errors import RefusedError, UndoFileError
from robot_runtime.setup.plan import Change

_KIND, _VERSION = "robot-setup undo file", 1
_MODEL_NUMBER = (0, 2)
"""Address and bytes of the model number. All Protocol 2.0 servos."""

IDENTITY_REGISTERS = ("id", "baud_rate")


class UndoLog:
    """The undo file of one run. It grows before every write, so that it is complete whatever happens next."""

    def __init__(self, path: Path, command: str) -> None:
        """Nothing is written yet.

        Raises:
            UndoFileError: the file exists already.
        """
        if path.exists():
            raise UndoFileError(f"{path} exists already and would be lost; name another with --undo-file")
        self.path = path
        self.changes: list[Change] = []
        self._command = command

    def add(self, changes: Iterable[Change]) -> None:
        """Note what is about to be written, and make sure that it is on the disk.

        Raises:
            UndoFileError: it cannot be written.
        """
        self.changes += changes
        content = {"kind": _KIND, "version": _VERSION, "command": self._command}
        text = json.dumps({**content, "changes": [_to_json(c) for c in self.changes]}, indent=2)
        fresh = self.path.with_name(self.path.name + ".new")
        try:
            with fresh.open("w", encoding="utf-8") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        except OSError as error:
            raise UndoFileError(
                f"cannot write the undo file {self.path}: {error.strerror}; nothing was written"
            ) from error


def apply(bus: Bus, changes: Sequence[Change], log: UndoLog) -> None:
    """Write changes that leave ID and baud rate alone, each read back. The port is at the servos' baud rate.

    Raises:
        RefusedError: a servo holds torque, which locks its EEPROM; nothing was written.
        UndoFileError: the undo file cannot be written; nothing was written.
        BusError: a servo does not answer or refuses; what was written until then is in the undo file.
    """
    require_torque_off(bus, {change.servo_id: change.model for change in changes})
    log.add(changes)
    for change in changes:
        bus.write_verified(change.servo_id, change.register, change.after)


def require_torque_off(bus: Bus, servos: dict[int, ServoModel]) -> None:
    """Raises RefusedError when one of these servos holds torque, BusError when one does not answer."""
    holding = [i for i, model in servos.items() if bus.read(i, model.register("torque_enable"))]
    if holding:
        raise RefusedError(
            f"torque is on in servo {', '.join(map(str, holding))}, which locks these settings; "
            "support the arm and run 'robot-setup release'. Nothing was written"
        )


class Outcome(StrEnum):
    """What became of one change that was to be taken back."""

    RESTORED = "restored"
    ALREADY = "already as before"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Undone:
    """One change, and what became of it."""

    change: Change
    outcome: Outcome
    reason: str = ""


def load_undo(path: Path) -> tuple[Change, ...]:
    """The changes that an undo file holds, in the order in which they were made.

    Raises:
        UndoFileError: there is no such file, or it is not an undo file.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UndoFileError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UndoFileError(f"{path} is not an undo file: {error}") from error
    if not isinstance(data, dict) or data.get("kind") != _KIND or data.get("version") != _VERSION:
        raise UndoFileError(f"{path} is not an undo file of this version")
    try:
        return tuple(_from_json(entry) for entry in data["changes"])
    except (KeyError, TypeError, ValueError) as error:
        raise UndoFileError(f"{path}: an entry cannot be understood: {error}") from error


def undo(bus: Bus, changes: Sequence[Change], *, force: bool = False) -> tuple[Undone, ...]:
    """Take changes back, the last one first. Each one by itself: what cannot be taken back is skipped and said.

    A register that holds neither the old nor the new value was changed by somebody else: skipped unless `force`.
    The port is left at the rate that it had.

    Raises:
        PortError: the port went away.
    """
    before = bus.port.baudrate
    try:
        return tuple(_take_back(bus, change, force=force) for change in reversed(changes))
    finally:
        bus.set_baudrate(before)


def _take_back(bus: Bus, change: Change, *, force: bool) -> Undone:
    for servo_id, baudrate in _places(change):
        bus.set_baudrate(baudrate)
        try:
            number = int.from_bytes(bus.read_bytes(servo_id, *_MODEL_NUMBER), "little")
            value = bus.read(servo_id, change.register)
        except ServoError:
            continue
        if number != change.model.number:
            reason = f"servo {servo_id} is not a {change.model.name} any more"
            return Undone(change, Outcome.SKIPPED, reason)
        if value == change.before:
            return Undone(change, Outcome.ALREADY)
        if value != change.after and not force:
            return Undone(change, Outcome.SKIPPED, f"holds {value}, which somebody else has written")
        try:
            return _restore(bus, servo_id, change)
        except ServoError as error:
            return Undone(change, Outcome.SKIPPED, str(error))
    return Undone(change, Outcome.SKIPPED, f"servo {change.servo_id} does not answer")


def _places(change: Change) -> list[tuple[int, int]]:
    """Where the servo is now: behind the change, or where it was before."""
    old = (change.servo_id, change.baudrate)
    if change.register.name == "id":
        return [(change.after, change.baudrate), old]
    if change.register.name == "baud_rate":
        return [(change.servo_id, _rate(change.model, change.after)), old]
    return [old]


def _restore(bus: Bus, servo_id: int, change: Change) -> Undone:
    register = change.register
    if register.name not in IDENTITY_REGISTERS:
        bus.write_verified(servo_id, register, change.before)
        return Undone(change, Outcome.RESTORED)
    now = bus.port.baudrate
    bus.set_baudrate(change.baudrate)
    if speaks(bus, change.servo_id):
        reason = f"another servo has ID {change.servo_id} at {change.baudrate} bit/s; connect this one alone"
        return Undone(change, Outcome.SKIPPED, reason)
    bus.set_baudrate(now)
    write_identity(bus, servo_id, register, change.before)
    bus.set_baudrate(change.baudrate)
    bus.read(change.servo_id, register)  # it answers where it was before
    return Undone(change, Outcome.RESTORED)


def write_identity(bus: Bus, servo_id: int, register: Register, value: int) -> None:
    """Write an ID or a baud rate. Whether the servo confirms before or after it has changed over is the firmware's to
    decide: the caller looks whether it answers where it should be now.

    Raises:
        ServoRefusedError: the servo will not; most often because torque is on.
    """
    try:
        bus.write(servo_id, register, value)
    except (NoReplyError, CorruptReplyError):
        return


def _rate(model: ServoModel, value: int) -> int:
    return next(rate for rate, number in model.baudrates.items() if number == value)


def _to_json(change: Change) -> dict[str, Any]:
    return {
        "servo": change.servo_id,
        "baudrate": change.baudrate,
        "model": change.model.name,
        "register": change.register.name,
        "before": change.before,
        "after": change.after,
    }


def _from_json(entry: dict[str, Any]) -> Change:
    model = servo_model(str(entry["model"]))
    register = model.register(str(entry["register"]))
    numbers = [int(entry[key]) for key in ("servo", "baudrate", "before", "after")]
    return Change(numbers[0], numbers[1], model, register, numbers[2], numbers[3], "")
