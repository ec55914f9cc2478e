"""robot-calibrate check: does a calibration still hold on a short fresh log?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration.cli.fit import add_logs, loaded_logs
from calibration.cli.outputs import threads
from calibration.errors import CalibrationError
from robot_runtime.cli.common import Screen, UsageError

if TYPE_CHECKING:
    from calibration.cli.calibrate import Subparsers
    from calibration.judging.drift import Checked

_EPILOG = """examples:
  robot-calibrate check left.cal recordings/today              a fresh minute, or the twenty seconds of --joints
  robot-calibrate check rig.cal today.json --mapping mapping.toml

exit codes:
  0    it holds; whether it had been accepted is said too
  1    it does not: a number has changed, the rollouts are worse, or robot-run would refuse it here; what is listed
  2    wrong usage, a file that cannot be used, or logs that it cannot be judged by
       (those that it was fitted to are such, and those of another MJCF)
  130  interrupted"""


_NOTHING = {
    "HOLDS": "; no number{told} changed beyond noise",
    "DRIFTED": "; no number says why: look for play, a loose screw or a cable that pulls, then record and fit anew",
}
"""Verdict -> what is said where no number has changed."""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `check`."""
    parser = subparsers.add_parser(
        "check",
        help="tell drift from noise on a short fresh log",
        description="Simulate a fresh log with the calibration's numbers: as well as its own held-out data, or worse? "
        "What can drift is fitted anew, and what changed beyond noise is named.",
        epilog=_EPILOG,
    )
    parser.add_argument("calibration", type=Path, metavar="ARM.CAL", help="what robot-calibrate fit wrote")
    add_logs(parser)
    parser.add_argument("--threads", type=threads, default=2, metavar="N", help="threads that simulate (default: 2)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Check, and say what was found."""
    from calibration.judging.drift import Verdict, check  # noqa: PLC0415 (a page of help needs no arrays)
    from robot_runtime.calibrated.file import Calibration  # noqa: PLC0415

    calibration = Calibration.read(arguments.calibration)
    with screen.working("reading the logs", stages=True) as show:
        try:
            loaded, spec = loaded_logs(arguments)
            found = check(calibration, loaded, spec, threads=arguments.threads, progress=show)
        except CalibrationError as error:
            raise UsageError(f"it cannot be judged by this: {error}") from error  # an exit code of 1 means drift
    _say(found, screen)
    screen.line(_as_json(found))
    return 0 if found.verdict is Verdict.HOLDS else 1


def _say(found: Checked, screen: Screen) -> None:
    for text in found.differences:
        screen.say(f"not as calibrated, robot-run would refuse it: {text}")
    for text in found.not_used:
        screen.say(f"found: {text}")
    screen.say("half-second rollouts, mrad:   data files   calibrated   when it was made")
    for row in zip(found.joints, found.nominal, found.calibrated, found.then, strict=True):
        screen.say(f"  {row[0]:24} {row[1] * 1e3:12.2f} {row[2] * 1e3:12.2f} {row[3] * 1e3:12.2f}")
    for text in (*(c.text for c in found.changes), *found.surroundings):
        screen.say(f"  changed: {text}")
    if found.untold:
        zeros = ", ".join(found.untold)
        screen.say(f"  this log cannot tell the zero of {zeros}: a horn that slipped there would not show")
    screen.say(f"\n{found.verdict.value}{_why(found)}")
    if not found.accepted:
        screen.say("but it was NOT ACCEPTED when it was made, and robot-run will not take it: see its report")


def _why(found: Checked) -> str:
    """What else there is to say of a verdict."""
    if not found.changes:
        return _NOTHING.get(found.verdict.name, "").format(told=" that this log tells" if found.untold else "")
    return "; what has changed comes and goes with warmth" if found.verdict.name == "HOLDS" else ""


def _as_json(found: Checked) -> dict[str, Any]:
    return {
        "verdict": found.verdict.name.lower(),
        "accepted": found.accepted,
        "joints": list(found.joints),
        "error": {
            "nominal": found.nominal.tolist(),
            "calibrated": found.calibrated.tolist(),
            "then": found.then.tolist(),
        },
        "changes": [{k: getattr(c, k) for k in c.__slots__} for c in found.changes],
        "surroundings": list(found.surroundings),
        "differences": list(found.differences),
        "untold_zeros": list(found.untold),
        "not_used": list(found.not_used),
    }
