"""Two ports around a flight: one that writes down what the real one gave, and one that gives it back."""

from __future__ import annotations

import errno
import json
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from robot_runtime.bus import PortError, PortSettingError, PortStuckError, PortVanishedError
from robot_runtime.bus.port import Port
from robot_runtime.flight.raw import Call, Piece, pack
from robot_runtime.flight.recorder import FlightRecorder

_MANY = 512
"""Calls after which they are handed on though no cycle has ended: set-up is long. Looked at off the hot path."""

_ERRORS: dict[str, type[OSError]] = {
    e.__name__: e for e in (PortVanishedError, PortStuckError, PortSettingError, PortError)
}

_NOW, _SLEEP, _WRITE, _READ, _DISCARD = (int(c) for c in (Call.NOW, Call.SLEEP, Call.WRITE, Call.READ, Call.DISCARD))
"""Plain numbers: the hot path does not look them up."""


class RecordingPort:
    """A port whose every answer is written down, so that the same flight can be flown again without the arm.

    For one thread, as a flight is. It costs a fraction of a microsecond a call; what was gathered is handed to the
    recorder by its `put`.
    """

    def __init__(self, port: Port, recorder: FlightRecorder) -> None:
        """Listen in on this port."""
        self.name = port.name
        self.baudrate = port.baudrate
        self.adapter_latency = port.adapter_latency
        self.port = port
        """The port that is recorded; what is asked of it directly is not in the recording."""

        self._read_into = port.read_into
        self._write = port.write
        self._recorder = recorder
        self._pieces = 0
        self._calls = bytearray()
        self._clock: list[float] = []
        self._things: list[bytes] = []
        self._note_call, self._note_thing = self._calls.append, self._things.append
        self.now = self._watched_clock(port.now)
        """Monotonic time in seconds."""
        epoch = time.time_ns() - round(port.now() * 1e9)
        recorder.metadata("clock", {"epoch_ns": str(epoch)})
        recorder.before_put(self.flush)
        opened = {"name": self.name, "baudrate": self.baudrate, "adapter_latency": self.adapter_latency}
        self._note(Call.OPEN, json.dumps(opened).encode())

    def _watched_clock(self, read: Callable[[], float]) -> Callable[[], float]:
        """A clock whose readings are noted. It is read a dozen times a cycle: nothing is looked up for that."""
        note_call, note_reading = self._calls.append, self._clock.append

        def now() -> float:
            value = read()
            note_call(_NOW)
            note_reading(value)
            return value

        return now

    def sleep_until(self, time: float) -> None:
        """Wait until `now()` reaches `time`; return at once if it has passed."""
        self._note_call(_SLEEP)
        self.port.sleep_until(time)
        if len(self._calls) > _MANY:
            self.flush()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send all bytes. Raises PortVanishedError, or OSError that means it."""
        try:
            self._write(data)
        except OSError as error:
            self._raised(Call.WRITE, error)
        self._note_call(_WRITE)
        self._note_thing(bytes(data))

    def read_into(self, buffer: memoryview, deadline: float) -> int:
        """Wait until at least one byte is there, put what is there into `buffer`, return how many; 0: deadline passed.

        Raises PortVanishedError, or OSError that means it.
        """
        try:
            count = self._read_into(buffer, deadline)
        except OSError as error:
            self._raised(Call.READ, error)
        self._note_call(_READ)
        self._note_thing(buffer[:count].tobytes())
        return count

    def discard_input(self) -> int:
        """Throw away received bytes; return how many there were. Raises PortVanishedError, or OSError that means it."""
        try:
            count = self.port.discard_input()
        except OSError as error:
            self._raised(Call.DISCARD, error)
        self._calls.append(_DISCARD)
        self._things.append(struct.pack("<I", count))
        if len(self._calls) > _MANY:
            self.flush()
        return count

    def set_baudrate(self, baudrate: int) -> None:
        """Change the speed of the host side. Raises PortVanishedError or PortSettingError."""
        try:
            self.port.set_baudrate(baudrate)
        except OSError as error:
            self._raised(Call.BAUD, error)
        self.baudrate = self.port.baudrate
        self._note(Call.BAUD, struct.pack("<I", baudrate))

    def close(self) -> None:
        """Let go of the port. Closing twice is harmless."""
        self.port.close()
        self._note(Call.CLOSE, b"")
        self.flush()

    def flush(self) -> None:
        """Hand on what was gathered."""
        if self._calls:
            self._recorder.raw(pack(self._pieces, self._calls, self._clock, self._things))
            self._pieces += 1
            for gathered in (self._calls, self._clock, self._things):
                gathered.clear()

    def _note(self, call: Call, thing: bytes) -> None:
        self._calls.append(call)
        self._things.append(thing)

    def _raised(self, call: Call, error: OSError) -> NoReturn:
        kind = type(error).__name__
        told = {"call": call.name, "type": kind, "errno": error.errno, "strerror": error.strerror}
        self._note(Call.RAISED, json.dumps(told | {"filename": error.filename}).encode())
        raise error


class ReplayError(BaseException):
    """The recording cannot be followed any further. No `Exception`: nothing on the way may take it for a fault."""


class ReplayEndedError(ReplayError):
    """The recording is over: nothing more was written down.

    Example scenarios:
        - The recorded program was killed; up to here everything was the same.
        - The disk did not follow, and a piece is missing from here on.
    """


class ReplayDivergedError(ReplayError):
    """The replay asked for something else than the recorded program did at this point.

    Example scenarios:
        - Another version of the runtime, or another policy, flies the replay.
    """


@dataclass(frozen=True, slots=True)
class Divergence:
    """A packet that the replay wrote differently."""

    write: int  # number of the write since the port was opened
    time: float  # s, the last clock reading before it
    recorded: bytes
    replayed: bytes


class ReplayPort:
    """A port that answers as the recorded one did, call by call, and compares what is written to it."""

    def __init__(self, pieces: Iterable[Piece]) -> None:
        """Give back these pieces.

        Raises:
            ReplayError: they do not begin where a port was opened.
        """
        self._pieces = iter(pieces)
        self._expected = 0
        self._calls: Iterator[int] = iter(())
        self._clock: Iterator[float] = iter(())
        self._things: Iterator[bytes] = iter(())
        self.divergences: list[Divergence] = []
        self.writes = 0
        self._last = 0.0
        self._ended = False
        opened = json.loads(self._thing(Call.OPEN))
        self.name = f"replay of {opened['name']}"
        self.baudrate = int(opened["baudrate"])
        self.adapter_latency = float(opened["adapter_latency"])

    def now(self) -> float:
        """The recorded reading. Raises ReplayError."""
        self._take(Call.NOW)
        self._last = next(self._clock)
        return self._last

    def sleep_until(self, time: float) -> None:  # noqa: ARG002 (the recorded clock knows how long it took)
        """Return at once. Raises ReplayError."""
        self._take(Call.SLEEP)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Compare. Raises what the recorded write raised, and ReplayError."""
        recorded, replayed = self._thing(Call.WRITE), bytes(data)
        if recorded != replayed:
            self.divergences.append(Divergence(self.writes, self._last, recorded, replayed))
        self.writes += 1

    def read_into(self, buffer: memoryview, deadline: float) -> int:  # noqa: ARG002
        """The recorded bytes. Raises what the recorded read raised, and ReplayError."""
        received = self._thing(Call.READ)
        if len(received) > len(buffer):
            self._diverged(f"room for {len(received)} bytes", f"for {len(buffer)}")
        buffer[: len(received)] = received
        return len(received)

    def discard_input(self) -> int:
        """The recorded count. Raises what the recorded call raised, and ReplayError."""
        return int.from_bytes(self._thing(Call.DISCARD), "little")

    def set_baudrate(self, baudrate: int) -> None:
        """Compare. Raises what the recorded call raised, and ReplayError."""
        recorded = int.from_bytes(self._thing(Call.BAUD), "little")
        if recorded != baudrate:
            self._diverged(f"{recorded} bit/s", f"{baudrate} bit/s")
        self.baudrate = baudrate

    def close(self) -> None:
        """Nothing to let go of; whether the recorded port was closed is not looked at."""

    def _next(self) -> int:
        """The next call that was recorded."""
        while (code := next(self._calls, -1)) < 0:
            piece = None if self._ended else next(self._pieces, None)
            if piece is None or piece.number != self._expected:
                self._ended = True
                what = "the recording ends" if piece is None else "a piece of the recording is missing"
                raise ReplayEndedError(f"{what} at {self._last:.6f} s of the port's clock")
            self._expected += 1
            self._calls = iter(piece.calls)
            self._clock = iter(piece.clock.tolist())
            self._things = iter(piece.things)
        return code

    def _take(self, call: Call) -> None:
        if (code := self._next()) == call:
            return
        if code == Call.RAISED:
            told = json.loads(next(self._things))
            if told["call"] == call.name:
                self._raise(told)
        self._diverged(Call(code).name, call.name)

    def _thing(self, call: Call) -> bytes:
        self._take(call)
        return next(self._things)

    def _raise(self, told: Mapping[str, Any]) -> NoReturn:
        kind = _ERRORS.get(told["type"], OSError)
        if told["filename"] is None:
            raise kind(told["errno"] or errno.EIO, told["strerror"] or "")
        raise kind(told["errno"] or errno.EIO, told["strerror"] or "", told["filename"])

    def _diverged(self, recorded: str, replayed: str) -> NoReturn:
        raise ReplayDivergedError(
            f"after {self._last:.6f} s of the port's clock and {self.writes} packets the recorded program did "
            f"{recorded}, the replay does {replayed}"
        )
