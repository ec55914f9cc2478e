"""robot-run: fly a frozen policy on an arm, or on its twin when no port is named."""

from __future__ import annotations

import argparse
import itertools
import math
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robot_runtime.aim import Aim
from robot_runtime.bus import SerialPort
from robot_runtime.cli.common import (
    ExitCode,
    Parser,
    Screen,
    UsageError,
    add_twin_options,
    command,
    estop,
    require_twin,
    run,
)
from robot_runtime.cli.telling import show_checks, tell_verdict
from robot_runtime.compiled import is_compiled
from robot_runtime.flight.contents import attach_arm, attach_calibration, attach_policy
from robot_runtime.flight.errors import CannotRecordError
from robot_runtime.flight.ports import RecordingPort
from robot_runtime.flight.recorder import Level, NullRecorder, Recorder
from robot_runtime.flying import Inputs
from robot_runtime.live import Live, about
from robot_runtime.operator_inputs import Operator
from robot_runtime.policy.load import Policy, arm_named, load_policy
from robot_runtime.policy.pilot import require_flyable
from robot_runtime.policy.targets import TargetSource, target_source
from robot_runtime.port_or_twin import port_or_twin
from robot_runtime.preflight.gate import Recording
from robot_runtime.preflight.table import Check, as_data, passed
from robot_runtime.realtime import Fact, RealTime, usable_cores
from robot_runtime.realtime import Settings as RealTimeSettings
from robot_runtime.safety.fault_kind import Ending, Fault
from robot_runtime.safety.monitor import requested
from robot_runtime.safety.stopping import HOLD_FOR
from robot_runtime.session import BUS_RATE, Orders, Together, bus_rate, fly, layout_of, recorder_watcher, target_size
from robot_runtime.spec import ArmNotFoundError, ArmSpec, load_arm, shipped_arms
from robot_runtime.verdict import Verdict, not_started

if TYPE_CHECKING:
    from robot_runtime.calibrated.file import Calibration
    from robot_runtime.loop import Loop

_EXAMPLES = """  P=models/policies/reach-open-manipulator-x.onnx      one that ships: it wants to know where to
  robot-run --policy $P --target 0.2,0.1,0.15          on the twin of the arm that it was made for
  robot-run --policy $P --target 0.2,0.1,0.15 --port /dev/ttyUSB0      on a real arm
  robot-run --policy $P --target examples/targets/three_points.csv     points at their times
  robot-run --policy $P --target -                     targets as JSON lines on standard input
  robot-run --policy $P --explain                      what its numbers mean, and who says so; nothing moves
  robot-run --policy $P --target 0.2,0.1,0.15 --preflight-only         all checks; nothing moves
  robot-run --policy $P --target 0.2,0.1,0.15 --readonly   torque off: move the arm by hand, see what it would do"""

_ENDINGS = """exit codes:
  0    completed: it ran as long as it was asked to, and nothing was wrong
  2    wrong usage, or a file that cannot be used
  3    no port, or trouble with it
  4    servos did not let their torque be switched on
  5    refused: the preflight found something wrong, such as servos that do not answer
  10   somebody asked it to stop
  11   the bus: servos could not be heard, or the port is gone
  12   a servo is not well: error, heat, voltage, restart, encoder
  13   a joint did not move as it was told
  14   the policy, or what it was fed with
  15   the computer could not keep its time
  16   the flight could not be recorded
  130  interrupted before anything could move"""

_TARGET_SILENCE = 1.0  # s

_ROOM = 10.0
"""Minutes of recording that there must be room for when nobody says how long the flight is."""

_QUICK = 300.0
"""Hz of the bus from which it is worth a word that the envelope is not compiled."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `robot-run`."""
    return run(_parser(), argv)


