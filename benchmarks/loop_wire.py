"""Six servos, and the wire's time: how many cycles of a flight are late, against a bare loop that only exchanges the
same bytes.

Both have the same arm behind a pseudo-terminal (bytes take turns on one half-duplex line), the same pace and the same
scheduling class, and take turns in one run. The arm is a twin that lies at rest; once the flight asks it nothing new
any more, its answers are repeated without computing it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.canned_bus import Answer, CannedBus
from benchmarks.loop_cost import EndedEarlyError, fly_until
from benchmarks.stand_ins import calibration, policy
from robot_runtime.arm import Arm
from robot_runtime.arm.arm import HEALTH_EVERY
from robot_runtime.arm.scaling import goal_register
from robot_runtime.bus import Bus, GroupRead, GroupWrite, SerialPort
from robot_runtime.bus.packets import BROADCAST, Instruction
from robot_runtime.bus.timing import wire_time
from robot_runtime.calibrated.maps import ResidualMaps
from robot_runtime.flight.ports import RecordingPort
from robot_runtime.flight.recorder import Recorder
from robot_runtime.flying import Inputs, Phase
from robot_runtime.loop import Loop
from robot_runtime.operator_inputs import Operator
from robot_runtime.policy.pilot import PolicyPilot
from robot_runtime.policy.targets import TargetSource
from robot_runtime.realtime import PRIORITY, Pacer, RealTime, Settings
from robot_runtime.session import Orders, Together, layout_of, make_loop, recorder_watcher
from robot_runtime.setup.unboxed import set_up_unboxed
from robot_runtime.spec import ArmSpec, load_arm
from sim.twin import LockstepPort, Twin

ARM = "koch-v1.1"
WIRES = ((1_000_000, 500.0), (4_000_000, 1000.0))
"""Baud, Hz."""

POLICY_RATE = 50.0
"""Hz."""

SECONDS, ROUNDS = 3.0, 3
LATE = 0.1
"""Of the period after which a cycle counts as late; skipped ones do too."""

TARGET = 1.5
"""Times the late cycles of the bare loop, at most."""

_SAME = 100
"""Broadcasts in a row after which the arm answers as it did the last time."""

_QUIET = 0.003
"""s (the twin's) without a byte after which a reply is over."""

_READS = (Instruction.SYNC_READ, Instruction.FAST_SYNC_READ)


def standing_arm(name: str) -> Answer:
    """A twin at rest, set up; it is not computed any more once it has heard nothing but broadcasts for a while."""
    twin = Twin.load(name)
    port = LockstepPort(twin)
    set_up_unboxed(Bus(port), load_arm(name))
    known: dict[bytes, bytes] = {}
    same = 0
    buffer = memoryview(bytearray(4096))

    def answer(request: bytes) -> bytes:
        nonlocal same
        if request[4] != BROADCAST:
            known.clear()
            same = 0
        same += 1
        reads = request[7] in _READS
        if same > _SAME:
            if not reads:
                return b""
            if request in known:
                return known[request]
        port.write(request)
        reply = b""
        if reads or request[4] != BROADCAST:
            while got := port.read_into(buffer, port.now() + _QUIET):
                reply += bytes(buffer[:got])
        else:
            port.sleep_until(port.now() + wire_time(len(request), port.baudrate))
        if same > _SAME:
            known[request] = reply
        return reply

    return answer


class Late:
    """Counts late cycles."""

    def __init__(self) -> None:
        self.cycles = self.late = 0

    def add(self, pacer: Pacer) -> None:
        self.cycles += 1 + pacer.skipped
        self.late += pacer.skipped + (pacer.lateness > LATE * pacer.period)

    @property
    def share(self) -> float:
        return self.late / max(self.cycles, 1)


def whole_flight(spec: ArmSpec, name: str, rate: float, seconds: float, settings: Settings, late: Late) -> None:
    """The loop with everything on."""
    period = 1 / rate

    def count(loop: Loop) -> None:
        if loop.phase is Phase.RUN:
            late.add(loop.pacer)

    with tempfile.TemporaryDirectory() as folder, RealTime() as realtime:
        learned = policy(Path(folder), spec, POLICY_RATE, swing=0.0)
        port = SerialPort(name, spec.bus.baudrate)
        with (
            Recorder(Path(folder) / "flight.mcap", layout_of(spec, learned.contract)) as recorder,
            Operator(keys=False, watchers=(recorder_watcher(recorder),)) as operator,
            Arm(spec, Bus(RecordingPort(port, recorder))) as arm,
        ):
            maps = ResidualMaps(spec, calibration(spec, period), period, guarded=False)
            pilot = PolicyPilot(learned, arm, period, maps)
            inputs = Together(operator, TargetSource(None))
            loop = make_loop(arm, pilot, Inputs(0), inputs, recorder, Orders(rate=rate), show_cycle=count)
            realtime.enter(settings)
            port.spin = realtime.spin(period)
            fly_until(loop, lambda: loop.run_time >= seconds)


class Bare:
    """The bytes of a cycle, prepared: no check, no number."""

    def __init__(self, spec: ArmSpec, name: str) -> None:
        with Arm.open(spec, name) as arm:
            plan = arm.plan
        turns: list[GroupRead] = [plan.motion[k & 1].group for k in range(HEALTH_EVERY)]
        turns[0] = plan.full.group
        goals = GroupWrite([(j.servo_id, goal_register(j)) for j in spec.servos])
        self.turns = [(group.request, group.size) for group in turns]
        self.write = bytes(goals.packet([2048] * len(spec.servos)))
        self.wire = statistics.median(wire_time(len(r) + s + len(self.write), spec.bus.baudrate) for r, s in self.turns)
        self._buffer = memoryview(bytearray(4096))

    def exchange(self, port: SerialPort, k: int) -> None:
        """Ask, wait for as many bytes as there should be, write."""
        request, size = self.turns[k % len(self.turns)]
        port.write(request)
        count, deadline = 0, port.now() + 0.1
        while count < size and (got := port.read_into(self._buffer, deadline)):
            count += got
        port.write(self.write)


def bare_loop(
    bare: Bare, spec: ArmSpec, name: str, rate: float, seconds: float, settings: Settings, late: Late
) -> None:
    """The same pace, and the exchange alone."""
    with RealTime() as realtime:
        port = SerialPort(name, spec.bus.baudrate)
        for k in range(2 * _SAME):
            bare.exchange(port, k)
        realtime.enter(settings)
        port.spin = realtime.spin(1 / rate)
        pacer = Pacer(port, 1 / rate)
        for _ in range(round(rate * seconds)):
            pacer.wait()
            late.add(pacer)
            bare.exchange(port, pacer.cycle)
        port.close()


def _latency(spec: ArmSpec) -> float:
    """What the pseudo-terminal itself adds to an exchange (s): replies leave earlier by as much."""
    with _bus(spec, 0.0) as canned:
        bare = Bare(spec, canned.port)
        port = SerialPort(canned.port, spec.bus.baudrate)
        took = []
        for k in range(5 * _SAME):
            begin = time.perf_counter()
            bare.exchange(port, k)
            took.append(time.perf_counter() - begin)
        port.close()
    return max(statistics.median(took[-2 * _SAME :]) - bare.wire, 0.0)


def _bus(spec: ArmSpec, head_start: float) -> CannedBus:
    return CannedBus(spec.bus.baudrate, head_start, partial(standing_arm, ARM), PRIORITY - 10)


def late_cycles(
    baudrate: int, rate: float, settings: Settings, seconds: float = SECONDS, rounds: int = ROUNDS
) -> dict[str, Any]:
    """Share of late cycles of both."""
    spec = load_arm(ARM)
    poses = {**spec.poses, "home": spec.poses["rest"]}  # it stays where it is
    spec = replace(spec, bus=replace(spec.bus, baudrate=baudrate), poses=poses)
    whole, alone = Late(), Late()
    latency, ended = _latency(spec), ""
    for _ in range(rounds):
        turns: list[Callable[[CannedBus], None]] = [
            lambda canned: whole_flight(spec, canned.port, rate, seconds, settings, whole),
            lambda canned: bare_loop(Bare(spec, canned.port), spec, canned.port, rate, seconds, settings, alone),
        ]
        for turn in turns:
            with _bus(spec, latency) as canned:
                try:
                    turn(canned)
                except EndedEarlyError as error:
                    ended = str(error)
    return {
        "baudrate": baudrate,
        "rate_hz": rate,
        "late_share": {"flight": whole.share, "bare": alone.share},
        "cycles": {"flight": whole.cycles, "bare": alone.cycles},
        "ratio": whole.share / alone.share if alone.late and not ended else None,
        "target": TARGET,
        "ended_early": ended,
    }


def wires(settings: Settings, seconds: float = SECONDS, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Both speeds."""
    return [late_cycles(baudrate, rate, settings, seconds, rounds) for baudrate, rate in WIRES]


def show_wires(report: list[dict[str, Any]]) -> None:
    """As a table."""
    print(f"late cycles (by more than {LATE:.0%} of the period, or skipped), six servos with the wire's time")
    for row in report:
        late, ratio = row["late_share"], row["ratio"]
        told = "no ratio" if ratio is None else f"{ratio:.2f}x, target {row['target']:g}x"
        print(
            f"    {row['baudrate'] / 1e6:g} Mbaud, {row['rate_hz']:g} Hz: flight {late['flight']:.2%}, "
            f"bare exchange {late['bare']:.2%}: {told}"
        )
        if row["ended_early"]:
            print(f"        the flight ended early: {row['ended_early']}")
