"""Recorder: what the loop tells of each cycle goes into shared memory; another process writes the file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from robot_runtime.flight.errors import FULL, NoRoomError
from robot_runtime.flight.layout import CycleLayout
from robot_runtime.flight.ring import Frame, RecorderStatus, make_ring

RING = 8 << 20
"""Bytes in memory between loop and writer: about 10 s of six joints at 500 Hz, should the disk hold the writer up."""

RESERVE = 32 << 20
"""Bytes: with less left on the disk it counts as full, while there is room for the arm to stop on the record."""

STUCK = 5.0
"""s without a sign of life from the writer after which it counts as failed."""

START_WITHIN = 20.0
"""s that the writer may take to start: a small board, a cold disk."""

_LOOK = 0.005
"""s between two looks whether it has."""

_PATIENCE = 10.0
"""s for the writer to finish the file at the end."""


class Level(IntEnum):
    """How much an event matters; the numbers are Foxglove's."""

    DEBUG = 1
    INFO = 2
    WARNING = 3
    ERROR = 4
    FATAL = 5


class FlightRecorder(Protocol):
    """What the loop tells its story to."""

    row: dict[str, NDArray[Any]]
    """Live views of this cycle's quantities by name (see `layout.TOPICS`); scalars are arrays of one."""

    timing: Callable[..., None]
    """Writes this cycle's timing, all quantities of that topic in their order."""

    def bind(self, name: str, source: NDArray[Any]) -> None:
        """From now on `put` copies this quantity from `source`, an array that lives on."""
        ...

    def before_put(self, call: Callable[[], None]) -> None:
        """`put` calls this first."""
        ...

    def put(self) -> None:
        """Record this cycle."""
        ...

    def raw(self, data: bytes) -> None:
        """What went over the port."""
        ...

    def event(self, text: str, level: Level = Level.INFO, name: str = "flight", at: float | None = None) -> None:
        """A line for the log; `at`: s, the port's clock."""
        ...

    def metadata(self, name: str, data: Mapping[str, Any]) -> None:
        """Facts of the whole flight; what is not a text is written as JSON."""
        ...

    def attach(self, name: str, path: Path) -> None:
        """A file that belongs to the flight."""
        ...

    def status(self) -> RecorderStatus:
        """How the recording is doing. Cheap."""
        ...

    def wait_until_alive(self, timeout: float = START_WITHIN) -> bool:
        """Whether it records: waits (s, real ones) until the writer has taken what there is, or cannot."""
        ...

    def close(self) -> RecorderStatus:
        """The story ends. Closing twice is harmless."""
        ...


class NullRecorder:
    """Takes everything and keeps nothing: flights that nobody wants to see again."""

    def __init__(self, layout: CycleLayout) -> None:
        """Rows of this layout."""
        self.layout = layout
        self._data = np.zeros(1, layout.dtype)
        self._bytes = self._data.view(np.uint8).data
        self.row = layout.views(self._data)
        self.timing = layout.packer("timing", self._bytes)
        self._bound: list[_Copy] = []
        self._copies: list[tuple[slice, memoryview]] = []
        self._first: Callable[[], None] | None = None

    def __enter__(self) -> Self:
        """The recorder itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the recording."""
        self.close()

    def bind(self, name: str, source: NDArray[Any]) -> None:
        """From now on `put` copies this quantity from `source`, an array that lives on.

        Raises:
            ValueError: it is not of the kind or size of that quantity.
        """
        view = self.row.get(name)
        if view is None:  # a quantity of no numbers: a policy without targets
            if source.size:
                raise ValueError(f"'{name}' has no place in this recording, but {source.size} numbers")
            return
        if source.dtype != view.dtype or source.shape != view.shape or not source.flags.c_contiguous:
            raise ValueError(f"'{name}' is {source.dtype}{source.shape}, recorded is {view.dtype}{view.shape}")
        self._bound.append(_Copy.of(self.layout.offset(name), source))
        self._copies = [copy.prepared for copy in _joined(self._bound)]

    def before_put(self, call: Callable[[], None]) -> None:
        """`put` calls this first."""
        self._first = call

    def put(self) -> None:
        """Record this cycle."""
        row = self._bytes
        for where, source in self._copies:
            row[where] = source
        if self._first is not None:
            self._first()

    def raw(self, data: bytes) -> None:
        """Forgotten."""

    def event(self, text: str, level: Level = Level.INFO, name: str = "flight", at: float | None = None) -> None:
        """Forgotten."""

    def metadata(self, name: str, data: Mapping[str, Any]) -> None:
        """Forgotten."""

    def attach(self, name: str, path: Path) -> None:
        """Forgotten."""

    def status(self) -> RecorderStatus:
        """Nothing can go wrong."""
        return RecorderStatus.FINE

    def wait_until_alive(self, timeout: float = START_WITHIN) -> bool:  # noqa: ARG002
        """Nothing to wait for."""
        return True

    def close(self) -> RecorderStatus:
        """Nothing to end."""
        return RecorderStatus.FINE


