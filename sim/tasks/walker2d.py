"""Walker2d: run forward, as Gym's v4 does it: same observations, rewards, ends and resets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robot_runtime.arrays import Floats, Indices
from sim.tasks.task import Task
from sim.worlds.walker2d import FAMILY, TIMESTEP, Walker2d, walker2d_model

FRAME_SKIP = 4
EPISODE = 1000 * FRAME_SKIP * TIMESTEP  # s
HEALTHY_HEIGHT = (0.8, 2.0)  # m
HEALTHY_ANGLE = (-1.0, 1.0)  # rad
HEALTHY_REWARD = 1.0
CONTROL_COST = 1e-3
RESET_NOISE = 5e-3
FASTEST_SEEN = 10.0  # m/s and rad/s: velocities are clipped here


class Walker2dTask(Task):
    """One body of the family, by name, or any other."""

    name = "walker2d"
    action_size = 6

    def __init__(self, seeds: Sequence[int], *, body: str | Walker2d = "base", threads: int = 1) -> None:
        """Raises KeyError: no such body."""
        period = FRAME_SKIP * TIMESTEP
        model = walker2d_model(FAMILY[body] if isinstance(body, str) else body)
        super().__init__(model, seeds, period=period, episode=EPISODE, threads=threads)
        self.observation = np.zeros((self.count, 17), dtype=np.float32)
        batch = self.batch
        self._qpos, self._qvel, self._ctrl = batch.bind("qpos"), batch.bind("qvel"), batch.bind("ctrl")
        self._x = np.zeros(self.count)  # m, where it was

    def _begin(self, i: int, random: np.random.Generator) -> None:
        self._qpos[i] = self.model.qpos0 + random.uniform(-RESET_NOISE, RESET_NOISE, self.model.nq)
        self._qvel[i] = random.uniform(-RESET_NOISE, RESET_NOISE, self.model.nv)

    def _begun(self, ids: Indices) -> None:  # noqa: ARG002 (all rows are as cheap as some)
        self._observe()

    def _move(self, actions: Floats) -> None:
        self._effort = (actions**2).sum(1)
        self._ctrl[:] = np.clip(actions, -1.0, 1.0)
        self._x[:] = self._qpos[:, 0]
        self.batch.step(nstep=self.substeps)

    def _judge(self) -> None:
        self._observe()
        height, angle = self._qpos[:, 1], self._qpos[:, 2]
        speed = (self._qpos[:, 0] - self._x) / self.period
        healthy = (height > HEALTHY_HEIGHT[0]) & (height < HEALTHY_HEIGHT[1])
        healthy &= (angle > HEALTHY_ANGLE[0]) & (angle < HEALTHY_ANGLE[1])
        np.logical_not(healthy, out=self.terminated)
        self.reward[:] = speed + HEALTHY_REWARD * healthy - CONTROL_COST * self._effort
        self.error[:] = 0.0
        np.equal(self.steps, self.limit, out=self.success)  # still on its feet

    def _observe(self) -> None:
        self.observation[:, :8] = self._qpos[:, 1:]
        self.observation[:, 8:] = np.clip(self._qvel, -FASTEST_SEEN, FASTEST_SEEN)