def _parser() -> Parser:
    parser = command(
        "robot-run",
        "Fly a frozen policy on an arm: softly to its start pose, then as the policy says inside the arm's limits, "
        "then softly to rest. Ctrl-C ends it in order, the space bar freezes it, asking twice lets go.",
        _EXAMPLES,
    )
    parser.epilog = f"examples:\n{_EXAMPLES}\n\n{_ENDINGS}"
    add = parser.add_argument
    add("--policy", required=True, type=Path, metavar="ONNX", help="the policy, as its trainer exported it")
    add(
        "--contract",
        type=Path,
        metavar="TOML",
        help="what the policy's numbers mean, where it does not say so itself (default: beside it, the TOML of its "
        "name, or policy.toml)",
    )
    add("--calibration", type=Path, metavar="ARM.CAL", help="what robot-calibrate found of this very arm")
    add("--force", action="store_true", help="fly with a calibration of another arm or policy, or one not accepted")
    add("--arm", metavar="NAME|PATH", help="the arm: one that ships, or an arm.toml (default: as the policy says)")
    add("--port", help="serial port, such as /dev/ttyUSB0; without it the arm's twin is started")
    add(
        "--rate",
        type=_positive,
        metavar="HZ",
        help="cycles of the bus a second, a multiple of the policy's rate (default: its first multiple from "
        f"{BUS_RATE:.0f} on)",
    )
    add("--duration", type=_positive, metavar="S", help="s that the policy flies (default: until you stop it)")
    add(
        "--target",
        metavar="X,Y,..|FILE|-",
        help="what to reach, m from the arm's base or rad, as the policy was trained: numbers with commas, "
        "a .csv or .jsonl file, or - for JSON lines on standard input; left out for policies that want none",
    )
    add(
        "--target-silence",
        type=_positive,
        metavar="S",
        help=f"with --target -: end after so many s without a new one (default: {_TARGET_SILENCE:g})",
    )
    recording = parser.add_mutually_exclusive_group()
    recording.add_argument(
        "--record", type=Path, metavar="DIR", default=Path("flights"), help="where to record (default: flights)"
    )
    recording.add_argument("--no-record", action="store_true", help="record nothing")
    add(
        "--workspace",
        type=_floats(6),
        metavar="X0,Y0,Z0,X1,Y1,Z1",
        help="a box that the tip stays in: two corners, m from the arm's base (default: wherever the arm reaches)",
    )
    add(
        "--hold-for",
        type=_positive,
        metavar="S",
        default=HOLD_FOR,
        help=f"s that an arm that was stopped waits for somebody before it lowers itself (default: {HOLD_FOR:g})",
    )
    add(
        "--estop",
        type=estop,
        metavar="FD|PATH",
        help="an emergency stop: the number or path of a pipe or device (any byte, or its end, stops), or a file that "
        "says 1 while the arm may move, such as a GPIO's value; a path that leads to another file stops, too",
    )
    add("--cores", type=_cores, metavar="N,..", help="run on these processor cores alone (default: any)")
    add("--readonly", action="store_true", help="torque stays off; everything else happens")
    short = parser.add_mutually_exclusive_group()
    short.add_argument("--preflight-only", action="store_true", help="make all checks, and stop; nothing moves")
    short.add_argument("--explain", action="store_true", help="say what was understood of the policy, and stop")
    add_twin_options(parser)
    add("--json", action="store_true", help="one JSON object a line; the last one is the verdict, or the error")
    add("--debug", action="store_true", help="show where in the program an error arose")
    parser.set_defaults(does=_body)
    return parser


def _body(args: argparse.Namespace, screen: Screen) -> ExitCode | Ending:
    spec = _arm(args)
    policy = load_policy(args.policy, spec, args.contract)
    if args.explain:
        from robot_runtime.policy.explain import explain, render  # noqa: PLC0415 (a flight starts sooner without)

        understood = explain(policy, spec)
        screen.line(understood)
        screen.out.print(render(understood))
        return ExitCode.USAGE if understood["mismatch"] else ExitCode.FINE
    targets = target_source(args.target, policy.contract.target, last_holds=args.duration is not None)
    calibration = _calibration(args)
    orders = _orders(args, policy)
    require_twin(args)
    require_flyable(policy.contract, spec, orders.period)
    if calibration is not None:
        from robot_runtime.calibrated.maps import require_runnable  # noqa: PLC0415 (a flight without starts sooner)

        require_runnable(calibration, orders.period)
    with ExitStack() as until, ExitStack() as stack:
        if args.port is None:
            screen.aside(f"no --port: flying the twin of {spec.name} ({spec.path})")
        port = stack.enter_context(port_or_twin(args.port, spec, gap=args.gap, faults=args.fault))
        recorder = stack.enter_context(_recorder(args, spec, policy, orders))
        if calibration is not None:
            attach_calibration(recorder, args.calibration, calibration)
        try:
            verdict = _fly(args, screen, spec, policy, calibration, orders, targets, recorder, port, until)
        except KeyboardInterrupt:  # before anybody listened, or because nobody did any more
            verdict = Verdict(Ending.ASKED, "interrupted")
        recorder.metadata("verdict", verdict.as_json())
        verdict = verdict.recorded(recorder.close())
        _tell(verdict, recorder, args.port, screen)
    if args.debug and verdict.error is not None:
        raise verdict.error
    return verdict.ending


