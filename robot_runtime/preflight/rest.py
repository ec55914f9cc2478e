"""The arm at rest, read a few dozen times before torque comes on: where it is, its encoders, its bus."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from robot_runtime.arm import Arm
from robot_runtime.arrays import Flags, Floats
from robot_runtime.bus.latency_timer import WANTED_MS, LatencyTimer
from robot_runtime.bus.timing import HOST_MARGIN
from robot_runtime.preflight.table import Check, or_fine
from robot_runtime.safety.settings import Settings
from robot_runtime.spec import SPLIT

READS, FEWEST_READS = 50, 20
LONGEST = 0.15
"""s for all of them; a slow bus gets fewer."""

SETTLE = 1.0
"""s that a moving arm gets to come to rest: it may just have been put down."""

SPREAD = 0.02
"""rad between the readings of a joint at rest: 13 ticks of 4096; noise makes one or two."""

AT_REST = 0.15
"""rad/s, by median: 6 ticks of the velocity register, whose noise is one or two."""

LOST_SHARE = Settings().loss_share
"""Of the reads: what would end the flight does not begin it; a few lost replies are worth a word."""

_READ_SLACK = 1.5
"""Times what a read and a write should take."""

LATE = (0.004, 0.006)
"""s that a reply may come later than computed, tried where replies are lost: a busy computer behind a hub and
full-speed USB takes 4. What is waited for longer costs nothing where replies come in time."""

FEW_LOST = 0.05
"""Of the reads: where more lose a reply, even one that comes when asked again, it is tried whether it is only late."""

FULL, BUSY = 0.95, 0.80
"""Share of the period that reading and writing may take: more leaves nothing for the policy; or little."""


@dataclass(frozen=True, slots=True)
class _Rest:
    """What the reads brought."""

    took: list[float]  # s, of the reads that lacked nobody
    lost: list[int]  # reads without an answer, by joint
    reads: int
    retries: int  # of them all
    lowest: Floats
    highest: Floats
    speed: Floats  # rad/s, median of the absolute value
    jumped: Flags

    @property
    def loses(self) -> bool:
        return max(*self.lost, self.retries) > FEW_LOST * self.reads

    @property
    def moves(self) -> Flags:
        return (self.highest - self.lowest > SPREAD) | (self.speed > AT_REST)


def check_at_rest(
    arm: Arm, period: float, latency: LatencyTimer | None = None, policy_rate: float | None = None
) -> Iterator[Check]:
    """Positions, encoders, lost replies, and the bus against the period (s). Nothing is written.

    `policy_rate` (Hz): what is advised is a multiple of it.

    Raises:
        PortVanishedError: the port went away.
    """
    port = arm.bus.port
    patience = port.now() + SETTLE
    rest = _watch(arm, period)
    while rest.moves.any() and not rest.jumped.any() and port.now() < patience:
        rest = _watch(arm, period)
    rest = _patient(arm, period, rest)
    yield from _replies(arm, rest)
    if rest.took:
        yield from _positions(arm)
        yield from _encoders(arm, rest)
        yield from _pairs(arm)
        yield _bus_time(arm, rest, period, policy_rate)
    else:
        for name in ("position", "encoders", "bus"):
            yield Check(
                name,
                ok=False,
                found=f"not known: none of {rest.reads} reads brought all servos",
                wanted="one complete read",
                advice="see 'replies'",
            )
    yield _latency(port.adapter_latency, latency)


def _watch(arm: Arm, period: float) -> _Rest:
    port, state = arm.bus.port, arm.state
    count = len(arm.spec.joints)
    lowest, highest = np.full(count, np.inf), np.full(count, -np.inf)
    took, lost, speeds, reads = [], [0] * count, [], 0
    jumped_before = state.jumped.copy()
    end, retries = port.now() + LONGEST, arm.bus.statistics.retries
    # As in flight; but a bus too slow for it shows as slow, not lost.
    window = max(period, _READ_SLACK * arm.cycle_time + arm.bus.host_margin - HOST_MARGIN)
    while reads < READS and (reads < FEWEST_READS or port.now() < end):
        start = port.now()
        missing = arm.read(start + window)
        reads += 1
        for i in range(count):
            lost[i] += missing >> i & 1
        if not missing:
            took.append(port.now() - start)
            speeds.append(np.abs(state.dq))
            np.minimum(lowest, state.q, out=lowest)
            np.maximum(highest, state.q, out=highest)
    speed = np.median(speeds, axis=0) if speeds else np.zeros(count)
    retries = arm.bus.statistics.retries - retries
    return _Rest(took, lost, reads, retries, lowest, highest, speed, state.jumped & ~jumped_before)


def _patient(arm: Arm, period: float, rest: _Rest) -> _Rest:
    """Read again, waiting longer, where replies are lost. If that brings them, the bus waits so long from now on."""
    bus, usual = arm.bus, arm.bus.host_margin
    if not rest.loses:
        return rest
    for bus.host_margin in LATE:
        again = _watch(arm, period)
        if not again.loses and _lateness(arm, again) > usual:
            return again
    bus.host_margin = usual
    return rest


def _lateness(arm: Arm, rest: _Rest) -> float:
    """s, of the slowest read."""
    return max(rest.took) - arm.bus.expected_time(arm.plan.motion[0].group)


def _replies(arm: Arm, rest: _Rest) -> Iterator[Check]:
    if arm.bus.host_margin in LATE:
        found = f"up to {_lateness(arm, rest) * 1e3:.1f} ms later than the wire needs; they are waited for"
        advice = "a hub, a busy computer or full-speed USB: see the bus's time for the rate that this leaves"
        yield Check("replies", ok=None, found=found, wanted=f"{HOST_MARGIN * 1e3:g} ms", advice=advice)
        return
    advice = "check its cable and the one in front of it"
    if len(rest.lost) > 1 and min(rest.lost) > 0.5 * max(rest.lost):
        advice = "all servos alike: this computer or the adapter is late; end what else runs here"
    rows = (
        Check(
            "replies",
            ok=False if lost > LOST_SHARE * rest.reads else None,
            found=f"{joint.name} ({joint.moved_by}): {lost} of {rest.reads} lost",
            wanted="none lost",
            advice=advice,
        )
        for joint, lost in zip(arm.spec.joints, rest.lost, strict=True)
        if lost
    )
    yield from or_fine(rows, Check("replies", ok=True, found=f"{rest.reads} reads, none lost"))


def _positions(arm: Arm) -> Iterator[Check]:
    def outside() -> Iterator[Check]:
        for joint, angle in zip(arm.spec.joints, arm.state.q, strict=True):
            if joint.may_stand(angle):
                turn = 2 * math.pi / joint.gear
                if joint.turn_is_known and joint.limits.upper - joint.limits.lower >= turn:
                    found = f"{joint.name} ({joint.moved_by}): {angle:.3f} rad, if it got power there"
                    advice = f"look at it: had it got power a turn away, it would be off by {turn:.3f} rad"
                    yield Check("position", ok=None, found=found, wanted="the turn of its zero", advice=advice)
                continue
            advice = "move it inside by hand, torque is off; if that is where it lies: 'robot-setup zero'"
            if joint.is_turns_off(angle):
                advice = (
                    "it is a whole servo turn off: power-cycle the servo with the joint inside its range, or zero the "
                    "arm again ('robot-setup zero')"
                )
            found = f"{joint.name} ({joint.moved_by}): {angle:.3f} rad"
            want = f"{joint.limits.lower:g} to {joint.limits.upper:g} rad"
            yield Check("position", ok=False, found=found, wanted=want, advice=advice)

    yield from or_fine(outside(), Check("position", ok=True, found="inside the limits"))


def _encoders(arm: Arm, rest: _Rest) -> Iterator[Check]:
    def insane() -> Iterator[Check]:
        for i, joint in enumerate(arm.spec.joints):
            where, spread = f"{joint.name} ({joint.moved_by})", rest.highest[i] - rest.lowest[i]
            if rest.jumped[i]:
                yield Check(
                    "encoders",
                    ok=False,
                    found=f"{where} jumps, {spread:.2f} rad between readings",
                    wanted=f"{SPREAD:g} rad at rest",
                    advice="an encoder fault: reboot the servo; if it comes back, the servo needs repair",
                )
            elif rest.moves[i]:
                yield Check(
                    "encoders",
                    ok=False,
                    found=f"{where} moves: {spread:.3f} rad between readings, {rest.speed[i]:.2f} rad/s",
                    wanted=f"at rest: {SPREAD:g} rad, {AT_REST:g} rad/s",
                    advice="let the arm come to rest and keep your hands off; if it does rest, its encoder is faulty",
                )

    fine = Check("encoders", ok=True, found=f"{len(rest.took)} readings agree")
    yield from or_fine(insane(), fine)


def _pairs(arm: Arm) -> Iterator[Check]:
    """Two servos on one axle stand where each other stands."""
    if not arm.apart:
        return
    wrong = (
        Check(
            "second servos",
            ok=False,
            found=f"{joint.name} ({joint.moved_by}): {abs(apart):.3f} rad apart",
            wanted=f"at most {SPLIT:g} rad",
            advice="look at both horns, and run 'robot-setup zero': it settles where the second servo stands, too",
        )
        for joint, apart in ((arm.spec.joints[i], apart) for i, apart in arm.apart.items())
        if abs(apart) > SPLIT
    )
    furthest = max(map(abs, arm.apart.values()))
    yield from or_fine(wrong, Check("second servos", ok=True, found=f"at most {furthest:.3f} rad from the first ones"))


def _bus_time(arm: Arm, rest: _Rest, period: float, policy_rate: float | None) -> Check:
    """Measured, because adapters and busy computers take their time; and by the bytes, which nothing makes faster."""
    bus, plan = arm.bus, arm.plan
    longer = bus.expected_time(plan.full.group) - bus.expected_time(plan.motion[0].group)
    write = arm.cycle_time - bus.expected_time(plan.full.group)
    wire = arm.cycle_time - bus.port.adapter_latency
    took = max(rest.took) if bus.host_margin in LATE else statistics.median(rest.took)
    cycle = max(took + longer + write, wire)
    ok = False if cycle > FULL * period else (None if cycle > BUSY * period else True)
    most = math.floor(BUSY / cycle)
    if policy_rate and most > policy_rate:
        most = math.floor(policy_rate * (most // policy_rate))
    latency = "see the latency timer, " if bus.port.adapter_latency > 2e-3 * WANTED_MS else ""
    return Check(
        "bus",
        ok=ok,
        found=f"{cycle * 1e3:.2f} ms a cycle, {wire * 1e3:.2f} of it on the wire: {cycle / period:.0%} of the period",
        wanted=f"at most {BUSY:.0%} of {period * 1e3:g} ms",
        advice="" if ok else f"{latency}ask for at most {most} Hz (--rate){_faster(arm)}",
    )


def _faster(arm: Arm) -> str:
    """The next rate that all servos do."""
    every = set.intersection(*(set(joint.servo.baudrates) for joint in arm.spec.joints))
    rates = sorted(rate for rate in every if rate > arm.bus.port.baudrate)
    return f", or raise the baud ('robot-setup baud {rates[0]}')" if rates else ""


def _latency(adapter: float, timer: LatencyTimer | None) -> Check:
    name, want = "latency timer", f"{WANTED_MS} ms"
    if timer is not None and timer.advice is not None:
        return Check(name, ok=None, found=f"{timer.milliseconds} ms", wanted=want, advice=timer.advice)
    if adapter > 2e-3 * WANTED_MS:
        advice = "set it in the adapter's driver; what it costs shows in the time of a cycle on the bus"
        return Check(name, ok=None, found=f"perhaps {adapter * 1e3:.0f} ms", wanted=want, advice=advice)
    has_none = timer is not None and timer.milliseconds is None
    return Check(name, ok=True, found="none" if has_none else f"{adapter * 1e3:g} ms", wanted=want)
