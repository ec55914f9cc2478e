"""The recorder's other half: a process that takes frames out of the ring and writes the file.

It outlives whatever happens to the loop: it has a session of its own, ignores signals that ask it to end, and ends by
itself when the loop says so or is gone.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from robot_runtime.flight.errors import FULL
from robot_runtime.flight.flight_file import FlightFile
from robot_runtime.flight.recorder import Level
from robot_runtime.flight.ring import DISK_TOLD, Frame, RecorderStatus, Ring

_LOOK = 0.01
"""s between looks into the ring."""

_FLUSH = 0.03
"""s: what was taken is in the file at most so much later; with two looks before it, 50 ms after it happened."""

_CHECK_DISK = DISK_TOLD - _FLUSH - 2 * _LOOK
"""s between questions how much room there is."""


class _Writer:
    """Takes, writes, and says how it goes. After an error it goes on taking, so that the loop is not held up."""

    def __init__(self, ring: Ring, fd: int, parent: int, reserve: int) -> None:
        self._ring = ring
        self._fd = fd
        self._parent = parent
        self._reserve = reserve
        self._file: FlightFile | None = FlightFile(fd)
        self._ended = False
        self._lost = 0
        self._flushed = self._checked = 0.0

    def run(self) -> None:
        """Until the loop has ended or is gone, and everything is in the file."""
        gone = False
        while not (self._ended or (gone and self._ring.empty)):
            head = self._ring.head
            if not gone:
                gone = bool(select.select([self._parent], [], [], _LOOK)[0])
            self._take(head)
            self._ring.set_beat(time.monotonic_ns())
        if not self._ended:
            self._note(Level.FATAL, "the program that flew the arm is gone: the recording ends here")
        self._finish()

    def _take(self, head: int) -> None:
        now = time.monotonic()
        try:
            for kind, data in self._ring.take(head):
                if self._file is not None:
                    self._write(kind, data)
                self._ended |= kind is Frame.END
            if self._file is not None and now - self._flushed >= _FLUSH:
                self._flushed = now
                self._count_lost()
                self._file.flush()
                self._look_at_disk(now)
        except OSError as error:
            self._fail(error)

    def _write(self, kind: Frame, data: bytes) -> None:
        assert self._file is not None
        match kind:
            case Frame.ROW:
                self._file.row(data)
            case Frame.RAW:
                self._file.raw(data)
            case Frame.EVENT:
                event = json.loads(data)
                self._file.event(event["level"], event["name"], event["text"], event["time"])
            case Frame.METADATA:
                entry = json.loads(data)
                self._file.metadata(entry["name"], entry["data"])
            case Frame.ATTACHMENT:
                entry = json.loads(data)
                self._file.attachment(entry["name"], Path(entry["path"]))

    def _finish(self) -> None:
        try:
            if self._file is not None:
                self._count_lost()
                self._file.finish()
                os.fsync(self._fd)
        except OSError as error:
            self._fail(error)

    def _count_lost(self) -> None:
        if (lost := self._ring.lost) > self._lost:
            self._note(Level.ERROR, f"{lost - self._lost} pieces of the recording were lost: the disk did not follow")
            self._lost = lost

    def _look_at_disk(self, now: float) -> None:
        """Say that the disk is full while there is still room for the arm to stop on the record."""
        if now - self._checked < _CHECK_DISK or self._ring.status:
            return
        self._checked = now
        disk = os.fstatvfs(self._fd)
        if (left := disk.f_bavail * disk.f_frsize) < self._reserve:
            self._note(Level.ERROR, f"the disk is nearly full: {left / 2**20:.0f} MiB are left")
            self._ring.set_status(RecorderStatus.DISK_FULL, errno.ENOSPC)

    def _note(self, level: Level, text: str) -> None:
        if self._file is not None:
            self._file.event(level, "recorder", text, None)

    def _fail(self, error: OSError) -> None:
        full = error.errno in FULL
        self._ring.set_status(RecorderStatus.DISK_FULL if full else RecorderStatus.FAILED, error.errno or 0)
        self._file = None


def main(arguments: Sequence[str]) -> int:
    """Entry point: file descriptors of ring, file and the parent's pipe, size of the ring, bytes to keep free."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _be_ordinary()
    ring_fd, file_fd, parent, size, reserve = map(int, arguments)
    ring = Ring(ring_fd, size)
    _Writer(ring, file_fd, parent, reserve).run()
    return int(ring.status != RecorderStatus.FINE)


def _be_ordinary() -> None:
    """Not in the way of the loop: whatever it inherited, this process is scheduled like any other, on any core."""
    if hasattr(os, "sched_setscheduler"):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