def _arm(args: argparse.Namespace) -> ArmSpec:
    """That of `--arm`, or the one that the policy was made for."""
    name = args.arm or arm_named(args.policy, args.contract)
    try:
        return load_arm(name)
    except ArmNotFoundError as error:
        if args.arm:
            raise
        made = f"{args.policy} was made for the arm '{name}', which does not ship ({', '.join(shipped_arms())} do)"
        raise ArmNotFoundError(f"{made}; say where its arm.toml is: --arm FOLDER") from error


def _fly(
    args: argparse.Namespace,
    screen: Screen,
    spec: ArmSpec,
    policy: Policy,
    calibration: Calibration | None,
    orders: Orders,
    targets: TargetSource,
    recorder: NullRecorder,
    port: SerialPort,
    until: ExitStack,
) -> Verdict:
    """From here on signals, keys and the emergency stop are requests, `until` the verdict is told and all is closed."""
    path = str(recorder.path) if isinstance(recorder, Recorder) else ""
    size = target_size(policy.contract)
    with ExitStack() as stack:
        live, aim = None, Aim.of(spec, policy.contract)
        if not args.json:
            what = about(spec, args.policy.name, orders.period, target_size=size, recording=path)
            live = stack.enter_context(Live(what, aim))
        realtime = stack.enter_context(RealTime())
        facts = (*realtime.enter(RealTimeSettings(cores=args.cores)), _envelope(orders.rate))
        port.spin = realtime.spin(orders.period)
        operator = until.enter_context(
            Operator(
                keys=not args.json,
                typed=targets.descriptor,
                estop=args.estop,
                watchers=(recorder_watcher(recorder),),
            )
        )

        stopped: list[Fault] = []

        def look(checks: list[Check]) -> bool:
            recorder.metadata("preflight", {"checks": as_data(checks)})
            goes_on = passed(checks) and not args.preflight_only
            show_checks(checks, screen, briefly=goes_on)
            asked = Inputs(0)
            operator.sample(asked, port.now())
            stopped.extend(requested(asked.request, port.now()))
            return goes_on and not stopped

        def tell_target(text: str, level: Level = Level.WARNING) -> None:
            recorder.event(text, level, "target")
            if live is not None:
                live.say(text)

        targets.tell = tell_target
        if aim is not None:
            aim.tell = lambda text: tell_target(text, Level.INFO)
        verdict = fly(
            spec,
            policy,
            RecordingPort(port, recorder) if isinstance(recorder, Recorder) else port,
            orders,
            Together(operator, targets),
            recorder,
            facts=facts,
            timer=port.latency_timer,
            recording=_room(args, orders),
            calibration=calibration,
            adapter=_adapter(args) if calibration is not None else "",
            targets=targets.known,
            show_checks=look,
            show_cycle=_each(aim, live),
        )
        operator.let_finish()
        if aim is not None:
            verdict = replace(verdict, figures={**verdict.figures, "targets": aim.as_json()})
        if stopped:
            verdict = not_started(stopped[0])
        if live is not None:
            live.close(verdict.headline)
        return verdict


def _each(*watchers: Callable[[Loop], None] | None) -> Callable[[Loop], None] | None:
    """Those that there are, one after the other."""
    there = [watcher for watcher in watchers if watcher is not None]
    if len(there) < 2:
        return there[0] if there else None

    def watch(loop: Loop) -> None:
        for watcher in there:
            watcher(loop)

    return watch


