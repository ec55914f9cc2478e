"""The command `robot-twin`: serve an emulated arm behind a pseudo-terminal."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from sim.twin.adapter import AdapterTiming
from sim.twin.arm_file import TwinArm
from sim.twin.faults import fault_help
from sim.twin.gap import Gap, load_gap
from sim.twin.server import TwinServer
from sim.twin.servo_data import load_servo
from sim.twin.twin import Twin

STOPPED, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

_EXAMPLES = """\
examples:
  robot-twin --arm open-manipulator-x
  robot-twin --arm koch-v1.1 --gap harsh --seed 3 --link /tmp/koch
  robot-twin --arm xl330-pendulum --fault packet-lost:p=0.01 --fault stuck-shaft:servo=1,at=2.5,for=1.0
  robot-twin --arm xl330-pendulum --fault hand:servo=pendulum,at=5,for=2,rad=0.7
  robot-twin --arm koch-v1.1 --factory          # all servos as shipped: ID 1, 57600 bit/s
  robot-twin --arm koch-v1.1 --factory --plug shoulder_pan --plug shoulder_lift@30    # one servo after the other

The first line printed is the port. It serves until it gets SIGINT or SIGTERM; with --stop-at-eof also until standard
input ends, as a pipe does with the program at its other end, however that ends.

exit codes:
  0  stopped in order
  1  the port could not be opened, or --link is another twin's
  2  bad usage, or a file or value that cannot be used
  130  interrupted before it served

faults (each with the keys it takes; servo= is an ID or the name of a joint, JOINT/2 the joint's second servo; at= and
for= in s of twin time, for=S is how long it lasts by default, else it lasts for good):
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}\n{self.format_usage().strip()}")


