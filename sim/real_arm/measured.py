"""An arm task that judges a measured arm: rewards, errors and ends are the simulated task's own code."""

from __future__ import annotations

import mujoco
import numpy as np

from robot_runtime.arrays import Floats
from robot_runtime.policy.contract import Contract
from sim.tasks.arm_task import ArmTask
from sim.tasks.registry import arm_and_goal


class MeasuredTask(ArmTask):
    """One simulation whose joints stand where an arm was measured to stand; no physics moves them."""

    contract: Contract

    @classmethod
    def like(cls, name: str, arm: str | None) -> MeasuredTask:
        """The task of that name on that arm.

        Raises:
            UnknownTaskError: there is no such task, or no arm flies it.
            ArmSpecError: no such arm, or its files cannot be used.
        """
        spec, goal = arm_and_goal(name, arm)
        made = cls(name, spec, [0], goal=goal)
        made.measure(made.world.home, np.zeros(made.action_size))
        return made

    def measure(self, q: Floats, dq: Floats) -> None:
        """Where the joints that move stand (rad) and how fast they turn (rad/s), for the next step."""
        self._measured = (q.copy(), dq.copy())

    def aim(self, step: int) -> Floats:
        """The target after so many steps of this episode."""
        aim: Floats = self._targets.at(np.array([step * self.period]))[0].copy()
        return aim

    def _move(self, actions: Floats) -> None:
        bounded = np.clip(actions, -1.0, 1.0)
        self._change = bounded - self._last_action
        self._last_action[:] = bounded
        self._qpos[0], self._qvel[0] = self._measured
        self.batch.forward(stage=mujoco.mjtStage.mjSTAGE_POS)  # what touches what
