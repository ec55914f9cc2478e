"""robot-report: one HTML page about one flight."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robot_runtime.cli.common import ExitCode, Screen, UsageError, add_common, command, run
from robot_runtime.flight.page import page
from robot_runtime.flight.reader import Flight, FlightError, read_flight
from robot_runtime.flight.summary import arm_of, summary

_EXAMPLES = """  robot-report flight.mcap                 writes flight.html beside it
  robot-report flight.mcap --clip          with a moving picture of the arm
  robot-report flight.mcap --json          the numbers alone, for a program"""

_REASONS = 3
"""Of a joint's interventions, the most frequent ones, are told on the screen; the page has all."""

_NO_CLIP = "--clip shows the arm here, moving (pip install 'robot-runtime[clip]')."

_CODES = """exit codes:
  0    the recording is whole
  1    something is missing in the recording, or damaged; what is left is shown
  2    wrong usage, not a flight, or a page that cannot be written
  130  interrupted

How the flight itself ended is in the text and in --json; it does not change the exit code."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `robot-report`."""
    parser = command(
        "robot-report",
        "Write one HTML page about a recorded flight: what ended it, tracking, torques and speeds against limits, "
        "interventions, timing, heat, events and where everything came from.",
        _EXAMPLES,
    )
    parser.epilog = f"examples:\n{_EXAMPLES}\n\n{_CODES}"
    parser.add_argument("flight", metavar="FLIGHT", type=Path, help="the recording, an MCAP file")
    parser.add_argument("--out", metavar="PAGE", type=Path, help="the page to write; FLIGHT.html if not given")
    parser.add_argument("--clip", action="store_true", help="render a moving picture of the arm into the page")
    add_common(parser, port=False)
    parser.set_defaults(does=_body)
    return run(parser, argv)


def load(path: Path) -> Flight:
    """A flight from the command line. Raises UsageError."""
    try:
        return read_flight(path)
    except FlightError as error:
        raise UsageError(str(error)) from error


def _body(args: argparse.Namespace, screen: Screen) -> ExitCode:
    flight = load(args.flight)
    arm = arm_of(flight)
    numbers = summary(flight, arm)
    out: Path | None = args.out or (None if args.json else args.flight.with_suffix(".html"))
    if out is not None:
        out.write_text(page(flight, arm, numbers, _clip(flight, screen) if args.clip else _NO_CLIP), encoding="utf-8")
    screen.result({**numbers, "page": None if out is None else str(out)})
    _show(numbers, out, screen)
    return ExitCode.FOUND if numbers["damage"] else ExitCode.FINE


def _clip(flight: Flight, screen: Screen) -> bytes | str:
    from robot_runtime.flight.clip import ClipError, clip  # noqa: PLC0415 (graphics only for whoever asks)

    with screen.working("rendering the arm"):
        try:
            return clip(flight.path)
        except ClipError as error:
            screen.aside(str(error))
            return str(error)


def _show(numbers: dict[str, Any], out: Path | None, screen: Screen) -> None:
    screen.say(numbers["ending"])
    rate = f" at {numbers['rate']:.0f} Hz" if numbers["rate"] else ""
    screen.say(f"{numbers['cycles']} cycles in {numbers['seconds']:.1f} s{rate}, {numbers['skipped']} skipped")
    cycles = max(numbers["cycles"], 1)
    for joint in numbers["joints"]:
        if reasons := sorted(joint["interventions"].items(), key=lambda found: -found[1]):
            told = ", ".join(f"{why} in {count / cycles:.1%}" for why, count in reasons[:_REASONS])
            screen.say(f"limits stepped in for {joint['joint']}: {told} of the cycles")
    for what in numbers["damage"]:
        screen.say(f"the recording is not whole: {what}")
    if out is not None:
        screen.say(f"-> {out}")


if __name__ == "__main__":
    sys.exit(main())
