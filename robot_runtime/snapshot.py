"""A flight's state for whoever wants to look, in shared memory: the loop leaves it there and never waits for a reader.

Static things are JSON in front; then a sequence number and one frame. The writer makes the number odd, copies, makes it
even; a reader that finds it odd or changed looks again. Processors that reorder writes may still tear a frame: it is
for eyes, not for control.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from robot_runtime.unnamed import unnamed_memory

TEXT, VERDICT = 2048, 512
"""Bytes for the last events, and for the verdict."""

_HEADER, _SEQUENCE = 8, 8
"""Bytes: length of the JSON, sequence number."""

_TRIES = 100


@dataclass(frozen=True, slots=True)
class About:
    """What does not change in a flight; one entry a joint where there are several."""

    arm: str
    policy: str
    period: float  # s
    joints: tuple[str, ...]
    modes: tuple[str, ...]
    lower: tuple[float, ...]  # rad
    upper: tuple[float, ...]  # rad
    torque: tuple[float, ...]  # N·m
    temperature: tuple[float, ...]  # °C
    reasons: tuple[str, ...] = ()  # of interventions, in the order of their counts
    target_size: int = 0
    recording: str = ""


def _frame(about: About) -> np.dtype[Any]:
    joints = len(about.joints)
    return np.dtype(
        [
            ("phase", "u8"),  # a Phase
            ("stop", "u8"),  # a Stop: what the arm is stopped by
            ("time", "f8"),  # s since the first cycle
            ("run_time", "f8"),  # s that the source has been in charge
            ("cycle", "u8"),
            ("skipped", "u8"),  # cycles, since the first
            ("rate", "f8"),  # Hz, since the frame before
            ("lateness", "f8"),  # s, the worst since the frame before
            ("lateness_p99", "f8"),  # s, of all
            ("q", "f8", (joints,)),
            ("dq", "f8", (joints,)),
            ("tau", "f8", (joints,)),
            ("command", "f8", (joints,)),
            ("temperature", "f8", (joints,)),
            ("interventions", "i8", (joints, len(about.reasons))),  # counts since the first cycle
            ("target", "f8", (about.target_size,)),
            ("distance", "f8"),  # m, from the tip to the target; nan: not a place, or not flown to
            ("events", "u8"),  # that were said since the beginning
            ("text", f"S{TEXT}"),  # events, a line each, the newest last
            ("verdict", f"S{VERDICT}"),
        ]
    )


class Snapshot:
    """The writer's side. Fill `row`, then `publish`."""

    def __init__(self, about: About) -> None:
        """Make the shared memory; `fd` is for a child process to inherit."""
        head = json.dumps(asdict(about)).encode()
        head += b" " * (-len(head) % _SEQUENCE)  # the sequence number is aligned: it is written at once or not at all
        record = np.zeros(1, _frame(about))
        record["distance"] = np.nan
        self._start = _HEADER + len(head)
        size = self._start + _SEQUENCE + record.nbytes
        self.fd = unnamed_memory(size)
        self._map = mmap.mmap(self.fd, size)
        self._map[: self._start] = len(head).to_bytes(_HEADER, "little") + head
        shared = memoryview(self._map)[self._start :]
        self._sequence, self._there = shared[:_SEQUENCE].cast("Q"), shared[_SEQUENCE:]
        self._here = record.view(np.uint8).data
        self.row: Mapping[str, NDArray[Any]] = {name: record[name] for name in record.dtype.names or ()}
        """Live views, one a field, of shape (1, ...): `row["time"][0] = now`."""
        self._lines: list[str] = []

    def say(self, text: str) -> None:
        """Add an event; the oldest ones make room."""
        self._lines.append(text)
        self.row["events"][0] += 1
        while len("\n".join(self._lines).encode()) > TEXT and len(self._lines) > 1:
            self._lines.pop(0)
        self.row["text"][0] = "\n".join(self._lines).encode()[:TEXT]

    def publish(self) -> None:
        """Let readers see the row as it is now."""
        sequence = self._sequence
        sequence[0] += 1
        self._there[:] = self._here
        sequence[0] += 1

    def close(self) -> None:
        """Let go of the memory; readers keep theirs. Closing twice is harmless."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class SnapshotReader:
    """The reader's side, of a file descriptor that was inherited."""

    def __init__(self, fd: int) -> None:
        """Map the memory."""
        self._map = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
        length = int.from_bytes(self._map[:_HEADER], "little")
        loaded = json.loads(self._map[_HEADER : _HEADER + length])
        about: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in loaded.items()}
        self.about = About(**about)
        self._start = _HEADER + length
        self._dtype = _frame(self.about)

    def read(self) -> np.void | None:
        """The last frame, as a record of `Snapshot.row`'s fields; None: none yet, or the writer is always at it."""
        for _ in range(_TRIES):
            before = self._sequence()
            if before == 0:
                return None
            data = self._map[self._start + _SEQUENCE :]
            if before % 2 == 0 and self._sequence() == before:
                return cast("np.void", np.frombuffer(data, self._dtype)[0])
        return None

    def _sequence(self) -> int:
        return int.from_bytes(self._map[self._start : self._start + _SEQUENCE], "little")
