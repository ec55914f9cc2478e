"""What the stages of the envelope share in a cycle."""

from __future__ import annotations

from dataclasses import dataclass

from robot_runtime.arm.state import Flags, Floats, JointState

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
    """One cycle, all joints in the order of the spec."""

    number: int
    period: float  # s
    values: Floats  # wanted, in the unit of each joint's mode; limited in place
    finite: Flags
    sound: bool  # all of them are finite
    state: JointState
    now: float  # s
    stale: float  # s, age from which a reading is of no use
    cool: Floats | None  # share of torque and speed that the temperatures leave; None: all of it
    emergency: bool
    q: Floats  # rad, where the joints are, as far as is known
    v: Floats  # rad/s
    low: Floats  # rad, where they must stop
    high: Floats
    lower: Floats  # rad, their own limits
    upper: Floats
    obstacle: int  # bits of Why: what else than joint limits moved the stops
    braking: Flags  # set by the stages: what was free of the jerk limit, because it brakes
    made: Floats  # rad/s², set by the stages: what was commanded, where it is known
    why: list[int]  # bits of Why, added to by the stages
