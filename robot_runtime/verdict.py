"""Verdict: how a flight ended, for people, for machines, and as an exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from robot_runtime.flight.ring import RecorderStatus
from robot_runtime.loop import Loop
from robot_runtime.preflight.table import Check
from robot_runtime.safety.fault_kind import Ending, Fault, worst
from robot_runtime.safety.faults import OPERATOR_FREEZE, OPERATOR_STOP, TORQUE_STAYS


@dataclass(frozen=True, slots=True)
class Verdict:
    """How it ended. Healthy is only what ran as long as it was asked to and saw no fault."""

    ending: Ending
    text: str
    outcome: str = ""  # where the arm was left
    faults: tuple[Fault, ...] = ()
    seconds: float = 0.0  # that the policy was in charge
    figures: Mapping[str, Any] = field(default_factory=dict)
    error: Exception | None = None  # what the policy, or the runtime, raised

    @property
    def headline(self) -> str:
        """The text, which says itself what went wrong; where all was well, that it was."""
        return f"completed: {self.text}" if self.ending is Ending.COMPLETED and self.seconds else self.text

    @property
    def exit_code(self) -> int:
        """For the shell."""
        return int(self.ending)

    def recorded(self, status: RecorderStatus) -> Verdict:
        """The same, once it is known what became of the recording."""
        if status is RecorderStatus.FINE:
            return self
        text = f"{self.headline}; the recording is not complete ({status.name.lower().replace('_', ' ')})"
        ending = Ending.RECORDING if self.ending is Ending.COMPLETED else self.ending
        return replace(self, ending=ending, text=text)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "verdict": self.ending.name.lower(),
            "exit_code": self.exit_code,
            "text": self.text,
            "outcome": self.outcome,
            "seconds": self.seconds,
            "faults": [
                {"fault": f.kind.name, "joints": list(f.joints), "time": f.time, "text": f.text} for f in self.faults
            ],
            **self.figures,
        }


def refused(checks: Sequence[Check]) -> Verdict | None:
    """That the preflight stands against a flight, and why; None: it does not."""
    failed = [check for check in checks if check.ok is False]
    if not failed:
        return None
    first, names = failed[0], ", ".join(dict.fromkeys(check.name for check in failed))
    why = f"{first.name}: {first.found}" if len(failed) == 1 else f"{len(failed)} checks failed: {names}"
    return Verdict(Ending.PREFLIGHT, f"not started: {why}")


def not_started(fault: Fault) -> Verdict:
    """That somebody asked for a stop before torque came on."""
    return Verdict(fault.kind.ending, f"not started: {fault.text}")


def verdict(loop: Loop) -> Verdict:
    """What became of this flight."""
    if loop.not_started is not None:
        return not_started(loop.not_started.fault)
    # Who asks a flight to stop that is done already, and being lowered, changes nothing.
    faults = tuple(f for f in loop.monitor.seen if not (loop.completed and f.kind in (OPERATOR_STOP, OPERATOR_FREEZE)))
    figures = _figures(loop)
    outcome = "nothing was sent" if loop.readonly else loop.stopping.outcome
    if loop.completed and not faults:
        return Verdict(Ending.COMPLETED, f"{loop.run_time:.1f} s", outcome, faults, loop.run_time, figures)
    if any(f.kind is TORQUE_STAYS for f in faults):
        if loop.failed is not None:
            outcome = f"{outcome} ({str(loop.failed) or type(loop.failed).__name__})"
        outcome = f"{outcome}, but TORQUE MAY STILL BE ON: cut the power before you reach into the arm"
    decisive = worst(faults)
    if decisive is None:
        return Verdict(Ending.ASKED, "ended before the policy was done", outcome, faults, loop.run_time, figures)
    ending = next(
        (f.kind.ending for f in (decisive, *faults) if f.kind.ending is not Ending.COMPLETED), Ending.COMPLETED
    )
    text = decisive.text
    if ending is Ending.COMPLETED and loop.run_time == 0.0:
        ending, text = Ending.POLICY, f"{text}, before the policy had begun"
    broken = loop.broken or (loop.failed if isinstance(loop.failed, Exception) else None)
    return Verdict(ending, text, outcome, faults, loop.run_time, figures, broken)


def _figures(loop: Loop) -> dict[str, Any]:
    statistics = loop.arm.bus.statistics
    return {
        "cycles": loop.pacer.cycle,
        "skipped": loop.pacer.skipped_in_all,
        "lost_replies": dict(statistics.lost),
        "interventions": loop.envelope.summary(),
        "times": {name: histogram.summary() for name, histogram in loop.times.items()},
    }
