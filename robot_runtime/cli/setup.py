"""robot-setup: servos get their IDs and settings, an arm gets its zero; shown before it is written, and undoable."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from robot_runtime.bus import ServoError
from robot_runtime.bus.scan import known_baudrates
from robot_runtime.cli import setup_arm, setup_check, setup_zero
from robot_runtime.cli.common import (
    EXIT_CODES,
    ExitCode,
    Parser,
    Screen,
    UsageError,
    add_common,
    add_yes,
    baudrate,
    command,
    count,
    open_bus,
    run,
    servo_id,
)
from robot_runtime.cli.writing import change_json, load_own_arm, own_folder, record, show_changes
from robot_runtime.servos import ServoModel, servo_model_by_number
from robot_runtime.servos.protocol import HIGHEST_ID
from robot_runtime.setup.apply import Outcome, Undone, load_undo, require_torque_off, undo
from robot_runtime.setup.arm_file import Edit, draft
from robot_runtime.setup.errors import WhichServoError
from robot_runtime.setup.identity import Place, assign, change_baudrate, identity_changes, locate, the_one_servo
from robot_runtime.setup.release import release

_EXAMPLES = """  robot-setup servo --id 3 --baud 1000000    one servo on the cable: give it its ID and baud rate
  robot-setup arm --arm koch-v1.1            all of an arm: IDs one by one, then the recommended settings
  robot-setup arm --arm koch-v1.1 --dry-run  only show what would be written
  robot-setup check --arm ./my-arm           an arm of your own: are its two files right? no servo is needed
  robot-setup zero --arm koch-v1.1           settle signs and offsets by moving the arm by hand
  robot-setup baud --arm ./my-arm 3000000    another baud rate for all servos
  robot-setup undo robot-setup-undo-20250101-120000.json
  robot-setup release --arm koch-v1.1        torque off
  robot-setup reboot --id 3                  restart a servo that has shut itself down

'robot-setup SUBCOMMAND --help' tells more about each."""

_REBOOT_PATIENCE = 2.0
"""s that a servo may take to answer after a reboot; X-series servos take about half a second."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `robot-setup`."""
    parser = command(
        "robot-setup",
        "Give servos their IDs, baud rates and settings, and an arm its zero. What will be written is shown first, the "
        "old values go into an undo file, and what was written is read back.",
        _EXAMPLES,
    )
    commands = parser.add_subparsers(dest="subcommand", required=True, metavar="SUBCOMMAND")

    def add(
        name: str, text: str, body: Callable[[argparse.Namespace, Screen], ExitCode], *, port: bool = True
    ) -> Parser:
        sub: Parser = commands.add_parser(name, help=text, description=text, epilog=EXIT_CODES)
        sub.set_defaults(does=body)
        add_common(sub, port=port)
        return sub

    sub = add("servo", "Give the one servo that is connected its ID and baud rate.", _servo)
    sub.add_argument(
        "--id", type=servo_id, required=True, metavar="NEW", help=f"the ID that it gets, 0 to {HIGHEST_ID}"
    )
    sub.add_argument("--baud", metavar="N", help="the baud rate that it gets (default: stays as it is)")
    sub.add_argument("--from", dest="present", type=servo_id, metavar="ID", help="the servo that has this ID now")
    _add_writing(sub)

    sub = add(
        "arm", "Give all servos of an arm their IDs, one by one, and the settings that control needs.", setup_arm.body
    )
    _add_arm(sub)
    sub.add_argument(
        "--only",
        metavar="JOINT",
        help="this joint alone (JOINT/2: its second servo); that servo is the only new one",
    )
    sub.add_argument("--settings-only", action="store_true", help="all servos have their IDs; no guided part")
    sub.add_argument(
        "--dry-run", action="store_true", help="show what would be written; exit code 1 if there is anything"
    )
    _add_writing(sub)

    check = (
        "Look at an arm's two files, arm.toml and MJCF, without any servo: what flights would refuse, and what is odd."
    )
    sub = add("check", check, setup_check.body, port=False)
    _add_arm(sub)

    sub = add(
        "zero",
        "Settle signs and offsets of an arm that is moved by hand, and write them into its file.",
        setup_zero.body,
    )
    _add_arm(sub)
    setup_zero.add_arguments(sub)
    _add_writing(sub)
    _add_out(sub)

    sub = add("baud", "Bring all servos of an arm to another baud rate, and note it in the arm's file.", _baud)
    _add_arm(sub)
    sub.add_argument("rate", metavar="N", help="bit/s")
    _add_writing(sub)
    _add_out(sub)

    sub = add("undo", "Take back what an undo file tells of, the last change first.", _undo)
    sub.add_argument("file", metavar="FILE", type=Path)
    sub.add_argument("--force", action="store_true", help="also where somebody else has written since")
    add_yes(sub)

    sub = add("release", "Torque off in all servos of an arm: it falls unless something holds it up.", _release)
    _add_arm(sub)
    add_yes(sub)

    sub = add("reboot", "Restart servos: errors are cleared, torque goes off.", _reboot)
    sub.add_argument("--id", type=servo_id, nargs="+", required=True, metavar="N", help="which servos")
    add_yes(sub)
    return run(parser, argv)


