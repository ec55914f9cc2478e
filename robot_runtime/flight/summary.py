"""The numbers of a flight: what robot-report prints and draws."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_runtime.arm.kinematics import Kinematics
from robot_runtime.arrays import Floats
from robot_runtime.flight.reader import Flight, unpacked_arm
from robot_runtime.flight.recorder import Level
from robot_runtime.flying import Phase
from robot_runtime.spec import ArmSpec, ArmSpecError, JointSpec

MEASURED = {
    "position": "q",
    "extended_position": "q",
    "current_position": "q",
    "velocity": "dq",
    "current": "tau",
}
"""Mode of a joint -> what of it follows the command. A duty (pwm) has nothing that would be its measure."""

WRITER = "recorder"
"""Who speaks in the log for the process that writes it."""

_QUANTILES = {"median": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


@dataclass(frozen=True, slots=True)
class Span:
    """A phase of the flight, in cycles: from `first` to before `end`."""

    phase: Phase
    first: int
    end: int


def arm_of(flight: Flight) -> ArmSpec | None:
    """The arm as it was, without its files; None when the recording does not have it whole."""
    try:
        with unpacked_arm(flight) as arm:
            return arm
    except ArmSpecError:
        return None


def durations(flight: Flight) -> dict[str, Floats]:
    """What each part of each cycle took, s."""
    begin, read, acted = flight["begin"], flight["read"], flight["acted"]
    limited, written = flight["limited"], flight["written"]
    found = {"read": read - begin, "act": acted - read, "limit": limited - acted, "write": written - limited}
    return {**found, "lateness": flight["lateness"]}


def phases(flight: Flight) -> list[Span]:
    """The phases in order."""
    phase = flight["phase"]
    if not len(phase):
        return []
    edges = [0, *(np.flatnonzero(np.diff(phase)) + 1).tolist(), len(phase)]
    return [Span(Phase(int(phase[a])), a, b) for a, b in pairwise(edges)]


def plain(data: Mapping[str, str]) -> dict[str, Any]:
    """Metadata as it was given: what is JSON is read."""
    found: dict[str, Any] = {}
    for key, text in data.items():
        try:
            found[key] = json.loads(text)
        except json.JSONDecodeError:
            found[key] = text
    return found


def ending(flight: Flight) -> tuple[str, str]:
    """How the flight ended, in a word and in a sentence, as far as the recording knows."""
    verdict = flight.verdict
    if verdict is not None:
        return verdict.get("verdict", "?"), verdict.get("text", "")
    if any(e.name == WRITER and e.level >= Level.FATAL for e in flight.events):
        return "no verdict", "the program was gone before it could say how the flight ended"
    if flight.truncated:
        why = "the recording breaks off before it: a full disk, a writer that failed or was killed, or a file cut short"
    else:
        why = "the command ended without one"
    worries = [e for e in flight.events if e.level >= Level.WARNING]
    if not worries:
        return "no verdict", why
    last, start = worries[-1], float(flight["begin"][0]) if len(flight) else 0.0
    return "no verdict", f"{why}. The last warning in it, at {last.time - start:.1f} s: {last.text}"


def incomplete(flight: Flight) -> list[str]:
    """What is wrong or missing in the recording, in words."""
    lost = [f"cycles that ran and are not in it: {flight.lost}"] if flight.lost else []
    return [*flight.damage, *lost]


def summary(flight: Flight, arm: ArmSpec | None) -> dict[str, Any]:
    """Everything in numbers, for `--json` and for the page."""
    begin = flight["begin"]
    return {
        "file": str(flight.path),
        "damage": incomplete(flight),
        "ending": ": ".join(ending(flight)),
        "verdict": None if flight.verdict is None else plain(flight.verdict),
        "cycles": len(flight),
        "seconds": float(begin[-1] - begin[0]) if len(flight) else 0.0,
        "rate": _rate(flight),
        "skipped": int(flight["skipped"].sum()),
        "lost_replies": int(np.bitwise_count(flight["missing"]).sum()),
        "phases": [
            {"phase": s.phase.name.lower(), "seconds": float(begin[s.end - 1] - begin[s.first])} for s in phases(flight)
        ],
        "timing": {name: _quantiles(seconds) for name, seconds in durations(flight).items()},
        "joints": [_joint(flight, i, None if arm is None else arm.joints[i]) for i in range(len(flight.layout.joints))],
        "events": [{"time": e.time, "level": e.level, "name": e.name, "text": e.text} for e in flight.events],
    }


def _rate(flight: Flight) -> float | None:
    """Cycles a second, by the times at which they were due."""
    steps = np.diff(flight["due"])
    steps = steps[steps > 0]
    return float(1 / np.median(steps)) if len(steps) else None


def _quantiles(seconds: Floats) -> dict[str, float | None]:
    found = seconds[np.isfinite(seconds)]
    return {name: float(np.quantile(found, q)) if len(found) else None for name, q in _QUANTILES.items()}


def _joint(flight: Flight, i: int, spec: JointSpec | None) -> dict[str, Any]:
    mode = flight.layout.modes[i]
    limits = None if spec is None else spec.limits
    speed, torque = _most(flight["dq"][:, i]), _most(flight["tau"][:, i])
    heat, volts = flight["temperature"][:, i], flight["voltage"][:, i]
    read = flight["health_stamp"][:, i] > -math.inf
    found: dict[str, Any] = {
        "joint": flight.layout.joints[i],
        "mode": mode,
        "interventions": interventions(flight, i),
        "lost_replies": int((flight["missing"] >> np.uint32(i) & 1).sum()),
        "most_speed": speed,
        "most_torque": torque,
        "most_temperature": _most(heat[read]),
        "least_voltage": float(volts[read].min()) if read.any() else None,
    }
    if limits is not None and len(flight):
        q = flight["q"][:, i]
        found["beyond_limits"] = float(max(limits.lower - q.min(), q.max() - limits.upper, 0.0))
        found["speed_share"] = None if speed is None else speed / limits.velocity
        found["torque_share"] = None if torque is None else torque / limits.torque
    if (measured := MEASURED.get(mode)) is not None:
        error = flight["command"][:, i] - flight[measured][:, i]
        error = error[np.isfinite(error)]
        found["tracking_rms"] = float(np.sqrt(np.mean(error**2))) if len(error) else None
        found["tracking_most"] = _most(error)
    return found


def tip_distance(flight: Flight) -> Floats | None:
    """m, from the tip to its target over all cycles, nan where none was flown to; None: targets are no places of it."""
    target = plain(flight.metadata.get("policy", {})).get("contract", {}).get("target") or {}
    if target.get("kind") != "tip_position":
        return None
    try:
        with unpacked_arm(flight) as arm:
            kinematics = Kinematics(arm)
    except ArmSpecError:
        return None
    far = np.full(len(flight), np.nan)
    for row in np.flatnonzero(flight["phase"] == Phase.RUN):
        far[row] = math.dist(kinematics.tip_position(flight["q"][row]), flight["target"][row])
    return far


def interventions(flight: Flight, i: int) -> dict[str, int]:
    """Cycles in which the envelope changed this joint's command, by reason."""
    bits = flight["interventions"][:, i]
    names = flight.layout.reasons
    counts = {names[b] if b < len(names) else f"bit {b}": int((bits >> np.uint16(b) & 1).sum()) for b in range(16)}
    return {name: count for name, count in counts.items() if count}


def _most(values: NDArray[Any]) -> float | None:
    found = np.abs(values[np.isfinite(values)])
    return float(found.max()) if len(found) else None
