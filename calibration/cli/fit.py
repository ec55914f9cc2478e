"""robot-calibrate fit: logs -> arm.cal, and whether it may be used."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration.cli.outputs import arm_name, is_calibration, is_page, require_free, threads
from robot_runtime.cli.common import Screen

if TYPE_CHECKING:
    from calibration.cli.calibrate import Subparsers
    from calibration.pipeline import Result

REFUSED = 1

_EPILOG = """examples:
  robot-calibrate fit recordings/koch-v1.1_2025-06-01 --out left.cal --name 'my left arm'
  robot-calibrate fit flight-01.mcap flight-02.mcap --out arm.cal
  robot-calibrate fit logs/*.json --mapping mapping.toml --out rig.cal       logs that somebody else made

exit codes:
  0    accepted: robot-run --calibration takes it
  1    refused: the logs cannot be fitted, or what was fitted does not hold (it is written all the same, marked)
  2    wrong usage, or a file that cannot be used
  130  interrupted: nothing was written"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `fit`."""
    parser = subparsers.add_parser(
        "fit",
        help="fit the maps to recorded logs, and judge them on what was held out",
        description="Fit an arm's physics and the two maps around its policies to recorded logs, judge them on logs or "
        "segments that the fit did not see, and write arm.cal. Takes minutes.",
        epilog=_EPILOG,
    )
    add_logs(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("arm.cal"), metavar="FILE", help="what to write (default: arm.cal)"
    )
    parser.add_argument(
        "--name", type=arm_name, default="", help="what you call this very arm; servos carry no serial number"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="also write a page about it there (HTML)")
    parser.add_argument("--threads", type=threads, default=2, metavar="N", help="threads that simulate (default: 2)")
    parser.set_defaults(run=run)


def add_logs(parser: argparse.ArgumentParser) -> None:
    """What `fit` and `check` take alike."""
    add = parser.add_argument
    add("logs", nargs="+", type=Path, metavar="LOG", help="a recording (its folder), a flight (.mcap), a CSV or a JSON")
    add("--arm", metavar="NAME|PATH", help="the arm (default: the one that the flights or the mapping name)")
    add(
        "--mapping",
        type=Path,
        metavar="FILE",
        help="what the columns of CSV and JSON logs are (TOML; docs/calibration.md)",
    )
    add("--partial", action="store_true", help="take a recording of which segments are missing")


def loaded_logs(arguments: argparse.Namespace) -> tuple[Any, Any]:
    """The logs that the command line names, and their arm."""
    from calibration.logs.ingest import load_mapping  # noqa: PLC0415 (a page of help needs no arrays)
    from calibration.logs.load import arm_of, load  # noqa: PLC0415
    from robot_runtime.spec import load_arm  # noqa: PLC0415

    mapping = load_mapping(arguments.mapping) if arguments.mapping else None
    spec = load_arm(arguments.arm) if arguments.arm else arm_of(arguments.logs, mapping)
    return load(arguments.logs, spec, mapping, partial=arguments.partial), spec


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Fit, say what was found, write it."""
    inputs = (*arguments.logs, arguments.mapping)
    require_free("--out", arguments.out, inputs, is_calibration)
    if arguments.report:
        require_free("--report", arguments.report, (*inputs, arguments.out), is_page)
    import torch  # noqa: PLC0415

    from calibration.judging.acceptance import advice  # noqa: PLC0415
    from calibration.pipeline import calibrate  # noqa: PLC0415

    torch.set_num_threads(1)  # matrices this small only wait for each other's threads
    begin = time.monotonic()
    with screen.working("reading the logs", stages=True) as show:

        def tell(text: str) -> None:
            show(text)
            screen.line({"progress": text, "seconds": round(time.monotonic() - begin, 1)})

        loaded, spec = loaded_logs(arguments)
        result = calibrate(loaded, spec, name=arguments.name, threads=arguments.threads, progress=tell)
        written = result.calibration.write(arguments.out)
    _say(result, screen)
    what_to_do = advice(written.acceptance)
    if arguments.report:
        from calibration.report.write import write  # noqa: PLC0415

        write(arguments.report, written, loaded, spec, threads=arguments.threads, tell=screen.aside)
    took = time.monotonic() - begin
    if written.accepted:
        screen.say(f"\naccepted: {arguments.out} ({written.digest[:12]}), after {took:.0f} s")
    else:
        screen.say(f"\nREFUSED: {arguments.out} is marked so, and robot-run will not take it. What to do:")
        for text in what_to_do:
            screen.say(f"  {text}")
    screen.line(_as_json(result, what_to_do, took))
    return 0 if written.accepted else REFUSED


def _say(result: Result, screen: Screen) -> None:
    for finding in result.findings:
        screen.say(f"found: {finding}")
    screen.say(f"held out: {result.split.name}\n")
    for label, number in result.calibration.physics.items():
        note = "" if number.seen else "   not told apart"
        screen.say(
            f"  {label:32} {number.value:10.5f} {number.unit:9} 95 %: {number.low:.5f} to {number.high:.5f}{note}"
        )
    screen.say("")
    for row in result.calibration.acceptance:
        mark = "ok  " if row.passed else "FAIL"
        screen.say(f"  {mark} {row.name:24} {row.value:9.4f}  bound {row.bound:<8.4g} {row.split}: {row.note}")


def _as_json(result: Result, what_to_do: tuple[str, ...], seconds: float) -> dict[str, Any]:
    calibration = result.calibration
    return {
        "accepted": calibration.accepted,
        "seconds": round(seconds, 1),
        "held_out": result.split.name,
        "acceptance": [{k: getattr(row, k) for k in row.__slots__} for row in calibration.acceptance],
        "physics": {k: {f: getattr(n, f) for f in n.__slots__} for k, n in calibration.physics.items()},
        "findings": list(result.findings),
        "advice": list(what_to_do),
    }
