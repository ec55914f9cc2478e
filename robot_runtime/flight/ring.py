"""Ring: frames of bytes from one process to another through shared memory. Nobody waits for anybody."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from enum import IntEnum

from robot_runtime.unnamed import unnamed_memory

_PAGE = 4096
"""Bytes in front of the ring for the words that both sides look at."""

DISK_TOLD = 0.55
"""s until the taking side says that a disk is nearly full, at most, while that disk still takes what it is given."""

_HEAD, _TAIL, _LOST, _STATUS, _ERRNO, _BEAT = range(6)
"""Words of 8 bytes, each written by one side: HEAD and LOST by the one who puts, the others by the one who takes."""

_POPULATE = getattr(mmap, "MAP_POPULATE", 0)  # no page faults later; Linux only


class Frame(IntEnum):
    """What a frame is."""

    SKIP = 0  # nothing up to the end of the ring
    ROW = 1  # one cycle
    RAW = 2  # what went over the port
    EVENT = 3  # JSON
    METADATA = 4  # JSON
    ATTACHMENT = 5  # JSON: which file
    END = 6  # nothing comes any more


class RecorderStatus(IntEnum):
    """How a recording is doing; the worst that happened stays."""

    FINE = 0
    BEHIND = 1  # cycles were lost: the writer could not follow
    DISK_FULL = 2  # or so nearly that there is just room to end in order
    FAILED = 3  # the writer ended, hangs, or cannot write


class Ring:
    """One writer, one reader. What does not fit is lost and counted: whoever puts is never held up.

    A frame is a word (size << 8 | kind) and the bytes, filled up to whole words; it never wraps around.
    """

    def __init__(self, fd: int, size: int) -> None:
        """Map a ring that `make_ring` made; `size` (a power of two) in bytes."""
        self.fd = fd
        self.size = size
        self._map = mmap.mmap(fd, _PAGE + size, mmap.MAP_SHARED | _POPULATE)
        whole = memoryview(self._map)
        self._words = whole[:_PAGE].cast("Q")  # native words are stored in one piece
        self._bytes = whole[_PAGE:]
        self._marks = self._bytes.cast("Q")
        self._head: int = self._words[_HEAD]
        self._tail: int = self._words[_TAIL]

    def put(self, kind: Frame, data: bytes | bytearray | memoryview) -> bool:
        """Put one frame; False: no room, it is lost and counted."""
        size = len(data)
        need = (size + 15) & ~7
        head = self._head
        at = head & (self.size - 1)
        skip = self.size - at if at + need > self.size else 0
        if head + skip + need - self._tail > self.size:
            self._tail = self._words[_TAIL]
            if head + skip + need - self._tail > self.size:
                self._words[_LOST] += 1
                return False
        if skip:
            self._marks[at >> 3] = Frame.SKIP
            head += skip
            at = 0
        self._marks[at >> 3] = size << 8 | kind
        self._bytes[at + 8 : at + 8 + size] = data
        self._head = self._words[_HEAD] = head + need
        return True

    def has_room(self, size: int) -> bool:
        """Whether a frame of so many bytes fits now, wherever the ring ends."""
        self._tail = self._words[_TAIL]
        return self._head - self._tail + 2 * (size + 15) <= self.size

    @property
    def head(self) -> int:
        """Up to where frames have been put."""
        return self._words[_HEAD]

    def take(self, until: int) -> Iterator[tuple[Frame, bytes]]:
        """Frames put before `until`, a `head` seen earlier.

        Earlier, because some processors show another's writes out of order: a moment later all of them are there.
        """
        tail = self._words[_TAIL]
        while tail < until:
            at = tail & (self.size - 1)
            mark = self._marks[at >> 3]
            kind, size = Frame(mark & 0xFF), mark >> 8
            if kind is Frame.SKIP:
                tail += self.size - at
                continue
            frame = bytes(self._bytes[at + 8 : at + 8 + size])
            tail += (size + 15) & ~7
            self._words[_TAIL] = tail
            yield kind, frame

    @property
    def empty(self) -> bool:
        """Whether everything was taken."""
        return self._words[_TAIL] == self._words[_HEAD]

    @property
    def lost(self) -> int:
        """Frames for which there was no room."""
        return self._words[_LOST]

    @property
    def status(self) -> int:
        """What the taking side says of itself; 0 at first."""
        return self._words[_STATUS]

    @property
    def errno(self) -> int:
        """The error number that belongs to the status."""
        return self._words[_ERRNO]

    def set_status(self, status: int, errno: int = 0) -> None:
        """Said by the taking side."""
        self._words[_ERRNO] = errno
        self._words[_STATUS] = status

    @property
    def beat(self) -> int:
        """When the taking side was last seen alive, ns of the monotonic clock; 0: not yet."""
        return self._words[_BEAT]

    def set_beat(self, nanoseconds: int) -> None:
        """Said by the taking side."""
        self._words[_BEAT] = nanoseconds

    def close(self) -> None:
        """Let go of the memory. Closing twice is harmless."""
        if self.fd < 0:
            return
        for view in (self._marks, self._words, self._bytes):
            view.release()
        os.close(self.fd)
        self.fd = -1


def make_ring(size: int) -> Ring:
    """A new ring in memory that a child process can inherit by its file descriptor."""
    return Ring(unnamed_memory(_PAGE + size), size)
