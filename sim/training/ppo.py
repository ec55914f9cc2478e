"""rsl_rl's PPO, with an update that costs half: the same steps on the same minibatches.

What is left out is what a small network on a CPU feels: batches gathered anew in every epoch, distribution objects, an
optimiser that goes through the parameters one by one, a look at every loss.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from rsl_rl.algorithms import PPO
from rsl_rl.models import MLPModel
from rsl_rl.storage import RolloutStorage
from torch import Tensor, nn

SLOWEST, FASTEST, PACE = 1e-5, 1e-2, 1.5
"""Bounds of the learning rate that follows the KL divergence, and the factor by which it does: rsl_rl's own."""
_LOG_ROOT = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True, slots=True)
class Part:
    """A minibatch: one row a step, and columns of one where nothing else is said."""

    seen: Tensor
    actions: Tensor
    log_prob: Tensor  # of the actions, when they were taken
    mean: Tensor  # as many columns as the actions, then too
    advantages: Tensor
    returns: Tensor


class LeanPPO(PPO):  # type: ignore[misc]  # rsl_rl has no types
    """PPO of two feed-forward networks and a Gaussian whose noise depends on nothing."""

    learning_rate: float

    def __init__(self, actor: MLPModel, critic: MLPModel, storage: RolloutStorage, **options: Any) -> None:
        """`options`: rsl_rl's."""
        super().__init__(actor, critic, storage, **options)
        parameters = chain(actor.parameters(), critic.parameters())
        self.optimizer = torch.optim.Adam(parameters, lr=self.learning_rate, fused=True)

    def update(self) -> dict[str, float]:
        """Learn from the rollout; mean losses."""
        old_std = self.storage.distribution_params[1][0, 0]  # noise changes between rollouts only
        parts = self._parts()
        sums = torch.zeros(2)
        for _ in range(self.num_learning_epochs):
            for part in parts:
                sums += self._step(part, old_std)
        for model in (self.actor, self.critic):
            model.update_normalization(self.storage.observations.flatten(0, 1))
        self.storage.clear()
        surrogate, value = (sums / (len(parts) * self.num_learning_epochs)).tolist()
        return {"value": value, "surrogate": surrogate}

    def _parts(self) -> list[Part]:
        """Minibatches, the same in every epoch."""
        store = self.storage
        count = store.num_envs * store.num_transitions_per_env
        size = count // self.num_mini_batches
        order = torch.randperm(self.num_mini_batches * size)
        columns = (
            store.observations["policy"],
            store.actions,
            store.actions_log_prob,
            store.distribution_params[0],
            store.advantages,
            store.returns,
        )
        shuffled = [column.flatten(0, 1)[order].split(size) for column in columns]
        return [Part(*tensors) for tensors in zip(*shuffled, strict=True)]

    def _step(self, part: Part, old_std: Tensor) -> Tensor:
        """One step of the optimiser; both losses."""
        log_std = self.actor.distribution.log_std_param
        mean, std = said(self.actor, part.seen), log_std.exp()
        if self.schedule == "adaptive":
            with torch.no_grad():
                self._follow(float(_divergence(part.mean, old_std, mean, std)))
        log_prob = -0.5 * ((part.actions - mean) / std).square().sum(1, keepdim=True) - (log_std + _LOG_ROOT).sum()
        ratio = (log_prob - part.log_prob).exp()
        bounded = ratio.clamp(1.0 - self.clip_param, 1.0 + self.clip_param)
        surrogate = -torch.min(part.advantages * ratio, part.advantages * bounded).mean()
        value = (part.returns - said(self.critic, part.seen)).square().mean()
        loss = surrogate + self.value_loss_coef * value
        if self.entropy_coef:
            loss = loss - self.entropy_coef * (log_std + _LOG_ROOT + 0.5).sum()
        self.optimizer.zero_grad()
        loss.backward()
        for model in (self.actor, self.critic):
            clip_gradients(model.parameters(), self.max_grad_norm)
        self.optimizer.step()
        return torch.stack((surrogate.detach(), value.detach()))

    def _follow(self, divergence: float) -> None:
        """Slow down when the policy has changed by more than it should, and the other way round."""
        if divergence > 2.0 * self.desired_kl:
            self.learning_rate = max(SLOWEST, self.learning_rate / PACE)
        elif 0.0 < divergence < 0.5 * self.desired_kl:
            self.learning_rate = min(FASTEST, self.learning_rate * PACE)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate


def said(model: MLPModel, seen: Tensor) -> Tensor:
    """What a network says, without noise."""
    answer: Tensor = model.mlp(model.obs_normalizer(seen))
    return answer


def clip_gradients(parameters: Iterable[nn.Parameter], most: float) -> None:
    """What `clip_grad_norm_` does, and nothing where there is nothing to do."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return
    norm = float(torch.cat([gradient.reshape(-1) for gradient in gradients]).norm())
    if (factor := most / (norm + 1e-6)) < 1.0:
        for gradient in gradients:
            gradient.mul_(factor)


def _divergence(old_mean: Tensor, old_std: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """KL divergence of the old policy from the new one, mean over the steps."""
    spread = (std / old_std).log() + 0.5 * (old_std / std).square() - 0.5
    return spread.sum() + 0.5 * ((old_mean - mean) / std).square().sum(1).mean()