def _add_arm(parser: Parser) -> None:
    parser.add_argument("--arm", required=True, metavar="NAME|PATH", help="an arm that ships, or a path to an arm.toml")


def _add_writing(parser: Parser) -> None:
    add_yes(parser)
    parser.add_argument("--undo-file", metavar="FILE", help="where the old values go (default: a new file here)")


def _add_out(parser: Parser) -> None:
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        help="write the arm there instead (default: in place; a shipped arm is copied to ./NAME)",
    )


def _servo(args: argparse.Namespace, screen: Screen) -> ExitCode:
    rates = known_baudrates()
    wanted_rate = None if args.baud is None else baudrate(args.baud)
    done = record(args, screen)
    with open_bus(args.port, rates[0], screen) as bus:
        with screen.working("looking for the servo") as show:
            servo = the_one_servo(
                bus,
                rates,
                servo_id=args.present,
                progress=lambda r, i, n: show(f"looking at {r} bit/s ({i + 1} of {n})"),
            )
        target = Place(args.id, wanted_rate or servo.baudrate)
        todo = identity_changes(servo, target)
        name = servo.model.name if servo.model else ""
        screen.say(f"Found: {name}, firmware {servo.firmware}, ID {servo.servo_id} at {servo.baudrate} bit/s.")
        if todo:
            screen.confirm(f"Make it {target}?", yes=args.yes)
            assign(bus, servo, target, done.log)
            screen.say(f"It is {target} now. To take it back: {done.undo_command}")
        else:
            screen.say("It is so already; nothing was written.")
    found = {"id": servo.servo_id, "baudrate": servo.baudrate, "model": name, "firmware": servo.firmware}
    screen.result({"found": found, "id": target.servo_id, "baudrate": target.baudrate, **done.json()})
    return ExitCode.FINE


def _baud(args: argparse.Namespace, screen: Screen) -> ExitCode:
    spec, rate = load_own_arm(args, screen), baudrate(args.rate)
    for model in (joint.servo for joint in spec.joints):
        if rate not in model.baudrates:
            raise UsageError(f"{model.name} cannot do {rate} bit/s; it does {', '.join(map(str, model.baudrates))}")
    rates = dict.fromkeys((spec.bus.baudrate, rate, *known_baudrates()))
    done = record(args, screen)
    file = spec.path
    with contextlib.ExitStack() as stack:
        bus = stack.enter_context(open_bus(args.port, spec.bus.baudrate, screen))
        servos = {
            place: _expected(spec.servos[spec.servo_ids.index(place.servo_id)].servo, place, number)
            for place, number in locate(bus, spec.servo_ids, tuple(rates)).items()
        }
        away = {place: model for place, model in servos.items() if place.baudrate != rate}
        ready = None
        if spec.bus.baudrate != rate:  # the file first: it must not turn out later that it cannot be changed
            edit = Edit(("bus", "baudrate"), rate)
            ready = stack.enter_context(draft(spec, [edit], own_folder(args, spec)))
        if away:
            done.log.check()
        for old in sorted({place.baudrate for place in away}):
            group = {place.servo_id: model for place, model in away.items() if place.baudrate == old}
            bus.set_baudrate(old)
            require_torque_off(bus, group)
            screen.say(f"{count(len(group), 'servo')} at {old} bit/s")
        if away or ready is not None:
            screen.confirm(f"Bring {count(len(away), 'servo')} and the arm's file to {rate} bit/s?", yes=args.yes)
        if away:
            change_baudrate(bus, away, rate, done.log)
        if ready is not None:
            file = done.put(ready).path
            screen.say(f"{file} is changed" + (f" (before: {ready.backup})." if ready.backup else "."))
    undo_text = f" To take the servos back: {done.undo_command}" if away else ""
    says = "answers" if len(servos) == 1 else "answer"
    screen.say(f"{_all(len(servos)).capitalize()} {says} at {rate} bit/s; {file} says so.{undo_text}")
    screen.result({"arm": spec.name, "arm_file": str(file), "baudrate": rate, **done.json()})
    return ExitCode.FINE