def _parser() -> _Parser:
    parser = _Parser(
        prog="robot-twin",
        description="Serve an arm that is not there: emulated servos behind a pseudo-terminal, physics behind them.",
        epilog=_EXAMPLES + fault_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--arm", required=True, metavar="NAME|PATH", help="an arm that ships, or a path to an arm.toml or its folder")
    add("--baud", type=int, metavar="N", help="speed of the servos, bit/s (default: as the arm's file says)")
    add(
        "--gap",
        metavar="NAME|FILE",
        help="how the arm differs from its data files: mild, harsh, random:SEED or a gap.toml",
    )
    add("--payload", type=float, default=0.0, metavar="KG", help="kg at the tip beside the gap's (default: 0)")
    add(
        "--fault",
        action="append",
        default=[],
        metavar="SPEC",
        help="let something go wrong; may be given more than once",
    )
    add("--seed", type=int, default=0, metavar="N", help="seed of all noise and chance (default: 0)")
    add("--firmware", action="append", default=[], metavar="ID=V", help="firmware version of one servo")
    add(
        "--pose", default="rest", metavar="NAME", help="named pose of the arm's file in which it starts (default: rest)"
    )
    add(
        "--link", type=Path, metavar="PATH", help="make a symbolic link to the port; refused while it is another twin's"
    )
    add("--factory", action="store_true", help="all servos as shipped: ID 1, 57600 bit/s")
    add(
        "--plug",
        action="append",
        default=[],
        metavar="JOINT[@S]",
        help="plug this joint's servo in, S seconds after the start (JOINT/2: its second one); may be given more than "
        "once, and servos that are not named stay unplugged (default: all plugged in)",
    )
    add(
        "--no-adapter",
        action="store_true",
        help="no USB adapter: a reply is there when its last byte has gone over the wire",
    )
    add("--no-wire-time", action="store_true", help="bytes take no time at all (and no USB adapter)")
    add("--stop-at-eof", action="store_true", help="stop when standard input ends")
    add("--json", action="store_true", help="print the port and the servos as one line of JSON instead")
    add("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        options = _parser().parse_args(arguments)
        twin = _twin(options)
    except (ValueError, OSError) as error:
        return _complain(arguments, error, BAD_INPUT)
    except KeyboardInterrupt:
        return INTERRUPTED
    _tell_of_physics()
    try:
        server = TwinServer(twin, link=options.link, on_port=lambda port: _announce(options, twin, port))
    except OSError as error:
        return _complain(arguments, error, FAILED)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.stop())
    if options.stop_at_eof:
        threading.Thread(target=_stop_at_eof, args=(server,), name="eof", daemon=True).start()
    server.serve()
    return STOPPED


def _tell_of_physics() -> None:
    """MuJoCo writes its warnings into a file in the working directory: say the first of them instead."""
    import mujoco  # noqa: PLC0415 - the physics have loaded it by now

    told: list[str] = []

    def tell(text: str) -> None:
        if not told:
            told.append(text)
            advice = "no arm that can be simulated; 'robot-setup check --arm ...' says what is odd in its files"
            print(f"robot-twin: {text.strip()}: {advice}", file=sys.stderr, flush=True)

    mujoco.set_mju_user_warning(tell)


def _stop_at_eof(server: TwinServer) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    server.stop()


def _weight(mass: float) -> float:
    if not 0.0 <= mass < math.inf:
        raise ValueError(f"--payload {mass}: a weight in kg, not negative")
    return mass


def _twin(options: argparse.Namespace) -> Twin:
    arm = TwinArm.load(options.arm)
    if options.baud is not None:
        arm = replace(arm, baudrate=options.baud)
    for joint in arm.joints:
        known = load_servo(joint.servo_model).baudrates
        if arm.baudrate not in known:
            speeds = ", ".join(map(str, known))
            raise ValueError(f"{joint.servo_model} ({joint.name}) cannot do {arm.baudrate} bit/s; it can do {speeds}")
    return Twin(
        arm,
        gap=(Gap() if options.gap is None else load_gap(options.gap)).with_payload(_weight(options.payload)),
        faults=options.fault,
        seed=options.seed,
        firmware=dict(_version(text, arm) for text in options.firmware),
        adapter=AdapterTiming() if options.no_adapter else None,
        wire_time=not options.no_wire_time,
        factory=options.factory,
        pose=options.pose,
        plugs=dict(_plug(text) for text in options.plug),
    )


def _version(text: str, arm: TwinArm) -> tuple[int, int]:
    servo, equals, version = text.partition("=")
    ids = [place.id for place in arm.servos]
    if not (equals and servo.isdecimal() and version.isdecimal() and int(servo) in ids and int(version) < 256):
        raise ValueError(f"--firmware {text}: give ID=VERSION with one of the IDs {', '.join(map(str, ids))}")
    return int(servo), int(version)


def _plug(text: str) -> tuple[str, float]:
    joint, at, when = text.partition("@")
    try:
        seconds = float(when) if at else 0.0
    except ValueError:
        seconds = math.nan
    if not (joint and math.isfinite(seconds) and seconds >= 0.0):
        raise ValueError(f"--plug {text}: give JOINT@SECONDS, with seconds from 0 up, or JOINT alone")
    return joint, seconds


def _announce(options: argparse.Namespace, twin: Twin, port: str) -> None:
    """Print the port, where the reader of the first line waits for it."""
    shown = str(options.link.absolute()) if options.link is not None else port
    if options.json:
        servos = [
            {"joint": place.name, "id": servo.id, "model": servo.data.name, "firmware": servo.firmware}
            for place, servo in zip(twin.arm.servos, twin.servos, strict=True)
        ]
        shown = json.dumps({"port": shown, "arm": twin.arm.name, "baudrate": twin.line.baudrate, "servos": servos})
    print(shown, flush=True)


def _complain(arguments: Sequence[str], error: Exception, code: int) -> int:
    if "--debug" in arguments:
        raise error
    if "--json" in arguments:
        print(json.dumps({"error": {"type": type(error).__name__, "message": str(error), "exit_code": code}}))
    else:
        print(f"robot-twin: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
