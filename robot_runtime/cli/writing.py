"""What the subcommands of robot-setup share: changes as a table, written with an undo file, and told of in the end."""

from __future__ import annotations

import argparse
import itertools
import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from robot_runtime.bus import Bus, VerifyError
from robot_runtime.bus.scan import read_registers
from robot_runtime.cli.common import Screen, count
from robot_runtime.servos import ServoModel
from robot_runtime.setup.apply import UndoLog, apply
from robot_runtime.setup.arm_file import Draft
from robot_runtime.setup.plan import Change, Wanted, changes
from robot_runtime.spec import ArmSpec, load_arm

_LISTED = 4
"""Changes that are told one by one; more are counted."""


def load_own_arm(args: argparse.Namespace, screen: Screen) -> ArmSpec:
    """The arm of `--arm`, zeroed or not; says which file that is. Raises ArmSpecError."""
    spec = load_arm(args.arm, zeroed=False)
    screen.say(f"Arm file: {spec.path}")
    return spec


def own_folder(args: argparse.Namespace, spec: ArmSpec) -> Path | None:
    """Where a changed arm file goes: in place for one's own, a copy in the working directory for a shipped arm."""
    if args.out is not None:
        return Path(args.out)
    file = spec.path.resolve()
    shipped = Path(str(resources.files("models") / "arms")).resolve()
    return Path(file.parent.name) if file.is_relative_to(shipped) else None


class Record:
    """What one run has written, for its end, whichever that is."""

    def __init__(self, log: UndoLog, screen: Screen) -> None:
        """From now on a run that breaks off says what it has written."""
        self.log = log
        self._files: list[str] = []
        screen.aftermath = lambda: (self._text(), self.json())

    def put(self, ready: Draft) -> ArmSpec:
        """Put an arm file in its place. Raises OSError."""
        spec = ready.put()
        self._files.append(f"{ready.path}" + (f" (before: {ready.backup})" if ready.backup else ""))
        return spec

    @property
    def undo_command(self) -> str:
        """What takes the servos back."""
        return f"robot-setup undo {shlex.quote(str(self.log.path))}"

    def json(self) -> dict[str, Any]:
        """The keys that every subcommand which writes has."""
        return {
            "changes": [change_json(c) for c in self.log.begun],
            "written": bool(self.log.begun or self._files),
            "undo_file": str(self.log.path) if self.log.changes else None,
        }

    def _text(self) -> str:
        begun = self.log.begun
        told = list(self._files)
        if len(begun) <= _LISTED:
            told += [f"servo {c.servo_id} {c.register.name} {c.before} -> {c.after}" for c in begun]
        else:
            told.append(f"{count(len(begun), 'setting')} in {count(len({c.servo_id for c in begun}), 'servo')}")
        if not told:
            return "Nothing was written."
        return f"Written until then: {'; '.join(told)}." + (f" To take it back: {self.undo_command}" if begun else "")


def record(args: argparse.Namespace, screen: Screen) -> Record:
    """The record of this run, with its undo file. Raises UndoFileError."""
    return Record(_undo_log(args), screen)


def _undo_log(args: argparse.Namespace) -> UndoLog:
    if args.undo_file is not None:
        path = Path(args.undo_file)
    else:
        stem = f"robot-setup-undo-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        names = (Path(f"{stem}{'' if n == 1 else f'-{n}'}.json") for n in itertools.count(1))
        path = next(name for name in names if not name.exists())
    return UndoLog(path, f"robot-setup {args.subcommand}")


def differences(bus: Bus, servo_id: int, model: ServoModel, want: Mapping[str, Wanted]) -> tuple[Change, ...]:
    """What one servo holds otherwise than it should. Raises ServoError."""
    return changes(servo_id, bus.port.baudrate, model, read_registers(bus, servo_id, model), want)


def write(bus: Bus, found: Sequence[Change], again: Callable[[], Sequence[Change]], log: UndoLog) -> None:
    """Write changes that were agreed to; `again` looks for differences once more when all is written.

    Raises:
        RefusedError: torque is on; nothing was written.
        ServoError: a servo does not answer, refuses, or holds something else in the end.
    """
    apply(bus, found, log)
    for change in again():
        raise VerifyError(
            change.servo_id,
            f"servo {change.servo_id}: {change.register.name} was set to {change.after}, but reads {change.before} "
            "after the other settings were written; run the command again",
        )


def show_changes(found: Sequence[Change], names: Mapping[int, str], screen: Screen) -> None:
    """The table of differences."""
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("ID", justify="right")
    table.add_column("joint")
    table.add_column("register")
    table.add_column("is", justify="right")
    table.add_column("becomes", justify="right")
    table.add_column("why")
    for change in found:
        values = str(change.before), str(change.after)
        register = change.register.name.replace("_", " ")
        table.add_row(str(change.servo_id), names.get(change.servo_id, ""), register, *values, change.why)
    screen.out.print(table)


def change_json(change: Change) -> dict[str, Any]:
    """One change for a machine."""
    return {
        "servo": change.servo_id,
        "register": change.register.name,
        "before": change.before,
        "after": change.after,
        "why": change.why,
    }