def _all(number: int) -> str:
    return "the servo" if number == 1 else f"all {number} servos"


def _expected(model: ServoModel, place: Place, number: int) -> ServoModel:
    if model.number != number:
        raise WhichServoError(f"{place} is not a {model.name} as the arm's file says, but model number {number}")
    return model


def _undo(args: argparse.Namespace, screen: Screen) -> ExitCode:
    changes = load_undo(args.file)
    results: list[Undone] = []
    screen.aftermath = lambda: (_taken_back(results, len(changes)), _undo_json(results, args.file))
    show_changes([replace(c, before=c.after, after=c.before) for c in reversed(changes)], {}, screen)
    screen.confirm(f"Take {count(len(changes), 'change')} back?", yes=args.yes)

    def tell(entry: Undone) -> None:
        results.append(entry)
        change, reason = entry.change, f": {entry.reason}" if entry.reason else ""
        screen.say(f"servo {change.servo_id} {change.register.name} = {change.before}: {entry.outcome}{reason}")

    with open_bus(args.port, changes[-1].baudrate if changes else known_baudrates()[0], screen) as bus:
        undo(bus, changes, force=args.force, tell=tell)
    screen.result(_undo_json(results, args.file))
    return ExitCode.FOUND if any(e.outcome is Outcome.SKIPPED for e in results) else ExitCode.FINE


def _taken_back(results: Sequence[Undone], number: int) -> str:
    if not results:
        return "Nothing was written."
    return f"Looked at until then: {len(results)} of {count(number, 'change')}. The same command finishes the work."


def _undo_json(results: Sequence[Undone], file: Path) -> dict[str, Any]:
    return {
        "changes": [
            {**change_json(e.change), "outcome": str(e.outcome).replace(" ", "_"), "reason": e.reason} for e in results
        ],
        "written": any(e.outcome is Outcome.RESTORED for e in results),
        "undo_file": str(file),
    }


def _release(args: argparse.Namespace, screen: Screen) -> ExitCode:
    spec = load_own_arm(args, screen)
    screen.confirm(f"{spec.name} will fall unless something holds it up. Let go?", yes=args.yes)
    with open_bus(args.port, spec.bus.baudrate, screen) as bus:
        failed = release(bus, spec.servos)
    for name, reason in failed.items():
        screen.say(f"joint '{name}': not sure that torque is off: {reason}")
    if not failed:
        screen.say(f"Torque is off in {_all(len(spec.servos))}.")
    released = [joint.servo_label for joint in spec.servos if joint.servo_label not in failed]
    screen.result({"arm": spec.name, "arm_file": str(spec.path), "released": released, "failed": failed})
    return ExitCode.SERVOS if failed else ExitCode.FINE


def _reboot(args: argparse.Namespace, screen: Screen) -> ExitCode:
    listed = ", ".join(map(str, args.id))
    screen.confirm(f"Servo {listed} will let go of what it holds up. Reboot?", yes=args.yes)
    errors: dict[int, list[str]] = {}
    with open_bus(args.port, known_baudrates()[0], screen) as bus:
        for place, number in locate(bus, args.id, known_baudrates()).items():
            model = servo_model_by_number(number)
            bus.set_baudrate(place.baudrate)
            bus.reboot(place.servo_id)
            deadline = bus.port.now() + _REBOOT_PATIENCE
            while True:
                try:
                    status = bus.read(place.servo_id, model.register("hardware_error_status"))
                    break
                except ServoError:
                    if bus.port.now() > deadline:
                        raise
            errors[place.servo_id] = list(model.error_names(status))
    for number, names in errors.items():
        screen.say(f"servo {number} is back, {'hardware error: ' + ', '.join(names) if names else 'no error'}")
    screen.result({"rebooted": [{"id": number, "errors": names} for number, names in errors.items()]})
    return ExitCode.FOUND if any(errors.values()) else ExitCode.FINE


if __name__ == "__main__":
    sys.exit(main())
