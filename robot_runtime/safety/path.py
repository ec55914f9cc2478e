"""A soft way from one pose to another: straight through joint space, or by the home pose where that would scrape."""

from __future__ import annotations

import numpy as np

from robot_runtime.arm import Kinematics, Move
from robot_runtime.arrays import Flags, Floats
from robot_runtime.spec import ArmSpec

CLEARANCE = 0.02
"""m to the table and to itself that a soft way keeps, or what its ends have, where that is less."""

_SAMPLES = 20
"""Poses of a move at which the distance is asked for: about 0.5 ms for an arm of six joints."""

_NO_WORSE = 0.001
"""m: less than what an arm's file knows of its own shape."""


def soft_path(
    spec: ArmSpec,
    kinematics: Kinematics,
    start: Floats,
    goal: Floats,
    share: float = 0.3,
    *,
    moves: Flags | None = None,
) -> list[Move]:
    """Moves one after the other from `start` to `goal` (rad), with at most this share of every joint's limits.

    Joints that are False in `moves` stay where they start. Costs a few ms at most: for when the arm stands.
    """
    free = np.ones(len(start), dtype=bool) if moves is None else moves
    goal = np.where(free, goal, start)
    straight = [Move.between(spec, start, goal, share)]
    least = min(CLEARANCE, _distance(kinematics, start), _distance(kinematics, goal)) - _NO_WORSE
    closest = _closest(kinematics, straight)
    if closest >= least:
        return straight
    home = np.where(free, np.array(spec.poses["home"]), start)
    around = [Move.between(spec, start, home, share), Move.between(spec, home, goal, share)]
    return around if _closest(kinematics, around) > closest + _NO_WORSE else straight


def _closest(kinematics: Kinematics, moves: list[Move]) -> float:
    """The smallest distance (m) on the way; more than CLEARANCE counts as CLEARANCE."""
    pose = np.zeros(len(moves[0].start))
    times = np.linspace(0.0, 1.0, _SAMPLES)
    return min(_distance(kinematics, move.at(t * move.duration, pose)) for move in moves for t in times)


def _distance(kinematics: Kinematics, pose: Floats) -> float:
    found = kinematics.clearance(pose, CLEARANCE)
    return CLEARANCE if found is None else found.distance
