"""Learning on the arm itself by RL, for so many seconds of its motion, from the base policy's own networks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.claim.arms import ARM
from models.export import export_policy
from sim.tasks.arm_task import ArmTask
from sim.training.evaluate import onnx_policy
from sim.training.settings import SETTINGS, Settings
from sim.transfer.evaluate import episodes
from sim.transfer.networks import Saved
from sim.transfer.study import Cell
from sim.transfer.targets import make_target
from sim.transfer.training import Training

TASK = "reach"
SOURCE = {"arm": ARM}
EPISODES = 32
"""Of a trial in the physics of the training."""
_TRIAL = 1_000_000
"""Apart from every seed of a training."""

AS_LEARNT, SHAKEN = None, (1.0, 0.05)
"""Noise of the actions: the base's own (0.05), or as a training from scratch has it: the first, falling to the last."""
ROUNDS: Mapping[float, tuple[int, int, tuple[float, float] | None]] = {
    60: (8, 16, AS_LEARNT),
    300: (16, 32, SHAKEN),
    1000: (32, 32, SHAKEN),
    3000: (64, 32, SHAKEN),
    10000: (128, 32, SHAKEN),
    30000: (128, 32, SHAKEN),
}
"""s of motion -> simulations, steps of each between two updates (23 to 366 updates), noise: what did best of a few
settings on the mild gap in the physics of the training. Arms learn side by side; their seconds are added up."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """A policy, and what it took."""

    motion: float  # s, of all simulations together
    cpu: float  # s
    frozen: int  # tensors that were to stay as they are, and did


def settings_of(seconds: float) -> tuple[Settings, tuple[float, float] | None]:
    """PPO's, and the noise, of a training of this length."""
    simulations, horizon, noise = ROUNDS[seconds]
    return replace(SETTINGS[TASK], simulations=simulations, horizon=horizon), noise


def learn(
    strategy: str,
    gap: Path,
    seconds: float,
    seed: int,
    base: Saved,
    out: Path,
    settings: Settings,
    noise: tuple[float, float] | None = None,
) -> Learnt:
    """Train as `robot-transfer` does, and freeze into `out`."""
    table = {**SOURCE, "gap": str(gap)}
    seeds = np.random.SeedSequence([seed, 0]).generate_state(settings.simulations).tolist()
    task = make_target(TASK, table, seeds, source=SOURCE)
    assert isinstance(task, ArmTask)
    cell = Cell(
        id=strategy,
        label=strategy,
        target=str(gap),
        seed=seed,
        task=TASK,
        table=table,
        source=SOURCE,
        parts=(strategy,),
        options={},
        noise=noise,
        steps=round(seconds / task.period),
        episodes=EPISODES,
        settings=settings,
        base="base",
    )
    began = time.process_time()
    training = Training(cell, task, base)
    while not training.over:
        training.free()
        training.learner.round()
    training.free()
    cpu, learner = time.process_time() - began, training.learner
    frozen = training.watch.finish()
    export_policy(learner.frozen(), task.contract, out, provenance={}, arm=task.world.spec)
    return Learnt(round(learner.steps * task.period, 2), round(cpu, 1), frozen)


def own_trial(policy: Path, gap: Path, seed: int) -> tuple[float, float]:
    """Success and error (m) in the physics of the training, which has no play, no heat and no supply that sags."""
    seeds = np.random.SeedSequence([_TRIAL, seed]).generate_state(EPISODES).tolist()
    task = make_target(TASK, {**SOURCE, "gap": str(gap)}, seeds, source=SOURCE)
    found = episodes(task, onnx_policy(policy, task), lambda: None)
    return found.success, round(found.error, 6)
