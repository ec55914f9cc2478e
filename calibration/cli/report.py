"""robot-calibrate report: a page about a calibration and its logs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from calibration.cli.fit import add_logs, loaded_logs
from calibration.cli.outputs import is_page, require_free, threads
from robot_runtime.cli.common import Screen

if TYPE_CHECKING:
    from calibration.cli.calibrate import Subparsers

_EPILOG = """examples:
  robot-calibrate report left.cal recordings/koch-v1.1_2025-06-01 --out left.html

exit codes:
  0    written
  2    wrong usage, or a file that cannot be used
  130  interrupted: nothing was written"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `report`."""
    parser = subparsers.add_parser(
        "report",
        help="one page: before and after, residuals, maps, intervals, what to do",
        description="One HTML page about a calibration and the logs it was made from (or any other): the held-out "
        "motion before and after, as a clip of the arm and its simulators too, what is left over, the maps drawn, "
        "intervals, what was left out.",
        epilog=_EPILOG,
    )
    parser.add_argument("calibration", type=Path, metavar="ARM.CAL", help="what robot-calibrate fit wrote")
    add_logs(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page to write (default: ARM.html beside ARM.CAL)")
    parser.add_argument(
        "--no-clip", action="store_true", help="leave out the moving picture of the arm and its simulators"
    )
    parser.add_argument("--threads", type=threads, default=2, metavar="N", help="threads that simulate (default: 2)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Write the page."""
    from calibration.report.write import write  # noqa: PLC0415 (a page of help needs no arrays)
    from robot_runtime.calibrated.file import Calibration  # noqa: PLC0415

    calibration = Calibration.read(arguments.calibration)
    out = arguments.out or arguments.calibration.with_suffix(".html")
    require_free("--out", out, (arguments.calibration, *arguments.logs, arguments.mapping), is_page)
    with screen.working("simulating the logs", stages=True):
        loaded, spec = loaded_logs(arguments)
        moving = not arguments.no_clip
        write(out, calibration, loaded, spec, threads=arguments.threads, moving=moving, tell=screen.aside)
    screen.say(str(out))
    screen.line({"report": str(out), "accepted": calibration.accepted})
    return 0
