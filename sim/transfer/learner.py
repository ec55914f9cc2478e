"""The learner of the trainings, with networks that a strategy has changed."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import Any

import torch
from rsl_rl.models import MLPModel

from sim.tasks import Task
from sim.training.actor import networks
from sim.training.learner import Learner
from sim.training.lens import Lens
from sim.transfer.networks import Networks, Saved
from sim.transfer.study import Cell
from sim.transfer.targets import make_target

UNBOUNDED = 1e3
"""A bound of the noise that never binds."""


class TransferLearner(Learner):
    """PPO on a target."""

    def __init__(self, task: Task, cell: Cell) -> None:
        """Fresh networks. Noise that starts afresh is brought down as in every training; no other is."""
        settings = cell.settings
        # What the base knows of its own arm it takes along: it does not know that it is on another one.
        lens = None if cell.base is None else Lens(make_target(cell.task, cell.source, [0]))
        super().__init__(task, settings, cell.seed, max(cell.steps, 1), lens)
        if not any(strategy.fresh_noise for strategy in cell.strategies):
            self.settings = replace(settings, initial_std=UNBOUNDED, final_std=UNBOUNDED)
        self._made_with = settings

    def optimise(self) -> None:
        """A new optimiser, for the parameters that there are now."""
        ppo = self.ppo
        parameters = chain(ppo.actor.parameters(), ppo.critic.parameters())
        ppo.optimizer = torch.optim.Adam(parameters, lr=ppo.learning_rate)

    def state(self) -> dict[str, Any]:
        """Recent episodes too: a curve would dip wherever a run went on, since those that fall end first."""
        return {**super().state(), "ended": [list(map(float, episode)) for episode in self._ended]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there, with new episodes."""
        super().restore(state)
        self._ended.extend((r, success, error, n) for r, success, error, n in state.get("ended", ()))

    def bare(self, base: Saved) -> MLPModel:
        """The actor of these weights alone."""
        actor, critic = networks(self.env.get_observations(), self.task.action_size, self._made_with)
        other = Networks(actor, critic)
        other.load(base)
        return actor
