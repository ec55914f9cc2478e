"""Task: observation, reward, reset, end and success, for many simulations of one world at once.

One object serves two: `TaskEnv` makes a Gymnasium environment of a task with one simulation, training steps hundreds.
Every simulation has a generator of its own, so what happens in it depends on its seed and its actions alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch

from robot_runtime.arrays import Flags, Floats, Indices
from robot_runtime.policy.contract import Contract


class Task(ABC):
    """`count` simulations. After `reset` and `step` the arrays below hold one row a simulation."""

    name: str
    contract: Contract | None = None  # what a policy trained on it sees and says; None: it flies nowhere
    action_size: int
    observation: npt.NDArray[np.float32]

    def __init__(self, model: Any, seeds: Sequence[int], *, period: float, episode: float, threads: int = 1) -> None:
        """One simulation a seed, stepped on this many threads; times in s."""
        self.count = len(seeds)
        self.model = model
        self.period = period
        self.substeps = round(period / model.opt.timestep)
        self.limit = round(episode / period)  # steps of an episode
        self.batch = Batch(model, self.count, threads)
        self.random = [np.random.default_rng(seed) for seed in seeds]
        self.steps = np.zeros(self.count, dtype=np.intp)  # since the last reset
        self.reward: Floats = np.zeros(self.count)
        self.error: Floats = np.zeros(self.count)  # how far from what was asked, in the task's own unit
        self.success: Flags = np.zeros(self.count, dtype=bool)  # whether what was asked is reached, now
        self.terminated: Flags = np.zeros(self.count, dtype=bool)
        self.truncated: Flags = np.zeros(self.count, dtype=bool)

    def reset(self, ids: npt.ArrayLike | None = None) -> None:
        """Begin a new episode in these simulations (None: all)."""
        rows = np.arange(self.count) if ids is None else np.asarray(ids, dtype=np.intp)
        self.batch.reset(rows, stage=mujoco.mjtStage.mjSTAGE_NONE)
        self.steps[rows] = 0
        for i in rows:
            self._begin(int(i), self.random[i])
        self.batch.forward(rows, stage=mujoco.mjtStage.mjSTAGE_POS)
        self._begun(rows)

    def step(self, actions: npt.ArrayLike) -> None:
        """Advance every simulation by one period with these actions (count x action_size)."""
        self._move(np.asarray(actions, dtype=float))
        self.steps += 1
        self._judge()
        np.greater_equal(self.steps, self.limit, out=self.truncated)

    @property
    def done(self) -> Flags:
        """Simulations whose episode is over."""
        over: Flags = self.terminated | self.truncated
        return over

    def reseed(self, i: int, random: np.random.Generator) -> None:
        """Let simulation i draw from this generator from now on."""
        self.random[i] = random

    @abstractmethod
    def _begin(self, i: int, random: np.random.Generator) -> None:
        """Draw the initial state of simulation i."""

    @abstractmethod
    def _begun(self, ids: Indices) -> None:
        """The initial states stand: make the first observations."""

    @abstractmethod
    def _move(self, actions: Floats) -> None:
        """Advance the physics by one period."""

    @abstractmethod
    def _judge(self) -> None:
        """Set observation, reward, error, success and terminated."""
