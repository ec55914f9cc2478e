"""RealTime: all that is asked of the system while an arm moves, and given back behind it."""

from __future__ import annotations

import ctypes
import errno
import gc
import getpass
import os
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from robot_runtime.realtime.awake import clock_rate, short_sleeps
from robot_runtime.realtime.fact import Fact, Facts

PRIORITY = 50
"""Of SCHED_FIFO (1 to 99): above everything ordinary, below the kernel's own interrupt threads where those have 50+."""

SPIN_FIFO, SPIN = 150e-6, 100e-6
"""s that a sleep may end late, with SCHED_FIFO and without: so much before its end it becomes a look at the clock.
Measured: docs/realtime.md."""

SPIN_SHARE = 0.15
"""Of the period, at most: whoever shares the core (the twin, the recorder) keeps the rest."""

SWITCH_INTERVAL = 100e-6
"""s after which a thread that waits for the interpreter gets it. Python's 5 ms is longer than a cycle; far shorter ones
make two threads quarrel. Measured: docs/realtime.md."""

_MCL_CURRENT, _MCL_FUTURE = 1, 2  # Linux, <sys/mman.h>; so on all architectures that Python 3.11 has wheels for
_PR_SET_TIMERSLACK, _PR_GET_TIMERSLACK = 29, 30  # Linux, <linux/prctl.h>
_SHORTEST_SLACK = 1  # ns

_MAY_LOCK = 1 << 14
"""CAP_IPC_LOCK among the capabilities of a process. Linux, <sys/capability.h>."""

_ISOLATED = Path("/sys/devices/system/cpu/isolated")


@dataclass(frozen=True, slots=True)
class Settings:
    """What to ask of the system."""

    priority: int = PRIORITY  # of SCHED_FIFO; 0: stay an ordinary process
    lock_memory: bool = True
    awake: bool = True  # no long sleeps of any core
    cores: tuple[int, ...] | None = None  # None: those that the system keeps free for such as us (isolcpus), if any


