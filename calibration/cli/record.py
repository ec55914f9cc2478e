"""robot-calibrate record: excite an arm inside its limits, and write down all that a fit needs."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration.cli.outputs import arm_name
from calibration.cli.resumed import as_noted, asked, go_on
from robot_runtime.cli.common import ExitCode, Screen, UsageError, add_twin_options, estop, require_twin

if TYPE_CHECKING:
    from calibration.cli.calibrate import Subparsers
    from calibration.excitation import Segment
    from calibration.recording.record import Hooks, Recording
    from robot_runtime.bus import SerialPort
    from robot_runtime.live import Live
    from robot_runtime.preflight.table import Check
    from robot_runtime.realtime import Facts
    from robot_runtime.spec import ArmSpec
    from robot_runtime.verdict import Verdict

_EPILOG = """examples:
  robot-calibrate record --arm koch-v1.1 --preview-only                 what it would do: a table and a picture
  robot-calibrate record --arm koch-v1.1 --port /dev/ttyUSB0            about a minute of motion
  robot-calibrate record --arm open-manipulator-x --level full          five minutes, on the twin
  robot-calibrate record --resume recordings/koch-v1.1_...              go on with what was interrupted

exit codes:
  0    recorded, all of it; or shown, with --preview-only
  2    wrong usage, a file that cannot be used, or an arm that finds no room
  3    no port, or trouble with it
  4    servos are missing, wrong, or do not answer as they should
  5    refused: the preflight found something wrong, or nobody confirmed
  10   somebody asked it to stop; --resume goes on
  11-16  the flight ended early, as robot-run's; --resume goes on
  130  interrupted before anything could move"""

_BAR = 24


def add_parser(subparsers: Subparsers) -> None:
    """The options of `record`."""
    parser = subparsers.add_parser(
        "record",
        help="move the arm and write down all that a fit needs",
        description="Move an arm inside its limits, guarded as any flight is, so that its numbers show: slow sweeps, "
        "constant speeds, Fourier series chosen for what they tell the fit, chirps. Without --port: its twin.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("--arm", metavar="NAME|PATH", help="an arm that ships, or the path of an arm.toml")
    add("--port", help="serial port, such as /dev/ttyUSB0; without it the arm's twin is started")
    add("--out", type=Path, metavar="DIR", help="a new folder for the recording (default: recordings/ARM_TIME)")
    add("--resume", type=Path, metavar="DIR", help="go on with the recording in that folder")
    add(
        "--level",
        choices=("quick", "full"),
        help="how much motion: about 60 s, or about 5 minutes (default: quick)",
    )
    add("--joints", metavar="A,B,..", help="move only these (default: all that a fit can be made of)")
    add(
        "--one-by-one",
        action="store_true",
        default=None,
        help="move one joint at a time, hold the others (default: all together)",
    )
    add(
        "--gains",
        action=argparse.BooleanOptionalAction,
        help="record a part with lower P gains too, of joints that have such a gain (default: with --level full)",
    )
    add(
        "--payload",
        type=float,
        metavar="KG",
        help="a weight that you can hang at the tip: a part is recorded with it too, which tells masses from "
        "torques and offsets from what hangs there (default: none)",
    )
    add("--policy", type=Path, metavar="ONNX", help="also replay the motion of this policy in simulation")
    add("--rate", type=float, metavar="HZ", help="cycles of the bus a second (default: 200)")
    add("--seed", type=int, metavar="N", help="of the motions that are drawn by chance (default: 0)")
    add("--name", type=arm_name, default="", help="what you call this very arm: servos carry no serial number")
    add("--preview-only", action="store_true", help="plan and show; nothing moves")
    add("--no-picture", action="store_true", help="do not render the preview")
    add("--yes", action="store_true", help="do not ask before the arm moves")
    add("--estop", type=estop, metavar="FD|PATH", help="an emergency stop, as robot-run's")
    add_twin_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Plan, show, ask, fly."""
    require_twin(arguments)
    spec, recording = _resumed(arguments) if arguments.resume else _planned(arguments, screen)
    missing = recording.missing
    if not missing.segments:
        screen.say(f"{recording.folder}: nothing is missing")
        screen.line(_told(recording, None))
        return ExitCode.FINE
    _show(arguments, screen, spec, recording)
    if arguments.preview_only:
        screen.say(f"nothing has moved; 'robot-calibrate record --resume {recording.folder}' flies it")
        return ExitCode.FINE
    screen.confirm(
        f"{'Move the arm' if arguments.port else 'Move the twin'} for {missing.seconds:.0f} s, "
        "with nobody in its reach?",
        yes=arguments.yes or not arguments.port,
    )
    ended = _fly(arguments, screen, spec, recording)
    _tell(screen, recording, ended)
    return int(ended.ending)


