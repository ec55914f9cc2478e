"""What `record` was asked when a recording began, and whether who goes on with it asks for something else."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from robot_runtime.cli.common import UsageError

if TYPE_CHECKING:
    from calibration.recording.record import Recording

PLANNED: Mapping[str, Any] = {
    "level": "quick",
    "joints": None,
    "one_by_one": False,
    "gains": None,
    "payload": 0.0,
    "policy": None,
    "rate": 200.0,
    "seed": 0,
}
"""Options that the motion is planned from, and what stands for one that is not given."""


def asked(arguments: argparse.Namespace) -> dict[str, Any]:
    """Those options, for a plan."""
    given = {key: getattr(arguments, key) for key in PLANNED}
    return {key: PLANNED[key] if value is None else value for key, value in given.items()}


def as_noted(asked: Mapping[str, Any]) -> dict[str, Any]:
    """For `recording.json`."""
    return {**asked, "policy": None if asked["policy"] is None else str(asked["policy"])}


def go_on(arguments: argparse.Namespace, recording: Recording) -> None:
    """Refuse what it was not begun with; settle what is open until the first flight: where it is flown, and the name.

    Raises:
        UsageError: an option contradicts the recording.
    """
    where, notes = recording.folder, recording.notes
    if arguments.out not in (None, arguments.resume):
        raise UsageError("--resume goes on in the folder that it names: leave --out out")
    plan = recording.excitation
    known = {"level": plan.level, "rate": round(1.0 / plan.period, 6), "payload": max(plan.loads.values(), default=0.0)}
    known |= notes.get("asked", {})
    for key, value in as_noted({key: getattr(arguments, key) for key in PLANNED}).items():
        option = f"--{'no-' if value is False else ''}{key.replace('_', '-')}"
        if value is None:
            continue
        if key not in known:
            raise UsageError(f"{where} is planned already, and does not say with which {option}: leave {option} out")
        if value != known[key]:
            raise _begun(where, option, known[key])
    _name(arguments, recording)
    _place(arguments, recording)


def _name(arguments: argparse.Namespace, recording: Recording) -> None:
    begun = recording.notes.get("name")
    if arguments.name and arguments.name != begun and (begun or (begun is not None and recording.flown)):
        raise _begun(recording.folder, "--name", begun)
    if arguments.name:
        recording.note(name=arguments.name)


def _place(arguments: argparse.Namespace, recording: Recording) -> None:
    """Half of an arm and half of its twin, or of another twin, would be fitted as one."""
    where, begun = recording.folder, recording.notes.get("gap", "none")
    if not recording.flown:
        recording.note(gap="" if arguments.port else arguments.gap or begun or "none")
    elif arguments.port and begun:
        raise UsageError(f"{where} was begun on the twin: leave --port out")
    elif not begun and not arguments.port:
        raise UsageError(f"{where} was begun on an arm, not on its twin: give its --port")
    elif arguments.gap and arguments.gap != begun:
        raise _begun(where, "--gap", begun)


def _begun(where: object, option: str, value: object) -> UsageError:
    if value is None or value is False or value == "":
        how = f"without {option}"
    else:
        how = f"with {option}" if value is True else f"with {option} {value}"
    return UsageError(f"{where} was begun {how}: leave {option} out")
