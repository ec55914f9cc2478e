"""PPO on the maps around a frozen policy: the actor is both of them, the critic a network of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from calibration.identified.world import IdentifiedArm
from calibration.refine.network import Around
from sim.training.learner import Learner, Round
from sim.training.lens import Lens
from sim.training.settings import SETTINGS, Settings

WARM = 0.15
"""Share of the steps in which only the critic learns: a critic that knows nothing would lead the maps away."""


def settings_for(task: str, steps: int, simulations: int) -> Settings:
    """Of PPO: small steps from a policy that is nearly right, with little noise."""
    return replace(
        SETTINGS[task],
        steps=steps,
        simulations=simulations,
        horizon=16,
        initial_std=0.04,
        final_std=0.02,
        quiet_from=0.5,
        quiet_by=1.0,
        learning_rate=2e-3,
        schedule="linear",
        epochs=3,
        minibatches=4,
        gamma=0.99,
        reward_scale=0.03,
    )


class Seen(Lens):
    """What the networks see: the task's observation, and the goals so far, which a policy that adds to them leaves."""

    def __init__(self, task: IdentifiedArm) -> None:
        """Of this task."""
        nn.Module.__init__(self)
        self._task = task

    def forward(self, obs: Tensor) -> Tensor:
        """Observation and goals."""
        return torch.cat([obs, torch.from_numpy(self._task.wanted.astype(np.float32))], 1)

    def action(self, seen: Tensor, said: Tensor) -> Tensor:  # noqa: ARG002
        """As it was said."""
        return said


class Refiner(Learner):
    """A learner whose actor is the frozen policy with its maps."""

    def __init__(self, task: IdentifiedArm, around: Around, settings: Settings, seed: int) -> None:
        """The task from now on hears what the maps say."""
        super().__init__(task, settings, seed, settings.steps, Seen(task))
        self.around = around
        actor = self.ppo.actor
        actor.obs_normalization, actor.obs_normalizer, actor.mlp = False, nn.Identity(), around
        actor.distribution.log_std_param.requires_grad_(False)  # noqa: FBT003 (torch's)
        parameters = [p for network in (actor, self.ppo.critic) for p in network.parameters()]
        self.ppo.optimizer = torch.optim.Adam([p for p in parameters if p.requires_grad], lr=self.ppo.learning_rate)
        attach(task, around)

    def round(self) -> Round:
        """Roll out and learn."""
        for parameter in self.around.parameters():
            parameter.requires_grad_(self.steps >= WARM * self._total)
        return super().round()


def attach(task: IdentifiedArm, around: Around) -> Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]]:
    """Put the maps into the task's loop; returns what acts there, without noise."""
    task.around = around
    seen = Seen(task)

    def policy(observation: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        with torch.inference_mode():
            actions: npt.NDArray[Any] = around(seen(torch.from_numpy(observation))).numpy()
        return actions

    return policy
