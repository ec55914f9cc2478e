"""A task with hundreds of simulations as rsl_rl sees it: any runner of rsl_rl takes it, distributed ones too."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict

from sim.tasks import Task
from sim.training.lens import Lens


class TaskVecEnv(VecEnv):  # type: ignore[misc]  # rsl_rl has no types
    """Steps the task and begins new episodes by itself. Groups of observations: `policy`."""

    def __init__(self, task: Task, lens: Lens | None = None) -> None:
        """Begin an episode in every simulation. `lens`: what the networks see it through; None: as it is."""
        self.task = task
        self._lens = lens
        self.num_envs = task.count
        self.num_actions = task.action_size
        self.max_episode_length = task.limit
        self.episode_length_buf = torch.zeros(task.count, dtype=torch.long)
        self.device = "cpu"
        self.cfg: dict[str, Any] = {"task": task.name}
        task.reset()

    def get_observations(self) -> TensorDict:
        """What every simulation shows now; a copy, since rsl_rl keeps it."""
        observation = torch.from_numpy(self.task.observation.copy())
        self._seen = observation if self._lens is None else self._lens(observation)
        return TensorDict({"policy": self._seen}, batch_size=[self.num_envs])

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """One period of the policy in every simulation."""
        task = self.task
        if self._lens is not None:
            actions = self._lens.action(self._seen, actions)
        task.step(actions.numpy())
        rewards = torch.from_numpy(task.reward.astype(np.float32))
        done = task.done
        dones, time_outs = torch.from_numpy(done), torch.from_numpy(task.truncated & ~task.terminated)
        if done.any():
            task.reset(np.flatnonzero(done))
        self.episode_length_buf.copy_(torch.from_numpy(task.steps))
        return self.get_observations(), rewards, dones, {"time_outs": time_outs}
