"""Recording: an excitation flown as any flight is, guarded by envelope and monitor; a folder that can be gone on with.

A folder holds the excitation, one MCAP flight for every time that the arm was flown, and `recording.json`, which says
which segments are whole in which of them. What was cut off stays in its flight, and is flown again by whoever resumes.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

from calibration.errors import CalibrationError
from calibration.excitation.segment import Excitation, Segment
from calibration.excitation.spans import EVENT, INDEX, event_text
from calibration.excitation.tracking import ExcitationSource, Tell, with_gains
from calibration.recording.gentler import BALKS, gentler, left_out
from calibration.recording.strain import Strain
from robot_runtime.bus import Bus, Port
from robot_runtime.bus.latency_timer import LatencyTimer
from robot_runtime.calibrated.identity import Identity, gains_of
from robot_runtime.flight.contents import attach_arm
from robot_runtime.flight.layout import CycleLayout
from robot_runtime.flight.ports import RecordingPort
from robot_runtime.flight.recorder import FlightRecorder, Recorder
from robot_runtime.flying import Inputs, Request
from robot_runtime.loop import Loop
from robot_runtime.preflight.gate import Recording as DiskRoom
from robot_runtime.preflight.gate import preflight
from robot_runtime.preflight.table import Check, passed
from robot_runtime.realtime import Facts
from robot_runtime.safety.fault_kind import Ending, Fault
from robot_runtime.safety.faults import TARGETS_ENDED
from robot_runtime.safety.monitor import requested
from robot_runtime.session import Orders, layout_of, make_loop
from robot_runtime.setup.unboxed import set_up_unboxed
from robot_runtime.spec import ArmSpec
from robot_runtime.verdict import Verdict, not_started, refused, verdict

RECOVER = 6.0
"""s, with torque off, between two flights: lifting an arm from the table twice in a row trips the overload protection
of small servos, which averages over seconds."""
_LOOK = 0.05
"""s between two looks, meanwhile, whether somebody asks for a stop."""
SET_TIMER = 0.001  # s, of a USB adapter whose latency timer was set


@dataclass(frozen=True, slots=True)
class Flown:
    """One flight of a recording."""

    file: str
    part: str
    whole: tuple[str, ...]  # segments that were flown to their end
    verdict: str
    text: str


@dataclass(slots=True)
class Recording:
    """A folder of flights."""

    folder: Path
    excitation: Excitation
    notes: Mapping[str, Any] = field(
        default_factory=dict
    )  # gap: of the twin, '' on an arm; name: the arm's; and others
    flown: list[Flown] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    """Of the flights of this session."""

    @classmethod
    def begin(cls, folder: Path, excitation: Excitation, notes: Mapping[str, Any] | None = None) -> Self:
        """A new one.

        Raises:
            CalibrationError: there is one already.
        """
        cls.require_none(folder)
        folder.mkdir(parents=True, exist_ok=True)
        recording = cls(folder, excitation, dict(notes or {}))
        excitation.save(folder)
        recording._write()
        return recording

    @staticmethod
    def require_none(folder: Path) -> None:
        """Raise CalibrationError where there is a recording in this folder."""
        if (folder / INDEX).exists():
            raise CalibrationError(
                f"{folder} holds a recording already: --resume {folder} goes on, or name another folder"
            )

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The one in this folder. `excitation.check` says whether it is of an arm.

        Raises:
            CalibrationError: there is none, or it is damaged.
        """
        excitation = Excitation.load(folder)
        try:
            data = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            flown = [Flown(**{**entry, "whole": tuple(entry["whole"])}) for entry in data["flights"]]
            return cls(folder, excitation, data["notes"], flown)
        except FileNotFoundError:
            raise CalibrationError(f"{folder}: no recording to go on with (it has no {INDEX})") from None
        except (ValueError, KeyError, TypeError) as error:
            raise CalibrationError(f"{folder / INDEX}: damaged: {error}") from error

    @property
    def flights(self) -> list[Path]:
        """Files, in the order they were flown."""
        return [self.folder / entry.file for entry in self.flown]

    @property
    def done(self) -> tuple[str, ...]:
        """Segments that are whole in some flight."""
        return tuple(name for entry in self.flown for name in entry.whole)

    @property
    def missing(self) -> Excitation:
        """What is still to be flown."""
        return self.excitation.without(self.done)

    @property
    def complete(self) -> bool:
        """Whether nothing is."""
        return not self.missing.segments

    @property
    def relents(self) -> list[dict[str, Any]]:
        """What was done, flight by flight, about joints that did not go where they should (`gentler`)."""
        return list(self.notes.get("gentler", ()))

    def relent(self, spec: ArmSpec) -> str:
        """After a flight that ended early: what is done about it, in words; empty: nothing can be done.

        What is missing is another then: look again.
        """
        ended, file = self.verdicts[-1], self.flights[-1]
        found = gentler(spec, self.excitation, self.done, self.relents, file, ended)
        if found is None:
            return ""
        self.excitation = found.excitation
        self.notes = {**self.notes, "gentler": [*self.relents, dict(found.note)]}
        self.excitation.save(self.folder)
        self._write()
        return str(found.note["text"])

    def note(self, **facts: Any) -> None:
        """Facts that hold from here on."""
        if self.notes != (told := {**self.notes, **facts}):
            self.notes = told
            self._write()

    def next_file(self) -> Path:
        """For the next flight. A file that is there, of a program that was killed, stays as it is; and so do those
        behind one that somebody took away.
        """
        taken = {file.name for file in self.folder.glob("flight-*.mcap")} | {flight.file for flight in self.flown}
        numbers = (re.fullmatch(r"flight-([0-9]+)\.mcap", name) for name in taken)
        number = 1 + max((int(found[1]) for found in numbers if found), default=0)
        return self.folder / f"flight-{number:02d}.mcap"

    def add(self, file: Path, part: str, whole: Sequence[str], ended: Verdict) -> None:
        """Note a flight that is over."""
        self.flown.append(Flown(file.name, part, tuple(whole), ended.ending.name.lower(), ended.text))
        self.verdicts.append(ended)
        self._write()

    def _write(self) -> None:
        """All of it or nothing: whoever pulls the plug finds the old one."""
        data = {
            "arm": self.excitation.arm,
            "level": self.excitation.level,
            "notes": dict(self.notes),
            "segments": [s.name for s in self.excitation.segments],
            "missing": [s.name for s in self.missing.segments],
            "flights": [
                {"file": f.file, "part": f.part, "whole": f.whole, "verdict": f.verdict, "text": f.text}
                for f in self.flown
            ],
        }
        draft = self.folder / f"{INDEX}.new"
        with draft.open("w", encoding="utf-8") as file:
            json.dump(data, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.folder / INDEX)


