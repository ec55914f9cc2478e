"""robot-replay: a recorded flight once more, without the arm; every command must come out the same."""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any

from robot_runtime.bus.port import Port
from robot_runtime.calibrated.errors import ArmCalError
from robot_runtime.cli.common import Screen, UsageError, add_common, command, count, run
from robot_runtime.flight.contents import belongings
from robot_runtime.flight.ports import ReplayError
from robot_runtime.flight.reader import Flight, FlightError, read_flight
from robot_runtime.flight.recorder import FlightRecorder
from robot_runtime.flight.replay import Difference, ReplayResult, replay
from robot_runtime.flying import InputSource
from robot_runtime.policy.errors import PolicyError
from robot_runtime.session import Orders, fly
from robot_runtime.spec import ArmSpecError

_EXAMPLES = """  robot-replay flight.mcap                   every command the same, bit for bit?
  robot-replay flight.mcap --tolerance 1e-6  on another processor, or with another onnxruntime
  robot-replay flight.mcap --json            for a program"""

_CODES = """exit codes:
  0    every command of the whole flight is the same (within --tolerance)
  1    a command differs, or there is nothing to compare
  2    wrong usage, not a flight, or one that cannot be flown again
  6    the same as far as the recording goes; it is torn, damaged, or its program was gone before the end
  130  interrupted"""


class ReplayCode(IntEnum):
    """How a replay ended."""

    SAME = 0
    DIFFERENT = 1
    PARTLY = 6


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `robot-replay`."""
    parser = command(
        "robot-replay",
        "Feed the recorded bytes, clock readings and inputs of a flight through this program, with the policy and the "
        "arm file that the recording carries, and compare every command with the recorded one, bit for bit.",
        _EXAMPLES,
    )
    parser.epilog = f"examples:\n{_EXAMPLES}\n\n{_CODES}"
    parser.add_argument("flight", metavar="FLIGHT", type=Path, help="the recording, an MCAP file")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.0,
        metavar="X",
        help="how far a command may be off, in the unit of its joint's mode (default: 0, not one bit)",
    )
    add_common(parser, port=False)
    parser.set_defaults(does=_body)
    return run(parser, argv)


def replay_flight(flight: Flight) -> ReplayResult:
    """Fly a recorded flight again with what it carries.

    Raises:
        FlightError: it carries no policy or no arm, or they cannot be used.
        ReplayError: the recording does not begin where a port was opened.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            own = belongings(flight, Path(folder))
        except (ArmSpecError, PolicyError, ArmCalError) as error:
            inside = str(error).replace(f"{folder}/", "")  # the folder is gone when somebody reads this
            raise FlightError(f"{flight.path}: what it carries cannot be used: {inside}") from error
        orders = Orders.from_json(own.orders)

        def again(port: Port, inputs: InputSource, recorder: FlightRecorder) -> None:
            fly(
                own.arm,
                own.policy,
                port,
                orders,
                inputs,
                recorder,
                calibration=own.calibration,
                show_checks=lambda _: len(flight) > 0,
            )

        return replay(flight, again)


def _body(args: argparse.Namespace, screen: Screen) -> ReplayCode:
    if not (math.isfinite(args.tolerance) and args.tolerance >= 0):
        raise UsageError(f"--tolerance {args.tolerance:g}: expected a number of at least 0")
    try:
        flight = read_flight(args.flight)
    except FlightError as error:
        raise UsageError(str(error)) from error
    try:
        with screen.working(f"flying {count(len(flight), 'cycle')} again"):
            result = replay_flight(flight)
    except (FlightError, ReplayError, PolicyError, ArmSpecError, ArmCalError) as error:
        damage = f"{flight.path}: the file is damaged: {'; '.join(flight.damage)}\n" if flight.damage else ""
        raise UsageError(f"{damage}{error}") from error
    code = _judged(flight, result, args.tolerance)
    screen.result(_as_json(flight, result, code))
    _show(flight, result, code, screen)
    return code


def _judged(flight: Flight, result: ReplayResult, tolerance: float) -> ReplayCode:
    """What a replay has shown. One that goes on where the recorded flight ended in order does something else."""
    same = result.identical if tolerance == 0.0 else result.agrees(tolerance)
    ended_in_order = flight.verdict is not None and not flight.truncated and result.cycles == result.recorded
    if not same or (result.ended and ended_in_order):
        return ReplayCode.DIFFERENT
    return ReplayCode.PARTLY if result.ended or flight.truncated else ReplayCode.SAME


def _as_json(flight: Flight, result: ReplayResult, code: ReplayCode) -> dict[str, Any]:
    return {
        "file": str(flight.path),
        "same": code is not ReplayCode.DIFFERENT,
        "whole": code is ReplayCode.SAME,
        "identical": result.identical,
        "cycles": result.cycles,
        "recorded_cycles": result.recorded,
        "packets": result.packets,
        "different_packets": len(result.divergences),
        "differences": {
            name: {"cycles": d.cycles, "first": d.first, "worst": d.worst} for name, d in result.differences.items()
        },
        "ended": result.ended,
        "diverged": result.diverged,
        "damage": list(flight.damage),
    }


def _show(flight: Flight, result: ReplayResult, code: ReplayCode, screen: Screen) -> None:
    done = f"{result.cycles} of {count(result.recorded, 'cycle')}, {count(result.packets, 'packet')}"
    if not result.recorded:
        screen.say("nothing to compare: the recording has no cycle in it")
    elif code is ReplayCode.DIFFERENT:
        screen.say(f"NOT the same: {done}")
    else:
        how = "bit for bit" if result.identical else "within the tolerance"
        far = "" if code is ReplayCode.SAME else " as far as the recording goes"
        screen.say(f"the same{far}, {how}: {done}")
    for what in flight.damage:
        screen.say(f"  the file is damaged: {what}")
    if flight.unbroken < len(flight):
        rest = count(len(flight) - flight.unbroken, "cycle")
        screen.say(f"  {rest} behind the hole that this leaves: not compared")
    for name, difference in result.differences.items():
        screen.say(f"  {name}: {_words(difference)}")
    if result.divergences:
        first = result.divergences[0]
        screen.say(f"  {count(len(result.divergences), 'packet')} different, the first at {first.time:.6f} s:")
        screen.say(f"    recorded {first.recorded.hex(' ')}")
        screen.say(f"    replayed {first.replayed.hex(' ')}")
    if result.diverged:
        screen.say(f"  {result.diverged}")
    if result.ended:
        more = ", and the replay goes on" if code is ReplayCode.DIFFERENT else ""
        screen.say(f"  {result.ended}{more}")


def _words(difference: Difference) -> str:
    cycles = count(difference.cycles, "cycle")
    return f"{cycles} different, the first is {difference.first}, by {difference.worst:g} at most"


if __name__ == "__main__":
    sys.exit(main())
