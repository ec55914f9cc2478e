"""What one cycle of a flight costs the computer: everything but waiting for the bus.

The loop flies as `robot-run` would, with a policy of 2 x 64 neurons that acts in every cycle, the two maps of a
calibration (three networks of 2 x 32 each), envelope, monitor and recorder. It flies the lock-step twin once, and then
again with a port that gives the same answers from memory; the time spent inside that port is taken off.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.stand_ins import calibration, policy
from robot_runtime.arm import Arm
from robot_runtime.bus import Bus
from robot_runtime.calibrated.maps import ResidualMaps
from robot_runtime.flight.ports import RecordingPort
from robot_runtime.flight.recorder import Recorder
from robot_runtime.flying import Inputs, Phase
from robot_runtime.loop import Loop
from robot_runtime.operator_inputs import Operator
from robot_runtime.policy.pilot import PolicyPilot
from robot_runtime.policy.targets import TargetSource
from robot_runtime.realtime import RealTime, Settings
from robot_runtime.session import Orders, Together, layout_of, make_loop, recorder_watcher
from robot_runtime.setup.unboxed import set_up_unboxed
from robot_runtime.spec import ArmSpec, load_arm
from sim.twin import LockstepPort, Twin

ARMS = ("open-manipulator-x", "koch-v1.1")
"""In current mode, in position mode."""

RATE, CYCLES = 250.0, 2000
"""Hz; cycles with the policy in charge."""

TARGET_MEDIAN, TARGET_P999 = 150.0, 400.0  # µs
NAP = 0.5e-3
"""s that the port sleeps where the flight waits for its next cycle."""


# -- measuring ---------------------------------------------------------------------------------------------------------


class Tape:
    """A port that notes what another one answers, and says the same again when it is wound back: no twin, no wire.

    Where the flight waits for the next cycle it naps, as in a real flight: what runs meanwhile costs its caches.
    """

    def __init__(self, port: LockstepPort) -> None:
        self._port = port
        self.name, self.baudrate, self.adapter_latency = port.name, port.baudrate, port.adapter_latency
        self._answers: list[Any] = []
        self._next: Iterator[Any] | None = None
        self.spent = 0.0  # s inside the port

    @property
    def records(self) -> bool:
        """Nothing comes from memory yet, and time is the twin's."""
        return self._next is None

    def wind_back(self) -> None:
        """From now on the answers come from here, as cheaply as Python can."""
        self._next = answers = iter(self._answers)
        clock = time.perf_counter

        def answer(*_: Any) -> Any:
            begin = clock()
            found = next(answers)
            self.spent += clock() - begin
            return found

        for name in ("now", "write", "discard_input"):
            setattr(self, name, answer)

    def _ask(self, call: Callable[..., Any], *arguments: Any) -> Any:
        begin = time.perf_counter()
        if self._next is None:
            answer = call(*arguments)
            self._answers.append(answer)
        else:
            answer = next(self._next)
        self.spent += time.perf_counter() - begin
        return answer

    def now(self) -> float:
        now: float = self._ask(self._port.now)
        return now

    def sleep_until(self, then: float) -> None:
        begin = time.perf_counter()
        if self._next is None:
            self._port.sleep_until(then)
        else:
            time.sleep(NAP)
        self.spent += time.perf_counter() - begin

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._ask(self._port.write, data)

    def _read(self, size: int, deadline: float) -> bytes:
        buffer = memoryview(bytearray(size))
        return bytes(buffer[: self._port.read_into(buffer, deadline)])

    def read_into(self, buffer: memoryview, deadline: float) -> int:
        data: bytes = self._ask(self._read, len(buffer), deadline)
        buffer[: len(data)] = data
        return len(data)

    def discard_input(self) -> int:
        count: int = self._ask(self._port.discard_input)
        return count

    def set_baudrate(self, baudrate: int) -> None:
        self._port.set_baudrate(baudrate)

    def close(self) -> None:
        """The twin stays."""


class Stopwatch:
    """Times calls, what they spend inside the port taken off."""

    def __init__(self, tape: Tape) -> None:
        self.laps: dict[str, list[float]] = {}
        self._tape = tape

    def outside(self) -> float:
        """s of computing so far."""
        return time.perf_counter() - self._tape.spent

    def part(self, owner: Any, name: str, method: str, title: str) -> None:
        """From now on, calls of this method of the owner's attribute are a part of the cycle."""
        laps = self.laps.setdefault(title, [])
        setattr(owner, name, _Timed(getattr(owner, name), method, laps, self.outside))


class _Timed:
    """In the place of an object: everything is passed on, and one method is timed."""

    def __init__(self, inner: Any, method: str, laps: list[float], clock: Callable[[], float]) -> None:
        call = getattr(inner, method)

        def timed(*arguments: Any) -> Any:
            begin = clock()
            result = call(*arguments)
            laps.append(clock() - begin)
            return result

        self.__dict__.update({"_inner": inner, method: timed})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._inner, name, value)


