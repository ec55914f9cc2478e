"""What the arm tasks ask for, and what they pay for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robot_runtime.spec import ArmSpec
from sim.worlds.domain import Uniform

PACE = 0.4
"""Of the speed limit, how fast an action of 1 moves a position goal, and how fast a moving target may want a joint.
What the envelope lets through is late by what its acceleration and jerk limits take, 0.2 s from full speed, and a
policy does not see how far its goal has run ahead."""


@dataclass(frozen=True, slots=True)
class Motion:
    """A target that moves: a sum of two sines an entry, around a point."""

    amplitude: Uniform  # m or rad, both sines together
    frequency: Uniform  # Hz

    @property
    def fastest(self) -> float:
        """m/s or rad/s, of one entry."""
        return float(2 * np.pi * self.frequency.high * self.amplitude.high)


@dataclass(frozen=True, slots=True)
class Goal:
    """What an arm task asks for, and what it pays for it. Rewards are of one step."""

    quantity: str  # "tip_position" (m) or "joint_position" (rad)
    tolerance: float  # m or rad, within which the target counts as reached
    far: float  # m or rad, where the pay for being nearer ends
    near: float  # m or rad, the width of the pay for being near
    episode: float = 5.0  # s
    rate: float = 50.0  # Hz
    held_for: float = 0.5  # s within the tolerance, up to now, are a success
    motion: Motion | None = None
    payload: Uniform | None = None  # kg, where the load belongs to the task itself
    from_home: float = 0.5  # share of episodes that start at home; the others anywhere
    home_spread: float = 0.05  # rad, sigma around home
    turn: float = 3.0  # for facing the target, less for every turn away: the shortest way may lead through a stop
    effort: float = 0.0  # for an action of size 1
    change: float = 0.05  # for an action that changes by 1
    speed: float = 0.5  # for every rad/s over the allowed share of a joint's limit, squared
    allowed_speed: float = 0.75  # share of the velocity limit
    stop: float = 5.0  # for every rad that a joint is nearer to a stop than the margin below
    stop_margin: float = 0.08  # rad
    low: float = 2.0  # for nearly touching the table, growing from nothing at the height below
    low_height: float = 0.03  # m
    crash: float = 10.0  # for touching the table or itself, which ends the episode


GOALS = {
    "reach": Goal("tip_position", tolerance=0.005, far=0.8, near=0.04),
    "track": Goal(
        "tip_position", tolerance=0.015, far=0.8, near=0.04, motion=Motion(Uniform(0.02, 0.06), Uniform(0.1, 0.4))
    ),
    "hold": Goal("joint_position", tolerance=np.deg2rad(1.0), far=6.0, near=0.2, payload=Uniform(0.0, 0.05)),
    "track-joint": Goal(
        "joint_position",
        tolerance=np.deg2rad(5.0),
        far=6.0,
        near=0.2,
        payload=Uniform(0.0, 0.05),
        motion=Motion(Uniform(0.1, 0.5), Uniform(0.1, 0.5)),
    ),
}
"""Arm tasks by name. `track` of an arm with one joint is `track-joint`."""


def goal_of(name: str, spec: ArmSpec) -> Goal:
    """What a task asks of this arm."""
    return GOALS["track-joint" if name == "track" and len(spec.joints) == 1 else name]
