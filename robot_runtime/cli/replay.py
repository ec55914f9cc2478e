"""robot-replay: a recorded flight once more, without the arm; every command must come out the same."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robot_runtime.bus.port import Port
from robot_runtime.cli.common import ExitCode, Screen, UsageError, add_common, command, count, run
from robot_runtime.flight.contents import belongings
from robot_runtime.flight.ports import ReplayError
from robot_runtime.flight.reader import Flight, FlightError, read_flight
from robot_runtime.flight.recorder import FlightRecorder
from robot_runtime.flight.replay import Difference, ReplayResult, replay
from robot_runtime.flying import InputSource
from robot_runtime.policy.errors import PolicyError
from robot_runtime.session import Orders, fly

_EXAMPLES = """  robot-replay flight.mcap                   every command the same, bit for bit?
  robot-replay flight.mcap --tolerance 1e-6  on another processor, or with another onnxruntime
  robot-replay flight.mcap --json            for a program"""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `robot-replay`."""
    parser = command(
        "robot-replay",
        "Feed the recorded bytes, clock readings and inputs of a flight through this program, with the policy and the "
        "arm file that the recording carries, and compare every command with the recorded one, bit for bit.",
        _EXAMPLES,
    )
    parser.add_argument("flight", metavar="FLIGHT", type=Path, help="the recording, an MCAP file")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.0,
        metavar="X",
        help="how far a command may be off, in the unit of its joint's mode (default: 0, not one bit)",
    )
    add_common(parser, port=False)
    parser.set_defaults(body=_body)
    return run(parser, argv)


def replay_flight(flight: Flight) -> ReplayResult:
    """Fly a recorded flight again with what it carries.

    Raises:
        FlightError: it carries no policy.
        ReplayError: the recording does not begin where a port was opened.
        ArmSpecError, PolicyError: what it carries cannot be used.
    """
    with tempfile.TemporaryDirectory() as folder:
        own = belongings(flight, Path(folder))
        orders = Orders.from_json(own.orders)

        def again(port: Port, inputs: InputSource, recorder: FlightRecorder) -> None:
            fly(own.arm, own.policy, port, orders, inputs, recorder, show_checks=lambda _: len(flight) > 0)

        return replay(flight, again)


def _body(args: argparse.Namespace, screen: Screen) -> ExitCode:
    if args.tolerance < 0:
        raise UsageError(f"--tolerance {args.tolerance}: it cannot be negative")
    try:
        flight = read_flight(args.flight)
        with screen.working(f"flying {count(len(flight), 'cycle')} again"):
            result = replay_flight(flight)
    except (FlightError, ReplayError, PolicyError) as error:
        raise UsageError(str(error)) from error
    same = result.identical if args.tolerance == 0.0 else result.agrees(args.tolerance)
    screen.result(_as_json(flight, result, same=same))
    _show(flight, result, same, screen)
    return ExitCode.FINE if same else ExitCode.FOUND


def _as_json(flight: Flight, result: ReplayResult, *, same: bool) -> dict[str, Any]:
    return {
        "file": str(flight.path),
        "same": same,
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


def _show(flight: Flight, result: ReplayResult, same: bool, screen: Screen) -> None:
    for what in flight.damage:
        screen.say(f"the file is damaged: {what}")
    done = f"{result.cycles} of {count(result.recorded, 'cycle')}, {count(result.packets, 'packet')}"
    if not result.recorded:
        screen.say("nothing to compare: the recording has no cycle in it")
    elif result.identical:
        screen.say(f"the same, bit for bit: {done}")
    else:
        screen.say(f"{'the same within the tolerance' if same else 'NOT the same'}: {done}")
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
        screen.say(f"  {result.ended}")


def _words(difference: Difference) -> str:
    cycles = count(difference.cycles, "cycle")
    return f"{cycles} different, the first is {difference.first}, by {difference.worst:g} at most"
