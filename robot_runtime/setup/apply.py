"""Writing changes into servos so that they can be taken back: the old values go into a file before the first write."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from robot_runtime.bus import Bus, CorruptReplyError, NoReplyError, ServoError
from robot_runtime.bus.scan import speaks
from robot_runtime.servos import Register, ServoModel, UnknownServoError, servo_model
from robot_runtime.servos.protocol import HIGHEST_ID, MODEL_NUMBER
from robot_runtime.setup.errors import RefusedError, UndoFileError
from robot_runtime.setup.plan import Change

_KIND, _VERSION = "robot-setup undo file", 1

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
        self.changes: list[Change] = []  # what the file holds
        self.begun: list[Change] = []  # what was written, or was being written when the run broke off
        self._command = command

    def add(self, changes: Iterable[Change]) -> None:
        """Note what is about to be written, and make sure that it is on the disk.

        Raises:
            UndoFileError: it cannot be written.
        """
        noted = [*self.changes, *changes]
        content = {"kind": _KIND, "version": _VERSION, "command": self._command}
        text = json.dumps({**content, "changes": [_to_json(c) for c in noted]}, indent=2)
        try:
            with self._fresh.open("w", encoding="utf-8") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            self._fresh.replace(self.path)
        except OSError as error:
            raise self._unwritable(error) from error
        self.changes = noted

    def check(self) -> None:
        """Make sure that the file can be written when it is needed, and leave nothing behind.

        Raises:
            UndoFileError: it cannot.
        """
        try:
            self._fresh.touch()
            self._fresh.unlink()
        except OSError as error:
            raise self._unwritable(error) from error

    def begin(self, change: Change) -> None:
        """Say that a change is written now."""
        self.begun.append(change)

    @property
    def _fresh(self) -> Path:
        return self.path.with_name(self.path.name + ".new")

    def _unwritable(self, error: OSError) -> UndoFileError:
        return UndoFileError(
            f"cannot write the undo file {self.path}: {error.strerror}; name another place with --undo-file"
        )


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
        log.begin(change)
        bus.write_verified(change.servo_id, change.register, change.after)


def require_torque_off(bus: Bus, servos: dict[int, ServoModel]) -> None:
    """Raises RefusedError when one of these servos holds torque, BusError when one does not answer."""
    holding = [i for i, model in servos.items() if bus.read(i, model.register("torque_enable"))]
    if holding:
        raise RefusedError(
            f"torque is on in servo {', '.join(map(str, holding))}, which locks these settings; "
            "support the arm and run 'robot-setup release'"
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
        UndoFileError: there is no such file, it is not an undo file, or an entry of it cannot have come from here.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UndoFileError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UndoFileError(f"{path} is not an undo file: {error}") from error
    if not isinstance(data, dict) or data.get("kind") != _KIND or data.get("version") != _VERSION:
        raise UndoFileError(f"{path} is not an undo file of this version")
    entries = data.get("changes")
    if not isinstance(entries, list):
        raise UndoFileError(f"{path} is not an undo file: it has no list of changes")
    found = []
    for number, entry in enumerate(entries, start=1):
        try:
            found.append(_from_json(entry))
        except (KeyError, TypeError, ValueError) as error:
            what = f"{error} is missing" if type(error) is KeyError else error
            raise UndoFileError(f"{path}: entry {number} cannot be understood: {what}") from error
    return tuple(found)


def undo(
    bus: Bus, changes: Sequence[Change], *, force: bool = False, tell: Callable[[Undone], None] | None = None
) -> tuple[Undone, ...]:
    """Take changes back, the last one first. Each one by itself: what cannot be taken back is skipped and said.

    A register that holds neither the old nor the new value was changed by somebody else: skipped unless `force`.
    `tell` is told of each as it is done. The port is left at the rate that it had.

    Raises:
        PortError: the port went away.
    """
    before = bus.port.baudrate
    results = []
    try:
        for change in reversed(changes):
            results.append(_take_back(bus, change, force=force))
            if tell is not None:
                tell(results[-1])
        return tuple(results)
    finally:
        bus.set_baudrate(before)


def _take_back(bus: Bus, change: Change, *, force: bool) -> Undone:
    for servo_id, baudrate in _places(change):
        bus.set_baudrate(baudrate)
        try:
            number = int.from_bytes(bus.read_bytes(servo_id, *MODEL_NUMBER), "little")
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
    """One entry. The file may have been edited: what a run cannot have written is not written now, either.

    Raises:
        KeyError: something is missing.
        TypeError, ValueError: something is not what it should be.
    """
    if not isinstance(entry, dict):
        raise TypeError("it is not an object")
    servo_id, baudrate, before, after = (_integer(entry, key) for key in ("servo", "baudrate", "before", "after"))
    try:
        model = servo_model(str(entry["model"]))
    except UnknownServoError as error:
        raise ValueError(str(error)) from error
    register = model.registers.get(str(entry["register"]))
    if register is None:
        raise ValueError(f"{model.name} has no register '{entry['register']}'")
    if not (register.writable and register.eeprom):
        raise ValueError(f"{register.name} is not a setting that set-up writes")
    if not 0 <= servo_id <= HIGHEST_ID:
        raise ValueError(f"servo {servo_id}: IDs go from 0 to {HIGHEST_ID}")
    if baudrate not in model.baudrates:
        raise ValueError(f"{model.name} does not do {baudrate} bit/s")
    highest = HIGHEST_ID if register.name == "id" else register.maximum
    for key, value in (("before", before), ("after", after)):
        if not register.minimum <= value <= highest:
            raise ValueError(f"{key}: {register.name} = {value} is outside {register.minimum}..{highest}")
        if register.name == "baud_rate" and value not in model.baudrates.values():
            raise ValueError(f"{key}: {model.name} has no baud rate number {value}")
    if before != {"id": servo_id, "baud_rate": model.baudrates[baudrate]}.get(register.name, before):
        raise ValueError(f"{register.name} was not {before} in a servo with ID {servo_id} at {baudrate} bit/s")
    return Change(servo_id, baudrate, model, register, before, after, "")


def _integer(entry: dict[str, Any], key: str) -> int:
    value = entry[key]
    if type(value) is not int:  # a bool is an int, too
        raise TypeError(f"{key} is not an integer: {value!r}")
    return value
