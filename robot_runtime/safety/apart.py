"""Pairs that the joint limits alone keep apart: nothing has to be done about them.

Beside its base an upper arm is never far away, and never nearer than it is at the end of its joint. Watched like the
others such a pair would slow the joint below it down, wherever the arm is. So it is proven once that a distance stays
above the margin in all poses that the limits allow, and a little beyond: no joint can change it faster than by its
lever, so one measurement speaks for all poses around it, and what it does not speak for is cut in halves. Where
anything else than hinges of the arm's own moves a pair (followers, joints that nobody named, two joints in one body)
there is no proof.
"""

from __future__ import annotations

import numpy as np

from robot_runtime.arm.kinematics import Kinematics, Pair
from robot_runtime.arrays import Floats
from robot_runtime.spec import LIMIT_SLACK

_JOINTS = 2
"""That a pair may hang on: neighbours. Others can nearly always be brought together, and proofs grow by powers."""

_MOST = 4000
"""Measurements after which a proof is given up: 20 ms. All of the Koch's pairs take 2600, in 15 ms."""

_FAR = 1.0  # m: distances are not measured beyond


def pairs_to_watch(
    kinematics: Kinematics, levers: Floats, lower: list[float], upper: list[float], margin: float
) -> list[int]:
    """Indices of the pairs that can come nearer than `margin` (m) with all joints inside lower..upper (rad), or as far
    outside as torque may come on. `levers`: the kinematics' own.
    """
    low, high = [x - LIMIT_SLACK for x in lower], [x + LIMIT_SLACK for x in upper]
    return [
        index
        for index, (pair, row) in enumerate(zip(kinematics.pairs, levers.tolist(), strict=True))
        if not (kinematics.turned_by_hinges(pair) and _stay_apart(kinematics, pair, row, low, high, margin))
    ]


def _stay_apart(
    kinematics: Kinematics, pair: Pair, levers: list[float], lower: list[float], upper: list[float], margin: float
) -> bool:
    """Whether it is proven that this pair's distance stays above the margin."""
    joints = [i for i, lever in enumerate(levers) if lever > 0.0]
    if len(joints) > _JOINTS:
        return False
    pose = [0.0] * len(levers)
    left = [([lower[i] for i in joints], [upper[i] for i in joints])]  # boxes of poses
    for _ in range(_MOST):
        if not left:
            return True
        low, high = left.pop()
        for i, least, most in zip(joints, low, high, strict=True):
            pose[i] = 0.5 * (least + most)
        kinematics.place(pose)
        distance = kinematics.distance(pair, _FAR)
        changes = [0.5 * (most - least) * levers[i] for i, least, most in zip(joints, low, high, strict=True)]
        if distance <= margin:
            return False
        if distance - sum(changes) > margin:
            continue
        widest = int(np.argmax(changes))
        middle = 0.5 * (low[widest] + high[widest])
        left.append((low, [*high[:widest], middle, *high[widest + 1 :]]))
        left.append(([*low[:widest], middle, *low[widest + 1 :]], high))
    return False
