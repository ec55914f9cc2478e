"""robot-calibrate without a subcommand: record, then fit; from an arm to its file, or to the reason why not."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from calibration.cli.outputs import arm_name, is_calibration, is_page, require_free
from robot_runtime.cli.common import Parser

_RECORD = ("--port", "--level", "--policy", "--estop", "--gap", "--fault", "--payload", "--rate")
"""Options that go to `record`, each with a value."""


def asks_for_all(arguments: Sequence[str]) -> bool:
    """Whether these are options of the whole, and of no subcommand."""
    return bool(arguments) and arguments[0].startswith("-") and not {"-h", "--help"} & set(arguments)


def run_all(arguments: Sequence[str], run: Callable[[list[str]], int]) -> int:
    """Record into a folder of its own, then fit what is there. `run`: one subcommand, by its arguments.

    Raises:
        UsageError: the arguments cannot be understood.
    """
    given = _parser().parse_args(arguments)
    require_free("--out", given.out, [given.policy], is_calibration)
    if given.report:
        require_free("--report", given.report, [given.policy, given.out], is_page)
    common = [f"--{name}" for name in ("json", "debug") if getattr(given, name)]
    folder = given.recording or Path("recordings") / f"{Path(given.arm).stem}_{time.strftime('%Y-%m-%d_%H-%M-%S')}"
    record = ["record", "--arm", given.arm, "--out", str(folder), *common]
    for option in _RECORD:
        values = getattr(given, option[2:])
        for value in values if isinstance(values, list) else filter(None, [values]):
            record += [option, str(value)]
    record += [f"--{name}" for name in ("yes",) if getattr(given, name)]
    name = ["--name", given.name] if given.name else []
    if code := run([*record, *name]):
        return code
    report = ["--report", str(given.report)] if given.report else []
    return run(["fit", str(folder), "--out", str(given.out), *name, *report, *common])


def _parser() -> Parser:
    parser = Parser(prog="robot-calibrate", description="Record, then fit.")
    add = parser.add_argument
    add("--arm", required=True, metavar="NAME|PATH")
    add("--out", type=Path, default=Path("arm.cal"), metavar="FILE")
    add("--recording", type=Path, metavar="DIR")
    add("--report", type=Path, metavar="FILE")
    add("--name", type=arm_name, default="")
    add("--yes", action="store_true")
    for option in _RECORD:
        if option == "--fault":
            add(option, action="append", default=[])
        elif option == "--policy":
            add(option, type=Path)
        else:
            add(option)
    for option in ("--json", "--debug"):
        add(option, action="store_true", help=argparse.SUPPRESS)
    return parser