def _try_twin(arguments: argparse.Namespace, spec: ArmSpec, gap: str | None) -> None:
    """What a twin is to be is looked at before anything is planned or shown, not when it starts."""
    from sim.twin import FaultSpecError, Twin  # noqa: PLC0415 (the simulator: a page of help needs none)

    if arguments.port:
        return
    try:
        Twin.load(str(spec.path), gap=gap or "none", faults=arguments.fault)
    except FaultSpecError as error:
        raise UsageError(f"--fault: {error}") from error


def _planned(arguments: argparse.Namespace, screen: Screen) -> tuple[ArmSpec, Recording]:
    from calibration.excitation import plan  # noqa: PLC0415 (MuJoCo's batches: a page of help needs none)
    from calibration.recording.record import Recording  # noqa: PLC0415
    from robot_runtime.spec import load_arm  # noqa: PLC0415

    settings = asked(arguments)
    if not 0.0 <= settings["payload"] < math.inf:
        raise UsageError(f"--payload {settings['payload']}: a weight in kg")
    if not arguments.arm:
        raise UsageError("which arm? --arm NAME or PATH, or --resume DIR")
    spec = load_arm(arguments.arm)
    _try_twin(arguments, spec, arguments.gap)
    folder = arguments.out or Path("recordings") / time.strftime(f"{spec.name}_%Y-%m-%d_%H-%M-%S")
    Recording.require_none(folder)  # before it is planned for half a minute
    notes: dict[str, Any] = {"arm_file": str(spec.path), "gap": "" if arguments.port else arguments.gap or "none"}
    notes |= {"name": arguments.name, "asked": as_noted(settings)}
    with screen.working("planning the motion", stages=True) as say:
        excitation = plan(
            spec,
            settings["level"],
            rate=settings["rate"],
            joints=settings["joints"].split(",") if settings["joints"] else None,
            one_by_one=settings["one_by_one"],
            gains=settings["gains"],
            payload=settings["payload"],
            policy=settings["policy"],
            seed=settings["seed"],
            tell=lambda text: say(f"planning: {text}"),
        )
    return spec, Recording.begin(folder, excitation, notes)


def _resumed(arguments: argparse.Namespace) -> tuple[ArmSpec, Recording]:
    from calibration.recording.record import Recording  # noqa: PLC0415
    from robot_runtime.spec import load_arm  # noqa: PLC0415

    recording = Recording.open(arguments.resume)
    spec = load_arm(arguments.arm or recording.notes.get("arm_file", recording.excitation.arm))
    recording.excitation.check(spec)
    _try_twin(arguments, spec, arguments.gap or recording.notes.get("gap"))
    go_on(arguments, recording)
    return spec, recording


