"""What the stages of the envelope share in a cycle."""

from __future__ import annotations

from dataclasses import dataclass, field

from robot_runtime.arm.state import JointState

DERATED = 10.0
"""°C below a joint's temperature limit in which torque (position and velocity modes: speed) goes down to nothing."""

LEAST_SHARE = 0.1
"""What derating leaves: of the torque beyond what carries gravity, of the speed. Falling would be worse."""

SLOW = 4
"""Cycles between two looks at what changes slowly: temperature and sag."""

ROUNDING = 1e-9
"""Of a limit: a smaller excess or change is none."""


@dataclass(slots=True, eq=False)
class Cycle:
    """One cycle. Lists have an entry a joint, in the order of the spec; the numbers are few, and lists the quickest."""

    period: float  # s
    stale: float  # s, age from which a reading is of no use
    lower: list[float]  # rad, the joints' own limits
    upper: list[float]
    number: int = 0
    state: JointState = field(init=False)
    now: float = 0.0  # s
    emergency: bool = False
    sound: bool = True  # all that is wanted is finite
    cool: list[float] | None = None  # share of torque and speed that the temperatures leave; None: all of it
    obstacle: int = 0  # bits of Why: what else than joint limits moved the stops
    stamps: list[float] = field(init=False)  # s, when each joint was read last
    finite: list[bool] = field(init=False)
    values: list[float] = field(init=False)  # wanted, in the unit of each joint's mode; limited in place by the stages
    q: list[float] = field(init=False)  # rad, where the joints are, as far as is known
    v: list[float] = field(init=False)  # rad/s
    at: list[float] = field(init=False)  # rad, where their commands are
    lowest: list[float] = field(init=False)  # rad, where they stand at the worst when they are stopped now
    highest: list[float] = field(init=False)
    low: list[float] = field(init=False)  # rad, where they must stop
    high: list[float] = field(init=False)
    braking: list[bool] = field(init=False)  # set by the stages: what was free of the jerk limit, because it brakes
    made: list[float] = field(init=False)  # rad/s², set by the stages: what was commanded, where it is known
    why: list[int] = field(init=False)  # bits of Why, added to by the stages


def between(values: list[float], low: list[float], high: list[float]) -> list[float]:
    """The values, moved inside low..high."""
    return [least if x < least else most if x > most else x for x, least, most in zip(values, low, high, strict=True)]


def within(values: list[float], limit: list[float]) -> list[float]:
    """The values, moved inside -limit..limit."""
    return [-most if x < -most else most if x > most else x for x, most in zip(values, limit, strict=True)]
