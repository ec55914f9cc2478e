"""The words of the fault table: classes of stop, classes of ending, bounds, what a row says, what was seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum


class Stop(IntEnum):
    """What is done about a fault, the worse the higher; the worst one wins."""

    NONE = 0
    HOLD = 1  # keep the pose that was commanded last; lower it if nobody comes
    BRAKE_HOLD = 2  # brake as hard as the envelope allows, hold there; lower it if nobody comes
    FREEZE = 3  # brake, hold there as long as all is well: a person wants it to stand still, perhaps to reach in
    LOWER = 4  # brake, go softly to the rest pose, torque off
    TORQUE_OFF = 5  # torque off now, wherever it is


REACTIONS = {
    Stop.NONE: "none",
    Stop.HOLD: "hold",
    Stop.BRAKE_HOLD: "brake, hold",
    Stop.FREEZE: "brake, hold until Ctrl-C",
    Stop.LOWER: "brake, lower, torque off",
    Stop.TORQUE_OFF: "torque off now",
}
"""The classes of stop in words."""


class Ending(IntEnum):
    """How a flight ended: one exit code a class. 1 and 2 are left to errors and wrong usage."""

    COMPLETED = 0
    PREFLIGHT = 5  # something was not as it should be before any torque
    ASKED = 10  # somebody asked for it
    BUS = 11  # servos could not be heard, or the port is gone
    SERVO = 12  # a servo is not well: error, heat, voltage, restart, encoder
    MOTION = 13  # a joint did not move as it was told
    POLICY = 14  # what the policy said, what it was fed with, or its program failed
    COMPUTER = 15  # the loop could not keep its time
    RECORDING = 16  # the flight could not be recorded


@dataclass(frozen=True, slots=True)
class Bound:
    """The longest time from a fault's onset to the first command of the reaction: all parts added."""

    seconds: float = 0.0
    cycles: int = 2  # one until it is sampled, one until the reaction is on the wire
    watchdogs: int = 0  # times the arm file's servo watchdog: where the servos do it by themselves
    silences: int = 0  # times the silence allowed to whoever sends targets

    def at(self, period: float, watchdog: float, silence: float = 0.0) -> float:
        """The bound (s) for this bus period, servo watchdog and silence of targets (s)."""
        return self.seconds + self.cycles * period + self.watchdogs * watchdog + self.silences * silence

    def __str__(self) -> str:
        """In words."""
        parts = [f"{self.seconds * 1e3:.0f} ms"] if self.seconds else []
        parts += ["the servo watchdog"] if self.watchdogs else []
        parts += ["the silence allowed"] if self.silences else []
        parts += [f"{self.cycles} cycles"] if self.cycles else []
        return " + ".join(parts)


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One row of the table."""

    name: str
    hazard: str  # what happens if nobody does anything
    detection: str
    stop: Stop
    bound: Bound
    ending: Ending
    advice: str  # what to do, for the person who reads the message; empty: nothing, it was asked for
    injections: tuple[str, ...] = ()  # faults of the twin, or of the test itself, that bring it about in test_chaos
    tests: tuple[str, ...] = ()  # tests besides

    def proofs(self) -> Iterator[str]:
        """The tests that prove detection and reaction."""
        yield from (f"test_chaos[{injection}-*]" for injection in self.injections)
        yield from self.tests


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that was seen."""

    kind: FaultKind
    joints: tuple[str, ...]  # empty: not a matter of one joint
    value: float  # what was measured, in the unit of the text; nan where nothing was
    time: float  # s, the port's clock
    text: str


def worst(seen: Iterable[Fault]) -> Fault | None:
    """The fault that decided what was done: the first of the worst class; None if there was none."""
    found: Fault | None = None
    for fault in seen:
        if found is None or fault.kind.stop > found.kind.stop:
            found = fault
    return found
