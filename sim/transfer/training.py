"""The training of a cell: networks as its strategies start them, what may learn and when, with how much noise."""

from __future__ import annotations

from typing import Any

from sim.tasks import Task
from sim.transfer.frozen import Watch
from sim.transfer.learner import TransferLearner
from sim.transfer.networks import Networks, Saved
from sim.transfer.noise import Noise
from sim.transfer.study import Cell

_NOTHING = Saved({}, {}, 0)


class Training:
    """Before each round of the learner, and after the last, `free` says what may learn by now."""

    def __init__(self, cell: Cell, task: Task, base: Saved | None) -> None:
        """The same networks again whenever it is begun. `base`: what the strategies start from, if anything."""
        self._cell, self._strategies = cell, cell.strategies
        self._noise = None if cell.noise is None else Noise(*cell.noise)
        self.learner = TransferLearner(task, cell)
        self.networks = Networks(self.learner.ppo.actor, self.learner.ppo.critic)
        for strategy in self._strategies:
            strategy.start(self.networks, base or _NOTHING)
            strategy.free(self.networks, 0.0)
        if self._noise is not None:
            self._noise.apply(self.networks, 0.0)
        self.learner.optimise()
        self.watch = Watch(self.networks)

    @property
    def done(self) -> float:
        """Share of the training."""
        return min(self.learner.steps / self._cell.steps, 1.0) if self._cell.steps else 1.0

    @property
    def over(self) -> bool:
        """Whether all of its steps are done."""
        return self.learner.steps >= self._cell.steps

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from this state of the learner."""
        self.learner.restore(state)
        self.free(compare=False)

    def free(self, *, compare: bool = True) -> None:
        """What may learn now, and with how much noise."""
        for strategy in self._strategies:
            strategy.free(self.networks, self.done)
        self.watch.thawed(compare=compare)
        if self._noise is not None:
            self.watch.forget("actor.distribution.log_std_param")
            self._noise.apply(self.networks, self.done)
