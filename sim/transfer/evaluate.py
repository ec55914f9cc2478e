"""How good a policy is: as the published experiment measured it, and as the field does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sim.tasks import Task
from sim.tasks.walker2d import Walker2dTask
from sim.training.evaluate import Policy

PUBLISHED_LIMIT = 10_000
"""Steps of a walker's episode in the published way."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Of many episodes, one entry each."""

    returns: tuple[float, ...]
    lengths: tuple[int, ...]  # steps
    success: float  # share
    error: float  # mean at the end of the episode, in the task's unit

    @property
    def mean(self) -> float:
        """Of the returns."""
        return float(np.mean(self.returns))

    @property
    def sd(self) -> float:
        """Of the returns, between episodes."""
        return float(np.std(self.returns, ddof=1)) if len(self.returns) > 1 else 0.0

    def facts(self) -> dict[str, Any]:
        """For a file."""
        return {
            "mean": round(self.mean, 2),
            "sd": round(self.sd, 2),
            "length": round(float(np.mean(self.lengths)), 1),
            "success": round(self.success, 4),
            "error": round(self.error, 6),
            "returns": [round(value, 1) for value in self.returns],
        }


def published(task: Task, network: nn.Module, std: torch.Tensor, seed: int, stop: Callable[[], None]) -> Evaluation:
    """Actions sampled; walkers walk until they fall, or 10 000 steps."""
    if isinstance(task, Walker2dTask):
        task.limit = PUBLISHED_LIMIT
    noise = np.random.default_rng(seed)
    mean, spread = deterministic(network), std.detach().numpy()

    def policy(observation: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        actions = mean(observation)
        shaken = actions + spread * noise.standard_normal(actions.shape, dtype=np.float32)
        return shaken.astype(np.float32, copy=False)

    return episodes(task, policy, stop)


def field(task: Task, network: nn.Module, stop: Callable[[], None]) -> Evaluation:
    """No noise; the task's own episodes (of walkers: 1000 steps)."""
    return episodes(task, deterministic(network), stop)


def deterministic(network: nn.Module) -> Policy:
    """The network's own action."""

    def policy(observation: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            actions: npt.NDArray[np.float32] = network(torch.from_numpy(observation)).numpy()
        return actions

    return policy


def episodes(task: Task, policy: Policy, stop: Callable[[], None]) -> Evaluation:
    """One whole episode in each of the task's simulations; `stop` raises when there is to be an end."""
    task.reset()
    running = np.ones(task.count, dtype=bool)
    returns, errors, lengths = np.zeros(task.count), np.zeros(task.count), np.zeros(task.count, dtype=np.intp)
    successes = np.zeros(task.count, dtype=bool)
    while running.any():
        task.step(policy(task.observation))
        returns += task.reward * running
        ended = task.done & running
        if ended.any():
            errors[ended], successes[ended] = task.error[ended], task.success[ended]
            lengths[ended] = task.steps[ended]
            running &= ~ended
            task.reset(np.flatnonzero(ended))  # what has fallen would go on falling, at a cost
        stop()
    return Evaluation(tuple(returns.tolist()), tuple(lengths.tolist()), float(successes.mean()), float(errors.mean()))
