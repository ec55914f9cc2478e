"""Segments in a recording: when each began and ended, on the port's clock."""

from __future__ import annotations

from dataclasses import dataclass

from calibration.excitation.segment import CHECK
from robot_runtime.flight.reader import Flight

EVENT = "segment"
"""Name of the events in a flight."""

INDEX = "recording.json"
"""In a recording's folder: which flights it has and what is missing."""


@dataclass(frozen=True, slots=True)
class Span:
    """A segment as it was flown. Not `whole`: the flight ended in it."""

    name: str
    kind: str
    begin: float  # s, the port's clock, as a log's time
    end: float
    whole: bool

    @property
    def is_check(self) -> bool:
        """Whether it is for judging a fit, not for making it."""
        return self.name.endswith(CHECK)


def event_text(what: str, name: str, kind: str) -> str:
    """Of a "begin" or "end"."""
    return f"{what} {name} ({kind})"


def segments_of(flight: Flight) -> list[Span]:
    """What is in a flight, in its order."""
    spans: list[Span] = []
    last = float(flight["begin"][-1]) if len(flight) else 0.0
    for event in flight.events:
        if event.name != EVENT:
            continue
        what, name, kind = event.text.split(" ", 2)
        if what == "begin":
            spans.append(Span(name, kind.strip("()"), event.time, last, whole=False))
        elif spans and spans[-1].name == name:
            spans[-1] = Span(name, spans[-1].kind, spans[-1].begin, event.time, whole=True)
    return spans
