"""robot-calibrate: move the arm, fit the maps, refuse what does not hold. Each subcommand is a file beside this one."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import calibration.cli
from calibration.cli.whole import asks_for_all, run_all
from calibration.errors import CalibrationError
from robot_runtime.cli.common import ExitCode, Parser, Screen, UsageError, run

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[Parser]

ORDER = ("record", "fit", "forecast", "check", "report", "refine", "bundle")
"""As people use them; others follow."""

_WORKFLOW = """in one go:
  robot-calibrate --arm A [--port P] [--out arm.cal] [--report page.html] [--recording DIR]
    record, then fit; without --port on the arm's twin. It takes --name and --yes too, and record's --level, --policy,
    --rate, --payload, --estop, --gap and --fault.

step by step:
  robot-calibrate record --arm A [--port P] --out recording     about a minute of motion
  robot-calibrate fit recording --out arm.cal                   minutes, on a workstation
  robot-calibrate forecast arm.cal --policy reach.onnx          what it will do there, with the calibration and without
  robot-run --policy reach.onnx --target 0.2,0.1,0.15 --calibration arm.cal

exit codes: each subcommand's --help has its own"""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `robot-calibrate`."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    if not asks_for_all(arguments):
        return run(parser, arguments)
    try:
        return run_all(arguments, lambda one: run(parser, one))
    except UsageError as error:
        Screen(as_json="--json" in arguments).failure(error, ExitCode.USAGE)
        return int(ExitCode.USAGE)


def _parser() -> Parser:
    parser = Parser(
        prog="robot-calibrate",
        description="Calibrate an arm for frozen policies: record it, fit the maps around the policy, judge them.",
        epilog=_WORKFLOW,
    )
    subparsers = parser.add_subparsers(title="subcommands", required=True, metavar="SUBCOMMAND")
    for module in _modules():
        module.add_parser(subparsers)
    for sub in subparsers.choices.values():
        sub.add_argument("--json", action="store_true", help="one JSON object a line instead of text, errors too")
        sub.add_argument("--debug", action="store_true", help="show where in the program an error arose")
        sub.set_defaults(does=_careful(sub.get_default("run")))
    return parser


def _modules() -> Iterator[Any]:
    """Files of this package that are subcommands."""
    names = [found.name for found in pkgutil.iter_modules(calibration.cli.__path__)]
    for name in sorted(names, key=lambda n: (ORDER.index(n) if n in ORDER else len(ORDER), n)):
        module = importlib.import_module(f"calibration.cli.{name}")
        if hasattr(module, "add_parser"):
            yield module


def _careful(body: Callable[[argparse.Namespace, Screen], int]) -> Callable[[argparse.Namespace, Screen], int]:
    """What calibration refuses becomes a message and an exit code, as every other error does."""

    def careful(arguments: argparse.Namespace, screen: Screen) -> int:
        from calibration.logs.ingest import LogError  # noqa: PLC0415 (a page of help needs no arrays)
        from robot_runtime.flight.reader import FlightError  # noqa: PLC0415
        from sim.twin.gap import GapError  # noqa: PLC0415

        try:
            return body(arguments, screen)
        except CalibrationError as error:
            if error.exit_code == 2:
                raise UsageError(str(error)) from error
            if arguments.debug:
                raise
            screen.failure(error, error.exit_code)
            return error.exit_code
        except (LogError, FlightError, GapError) as error:
            raise UsageError(str(error)) from error

    return careful


if __name__ == "__main__":
    sys.exit(main())
