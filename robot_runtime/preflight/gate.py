"""Preflight: everything that is looked at before torque comes on. One gate; what fails says what to do."""

from __future__ import annotations

import re
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from robot_runtime.arm import Arm, ArmError, FollowerError, ServoSettingError, WrongServoError
from robot_runtime.bus import BusError, MissingServosError, Port, PortError, WrongBaudError
from robot_runtime.bus.latency_timer import LatencyTimer
from robot_runtime.flight.errors import why_not_into
from robot_runtime.flight.recorder import RESERVE, START_WITHIN, FlightRecorder, Recorder
from robot_runtime.policy.contract import Contract
from robot_runtime.policy.load import start_pose
from robot_runtime.preflight.acceleration import check_acceleration
from robot_runtime.preflight.gains import check_gains
from robot_runtime.preflight.goals import goals_beyond
from robot_runtime.preflight.model import check_model
from robot_runtime.preflight.poses import check_poses
from robot_runtime.preflight.reach import check_reach
from robot_runtime.preflight.rest import check_at_rest
from robot_runtime.preflight.servos import check_servos
from robot_runtime.preflight.table import Check, passed
from robot_runtime.preflight.workspace import check_workspace
from robot_runtime.realtime import Facts
from robot_runtime.safety.clearance import Box
from robot_runtime.safety.settings import Settings
from robot_runtime.spec import ArmSpec, ArmSpecError

BYTES_A_CYCLE = 800
"""In a recording: up to 544 were seen, of five joints that a policy flies; half as much again to spare."""


STRAY = 1
"""Answers that a servo may miss while the arm is opened: one packet in a thousand is lost, two of the same servo tell
of more."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What a flight recording needs of the disk."""

    folder: Path  # where it goes; may not exist yet
    bytes_per_minute: float
    minutes: float  # that there must be room for

    @classmethod
    def at(cls, folder: Path, rate: float, minutes: float) -> Self:
        """Of so many cycles a second."""
        return cls(folder, BYTES_A_CYCLE * rate * 60, minutes)

    @property
    def bytes(self) -> float:
        """That must be free: the recording, and what may not be used up (`recorder.RESERVE`)."""
        return self.bytes_per_minute * self.minutes + RESERVE


def preflight(
    spec: ArmSpec,
    port: Port,
    period: float,
    *,
    contract: Contract | None = None,
    facts: Facts = (),
    timer: LatencyTimer | None = None,
    recording: Recording | None = None,
    recorder: FlightRecorder | None = None,
    box: Box | None = None,
    torque: bool = True,
    targets: Sequence[Sequence[float]] = (),
    also: Callable[[Arm], Iterable[Check]] | None = None,
) -> tuple[Arm | None, list[Check]]:
    """The arm, if it could be opened, and every check; `passed` says whether torque may come on.

    `period` (s) is the bus period. `facts` are what the system gave, `timer` is that of a USB adapter. `box`: where the
    tip is to stay. `torque`: whether it is to come on. `targets`: those that are known already. `also`: what else is
    looked at, such as a calibration. What is written to servos, `inspect` says. The arm is the caller's to close, also
    when a check failed.
    """
    checks = [*(belongs(contract, spec) if contract else ())]
    if torque:
        checks.append(watchdog(spec, period))
    arm, found = inspect(spec, port, period, timer, contract.rate if contract else None)
    checks += [*found, *scheduling(facts)]
    start = start_pose(contract, spec) if contract else None
    if torque and arm:
        spec, kinematics = arm.spec, arm.kinematics
        checks += [
            *check_model(spec, kinematics),
            *check_poses(spec, kinematics, start),
            *check_acceleration(spec, kinematics),
            *(check for check in check_gains(spec) if not check.ok),
        ]
    if box and arm and passed(found):
        checks += check_workspace(arm, box, start)
    if arm and targets and contract and contract.target and contract.target.kind == "tip_position":
        checks.append(check_reach(arm.spec, arm.kinematics, targets))
    if also and arm:
        try:
            checks += also(arm)
        except (BusError, ArmError) as error:
            checks.append(_failure(error, arm.spec))
    if recording:
        checks.append(room(recording))
    if isinstance(recorder, Recorder):
        checks.append(records(recorder))
    return arm, [_addressed(check, spec, port) for check in checks]