def _show(arguments: argparse.Namespace, screen: Screen, spec: ArmSpec, recording: Recording) -> None:
    from calibration.recording.preview import pace, picture, rows, table  # noqa: PLC0415
    from robot_runtime.flight.clip import ClipError  # noqa: PLC0415

    excitation = recording.missing
    notes = excitation.notes
    screen.out.print(table(excitation, spec))
    moved = {name for segment in excitation.segments for name in segment.joints}
    held = [name for name in spec.joint_names if name not in moved]
    if held:
        screen.say(f"held where they are: {', '.join(held)}")
    if notes:
        screen.say(
            f"it keeps {notes['nearest_m'] * 1e3:.0f} mm from the table and from itself; of the {notes['parameters']} "
            f"numbers that the fit looks for this motion tells {notes['directions_seen']} combinations, others stay "
            f"as the data files say (a known weight, --payload, tells more); condition number {notes['condition']:.0f}"
        )
    shown: Path | None = None
    if not arguments.no_picture:
        with screen.working("rendering the preview"):
            try:
                shown = picture(recording.folder, excitation, spec)
            except ClipError as error:
                screen.aside(str(error))
    if shown is not None:
        screen.say(f"preview: {shown} (any browser shows it, at {pace(excitation):.2g} times the speed)")
    screen.line(
        {
            "plan": rows(excitation, spec),
            "seconds": excitation.seconds,
            "preview": None if shown is None else str(shown),
            "notes": dict(notes),
            "folder": str(recording.folder),
        }
    )


def _fly(arguments: argparse.Namespace, screen: Screen, spec: ArmSpec, recording: Recording) -> Verdict:
    """All parts, until one ends early."""
    from robot_runtime.port_or_twin import port_or_twin  # noqa: PLC0415

    gap = recording.notes.get("gap") or "none"
    if not arguments.port:
        screen.aside(f"no --port: recording the twin of {spec.name}")
    for load, parts in recording.missing.by_load:
        if arguments.port and load:
            screen.wait(
                f"Now hang {load * 1e3:.0f} g at the tip, or let the gripper hold it",
                instead="somebody has to be there for --payload",
            )
        differs = None if gap == "none" else gap
        with port_or_twin(arguments.port, spec, gap=differs, payload=load, faults=arguments.fault) as port:
            ended = _fly_parts(arguments, screen, spec, recording, parts, port)
        if ended.exit_code:
            break
    return ended


def _fly_parts(
    arguments: argparse.Namespace,
    screen: Screen,
    spec: ArmSpec,
    recording: Recording,
    parts: Sequence[str],
    port: SerialPort,
) -> Verdict:
    """These parts, until one ends early and nothing can be done about it."""
    from robot_runtime.bus import SerialPort  # noqa: PLC0415

    flown = len(recording.flown)
    for part in parts:
        while recording.missing.of(part).segments:
            if len(recording.flown) > flown:  # a flight closes its port
                port = SerialPort(port.name, spec.bus.baudrate)
            with closing(port):
                ended = _fly_part(arguments, screen, spec, recording, part, port)
            if ended.exit_code and not _relents(arguments, screen, spec, recording, ended):
                return ended
    return ended


def _relents(
    arguments: argparse.Namespace, screen: Screen, spec: ArmSpec, recording: Recording, ended: Verdict
) -> bool:
    """Whether to go on after a flight that ended early, with what is missing made gentler."""
    from calibration.recording.record import lies  # noqa: PLC0415

    text = recording.relent(spec)
    if not text:
        return False
    screen.say(f"{ended.headline}\nthe arm: {ended.outcome}\ngentler: {text}")
    if not lies(ended):
        return False
    _show(arguments, screen, spec, recording)
    left = recording.missing.seconds
    screen.confirm(f"Go on like this, for {left:.0f} s?", yes=arguments.yes or not arguments.port)
    return True