class Asker(Protocol):
    """Who may end a flight, such as `operator_inputs.Operator`."""

    def sample(self, inputs: Inputs, now: float) -> None:
        """Update `inputs`."""
        ...


class _UntilDone:
    """Inputs of whoever may end a flight; and its end, when all segments have been flown."""

    def __init__(self, others: Asker | None) -> None:
        self._others = others
        self.source: ExcitationSource | None = None

    def sample(self, inputs: Inputs, now: float) -> None:
        if self._others is not None:
            self._others.sample(inputs, now)
        if self.source is not None and self.source.done:
            inputs.request |= int(Request.TARGETS_ENDED)

    def begin(self, now: float) -> None:
        pass


@dataclass(slots=True)
class Hooks:
    """Who else wants to know."""

    inputs: Asker | None = None  # who may end it
    name: str = ""  # what its user calls this arm
    adapter: str = ""  # serial number of the USB adapter
    facts: Facts = ()  # what the system gave
    timer: LatencyTimer | None = None
    room: DiskRoom | None = None
    show_checks: Callable[[list[Check]], bool] = passed
    show_cycle: Callable[[Loop], None] | None = None
    show_recorder: Callable[[FlightRecorder], None] = lambda _: None
    show_end: Callable[[], None] = lambda: None  # torque is off, and the flight is still to be told and filed
    tell: Tell = lambda *_: None

    def stopped(self, now: float) -> Fault | None:
        """Who asks for a stop (s, the port's clock), where there is no flight yet to end."""
        asked = Inputs(0)
        if self.inputs is not None:
            self.inputs.sample(asked, now)
        return next(iter(requested(asked.request, now)), None)


def recorded_layout(spec: ArmSpec) -> CycleLayout:
    """A flight's, with the reference angles as its target."""
    return layout_of(spec, None, target=len(spec.joints))


def fly(
    spec: ArmSpec, excitation: Excitation, port: Port, recorder: FlightRecorder, hooks: Hooks
) -> tuple[Verdict, list[str]]:
    """Fly these segments; how it ended, and which of them are whole.

    Raises:
        ArmError, BusError: torque could not be switched on; it is off.
    """
    orders = Orders(rate=1.0 / excitation.period, grips=False)
    whole: list[str] = []

    def tell(what: str, segment: Segment, now: float) -> None:
        recorder.event(event_text(what, segment.name, segment.kind), name=EVENT, at=now)
        if what == "end":
            whole.append(segment.name)
        hooks.tell(what, segment, now)

    arm, checks = preflight(
        spec, port, orders.period, facts=hooks.facts, timer=hooks.timer, recording=hooks.room, recorder=recorder
    )
    try:
        if not hooks.show_checks(checks) or arm is None:
            return refused(checks) or Verdict(Ending.ASKED, "not started: asked to"), whole
        if stopped := hooks.stopped(port.now()):
            return not_started(stopped), whole
        recorder.metadata("identity", Identity.of_arm(arm, name=hooks.name, adapter=hooks.adapter).as_json())
        source = ExcitationSource(excitation, arm, tell)
        inputs = _UntilDone(hooks.inputs)
        inputs.source = source
        target = Inputs(len(spec.joints))  # the source writes its reference there, for the recording
        target.target_stamp = port.now()
        strain = Strain(spec, orders.period, hooks.show_cycle)
        loop = make_loop(arm, source, target, inputs, recorder, orders, show_cycle=strain)
        loop.fly()
        hooks.show_end()
        return verdict(loop), whole
    finally:
        if arm is not None:
            arm.close()


