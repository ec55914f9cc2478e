"""Every fault, in every phase of a flight, in virtual time: it ends as the table of faults says, within its bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_runtime.arm import JointState
from robot_runtime.bus import BusError
from robot_runtime.flying import Phase, Request, SourceFlag
from robot_runtime.loop import Loop
from robot_runtime.safety.fault_kind import Ending, Stop, worst
from robot_runtime.safety.faults import FAULTS, TORQUE_STAYS
from sim.twin import LockstepPort, Twin
from sim.twin.faults import CATALOGUE
from tests.robot_runtime.flights import SIZE, Flown, Script, fly_twin

OMX, KOCH = "open-manipulator-x", "koch-v1.1"
PHASES = (Phase.PREFLIGHT, Phase.START, Phase.RUN, Phase.STOP)
PERIOD = 0.005  # s
SILENCE = 0.3  # s, allowed to targets


class SlowPort:
    """The twin's port, on a computer that is sometimes away."""

    def __init__(self, port: LockstepPort) -> None:
        self._port = port
        self.away, self.times = 0.0, 0

    def sleep_until(self, time: float) -> None:
        if self.times:
            self.times -= 1
            time += self.away
        self._port.sleep_until(time)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


class Broken:
    """A source of motion with something wrong with it."""

    def __init__(self, source: Any, flag: int) -> None:
        self._source, self._flag = source, flag

    def intend(self, state: JointState, target: Any, now: float, acts: bool, values: Any) -> int:
        self._source.intend(state, target, now, acts, values)
        if self._flag == 0:
            raise RuntimeError("something in the policy broke")
        if self._flag & SourceFlag.NOT_FINITE:
            values[:] = np.nan
        return self._flag

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


@dataclass(frozen=True)
class Injection:
    """How one fault is brought about, and which rows of the table may answer."""

    name: str
    kinds: tuple[str, ...]  # the first thing that is seen is one of these; none: the flight goes on as if nothing was
    twin: str = ""  # the fault, as the twin takes it
    arm: str = OMX
    request: int = 0
    away: tuple[float, int] = (0.0, 0)  # s, times
    source: int | None = None  # bits of SourceFlag; 0: an exception
    onset: float = 0.0  # s from the injection until there is something to see
    phases: tuple[Phase, ...] = PHASES
    orders: tuple[tuple[str, Any], ...] = ()
    first: float = SIZE  # rad, how far the first joint swings
    after: float = 0.15  # s into the phase
    then: int = 0  # request a second later, to end what waits


_FLYING = (Phase.START, Phase.RUN, Phase.STOP)
_RUN = (Phase.RUN,)