class RealTime:
    """Makes the calling thread punctual between `enter` and `leave`.

    Threads and processes that are started later do not inherit the scheduling class, but they do inherit the cores:
    start them before, or let them choose their own.
    """

    def __init__(self) -> None:
        """Nothing is asked yet."""
        self._undo: list[Callable[[], object]] = []
        self._fifo = False

    def __enter__(self) -> Self:
        """Nothing is asked yet: `enter` does."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """As `leave`."""
        self.leave()

    def enter(self, settings: Settings | None = None) -> Facts:
        """Ask for everything; what was not to be had is in the facts, never an exception."""
        settings = settings or Settings()
        facts = [_collector(self._undo)]
        if sys.platform != "linux":
            return (Fact("real time", got=False, detail=f"not available on {sys.platform}", advice=_USE_LINUX), *facts)
        if settings.lock_memory:
            facts.insert(0, _memory(self._undo))
        facts.insert(0, _cores(settings.cores, self._undo))
        if settings.priority:
            scheduling = _scheduling(settings.priority, self._undo)
            self._fifo = scheduling.got
            facts.insert(0, scheduling)
        if not self._fifo:
            _timer_slack(self._undo)
        if settings.awake:
            facts.append(short_sleeps(self._undo))
        if (rate := clock_rate(usable_cores())) is not None:
            facts.append(rate)
        return tuple(facts)

    def leave(self) -> None:
        """Give everything back. Leaving twice is harmless."""
        while self._undo:
            self._undo.pop()()
        self._fifo = False

    def spin(self, period: float) -> float:
        """For `SerialPort.spin` (s) in a loop of this period (s)."""
        return min(SPIN_FIFO if self._fifo else SPIN, SPIN_SHARE * period)


_USE_LINUX = "for a punctual loop use Linux"


def _collector(undo: list[Callable[[], object]]) -> Fact:
    """No pauses to collect garbage, and no long waits for a thread that computes."""
    was_enabled, interval = gc.isenabled(), sys.getswitchinterval()
    gc.collect()
    gc.freeze()
    gc.disable()
    sys.setswitchinterval(SWITCH_INTERVAL)
    undo += [gc.unfreeze, lambda: gc.enable() if was_enabled else None, lambda: sys.setswitchinterval(interval)]
    return Fact("garbage collector", got=True, detail="off while the arm moves")


def _scheduling(priority: int, undo: list[Callable[[], object]]) -> Fact:
    name = "scheduling class"
    before, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    _raise_limit(resource.RLIMIT_RTPRIO)
    try:
        # The recorder's thread, or a program that is started, must not become as important as the loop.
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError as error:
        return Fact(name, got=False, detail=f"SCHED_FIFO refused: {error.strerror}", advice=_allow_fifo(priority))
    undo.append(lambda: os.sched_setscheduler(0, before, parameter))
    return Fact(name, got=True, detail=f"SCHED_FIFO {priority}")


def _allow_fifo(priority: int) -> str:
    return (
        f"write '{_user()} - rtprio {priority}' into /etc/security/limits.d/99-robot.conf and log in again; "
        f"in a systemd unit LimitRTPRIO={priority}; in a container --cap-add=SYS_NICE --ulimit rtprio={priority}"
    )


def _memory(undo: list[Callable[[], object]]) -> Fact:
    """All pages stay in memory: a page that comes back from the disk costs milliseconds."""
    name, libc = "memory locked", ctypes.CDLL(None, use_errno=True)
    unlimited = _raise_limit(resource.RLIMIT_MEMLOCK) == resource.RLIM_INFINITY or _may_lock()
    # Below a limit, locking the future would let an allocation fail in flight.
    if libc.mlockall(_MCL_CURRENT | (_MCL_FUTURE if unlimited else 0)):
        number = ctypes.get_errno()
        return Fact(
            name,
            got=False,
            detail="more than this user may lock" if number == errno.ENOMEM else os.strerror(number),
            advice=f"write '{_user()} - memlock unlimited' into /etc/security/limits.d/99-robot.conf and log in "
            "again; in a systemd unit LimitMEMLOCK=infinity; in a container --ulimit memlock=-1",
        )
    undo.append(libc.munlockall)
    return Fact(name, got=True, detail="all of it" if unlimited else "what there is now")


def _raise_limit(kind: int) -> int:
    """Take as much as this user may have; returns how much that is."""
    soft, hard = resource.getrlimit(kind)
    if soft != hard:
        resource.setrlimit(kind, (hard, hard))
    return hard


def _may_lock() -> bool:
    status = Path("/proc/self/status").read_text()
    return any(int(line.split()[1], 16) & _MAY_LOCK for line in status.splitlines() if line.startswith("CapEff:"))


def usable_cores() -> set[int]:
    """Processor cores that this process may run on."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _cores(wanted: Sequence[int] | None, undo: list[Callable[[], object]]) -> Fact:
    name = "cores"
    before = usable_cores()
    cores = set(isolated_cores() if wanted is None else wanted)
    if not cores:
        return Fact(name, got=True, detail=f"any of {len(before)}")
    try:
        os.sched_setaffinity(0, cores)
    except OSError:
        have = ", ".join(map(str, sorted(before)))
        return Fact(name, got=False, detail=f"not on {_listed(cores)}", advice=f"choose of the cores {have}")
    undo.append(lambda: os.sched_setaffinity(0, before))
    return Fact(name, got=True, detail=f"on {_listed(cores)}")


def isolated_cores(file: Path = _ISOLATED) -> tuple[int, ...]:
    """Cores that the kernel schedules nobody on who does not ask for them (isolcpus)."""
    try:
        text = file.read_text().strip()
    except OSError:
        return ()
    found: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def _timer_slack(undo: list[Callable[[], object]]) -> None:
    """An ordinary process is woken up to 50 µs late to save power, unless it asks not to be; SCHED_FIFO never is."""
    prctl = ctypes.CDLL(None).prctl
    before = prctl(_PR_GET_TIMERSLACK, 0, 0, 0, 0)
    if before > 0 and prctl(_PR_SET_TIMERSLACK, _SHORTEST_SLACK, 0, 0, 0) == 0:
        undo.append(lambda: prctl(_PR_SET_TIMERSLACK, before, 0, 0, 0))


def _listed(cores: set[int]) -> str:
    return ("core " if len(cores) == 1 else "cores ") + ", ".join(map(str, sorted(cores)))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())
