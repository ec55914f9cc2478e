"""The networks that are trained, and the one that is frozen.

A network may say by how much its last action changes instead of the action itself: what it says adds up. So its noise
is smooth while it learns, and a joint that sticks gets more torque from step to step until it comes loose. The frozen
network holds the sum: it adds to the last action, which is part of what it observes. Its contract is the same.
"""

from __future__ import annotations

from typing import Any

from rsl_rl.models import MLPModel
from tensordict import TensorDict
from torch import Tensor, nn

from robot_runtime.policy.contract import Contract
from sim.training.settings import Settings

GROUPS = {"actor": ["policy"], "critic": ["policy"]}
"""Which groups of observations each network sees, in rsl_rl's terms."""


class Adding(nn.Module):
    """action = last action + increment * what the inner network says, between -1 and 1."""

    def __init__(self, inner: nn.Module, columns: slice, increment: float) -> None:
        """`columns`: of the last action in the observation."""
        super().__init__()
        self.inner, self.first, self.end, self.increment = inner, columns.start, columns.stop, increment

    def forward(self, obs: Tensor) -> Tensor:
        """One step."""
        return added(obs[:, self.first : self.end], self.inner(obs), self.increment)


def added(last: Tensor, said: Tensor, increment: float) -> Tensor:
    """The action that follows from the last one."""
    return (last + increment * said.clamp(-1.0, 1.0)).clamp(-1.0, 1.0)


def last_action_columns(contract: Contract | None) -> slice:
    """Where the observation holds the last action.

    Raises:
        ValueError: it does not hold it, or not as it is.
    """
    start = 0
    for term in () if contract is None else contract.observation:
        if term.kind == "last_action" and term.history == 1 and term.scale == (1.0,) and term.offset == (0.0,):
            return slice(start, start + term.size)
        start += term.size * term.history
    raise ValueError("actions can only add up where the observation holds the last one, as it is")


def networks(observations: TensorDict, actions: int, settings: Settings) -> tuple[MLPModel, MLPModel]:
    """Fresh actor and critic, normalisers inside."""
    shape: dict[str, Any] = {
        "hidden_dims": list(settings.hidden),
        "activation": settings.activation,
        "obs_normalization": True,
    }
    gaussian = {"class_name": "GaussianDistribution", "init_std": settings.initial_std, "std_type": "log"}
    actor = MLPModel(observations, GROUPS, "actor", actions, **shape, distribution_cfg=gaussian)
    return actor, MLPModel(observations, GROUPS, "critic", 1, **shape)