INJECTIONS = (
    Injection("packet-lost", ("bus-silent",), "packet-lost:p=1.0,for=0.3"),
    Injection("packet-lost-briefly", ("bus-silent",), "packet-lost:p=1.0,for=0.06"),
    Injection("packet-lost-1%", (), "packet-lost:p=0.01"),
    Injection("packet-flipped", ("stale-state",), "packet-flipped:p=0.55,servo=13"),
    Injection("packet-late", ("bus-silent",), "packet-late:by=0.02,p=0.9,for=1.0"),
    Injection("garbage", (), "garbage:p=0.02"),
    Injection("servo-dead", ("lost-replies",), "servo-dead:servo=12"),
    Injection("servo-silent", ("lost-replies",), "servo-silent:servo=13,for=0.5"),
    Injection("servo-silent-briefly", ("lost-replies",), "servo-silent:servo=12,for=0.07"),
    Injection(
        "stuck-shaft",
        ("following-error",),
        "stuck-shaft:servo=1",
        KOCH,
        onset=0.7,
        phases=_RUN,
        first=0.7,
        after=0.4,  # where the policy's wave leads away from it for long enough: else its load is seen first
    ),
    Injection("stuck-shaft", ("lowering-blocked",), "stuck-shaft:servo=12", phases=(Phase.STOP,)),
    Injection("hot", ("hardware-error",), "hot:servo=12,celsius=77", onset=0.1),
    Injection("overload", ("hardware-error",), "overload:servo=12"),
    Injection("voltage-dip", ("hardware-error",), "voltage-dip:for=3.0", onset=0.01),
    Injection("over-voltage", ("over-voltage",), "voltage-dip:volts=14.5,for=3.0"),
    Injection("brown-out", ("lost-replies",), "brown-out:servo=12", onset=0.3),
    Injection("power-cycled", ("bus-silent",), "power-cycled"),
    Injection("unplugged", ("port-gone",), "unplugged"),
    Injection("encoder-jump", ("encoder-jump",), "encoder-jump:servo=12,ticks=600", phases=_FLYING),
    Injection("encoder-glitch", (), "encoder-glitch:servo=12,ticks=600", phases=_FLYING),
    Injection("hand", ("overloaded",), "hand:servo=1,rad=0.8,for=2.0", arm=KOCH, onset=1.0, phases=_RUN),
    Injection("stale-goal", (), "stale-goal", arm=KOCH, phases=(Phase.PREFLIGHT,)),
    Injection("late-cycle", ("late-cycle",), away=(0.07, 1), onset=0.07, phases=_FLYING),
    Injection("frozen-computer", ("late-cycle",), away=(0.5, 1), onset=0.5, phases=_FLYING),
    Injection("overrun", ("overrun",), away=(0.008, 600), phases=_RUN),
    Injection("policy-not-finite", ("policy-not-finite",), source=int(SourceFlag.NOT_FINITE), phases=_RUN),
    Injection("map-not-finite", ("map-not-finite",), source=SourceFlag.GOAL_MAP | SourceFlag.NOT_FINITE, phases=_RUN),
    Injection("policy-frozen", ("policy-frozen",), source=int(SourceFlag.FROZEN), phases=_RUN),
    Injection("out-of-distribution", ("out-of-distribution",), source=int(SourceFlag.OUT_OF_DISTRIBUTION), phases=_RUN),
    Injection("software-failed", ("software-failed",), source=0, phases=_RUN),
    Injection("target-silent", ("target-silent",), phases=_RUN, orders=(("target_silence", SILENCE),)),
    Injection("targets-ended", ("targets-ended",), request=Request.TARGETS_ENDED, phases=_RUN),
    Injection("ctrl-c", ("operator-stop",), request=Request.CTRL_C, phases=_FLYING),
    Injection("sigterm", ("operator-stop",), request=Request.SIGTERM, phases=_FLYING),
    Injection("sighup", ("operator-stop",), request=Request.SIGHUP, phases=_FLYING),
    Injection("space", ("operator-freeze",), request=Request.SPACE, phases=_FLYING, then=Request.CTRL_C),
    Injection("e-stop", ("e-stop",), request=Request.ESTOP, phases=_FLYING),
    Injection("let-go", ("let-go",), request=Request.LET_GO, phases=_FLYING),
    Injection("parent-gone", ("parent-gone",), request=Request.PARENT_GONE, phases=_FLYING),
    Injection("disk-full", ("disk-full",), request=Request.DISK_FULL, phases=_FLYING),
    Injection("recorder-failed", ("recorder-failed",), request=Request.RECORDER_FAILED, phases=_FLYING),
    Injection("recorder-behind", ("recorder-behind",), request=Request.RECORDER_BEHIND, phases=_FLYING),
)

LIMP = {
    "servo-dead",
    "brown-out",
    "power-cycled",
    "overload",
    "servo-silent",
    "encoder-jump",
    "unplugged",
    "hand",
    "packet-late",
}
"""Joints that nobody holds or sees, or that somebody pushes, fall or turn as fast as physics lets them."""


AT_REST = 0.2
"""rad off the rest pose that an arm may lie there with its torque off."""

AWAY_SPEED = 1.35
"""Of the velocity limit, true, while nobody is there: the last torque goes on until the computer is back, or until the
servo's watchdog ends it."""


def _cases() -> Iterator[Any]:
    for injection in INJECTIONS:
        for phase in injection.phases:
            yield pytest.param(injection, phase, id=f"{injection.name}-{phase.name.lower()}")


def _inject(injection: Injection, script: Script, twin: list[Twin], port: list[SlowPort]) -> None:
    if injection.twin:
        twin[0].inject(injection.twin)
    if injection.away[1]:
        port[0].away, port[0].times = injection.away
    if injection.source is not None and script.loop is not None:
        script.loop.source = Broken(script.loop.source, injection.source)


def _fly(folder: Path, injection: Injection, phase: Phase) -> Flown:
    ports: list[SlowPort] = []

    def slow(port: LockstepPort) -> SlowPort:
        ports.append(SlowPort(port))
        return ports[0]

    script = Script(phase, after=injection.after, request=injection.request, then=injection.then)
    script.act = lambda: _inject(injection, script, [ports[0]._port.twin], ports)
    return fly_twin(
        folder,
        injection.arm,
        duration=None if injection.name == "targets-ended" else 0.4 if phase is Phase.STOP else 3.0,
        script=script,
        faults=[injection.twin] if phase is Phase.PREFLIGHT else [],
        port=slow,
        first=injection.first,
        **dict(injection.orders),
    )


