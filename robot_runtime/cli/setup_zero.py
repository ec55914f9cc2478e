"""robot-setup zero: the arm is moved by hand, a live table shows every joint, signs and offsets are settled."""

from __future__ import annotations

import argparse
import math
import shlex
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from robot_runtime.arm.identify import ServoOnBus, identify
from robot_runtime.bus import Bus
from robot_runtime.cli.captures import CaptureLog, LiveHand, LogHand
from robot_runtime.cli.common import ExitCode, Parser, Screen, UsageError, count, open_bus
from robot_runtime.cli.writing import (
    Record,
    change_json,
    differences,
    load_own_arm,
    own_folder,
    record,
    show_changes,
    write,
)
from robot_runtime.servos.protocol import REVERSED
from robot_runtime.setup.arm_file import Edit, draft, joint_edits
from robot_runtime.setup.directions import positive_directions
from robot_runtime.setup.errors import CannotBeRightError, RefusedError
from robot_runtime.setup.plan import POSITION_REGISTERS, Change, only, wanted
from robot_runtime.setup.release import release
from robot_runtime.setup.zero import Zero, Zeroing
from robot_runtime.spec import ArmSpec


def add_arguments(parser: Parser) -> None:
    """The arguments of this subcommand alone."""
    parser.add_argument(
        "--pose", default="home", metavar="NAME", help="the pose that the arm is held in (default: home)"
    )
    parser.add_argument("--joints", nargs="+", metavar="JOINT", help="only these (default: all)")
    parser.add_argument("--stops", action="store_true", help="settle offsets by both hard stops instead of a pose")
    parser.add_argument("--keep-signs", action="store_true", help="the signs in the arm file are right: refuse others")
    parser.add_argument("--release", action="store_true", help="switch torque off first if it is on: the arm falls")
    parser.add_argument("--seconds", type=float, metavar="S", help="every capture ends after S seconds, without Enter")
    parser.add_argument("--save-log", type=Path, metavar="FILE", help="keep what was captured")
    parser.add_argument("--from-log", type=Path, metavar="FILE", help="use kept captures instead of moving the arm")
    parser.add_argument("--dry-run", action="store_true", help="settle and show, write nothing")


def body(args: argparse.Namespace, screen: Screen) -> ExitCode:
    """Do what `robot-setup zero` was asked to."""
    spec = load_own_arm(args, screen)
    _check_arguments(spec, args)
    done = record(args, screen)
    with ExitStack() as stack:
        bus, servos = None, {}
        if not (args.from_log and args.dry_run):  # else the captures alone are looked at, without an arm
            bus = stack.enter_context(open_bus(args.port, spec.bus.baudrate, screen))
            servos = {s.joint.servo_label: s for s in identify(bus, spec)}
            _require_free(bus, spec, servos, args, screen)
        zeros = _settle(bus, spec, servos, args, screen)
        _show(zeros, screen)
        found = [] if bus is None else _differences(bus, spec, servos, zeros)
        if found:
            screen.say("In the servos:")
            show_changes(found, {z.after.servo_id: z.after.servo_label for z in zeros}, screen)
        edits = _edits(spec, zeros)
        file = spec.path
        if args.dry_run or not (found or edits):
            screen.say("Nothing was written." if args.dry_run else "All is as it was; nothing to write.")
        else:
            ready = stack.enter_context(draft(spec, edits, own_folder(args, spec))) if edits else None
            if found:
                done.log.check()
            screen.confirm(
                f"Write {count(len(edits), 'number')} into the arm file, {len(found)} into servos?", yes=args.yes
            )
            if ready is not None:
                file = done.put(ready).path
                screen.say(f"{file} has the new zero" + (f" (before: {ready.backup})." if ready.backup else "."))
            if bus is not None and found:
                write(bus, found, lambda: _differences(bus, spec, servos, zeros), done.log)
                screen.say(f"The servos are set. To take that back: {done.undo_command}")
            if file != spec.path:
                screen.say(f"From now on: --arm {shlex.quote(str(file.parent))}")
    would = {"changes": [change_json(c) for c in found]} if args.dry_run else {}
    screen.result({**_as_json(spec, zeros, file, done), **would})
    return ExitCode.FINE


def _check_arguments(spec: ArmSpec, args: argparse.Namespace) -> None:
    if args.pose not in spec.poses:
        raise UsageError(f"{spec.name} has no pose '{args.pose}'; it has {', '.join(spec.poses)}")
    for name in args.joints or ():
        if name not in spec.joint_names:
            raise UsageError(f"{spec.name} has no joint '{name}'; it has {', '.join(spec.joint_names)}")
    if args.save_log is not None and args.save_log.exists():
        raise UsageError(f"{args.save_log} exists already and would be lost; name another with --save-log")
    if args.seconds is not None and not (math.isfinite(args.seconds) and args.seconds > 0):
        raise UsageError(f"--seconds {args.seconds:g}: expected a number above 0")


