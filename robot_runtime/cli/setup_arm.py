"""robot-setup arm: servos get their IDs one by one, then all get the settings that control needs."""

from __future__ import annotations

import argparse

from robot_runtime.arm.identify import identify
from robot_runtime.bus import Bus, ServoError
from robot_runtime.bus.scan import FoundServo, as_laid_out, known_baudrates
from robot_runtime.cli.common import ExitCode, Screen, UsageError, count, open_bus
from robot_runtime.cli.writing import change_json, differences, load_own_arm, record, show_changes, write
from robot_runtime.servos import ServoModel
from robot_runtime.setup.apply import UndoLog
from robot_runtime.setup.errors import NoServoError, WhichServoError
from robot_runtime.setup.identity import Place, assign, the_one_servo
from robot_runtime.setup.plan import Change, wanted
from robot_runtime.spec import ArmSpec, JointSpec

_FACTORY_BAUDRATE = 57_600
"""bit/s of every X-series servo fresh from the box. Source: e-Manual."""


def body(args: argparse.Namespace, screen: Screen) -> ExitCode:
    """Do what `robot-setup arm` was asked to."""
    spec = load_own_arm(args, screen)
    labels = [j.servo_label for j in spec.servos]
    if args.only is not None and args.only not in labels:
        raise UsageError(f"{spec.name} has no joint '{args.only}'; it has {', '.join(labels)}")
    joints = [j for j in spec.servos if args.only in (None, j.servo_label)]
    done = record(args, screen)
    assigned: list[str] = []
    with open_bus(args.port, spec.bus.baudrate, screen) as bus:
        if not args.settings_only and not args.dry_run:
            assigned = _give_ids(bus, spec, joints, args, screen, done.log)
        if args.only is None:
            models = {s.joint.servo_id: s.model for s in identify(bus, spec)}
        else:
            models = {j.servo_id: as_laid_out(bus, j.servo_id, j.servo) for j in joints}
        found = _differences(bus, spec, joints, models)
        if found:
            show_changes(found, {j.servo_id: j.servo_label for j in joints}, screen)
        else:
            screen.say(f"Nothing to change: {_are(len(joints))} set as {spec.path.name} and control want them.")
        if found and not args.dry_run:
            screen.confirm(f"Write {count(len(found), 'setting')}?", yes=args.yes)
            write(bus, found, lambda: _differences(bus, spec, joints, models), done.log)
            screen.say(f"Written and read back. To take it back: {done.undo_command}")
    would = {"changes": [change_json(c) for c in found]} if args.dry_run else {}
    screen.result({"arm": spec.name, "arm_file": str(spec.path), "assigned": assigned, **done.json(), **would})
    return ExitCode.FOUND if found and args.dry_run else ExitCode.FINE


def _are(number: int) -> str:
    return f"{count(number, 'servo')} {'is' if number == 1 else 'are'}"


def _differences(bus: Bus, spec: ArmSpec, joints: list[JointSpec], models: dict[int, ServoModel]) -> list[Change]:
    found: list[Change] = []
    for joint in joints:
        model = models[joint.servo_id]
        found += differences(bus, joint.servo_id, model, wanted(joint, spec.bus, model))
    # First of all nobody obeys what is written to another any more.
    return sorted(found, key=lambda change: change.register.name != "secondary_id")


def _give_ids(
    bus: Bus, spec: ArmSpec, joints: list[JointSpec], args: argparse.Namespace, screen: Screen, log: UndoLog
) -> list[str]:
    """Guide through the joints whose servos are not there yet; return their names."""
    settled = {Place(j.servo_id, spec.bus.baudrate) for j in spec.servos if _is_there(bus, j)}
    missing = [j for j in joints if Place(j.servo_id, spec.bus.baudrate) not in settled]
    if len(missing) > 0 and args.only is None:
        screen.say(f"{len(spec.servos) - len(missing)} of {len(spec.servos)} servos have their IDs already.")
    for joint in missing:
        if args.only is None:
            screen.wait(
                f"Connect the servo of joint '{joint.servo_label}' ({joint.servo.name}); those that have their IDs "
                "may stay",
                instead="a script connects one servo and runs with --only JOINT, for each joint",
            )
        while not _give_id(bus, spec, joint, settled, args, screen, log):
            screen.wait("Put it right", instead="")
        settled.add(Place(joint.servo_id, spec.bus.baudrate))
    return [j.servo_label for j in missing]


def _give_id(
    bus: Bus,
    spec: ArmSpec,
    joint: JointSpec,
    settled: set[Place],
    args: argparse.Namespace,
    screen: Screen,
    log: UndoLog,
) -> bool:
    """Give the new servo on the bus this joint's ID. False: something has to be put right by hand first."""
    target = Place(joint.servo_id, spec.bus.baudrate)
    try:
        servo = _new_servo(bus, spec, settled, screen)
        if servo.model_number != joint.servo.number:
            name = servo.model.name if servo.model else f"an unknown model, number {servo.model_number}"
            raise WhichServoError(
                f"joint '{joint.servo_label}' wants a {joint.servo.name}; what is connected (ID {servo.servo_id}) "
                f"is {name}"
            )
        screen.say(f"Found: {joint.servo.name}, ID {servo.servo_id} at {servo.baudrate} bit/s.")
        screen.confirm(f"Make it {target}, joint '{joint.servo_label}'?", yes=args.yes)
        assign(bus, servo, target, log)
    except WhichServoError as error:
        if not screen.interactive or args.only is not None:
            raise
        screen.aside(f"error: {error}")
        return False
    screen.say(f"Joint '{joint.servo_label}' is {target} now.")
    return True


def _new_servo(bus: Bus, spec: ArmSpec, settled: set[Place], screen: Screen) -> FoundServo:
    likely = tuple(dict.fromkeys((_FACTORY_BAUDRATE, spec.bus.baudrate)))
    others = tuple(rate for rate in known_baudrates() if rate not in likely)
    with screen.working("looking for the new servo") as show:
        try:
            return the_one_servo(bus, likely, settled=settled)
        except NoServoError:
            pass
        try:
            return the_one_servo(
                bus, others, settled=settled, progress=lambda rate, *_: show(f"looking at {rate} bit/s")
            )
        except NoServoError as error:
            tried = ", ".join(map(str, (*likely, *others)))
            raise NoServoError(f"no servo answers at {tried} bit/s; check cable and power") from error


def _is_there(bus: Bus, joint: JointSpec) -> bool:
    try:
        return bus.ping(joint.servo_id).model_number == joint.servo.number
    except ServoError:
        return False