_SETUP = re.compile(r"'robot-setup (arm|zero|baud(?: \d+)?|release)'")


def _addressed(check: Check, spec: ArmSpec, port: Port) -> Check:
    """The same, and the commands that it advises can be typed as they stand."""
    advice = _SETUP.sub(rf"'robot-setup \1 --arm {spec.path} --port {port.name}'", check.advice)
    return replace(check, advice=advice)


def inspect(
    spec: ArmSpec, port: Port, period: float, timer: LatencyTimer | None = None, policy_rate: float | None = None
) -> tuple[Arm | None, list[Check]]:
    """Open the arm and look at all of it, in well under half a second (a second behind a latency timer of 16 ms); what
    goes wrong is a row, not an exception.

    Nothing is written, but for one register in one case: servos that answer a ping and no group read are all told to
    answer everything (Status Return Level, `identify.answer_everything`), without which nothing could be read.
    """
    arm: Arm | None = None
    checks: list[Check] = []
    try:
        arm = Arm.open(spec, port)
        checks += _opening(arm)
        for check in (check_servos(arm), check_at_rest(arm, period, timer, policy_rate)):
            checks += check
    except (BusError, ArmError, ArmSpecError) as error:
        checks.append(_failure(error, spec))
    return arm, checks


def _opening(arm: Arm) -> Iterator[Check]:
    """What was asked for again until it came: at rest it may not show any more."""
    lost = arm.bus.statistics.lost
    told = [
        f"{joint.name} (servo {joint.servo_id}) {count} times"
        for joint in arm.spec.servos
        if (count := lost.get(joint.servo_id, 0)) > STRAY
    ]
    if told:
        yield Check(
            "opening",
            ok=None,
            found=f"no answer while it was looked for: {', '.join(told)}",
            wanted="an answer every time",
            advice="something interrupted the bus: see 'replies', look at plugs and supply before you fly",
        )


_FAILURES: tuple[tuple[type[Exception], str, str], ...] = (
    (PortError, "port", "'robot-scan' lists ports and who answers there"),
    (WrongBaudError, "servos", "'robot-setup baud {baudrate}' moves them to the arm file's rate"),
    (MissingServosError, "servos", "check power and cables; 'robot-scan' shows who answers"),
    (WrongServoError, "servos", "'robot-scan' shows which servo has which ID"),
    (FollowerError, "servos", "name it in the arm file as the joint's second servo, or take it off the cable"),
    (ServoSettingError, "settings", "'robot-setup arm' shows and sets what the arm file wants"),
    (ArmSpecError, "arm file", "correct the arm file"),
    (BusError, "bus", "check cables and power; 'robot-scan' shows damaged replies"),
    (ArmError, "arm", "see what it says"),
)
"""Error -> row and advice; the first class that fits decides."""


def _failure(error: Exception, spec: ArmSpec) -> Check:
    name, advice = next((name, advice) for kind, name, advice in _FAILURES if isinstance(error, kind))
    return Check(name, ok=False, found=str(error), advice=advice.replace("{baudrate}", str(spec.bus.baudrate)))


def belongs(contract: Contract, spec: ArmSpec) -> Iterator[Check]:
    """Whether policy and arm belong together."""
    if contract.arm:
        same = contract.arm == spec.name
        advice = (
            f"choose a policy for this arm; if it is a {contract.arm} under a name of its own, say so in a file with "
            f'the line arm = "{spec.name}", given with --contract. Another --arm brings other zeros and limits'
        )
        advice = "" if same else advice
        yield Check("policy: arm", ok=same, found=contract.arm, wanted=spec.name, advice=advice)
    else:
        advice = "write the arm's name into the contract once you are sure"
        yield Check("policy: arm", ok=None, found="not said", wanted=spec.name, advice=advice)
    want = spec.mjcf_digest[:12]
    if contract.mjcf_digest:
        same = contract.mjcf_digest == spec.mjcf_digest
        advice = "" if same else f"train or check it with {spec.mjcf.name} as it is now, or go back to the arm it was"
        yield Check("policy: model", ok=same, found=contract.mjcf_digest[:12], wanted=want, advice=advice)
    else:
        advice = (
            "masses and lengths may differ from those that it was trained with: fly it slowly first; once you know, "
            f'write mjcf_digest = "{spec.mjcf_digest}" into the contract'
        )
        yield Check("policy: model", ok=None, found="not said", wanted=want, advice=advice)
    if odd := goals_beyond(contract.action, spec):
        yield odd
    if contract.target and contract.target.low is None:
        yield Check(
            "policy: target",
            ok=None,
            found="any target is let through: the contract gives no range",
            wanted="the targets that it was trained for",
            advice="write target.low and target.high into the contract",
        )
    named = [*contract.action.joints, *(joint for term in contract.observation for joint in term.joints)]
    if unknown := sorted(set(named) - set(spec.joint_names)):
        found, want = f"joint {', '.join(unknown)}", ", ".join(spec.joint_names)
        yield Check(
            "policy: joints", ok=False, found=found, wanted=want, advice="name the arm's joints in the contract"
        )
    felt = {joint for term in contract.observation if term.kind == "joint_torque" for joint in term.joints}
    if guessed := [j.name for j in spec.joints if j.name in felt and not j.servo.has_current]:
        yield Check(
            "policy: torque",
            ok=None,
            found=f"the servos of {', '.join(guessed)} measure no current: their torque is guessed from their PWM",
            wanted="joints whose torque is known",
            advice="leave joint_torque out of the observation, or train with what these servos report",
        )