def _require_free(
    bus: Bus, spec: ArmSpec, servos: Mapping[str, ServoOnBus], args: argparse.Namespace, screen: Screen
) -> None:
    """Torque is off, and the servos count the way their ticks say."""
    holding = [name for name, s in servos.items() if bus.read(s.joint.servo_id, s.model.register("torque_enable"))]
    if holding and not args.release:
        raise RefusedError(
            f"torque is on in {', '.join(holding)}, and the arm is to be moved by hand; support it and add --release"
        )
    if holding:
        screen.confirm(f"{spec.name} will fall unless something holds it up. Let go?", yes=args.yes)
        if failed := release(bus, spec.servos):
            raise RefusedError(f"torque could not be switched off: {'; '.join(failed.values())}")
    for name, servo in servos.items():
        if bus.read(servo.joint.servo_id, servo.model.register("drive_mode")) & REVERSED:
            raise RefusedError(
                f"joint '{name}': its servo's Drive Mode is reversed, which turns the sign around; run "
                "'robot-setup arm' first"
            )


def _settle(
    bus: Bus | None, spec: ArmSpec, servos: Mapping[str, ServoOnBus], args: argparse.Namespace, screen: Screen
) -> tuple[Zero, ...]:
    """Go through the captures; where somebody is there, one that cannot be right is repeated."""
    if args.from_log is not None:
        hand: LogHand | LiveHand = LogHand(args.from_log, spec)
    else:
        assert bus is not None
        homing = {n: bus.read(s.joint.servo_id, s.model.register("homing_offset")) for n, s in servos.items()}
        log = CaptureLog(args.save_log, spec, homing) if args.save_log else None
        hand = LiveHand(bus, spec, homing, positive_directions(spec, args.pose), screen, args.seconds, log)
    zeroing = Zeroing(
        spec, hand.homing, joints=args.joints, pose=args.pose, stops=args.stops, keep_signs=args.keep_signs
    )
    for capture in zeroing.captures:
        while True:
            zeroing.begin()
            for time, ticks in hand.samples(capture, zeroing):
                zeroing.feed(time, ticks)
            try:
                zeroing.finish(capture)
                break
            except CannotBeRightError as error:
                if not hand.repeats:
                    raise
                screen.aside(f"error: {error}\nOnce more; Ctrl-C gives up.")
    return zeroing.results()


def _differences(bus: Bus, spec: ArmSpec, servos: Mapping[str, ServoOnBus], zeros: Sequence[Zero]) -> list[Change]:
    """What depends on the zero and lies in the servos."""
    found: list[Change] = []
    for zero in zeros:
        model = servos[zero.after.servo_label].model
        want = only(wanted(zero.after, spec.bus, model), POSITION_REGISTERS)
        found += differences(bus, zero.after.servo_id, model, want)
    return found


def _edits(spec: ArmSpec, zeros: Sequence[Zero]) -> list[Edit]:
    edits: list[Edit] = []
    changed: set[str] = set()
    for zero in zeros:
        keys = ("sign", "offset", "zero_within", "homing_offset")
        values = {key: value for key in keys if (value := getattr(zero.after, key)) != getattr(zero.before, key)}
        changed |= {zero.after.name} if values else set()
        if not zero.after.is_second:
            edits += joint_edits(spec.joint_names.index(zero.after.name), values)
        elif zero.after.name in changed:  # what is not said of a second servo follows from the first: say it all
            second = {"id": zero.after.servo_id, "sign": zero.after.sign, "offset": zero.after.offset}
            edits += joint_edits(spec.joint_names.index(zero.after.name), {"second": second})
    return edits


def _show(zeros: Sequence[Zero], screen: Screen) -> None:
    table = Table(box=box.SIMPLE, pad_edge=False)
    for head in ("joint", "sign", "offset, rad", "limits, ticks", "moved, rad"):
        table.add_column(head, justify="left" if head == "joint" else "right")
    for zero in zeros:
        old, new = zero.before, zero.after
        low, high = new.position_ticks
        table.add_row(
            new.servo_label,
            f"{old.sign:+d} -> {new.sign:+d}" if old.sign != new.sign else f"{new.sign:+d}",
            f"{old.offset:.4f} -> {new.offset:.4f}",
            f"{low} to {high}",
            f"{zero.seen[0]:.2f} to {zero.seen[1]:.2f}",
        )
    screen.out.print(table)
    for zero in zeros:
        for note in zero.notes:
            screen.say(f"note: joint '{zero.after.servo_label}': {note}")


def _as_json(spec: ArmSpec, zeros: Sequence[Zero], file: Path, done: Record) -> dict[str, Any]:
    return {
        "arm": spec.name,
        "arm_file": str(file),
        "joints": [
            {
                "name": z.after.name,
                "servo": z.after.servo_id,
                "sign": z.after.sign,
                "offset": z.after.offset,
                "homing_offset": z.after.homing_offset,
                "moved": [round(q, 4) for q in z.seen],
                "notes": list(z.notes),
            }
            for z in zeros
        ],
        **done.json(),
    }