class EndedEarlyError(RuntimeError):
    """The monitor ended the flight; the message says why."""


def fly_until(loop: Loop, enough: Callable[[], bool]) -> None:
    """Torque on, cycles, torque off; the arm is where it is then."""
    loop.begin()
    try:
        while not enough():
            if not loop.cycle() or loop.phase is Phase.STOP:
                raise EndedEarlyError("; ".join(f.text for f in loop.monitor.seen))
    finally:
        loop.end()


@contextmanager
def flight(spec: ArmSpec, tape: Tape, every_cycle: Callable[[Loop], None]) -> Iterator[Loop]:
    """Everything that `robot-run` puts together, on this port."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        learned, orders = policy(folder, spec, RATE), Orders(rate=RATE)
        with (
            Recorder(folder / "flight.mcap", layout_of(spec, learned.contract), waits=tape.records) as recorder,
            Operator(keys=False, watchers=(recorder_watcher(recorder),)) as operator,
        ):
            arm = Arm(spec, Bus(RecordingPort(tape, recorder)))
            maps = ResidualMaps(spec, calibration(spec, orders.period), orders.period, guarded=False)
            pilot = PolicyPilot(learned, arm, orders.period, maps)
            inputs = Together(operator, TargetSource(None))
            loop = make_loop(arm, pilot, Inputs(0), inputs, recorder, orders, show_cycle=every_cycle)
            for key, array in (
                ("observation", pilot.observation),
                ("action", pilot.action),
                ("mapped_q", pilot.mapped[0]),
                ("mapped_dq", pilot.mapped[1]),
                ("unmapped", pilot.intent),
            ):
                recorder.bind(key, array)
            yield loop


def fly(
    spec: ArmSpec,
    tape: Tape,
    cycles: int,
    settings: Settings,
    take_apart: Callable[[Stopwatch, Loop], None] = lambda *_: None,
) -> Stopwatch:
    """Fly until the policy has had so many cycles; the stopwatch's lap "cycle" is a whole one."""
    watch = Stopwatch(tape)
    laps = watch.laps.setdefault("cycle", [])
    last = 0.0

    def lap(loop: Loop) -> None:
        nonlocal last
        now = watch.outside()
        if loop.phase is Phase.RUN:
            laps.append(now - last)
        last = watch.outside()

    with RealTime() as realtime, flight(spec, tape, lap) as loop:
        take_apart(watch, loop)
        realtime.enter(settings)
        fly_until(loop, lambda: len(laps) >= cycles)
    return watch


def _parts(watch: Stopwatch, loop: Loop) -> None:
    """The parts of a cycle, besides what the loop itself does between them."""
    watch.part(loop, "arm", "read", "read: ask, check, decode")
    watch.part(loop, "monitor", "look", "monitor")
    watch.part(loop, "source", "intend", "act: maps and policy")
    watch.part(loop, "envelope", "limit", "limit: envelope")
    watch.part(loop, "arm", "send", "write: scale and pack")
    watch.part(loop, "recorder", "put", "record")


def costs(settings: Settings, cycles: int = CYCLES) -> dict[str, Any]:
    """µs of a cycle and of its parts, for each arm."""
    report: dict[str, Any] = {"rate_hz": RATE, "cycles": cycles, "target_us": [TARGET_MEDIAN, TARGET_P999], "arms": {}}
    for name in ARMS:
        spec, twin = load_arm(name), Twin.load(name, pose="home")
        set_up_unboxed(Bus(LockstepPort(twin)), spec)
        tape = Tape(LockstepPort(twin))
        fly(spec, tape, cycles, settings)
        tape.wind_back()
        whole = fly(spec, tape, cycles, settings).laps["cycle"]
        tape.wind_back()
        parts = fly(spec, tape, cycles, settings, _parts).laps
        parts["cycle"] = whole
        report["arms"][name] = {part: _figures(laps) for part, laps in parts.items()}
    return report


def _figures(laps: list[float]) -> dict[str, float]:
    quantiles = {"median": 0.5, "p99": 0.99, "p99.9": 0.999}
    return {name: float(np.quantile(laps, share)) * 1e6 for name, share in quantiles.items()}


def show_costs(report: dict[str, Any]) -> None:
    """As a table."""
    median, high = report["target_us"]
    print(f"a cycle outside the bus, µs ({report['cycles']} cycles; targets: {median:g} and {high:g} at p99.9)")
    for name, rows in report["arms"].items():
        print(f"{name:32}" + "".join(f"{q:>10}" for q in rows["cycle"]) + f"{'target':>16}")
        for part, row in rows.items():
            told = f"{row['median'] / median:9.2f}x{row['p99.9'] / high:9.2f}x" if part == "cycle" else ""
            print(f"    {part:28}" + "".join(f"{v:10.1f}" for v in row.values()) + told)
