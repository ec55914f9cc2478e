"""Pace and accounting in virtual time; what the system gives, whatever it gives here."""

from __future__ import annotations

import errno
import gc
import math
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_runtime.histogram import Histogram
from robot_runtime.realtime import Pacer, RealTime, Settings, isolated_cores

PERIOD = 0.005


class Clock:
    """A port of which only the clock is used; sleeping ends `late` too late."""

    def __init__(self) -> None:
        self.time, self.late = 100.0, 0.0

    def now(self) -> float:
        return self.time

    def sleep_until(self, time: float) -> None:
        self.time = max(self.time, time) + self.late


def pace() -> tuple[Clock, Pacer]:
    clock = Clock()
    return clock, Pacer(clock, PERIOD)  # type: ignore[arg-type]


def test_deadlines_are_absolute() -> None:
    clock, pacer = pace()
    clock.late = 0.001
    for k in range(1, 1000):
        clock.time += 0.003
        pacer.wait()
        assert pacer.cycle == k
        assert pacer.due == pytest.approx(100.0 + k * PERIOD)
        assert pacer.lateness == pytest.approx(0.001)
    assert pacer.skipped_in_all == 0


def test_slack_is_what_the_cycle_left() -> None:
    clock, pacer = pace()
    clock.time += 0.002
    pacer.wait()
    assert pacer.slack == pytest.approx(0.003)


def test_a_cycle_that_is_a_little_long_is_followed_at_once_and_caught_up() -> None:
    clock, pacer = pace()
    clock.time += 1.4 * PERIOD
    pacer.wait()
    assert (pacer.cycle, pacer.skipped) == (1, 0)
    assert pacer.lateness == pytest.approx(0.4 * PERIOD)
    assert pacer.slack == pytest.approx(-0.4 * PERIOD)
    pacer.wait()
    assert pacer.lateness == 0
    assert clock.time == pytest.approx(100.0 + 2 * PERIOD)


@pytest.mark.parametrize("asleep", [False, True])
def test_an_overrun_skips_whole_cycles_and_keeps_the_phase(asleep: bool) -> None:
    clock, pacer = pace()
    if asleep:  # the sleep itself ends three periods late
        clock.late = 3.2 * PERIOD
    else:
        clock.time += 4.2 * PERIOD
    pacer.wait()
    clock.late = 0.0
    assert (pacer.cycle, pacer.skipped, pacer.skipped_in_all) == (4, 3, 3)
    assert pacer.lateness == pytest.approx(0.2 * PERIOD)
    pacer.wait()
    assert (pacer.cycle, pacer.skipped, pacer.skipped_in_all) == (5, 0, 3)
    assert clock.time == pytest.approx(100.0 + 5 * PERIOD)


def late_behind_a_pause(takes: float, pause: float) -> tuple[int, int]:
    """Of cycles that take so many periods: how many begin late behind a pause in one of them, how many are skipped."""
    clock, pacer = pace()
    late = skipped = 0
    for k in range(200):
        clock.time += (takes + (pause if k == 100 else 0.0)) * PERIOD
        pacer.wait()
        late += pacer.lateness > 0.1 * PERIOD
        skipped += pacer.skipped
    return late, skipped


@pytest.mark.parametrize(
    ("takes", "pause", "expected"),
    [
        (0.4, 1.5, (2, 0)),  # there is time to make up for it
        (0.88, 0.8, (0, 1)),  # six cycles in a row would begin late
        (0.88, 0.3, (1, 0)),  # nearly on time
    ],
)
def test_a_pause_makes_one_cycle_late_not_many(takes: float, pause: float, expected: tuple[int, int]) -> None:
    assert late_behind_a_pause(takes, pause) == expected


def test_cycles_that_take_too_long_are_not_made_fewer_still() -> None:
    clock, pacer = pace()
    for _ in range(1000):
        clock.time += 1.1 * PERIOD
        pacer.wait()
    assert pacer.skipped_in_all == pytest.approx(100, abs=3)


@given(st.lists(st.floats(0, 40 * PERIOD), max_size=50))
def test_a_cycle_never_begins_early_nor_a_period_late(work: list[float]) -> None:
    clock, pacer = pace()
    for seconds in work:
        before = pacer.cycle
        clock.time += seconds
        pacer.wait()
        assert -1e-9 <= clock.time - pacer.due < PERIOD + 1e-9
        assert pacer.cycle == before + 1 + pacer.skipped
        assert pacer.due == pytest.approx(100.0 + pacer.cycle * PERIOD)


