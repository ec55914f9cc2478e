"""replay: the recorded bytes, clock readings and inputs through today's code; what comes out is compared bit by bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from robot_runtime.arrays import Floats
from robot_runtime.bus.port import Port
from robot_runtime.flight.ports import Divergence, ReplayEndedError, ReplayError, ReplayPort
from robot_runtime.flight.reader import Flight
from robot_runtime.flight.recorder import FlightRecorder, NullRecorder
from robot_runtime.flying import Inputs, InputSource

Fly = Callable[[Port, InputSource, FlightRecorder], None]
"""Flies the flight as it was set up then, on this port, with these inputs, telling this recorder."""


class ReplayInputs:
    """The inputs of a recorded flight, cycle by cycle. Fulfils `InputSource`."""

    def __init__(self, flight: Flight) -> None:
        """From its first cycle."""
        self._began = flight["begin"][:1].tolist()
        self._request = flight["request"][: flight.unbroken].tolist()
        self._stamp = flight["target_stamp"].tolist()
        self._target = flight.columns.get("target")
        self._next = 0

    def begin(self, now: float) -> None:
        """Nothing to do: what came of it is in the recording."""

    def sample(self, inputs: Inputs, now: float) -> None:
        """The next cycle's; before the first one began, nothing. Raises ReplayEndedError behind the last one."""
        if any(now < began for began in self._began):
            return  # somebody looks whether torque may come on: it came
        k = self._next
        if k >= len(self._request):
            raise ReplayEndedError(f"the recording ends after {k} cycles")
        self._next = k + 1
        inputs.request = self._request[k]
        inputs.target_stamp = self._stamp[k]
        if self._target is not None:
            inputs.target[:] = self._target[k]


@dataclass(slots=True)
class Difference:
    """How a quantity came out differently."""

    cycles: int = 0
    first: int = -1  # cycle, counted from 0
    worst: float = 0.0  # in the quantity's unit; inf where one of the two is no number


class CheckingRecorder(NullRecorder):
    """Compares every cycle with the recorded one."""

    def __init__(self, flight: Flight) -> None:
        """Against this flight."""
        super().__init__(flight.layout)
        self.cycles = 0
        self.differences: dict[str, Difference] = {}
        self._flight = flight
        self._pairs = [(name, view, flight[name]) for name, view in self.row.items()]

    def put(self) -> None:
        """Compare this cycle. Raises ReplayEndedError when there are more than were recorded."""
        super().put()
        k = self.cycles
        if k >= self._flight.unbroken:
            raise ReplayEndedError(f"the recording ends after {k} cycles")
        for name, view, column in self._pairs:
            recorded = column[k : k + 1].reshape(view.shape)
            if recorded.tobytes() != view.tobytes():
                self._note(name, np.asarray(recorded, dtype=np.float64), np.asarray(view, dtype=np.float64))
        self.cycles += 1

    def _note(self, name: str, recorded: Floats, replayed: Floats) -> None:
        entry = self.differences.setdefault(name, Difference(first=self.cycles))
        entry.cycles += 1
        with np.errstate(invalid="ignore"):
            apart = np.abs(recorded - replayed)
        same = (recorded == replayed) | (np.isnan(recorded) & np.isnan(replayed))
        apart = np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))
        entry.worst = max(entry.worst, float(apart.max()))


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What a replay has shown."""

    cycles: int
    """Cycles that were compared."""

    recorded: int
    """Cycles in the recording."""

    differences: Mapping[str, Difference]
    packets: int
    """Packets that were compared."""

    divergences: Sequence[Divergence]
    """Packets that were different."""

    ended: str
    """Why it did not go to the end of the recorded flight; empty: it did."""

    diverged: str
    """Where the program asked the port for something else than the recorded one; empty: nowhere."""

    @property
    def identical(self) -> bool:
        """Every command that could be compared is the same, bit for bit, and every packet; and there are some."""
        return self.agrees(0.0) and not self.divergences

    def agrees(self, tolerance: float) -> bool:
        """No command that could be compared is further off than this, in the unit of its joint's mode."""
        command = self.differences.get("command")
        near = command is None or (command.worst <= tolerance and tolerance > 0.0)
        to_the_end = self.cycles == self.recorded or bool(self.ended)
        return near and not self.diverged and to_the_end and self.cycles > 0


def _first(error: BaseException) -> BaseException:
    """What ended the replay: cleaning up goes wrong too then, and raises over it."""
    first, context = error, error.__context__
    while context is not None:
        first = context if isinstance(context, ReplayError) else first
        context = context.__context__
    return first


def replay(flight: Flight, fly: Fly) -> ReplayResult:
    """Fly a recorded flight again, without the arm.

    Raises:
        ReplayError: the recording does not begin where the port was opened.
        Whatever `fly` raises of itself.
    """
    port = ReplayPort(flight.pieces)
    recorder = CheckingRecorder(flight)
    ended = diverged = ""
    try:
        fly(port, ReplayInputs(flight), recorder)
    except ReplayError as error:
        first = _first(error)
        if isinstance(first, ReplayEndedError):
            ended = str(first)
        else:
            diverged = str(first)
    return ReplayResult(
        recorder.cycles, len(flight), recorder.differences, port.writes, port.divergences, ended, diverged
    )