@dataclass(frozen=True, slots=True)
class _Copy:
    """Bytes of an array that go into the row."""

    start: int  # in the row
    size: int
    memory: NDArray[Any]
    place: int  # of the first byte in that array's memory

    @classmethod
    def of(cls, start: int, source: NDArray[Any]) -> Self:
        """A whole array."""
        memory = source
        while isinstance(memory.base, np.ndarray) and memory.base.flags.c_contiguous:
            memory = memory.base
        return cls(start, source.nbytes, memory, source.ctypes.data - memory.ctypes.data)

    def goes_on_with(self, other: _Copy) -> bool:
        """Whether the other one's bytes lie behind these on both sides: then one copy does for both."""
        behind = other.start - self.start == self.size == other.place - self.place
        return behind and other.memory is self.memory

    @property
    def prepared(self) -> tuple[slice, memoryview]:
        """Where to, and what."""
        source = self.memory.reshape(-1).view(np.uint8).data[self.place : self.place + self.size]
        return slice(self.start, self.start + self.size), source


def _joined(copies: Sequence[_Copy]) -> list[_Copy]:
    """The same in as few copies as possible."""
    joined: list[_Copy] = []
    for copy in sorted(copies, key=lambda copy: copy.start):
        if joined and joined[-1].goes_on_with(copy):
            joined[-1] = replace(joined[-1], size=joined[-1].size + copy.size)
        else:
            joined.append(copy)
    return joined