@given(st.lists(st.floats(1e-6, 10), min_size=1, max_size=200), st.sampled_from([0.001, 0.5, 0.99, 1.0]))
def test_a_quantile_is_right_to_the_width_of_a_bin(times: list[float], share: float) -> None:
    histogram = Histogram()
    for t in times:
        histogram.add(t)
    exact = float(np.quantile(times, share, method="inverted_cdf"))
    assert exact / 1.05 <= histogram.quantile(share) <= exact * 1.05
    assert histogram.most == max(times)
    assert histogram.quantile(1.0) == max(times)


def test_a_histogram_takes_anything() -> None:
    histogram = Histogram()
    assert math.isnan(histogram.quantile(0.5))
    assert histogram.summary() == {}
    for value in (-0.5, 0.0, 1e-3, 1e9, math.inf):
        histogram.add(value)
    assert histogram.least == -0.5
    assert histogram.summary()["median"] == pytest.approx(1e-3, rel=0.05)
    assert histogram.count == 5


@pytest.fixture
def undisturbed() -> Iterator[None]:
    """Limits raised by `enter` are the process's; tests that follow get them back."""
    kinds = (resource.RLIMIT_RTPRIO, resource.RLIMIT_MEMLOCK)
    before = [resource.getrlimit(kind) for kind in kinds]
    yield
    for kind, limit in zip(kinds, before, strict=True):
        resource.setrlimit(kind, limit)


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")


def open_latency_files() -> int:
    return sum(
        str(file.readlink()) == "/dev/cpu_dma_latency" for file in Path("/proc/self/fd").iterdir() if file.exists()
    )


@LINUX
@pytest.mark.usefixtures("undisturbed")
def test_everything_is_asked_for_and_given_back() -> None:
    def state() -> tuple[object, ...]:
        return os.sched_getscheduler(0), os.sched_getaffinity(0), gc.isenabled(), sys.getswitchinterval()

    before, core = state(), min(os.sched_getaffinity(0))
    with RealTime() as realtime:
        facts = {f.name: f for f in realtime.enter(Settings(cores=(core,), lock_memory=False))}
        assert set(facts) - {"clock rate"} == {"scheduling class", "cores", "garbage collector", "short sleeps"}
        assert os.sched_getaffinity(0) == {core}
        assert not gc.isenabled()
        fifo = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO
        assert facts["scheduling class"].got == fifo
        assert all(f.got or f.advice for f in facts.values())
        assert open_latency_files() == int(facts["short sleeps"].got)
    assert state() == before
    assert open_latency_files() == 0
    realtime.leave()


@LINUX
@pytest.mark.usefixtures("undisturbed")
def test_a_refusal_is_a_fact_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    with RealTime() as realtime:
        facts = realtime.enter(Settings(priority=40, cores=(999,), lock_memory=False))
        scheduling, cores, *_ = facts
        assert not scheduling.got
        assert "rtprio 40" in scheduling.advice
        assert not cores.got
        assert cores.advice
        assert realtime.spin(0.1) == 100e-6


@LINUX
def test_memory_is_locked_or_it_is_said_why_not() -> None:
    code = (
        "from pathlib import Path; from robot_runtime.realtime import RealTime, Settings; r = RealTime(); "
        "_, _, memory, *_ = r.enter(Settings()); print(memory.got, memory.advice != '');"
        "locked = lambda: next(int(x.split()[1]) for x in Path('/proc/self/status').open() if x.startswith('VmLck'));"
        "print(locked() > 0); r.leave(); print(locked())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said in (["True", "False", "True", "0"], ["False", "True", "False", "0"])


@LINUX
@pytest.mark.usefixtures("undisturbed")
def test_below_a_limit_only_what_there_is_gets_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Library:
        def mlockall(self, flags: int) -> int:
            asked.append(flags)
            return 0

        def munlockall(self) -> None:
            asked.append(0)

        def prctl(self, *_: int) -> int:
            return -1

    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: Library())
    monkeypatch.setattr("robot_runtime.realtime.system._may_lock", lambda: False)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1 << 20, 1 << 30))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    with RealTime() as realtime:
        realtime.enter(Settings(priority=0))
    assert asked == [1, 0]  # MCL_CURRENT alone


def test_elsewhere_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with RealTime() as realtime:
        first, *_ = realtime.enter()
    assert not first.got
    assert "darwin" in first.detail


def test_spinning_leaves_most_of_the_core_to_others() -> None:
    assert RealTime().spin(1e-4) <= 0.2e-4


def test_isolated_cores_are_found(tmp_path: Path) -> None:
    file = tmp_path / "isolated"
    assert isolated_cores(file) == ()
    file.write_text("\n")
    assert isolated_cores(file) == ()
    file.write_text("1,3-5\n")
    assert isolated_cores(file) == (1, 3, 4, 5)
