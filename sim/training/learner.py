"""PPO by rsl_rl on a task: one round is a rollout of all simulations and an update of the networks.

rsl_rl's own runner does the same and more (console report, wandb, pickles); what is left out here is what costs.
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rsl_rl.models import MLPModel
from rsl_rl.storage import RolloutStorage
from torch import nn

from sim.tasks import Task
from sim.training.actor import Frozen, networks
from sim.training.lens import Lens
from sim.training.ppo import LeanPPO
from sim.training.settings import Settings
from sim.training.vec_env import TaskVecEnv

RECENT = 200
"""Finished episodes that the figures of a round look back on."""
LEAST_RATE = 0.05
"""Of the KL divergence aimed at (of the learning rate, where it is linear), at the end of a training."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one round brought."""

    steps: int  # of all simulations, since the start of training
    mean_return: float  # over recent episodes; NaN before the first ended
    success: float  # share of recent episodes that ended in success
    error: float  # mean at the end of recent episodes, in the task's unit
    length: float  # steps, mean over recent episodes
    rate: float  # steps/s
    collecting: float  # s
    updating: float  # s
    losses: dict[str, float]
    std: float  # of the actions
    learning_rate: float


class Learner:
    """A task, two networks, and PPO."""

    def __init__(self, task: Task, settings: Settings, seed: int, total: int, lens: Lens | None = None) -> None:
        """Fresh networks, the same for a seed; `total`: steps that the training will have; `lens`: of another task."""
        torch.manual_seed(seed)
        self.task, self.settings = task, settings
        self.lens = lens or Lens(task)
        self.env = TaskVecEnv(task, self.lens)
        self._observations = self.env.get_observations()
        actor, critic = networks(self._observations, task.action_size, settings)
        self.ppo = LeanPPO(
            actor,
            critic,
            RolloutStorage("rl", task.count, settings.horizon, self._observations, [task.action_size]),
            num_learning_epochs=settings.epochs,
            num_mini_batches=settings.minibatches,
            clip_param=settings.clip,
            gamma=settings.gamma,
            lam=settings.lam,
            value_loss_coef=settings.value_loss,
            use_clipped_value_loss=False,  # the clip is in units of the return, and would keep values from growing
            entropy_coef=settings.entropy,
            learning_rate=settings.learning_rate,
            schedule=settings.schedule,
            desired_kl=settings.desired_kl,
        )
        self.ppo.train_mode()
        self.steps, self._total = 0, total
        self._returns = np.zeros(task.count)
        self._ended: deque[tuple[float, float, float, float]] = deque(maxlen=RECENT)

    @property
    def actor(self) -> MLPModel:
        """The policy's network, normaliser inside."""
        return self.ppo.get_policy()

    def frozen(self) -> nn.Module:
        """The policy as it flies: observations in, actions out, no noise."""
        return Frozen(self.lens, self.actor.as_onnx(verbose=False)).eval()

    def round(self) -> Round:
        """Roll out and learn."""
        started = time.perf_counter()
        with torch.inference_mode():
            for _ in range(self.settings.horizon):
                self._step()
            self.ppo.compute_returns(self._observations)
        collected = time.perf_counter()
        losses = self.ppo.update()
        ended = time.perf_counter()
        steps = self.settings.horizon * self.task.count
        self.steps += steps
        self._anneal()
        figures = np.array(self._ended).mean(0) if self._ended else np.full(4, np.nan)
        mean_return, success, error, length = figures.tolist()
        return Round(
            steps=self.steps,
            mean_return=mean_return,
            success=success,
            error=error,
            length=length,
            rate=steps / (ended - started),
            collecting=collected - started,
            updating=ended - collected,
            losses=losses,
            std=float(self.actor.distribution.log_std_param.detach().exp().mean()),
            learning_rate=self.ppo.learning_rate,
        )

    def _anneal(self) -> None:
        """Bound the noise of the actions, and slow down, by where the training stands."""
        done = min(self.steps / self._total, 1.0)
        settings = self.settings
        self.ppo.desired_kl = settings.desired_kl * (1.0 - 0.7 * done)
        if settings.schedule == "linear":
            rate = settings.learning_rate * max(1.0 - done, LEAST_RATE)
            self.ppo.learning_rate = rate
            for group in self.ppo.optimizer.param_groups:
                group["lr"] = rate
        late = min(max(done - settings.quiet_from, 0.0) / (settings.quiet_by - settings.quiet_from), 1.0)
        bound = settings.initial_std * (settings.final_std / settings.initial_std) ** late
        with torch.no_grad():
            self.actor.distribution.log_std_param.clamp_(max=math.log(bound))

    def _step(self) -> None:
        task, ppo = self.task, self.ppo
        actions = ppo.act(self._observations)
        lengths = task.steps + 1
        self._observations, rewards, dones, extras = self.env.step(actions)
        self._returns += task.reward
        for i in np.flatnonzero(dones.numpy()):
            self._ended.append((self._returns[i], float(task.success[i]), task.error[i], lengths[i]))
            self._returns[i] = 0.0
        ppo.process_env_step(self._observations, rewards * self.settings.reward_scale, dones, extras)

    def state(self) -> dict[str, Any]:
        """All that learning needs to go on: tensors and plain numbers only."""
        return {**self.ppo.save(), "steps": self.steps, "random": torch.get_rng_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there, with new episodes."""
        self.ppo.load(state, None, strict=True)
        self.steps = int(state["steps"])
        torch.set_rng_state(state["random"])
