"""A hand that turns a joint from outside, as somebody does who zeroes an arm.

It is a torque at the joint, not a change of its angle: gravity, friction and the other joints stay at work, and a servo
with its torque on holds against it. The hand follows a smooth path to its goal and lets go at the end; moving by 0 rad
is holding.
"""

from __future__ import annotations

import math
from typing import Any

import mujoco
import numpy as np

STRENGTH = 3.0
"""N·m, the most that the hand exerts. Estimate: two fingers on a link of 0.2 m, 15 N."""
STIFFNESS = 100.0
"""rad/s, natural frequency with which the hand follows its path, critically damped: a tenth of what a step resolves."""


class Hand:
    """One grip on one joint, from now until it is `over`."""

    def __init__(self, model: Any, data: Any, joint: Any, radians: float, seconds: float) -> None:
        """Grip the joint where it is; the goal is kept within the stops that the model gives it."""
        self._model, self._data = model, data
        self.dof = int(joint.dofadr[0])
        """Where its torque acts."""
        self._address = int(joint.qposadr[0])
        self._from, self._begin, self._seconds = float(data.qpos[self._address]), float(data.time), seconds
        goal = self._from + radians
        if joint.limited[0]:
            goal = min(max(goal, float(joint.range[0])), float(joint.range[1]))
        self._way = goal - self._from
        self._unit, self._answer = np.zeros((1, model.nv)), np.zeros((1, model.nv))
        self._unit[0, self.dof] = 1.0

    @property
    def over(self) -> bool:
        """Its time has come to let go."""
        return bool(self._data.time >= self._begin + self._seconds)

    def torque(self) -> float:
        """What it exerts now, N·m."""
        data = self._data
        share = min((data.time - self._begin) / self._seconds, 1.0)
        angle = self._from + self._way * (1 - math.cos(math.pi * share)) / 2
        speed = self._way * math.pi / self._seconds * math.sin(math.pi * share) / 2
        mujoco.mj_solveM(self._model, data, self._answer, self._unit)
        inertia = 1.0 / float(self._answer[0, self.dof])
        ahead, faster = angle - data.qpos[self._address], speed - data.qvel[self.dof]
        torque = inertia * STIFFNESS * (STIFFNESS * ahead + 2 * faster) + float(data.qfrc_bias[self.dof])
        return float(min(max(torque, -STRENGTH), STRENGTH))
