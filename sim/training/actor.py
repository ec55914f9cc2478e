"""The networks that are trained, and the one that is frozen.

They see observations through a `Lens`, and what they say is on top of the action that it begins with. The frozen
network holds it, so the contract is the same as without.
"""

from __future__ import annotations

from typing import Any

from rsl_rl.models import MLPModel
from tensordict import TensorDict
from torch import Tensor, nn

from sim.training.lens import Lens
from sim.training.settings import Settings

GROUPS = {"actor": ["policy"], "critic": ["policy"]}
"""Which groups of observations each network sees, in rsl_rl's terms."""


class Frozen(nn.Module):
    """Observation in, action out."""

    def __init__(self, lens: Lens, network: nn.Module) -> None:
        """`network` is the actor, normaliser inside."""
        super().__init__()
        self.lens, self.network = lens, network

    def forward(self, obs: Tensor) -> Tensor:
        """One step."""
        seen = self.lens(obs)
        return self.lens.action(seen, self.network(seen))


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