def watchdog(spec: ArmSpec, period: float) -> Check:
    """Whether the servos hear something often enough: their watchdogs must outlast a cycle that comes late."""
    name, share, most = "watchdog", Settings().late_share, Settings().late_share * spec.bus.watchdog
    found = f"a cycle of {period * 1e3:.4g} ms, servos that stop after {spec.bus.watchdog * 1e3:.4g} ms of silence"
    if period <= most:
        return Check(name, ok=True, found=found)
    want = f"a cycle of at most {most * 1e3:.4g} ms, {share:.0%} of that"
    return Check(name, ok=False, found=found, wanted=want, advice=f"ask for at least {1 / most:.0f} Hz with --rate")


def records(recorder: FlightRecorder) -> Check:
    """Whether the process that writes the recording is there: it must be before the arm moves. Waits for it."""
    if recorder.wait_until_alive():
        return Check("recorder", ok=True, found="it writes")
    advice = "see what it says above, or fly with --no-record"
    found = f"it has ended, cannot write, or did not start within {START_WITHIN:g} s"
    return Check("recorder", ok=False, found=found, wanted="a process that writes the recording", advice=advice)


def scheduling(facts: Facts) -> Iterator[Check]:
    """What the system gave: one row if it gave everything, else one for each thing that it did not."""
    if facts and all(fact.got for fact in facts):
        yield Check("real time", ok=True, found="; ".join(f"{f.name}: {f.detail}" for f in facts))
        return
    for fact in facts:
        if not fact.got:
            yield Check("real time", ok=None, found=f"{fact.name}: {fact.detail}", advice=fact.advice)


def room(recording: Recording) -> Check:
    """Whether a file can be made there, the disk has room for the recording, and a file may be as large."""
    long = f"{recording.minutes:.3g} minutes" if recording.minutes >= 1 else f"{60 * recording.minutes:.3g} s"
    name, want = "recording", f"{_size(recording.bytes)} free for {long}, and to spare"
    try:
        folder = _existing(recording.folder)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        found = why_not_into(error, recording.folder)
        return Check(name, ok=False, found=found, wanted="a folder to write into", advice="record into another folder")
    most, need = resource.getrlimit(resource.RLIMIT_FSIZE)[0], recording.bytes - RESERVE
    if most != resource.RLIM_INFINITY and most < need:
        found, advice = f"files may be no larger than {_size(most)}", "lift that limit with 'ulimit -f unlimited'"
        return Check(name, ok=False, found=found, wanted=f"{_size(need)} for {long}", advice=advice)
    ok = free >= recording.bytes
    advice = "" if ok else "make room, or record into another folder"
    return Check(name, ok=ok, found=f"{_size(free)} free in {folder}", wanted=want, advice=advice)


def _existing(folder: Path) -> Path:
    """The folder, or the first above it that exists already."""
    candidates: Sequence[Path] = (folder, *folder.absolute().parents)
    return next((c for c in candidates if c.exists()), folder)


def _size(count: float) -> str:
    unit, scale = ("GB", 1e9) if count >= 1e9 else ("MB", 1e6)
    return f"{count / scale:.1f} {unit}"