def _fly_part(
    arguments: argparse.Namespace, screen: Screen, spec: ArmSpec, recording: Recording, part: str, port: SerialPort
) -> Verdict:
    """One flight."""
    from calibration.recording.record import record_part  # noqa: PLC0415
    from robot_runtime.operator_inputs import Operator  # noqa: PLC0415
    from robot_runtime.realtime import RealTime  # noqa: PLC0415
    from robot_runtime.session import recorder_watcher  # noqa: PLC0415

    with ExitStack() as flight:
        realtime = flight.enter_context(RealTime())
        facts = realtime.enter()
        port.spin = realtime.spin(recording.excitation.period)
        watch: list[Any] = []
        operator = flight.enter_context(
            Operator(keys=not arguments.json, estop=arguments.estop, watchers=(lambda: watch[0]() if watch else 0,))
        )
        hooks = _hooks(arguments, screen, spec, recording, part, port, facts, operator, flight)
        hooks.show_recorder = lambda recorder: watch.append(recorder_watcher(recorder))
        hooks.show_end = operator.let_finish
        return record_part(recording, spec, part, port, hooks)


def _hooks(
    arguments: argparse.Namespace,
    screen: Screen,
    spec: ArmSpec,
    recording: Recording,
    part: str,
    port: SerialPort,
    facts: Facts,
    operator: Any,
    until: ExitStack,
) -> Hooks:
    from calibration.recording.record import Hooks  # noqa: PLC0415
    from robot_runtime.calibrated.identity import adapter_serial  # noqa: PLC0415
    from robot_runtime.cli.telling import show_checks  # noqa: PLC0415
    from robot_runtime.live import Live, about  # noqa: PLC0415
    from robot_runtime.preflight.gate import Recording as DiskRoom  # noqa: PLC0415
    from robot_runtime.preflight.table import passed  # noqa: PLC0415

    excitation, folder = recording.missing.of(part), recording.folder
    live: Live | None = None
    if not arguments.json:
        what = about(spec, "recording for calibration", excitation.period, target_size=len(spec.joints))
        live = until.enter_context(Live(what))
    done = 0.0

    def tell(what: str, segment: Segment, _now: float) -> None:
        nonlocal done
        if what == "end":
            done += segment.duration(excitation.period)
        elif live is not None:
            live.say(_progress(done / excitation.seconds, segment, excitation.period))

    def look(checks: list[Check]) -> bool:
        show_checks(checks, screen, briefly=passed(checks))
        return passed(checks)

    return Hooks(
        inputs=operator,
        name=recording.notes.get("name", ""),
        adapter=adapter_serial(arguments.port) if arguments.port else "",
        facts=facts,
        timer=port.latency_timer,
        room=DiskRoom.at(folder, 1.0 / excitation.period, excitation.seconds / 60 + 1),
        show_checks=look,
        show_cycle=live,
        tell=tell,
    )


def _progress(share: float, segment: Segment, period: float) -> str:
    full = round(share * _BAR)
    return f"[{'#' * full}{'.' * (_BAR - full)}] {share:4.0%}  {segment.name}, {segment.duration(period):.0f} s"


def _tell(screen: Screen, recording: Recording, ended: Verdict) -> None:
    from robot_runtime.cli.telling import tell_verdict  # noqa: PLC0415

    screen.line(_told(recording, ended))
    tell_verdict(ended, screen)
    for note in recording.relents:
        if note["left_out"]:
            screen.say(f"left out: {note['text']}")
    if recording.complete:
        screen.say(f"recorded in {recording.folder}: 'robot-calibrate fit {recording.folder}'")
    else:
        left = recording.missing
        count = f"{len(left.segments)} of {len(recording.excitation.segments)} segments"
        screen.say(
            f"{count} are missing ({left.seconds:.0f} s): 'robot-calibrate record --resume {recording.folder}' goes on"
        )


def _told(recording: Recording, ended: Verdict | None) -> dict[str, Any]:
    return {
        **({} if ended is None else ended.as_json()),
        "folder": str(recording.folder),
        "flights": [str(path) for path in recording.flights],
        "complete": recording.complete,
        "missing": [s.name for s in recording.missing.segments],
        "gentler": recording.relents,
    }