@pytest.mark.parametrize(("injection", "phase"), list(_cases()))
def test_chaos(injection: Injection, phase: Phase, tmp_path: Path) -> None:
    try:
        flown = _fly(tmp_path, injection, phase)
    except (BusError, OSError):
        assert phase is Phase.PREFLIGHT
        return
    loop = flown.loop
    if loop is None:
        assert phase is Phase.PREFLIGHT
        assert injection.kinds, "it is harmless, but was refused"
        assert flown.verdict.ending is Ending.PREFLIGHT
        assert not any(flown.twin.drives.torque_on)
        return
    assert loop is not None
    _check_arm(flown, loop, injection)
    seen = [fault.kind.name for fault in loop.monitor.seen]
    if not injection.kinds:
        assert flown.verdict.ending is Ending.COMPLETED, flown.verdict.text
        return
    if phase is Phase.STOP and loop.stopping.done and not seen:
        return  # the arm lay at rest before there was anything to see
    if phase is Phase.PREFLIGHT and not seen:  # over before torque came on: the bus had asked again, and said so
        assert {"opening", "replies"} & {check.name for check in flown.checks if check.ok is None}, (
            "nothing was noticed"
        )
        assert flown.verdict.ending is Ending.COMPLETED, flown.verdict.text
        return
    assert seen, "nothing was noticed"
    assert seen[0] in injection.kinds, loop.monitor.seen
    first = FAULTS[seen[0]]
    decisive = worst(loop.monitor.seen)
    assert decisive is not None
    assert flown.verdict.exit_code == int(flown.verdict.ending)
    asked_when_done = phase is Phase.STOP and set(seen) <= {"operator-stop", "operator-freeze"}
    assert (flown.verdict.ending is Ending.COMPLETED) == (asked_when_done or seen == ["targets-ended"])
    while_flying = worst(f for f in loop.monitor.seen if f.kind is not TORQUE_STAYS)
    assert loop.stop >= max(first.stop, while_flying.kind.stop if while_flying else first.stop)
    if phase in (Phase.START, Phase.RUN):
        bound = first.bound.at(PERIOD, loop.arm.spec.bus.watchdog, SILENCE) + injection.onset
        reacted = next((t for t, stop in flown.stops if stop >= first.stop), loop.arm.bus.port.now())
        began = flown.script.acted_at if injection.name != "target-silent" else flown.script.acted_at - injection.after
        assert reacted - began <= bound + PERIOD, f"{reacted - began:.3f} s, bound {bound:.3f} s"


def _check_arm(flown: Flown, loop: Loop, injection: Injection) -> None:
    assert loop.phase is Phase.ENDED
    reachable = injection.name not in ("unplugged", "servo-dead")
    if reachable:
        assert not any(flown.twin.drives.torque_on), "torque is still on"
    if "lowered to rest" in loop.stopping.outcome:
        left = [name not in loop.stopping.left_out for name in loop.arm.spec.joint_names]
        off = np.abs(np.array(flown.twin.drives.joint_position) - loop.arm.spec.poses["rest"])[left]
        assert off.max() < AT_REST, f"{loop.stopping.outcome}: {off.round(2)} rad from there"
    if injection.name not in LIMP:
        assert flown.excess < 0.02
        assert flown.speed_share < (AWAY_SPEED if injection.away[1] else 1.05)


def test_every_fault_of_the_twin_is_here() -> None:
    assert set(CATALOGUE) <= {injection.twin.split(":")[0] for injection in INJECTIONS}
    assert {kind for injection in INJECTIONS for kind in injection.kinds} <= set(FAULTS)


def test_every_row_of_the_table_is_proven_here_or_names_its_test() -> None:
    for kind in FAULTS.values():
        assert kind.injections or kind.tests, kind.name
        for injection in kind.injections:
            assert any(kind.name in i.kinds for i in INJECTIONS if i.name == injection), (kind.name, injection)


def test_the_worst_stop_is_the_one_that_is_done() -> None:
    assert Stop.TORQUE_OFF > Stop.LOWER > Stop.BRAKE_HOLD > Stop.HOLD