def _orders(args: argparse.Namespace, policy: Policy) -> Orders:
    box, silence = args.workspace, args.target_silence
    if box and not all(low < high for low, high in zip(box[:3], box[3:], strict=True)):
        raise UsageError("--workspace: first the lower corner, then the upper one: X0 < X1, Y0 < Y1, Z0 < Z1, in m")
    if silence is not None and args.target != "-":
        raise UsageError("--target-silence is for targets that stream in: with --target -")
    if args.cores and (missing := sorted(set(args.cores) - usable_cores())):
        raise UsageError(f"--cores: this process may not run on core {missing[0]}; it may on {sorted(usable_cores())}")
    return Orders(
        rate=bus_rate(policy.contract.rate, args.rate),
        duration=args.duration,
        readonly=args.readonly,
        hold_for=args.hold_for,
        target_silence=(silence or _TARGET_SILENCE) if args.target == "-" else None,
        box=((box[0], box[1], box[2]), (box[3], box[4], box[5])) if box else None,
        force=args.force,
    )


def _calibration(args: argparse.Namespace) -> Calibration | None:
    if args.calibration is None:
        if args.force:
            raise UsageError("--force is for a calibration that would be refused: give it with --calibration")
        return None
    from robot_runtime.calibrated.file import Calibration  # noqa: PLC0415 (a flight without one starts sooner)

    return Calibration.read(args.calibration)


def _adapter(args: argparse.Namespace) -> str:
    """Serial number of the USB adapter; the twin's port has none."""
    from robot_runtime.calibrated.identity import adapter_serial  # noqa: PLC0415 (as above)

    return adapter_serial(args.port) if args.port is not None else ""


@contextmanager
def _recorder(args: argparse.Namespace, spec: ArmSpec, policy: Policy, orders: Orders) -> Iterator[NullRecorder]:
    """The recorder, with everything in it that a replay needs."""
    layout = layout_of(spec, policy.contract)
    if args.no_record or args.preflight_only:
        yield NullRecorder(layout)
        return
    name = time.strftime(f"{spec.name}_%Y-%m-%d_%H-%M-%S")
    paths = (args.record / f"{name}{f'_{k}' if k else ''}.mcap" for k in itertools.count())
    try:
        args.record.mkdir(parents=True, exist_ok=True)
        path = next(path for path in paths if not path.exists())
        begun = Recorder(path, layout, {"flight": {"command": sys.argv}, "versions": _versions()})
    except CannotRecordError:
        raise
    except OSError as error:
        raise CannotRecordError.into(error, args.record) from error
    with begun as recorder:
        attach_arm(recorder, spec)
        attach_policy(recorder, policy.network.file.path, policy.contract, orders.as_json())
        yield recorder


def _versions() -> dict[str, Any]:
    from importlib.metadata import version  # noqa: PLC0415 (20 ms that only a recording needs)

    packages = {name: version(name) for name in ("robot-runtime", "numpy", "onnxruntime", "mujoco-core")}
    envelope = "compiled" if is_compiled() else "interpreted"
    return {**packages, "python": platform.python_version(), "system": platform.platform(), "envelope": envelope}


def _envelope(rate: float) -> Fact:
    if is_compiled():
        return Fact("envelope", got=True, detail="compiled")
    advice = "a cycle computes for about 0.2 ms: a compiled install takes a quarter of that off (docs/realtime.md)"
    return Fact("envelope", got=rate < _QUICK, detail="interpreted", advice=advice)


def _room(args: argparse.Namespace, orders: Orders) -> Recording | None:
    if args.no_record:
        return None
    minutes = orders.duration / 60 if orders.duration else _ROOM
    return Recording.at(args.record, orders.rate, minutes)


def _tell(verdict: Verdict, recorder: NullRecorder, port: str | None, screen: Screen) -> None:
    path = str(recorder.path) if isinstance(recorder, Recorder) else None
    screen.line({**verdict.as_json(), "port": port or "twin", "recording": path})
    tell_verdict(verdict, screen)
    if path is not None:
        screen.say(f"recorded in {path}: 'robot-report {path}' shows it")


def _floats(count: int) -> Callable[[str], tuple[float, ...]]:
    """Numbers with commas between them, for argparse."""

    def parse(text: str) -> tuple[float, ...]:
        try:
            values = tuple(float(part) for part in text.split(","))
        except ValueError:
            values = ()
        if len(values) != count or not all(math.isfinite(v) for v in values):
            raise argparse.ArgumentTypeError(f"'{text}': expected {count} numbers with commas between them")
        return values

    return parse


def _cores(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}': expected numbers of cores, such as 2,3") from None


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