class Recorder(NullRecorder):
    """Writes a flight to an MCAP file. Nothing here waits for the disk; the writer starts while the caller goes on."""

    def __init__(
        self,
        path: Path,
        layout: CycleLayout,
        header: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        reserve: int = RESERVE,
        ring: int = RING,
        waits: bool = False,
    ) -> None:
        """Begin a new file. `header`: facts by name, as `metadata` takes them.

        `reserve`: bytes of disk below which it counts as full; `ring`: bytes in memory, a power of two; `waits`: where
        time is virtual, a full ring may hold the caller up instead of losing anything.

        Raises:
            NoRoomError: the disk is full, or files may not be large enough.
            OSError: the file cannot be made, or exists already.
        """
        super().__init__(layout)
        self.path = path
        self._waits = waits
        self._started = time.monotonic()
        self._worst = RecorderStatus.FINE
        self._closed = False
        try:
            self._ring = make_ring(ring)
            self._parent, self._process = self._start(path, ring, reserve)
        except OSError as error:
            if error.errno in FULL:
                raise NoRoomError.of(error, path) from error
            raise
        self.metadata("layout", {"json": layout.as_json()})
        for name, data in (header or {}).items():
            self.metadata(name, data)

    @property
    def writer_pid(self) -> int:
        """Number of the process that writes the file."""
        return self._process.pid

    def put(self) -> None:
        """Record this cycle. Takes microseconds, whatever the disk does."""
        super().put()
        self._put(Frame.ROW, self._bytes)

    def raw(self, data: bytes) -> None:
        """What went over the port."""
        self._put(Frame.RAW, data)

    def event(self, text: str, level: Level = Level.INFO, name: str = "flight", at: float | None = None) -> None:
        """A line for the log; `at`: s, the port's clock, or now."""
        self._put_json(Frame.EVENT, {"time": at, "level": int(level), "name": name, "text": text})

    def metadata(self, name: str, data: Mapping[str, Any]) -> None:
        """Facts of the whole flight; what is not a text is written as JSON."""
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in data.items()}
        self._put_json(Frame.METADATA, {"name": name, "data": texts})

    def attach(self, name: str, path: Path) -> None:
        """A file that belongs to the flight; the writer reads it."""
        self._put_json(Frame.ATTACHMENT, {"name": name, "path": str(path.resolve())})

    def status(self) -> RecorderStatus:
        """How the recording is doing; the worst that happened stays. Two microseconds: a few dozen times a second."""
        ring = self._ring
        now = RecorderStatus(ring.status) if not self._closed else self._worst
        if now is RecorderStatus.FINE and not self._closed:
            if ring.lost:
                now = RecorderStatus.BEHIND
            if not self._alive():
                now = RecorderStatus.FAILED
        self._worst = max(self._worst, now)
        return self._worst

    def wait_until_alive(self, timeout: float = START_WITHIN) -> bool:
        """Whether it records: waits (s, real ones) until the writer has taken what there is, or cannot."""
        end = time.monotonic() + timeout
        while self.status() is RecorderStatus.FINE:
            if self._ring.beat:
                return True
            if time.monotonic() >= end:
                return False
            time.sleep(_LOOK)
        return False

    def close(self) -> RecorderStatus:
        """Wait until the file is complete. Closing twice is harmless."""
        if self._closed:
            return self._worst
        if self._first is not None:
            self._first()
        self._waits = True  # the flight is over: nobody is held up any more
        self._put(Frame.END, b"")
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:  # it goes on by itself, and ends the file when it can
            self._worst = RecorderStatus.FAILED
        self._worst = max(self._worst, RecorderStatus(self._ring.status))
        if self._process.returncode and self._worst is RecorderStatus.FINE:
            self._worst = RecorderStatus.FAILED
        self._closed = True
        os.close(self._parent)
        self._ring.close()
        return self._worst

    def _put(self, kind: Frame, data: bytes | memoryview) -> None:
        if self._closed:
            return
        if self._waits:
            self._wait_for_room(len(data))
        self._ring.put(kind, data)

    def _put_json(self, kind: Frame, data: Mapping[str, Any]) -> None:
        self._put(kind, json.dumps(data).encode())

    def _wait_for_room(self, size: int) -> None:
        while not self._ring.has_room(size) and self._alive():
            time.sleep(0.001)

    def _alive(self) -> bool:
        """Whether the writer runs and was seen lately."""
        if self._process.poll() is not None:
            return False
        beat = self._ring.beat
        if not beat:
            return time.monotonic() - self._started < START_WITHIN
        return time.monotonic_ns() - beat < STUCK * 1e9

    def _start(self, path: Path, ring: int, reserve: int) -> tuple[int, subprocess.Popen[bytes]]:
        """The writer, and the pipe whose closing tells it that this process is gone."""
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        theirs, ours = os.pipe()
        fds = (self._ring.fd, file, theirs)
        root = str(Path(__file__).parents[2])
        known = os.environ.get("PYTHONPATH")
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
        try:  # signals wait until the writer, which inherits this, is ready to ignore them
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "robot_runtime.flight.writer", *map(str, (*fds, ring, reserve))],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=fds,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{known}" if known else root},
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            os.close(file)
            os.close(theirs)
        return ours, process