def record_part(
    recording: Recording, spec: ArmSpec, part: str, port: Port, hooks: Hooks | None = None, *, waits: bool = False
) -> Verdict:
    """Fly what is missing of one part into a new file, and note what is whole then."""
    hooks = hooks or Hooks()
    if recording.verdicts:
        _recover(port, hooks)
    excitation = recording.missing.of(part)
    gains = excitation.gains.get(part, {})
    load = excitation.loads.get(part, 0.0)
    arm = with_gains(replace(spec, load=load), gains)
    file = recording.next_file()
    about = {
        "level": excitation.level,
        "part": part,
        "gains": {j.name: {**gains_of(j), **j.gains} for j in arm.joints},  # all: a later arm file may name others
        "payload_kg": load,
        "segments": [s.name for s in excitation.segments],
        **recording.notes,
    }
    with Recorder(file, recorded_layout(arm), {"recording": about}, waits=waits) as recorder:
        attach_arm(recorder, spec)
        hooks.show_recorder(recorder)
        ended, whole = fly(arm, excitation, RecordingPort(port, recorder), recorder, hooks)
        ended = _completed(ended, left_out(recording.relents))
        recorder.metadata("verdict", ended.as_json())
        ended = ended.recorded(recorder.close())
    recording.add(file, part, whole, ended)
    return ended


def _recover(port: Port, hooks: Hooks) -> None:
    """Let the servos cool; whoever asks for a stop does not wait for that, and the flight that follows is refused."""
    end = port.now() + RECOVER
    while (now := port.now()) < end and not hooks.stopped(now):
        port.sleep_until(min(now + _LOOK, end))


def record_on_twin(
    spec: ArmSpec,
    gap: str | None,
    excitation: Excitation,
    folder: Path,
    *,
    faults: Sequence[str] = (),
    seed: int = 0,
    notes: Mapping[str, Any] | None = None,
    hooks: Hooks | None = None,
) -> Recording:
    """Record on the lock-step twin, in virtual time, as fast as this machine computes it.

    `gap`: a shipped name, random:N, a file, or None; its adapter's latency timer is set, as `SerialPort` does and
    preflight demands. A folder that holds an unfinished recording is gone on with. Recording ends with the first flight
    that does not complete and cannot be made gentler; the verdicts say why.

    Raises:
        GapError: no such gap.
    """
    from sim.twin import LockstepPort, Twin  # noqa: PLC0415 (the simulator, for those who have no arm)
    from sim.twin.adapter import AdapterTiming  # noqa: PLC0415
    from sim.twin.gap import Gap, load_gap  # noqa: PLC0415

    bus = (Gap() if gap is None else load_gap(gap)).bus
    adapter = AdapterTiming(min(bus.latency_timer, SET_TIMER), bus.frame, bus.extra_delay, bus.reply_jitter)

    def set_up(load: float) -> Twin:
        twin = Twin.load(str(spec.path), gap=gap, payload=load, seed=seed, adapter=adapter)
        set_up_unboxed(Bus(LockstepPort(twin)), spec)
        for fault in faults:
            twin.inject(fault)
        return twin

    if (folder / INDEX).exists():
        recording = Recording.open(folder)
        recording.excitation.check(spec)
    else:
        recording = Recording.begin(folder, excitation, {"gap": gap or "none", **(notes or {})})
    for load, parts in recording.missing.by_load:
        twin = set_up(load)
        for part in parts:
            while recording.missing.of(part).segments:
                port = LockstepPort(twin)  # a flight closes it
                ended = record_part(recording, spec, part, port, hooks, waits=True)
                if ended.exit_code and not (recording.relent(spec) and lies(ended)):
                    return recording
    return recording


def lies(ended: Verdict) -> bool:
    """Whether the arm can be flown again without a look at it: it was lowered as it should, and nothing is broken."""
    return all(fault.kind in BALKS for fault in ended.faults)


def _completed(ended: Verdict, stuck: Collection[str]) -> Verdict:
    """That no segment is left is how it is meant to end; joints that are left out may push once more, on the way to
    rest.
    """
    others = [f for f in ended.faults if f.kind is not TARGETS_ENDED and not _excused(f, stuck)]
    if others or not any(f.kind is TARGETS_ENDED for f in ended.faults):
        return ended
    text = f"{ended.seconds:.1f} s of motion" + (f", without {', '.join(stuck)}" if stuck else "")
    faults = tuple(f for f in ended.faults if f.kind is not TARGETS_ENDED)
    return replace(ended, ending=Ending.COMPLETED, text=text, faults=faults)


def _excused(fault: Fault, stuck: Collection[str]) -> bool:
    return fault.kind in BALKS and set(fault.joints) <= set(stuck)
