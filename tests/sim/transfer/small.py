"""A study small enough for tests."""

from __future__ import annotations

import tomllib
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from sim.training.learner import Learner
from sim.transfer.learner import TransferLearner
from sim.transfer.networks import Networks, Saved
from sim.transfer.pools import work
from sim.transfer.study import Cell, Study, load_study
from sim.transfer.targets import make_target

TEXT = """
name = "small"
task = "walker2d"
seeds = [1]
episodes = 2

[settings]
steps = 0
simulations = 8
horizon = 8
hidden = [16, 16]
epochs = 2
minibatches = 2
schedule = "adaptive"
desired_kl = 0.01

[source]
steps = 128

[targets]
short = { body = "short" }
slippery = { friction = 0.4 }

[strategies]
zeroshot = {}
residual-maps = { steps = 128 }
scratch = { steps = 128, only = ["short"] }

[curricula]
stacked = { steps = 64, through = ["slippery", "short"] }
"""


class InlinePool:
    """Here and now, one after the other."""

    capacity = 1

    def submit(self, cell: Cell, root: Path) -> Future[bool]:
        """Done when this returns."""
        future: Future[bool] = Future()
        try:
            future.set_result(work(cell, root))
        except Exception as error:  # noqa: BLE001 (as in a process: the future carries it)
            future.set_exception(error)
        return future

    def close(self) -> None:
        """Nothing to close."""


def small_study(folder: Path, **changes: Any) -> Study:
    """`changes`: strategy -> table, instead of the study's own strategies and curricula."""
    text = TEXT
    if changes:
        text = text[: text.index("[strategies]")] + "[strategies]\n"
        text += "".join(f'"{name.replace("_", "-")}" = {table}\n' for name, table in changes.items())
    tomllib.loads(text)
    path = folder / "small.toml"
    path.write_text(text)
    return load_study(str(path))


def cell_of(study: Study, name: str) -> Cell:
    """By its id."""
    return next(cell for cell in study.cells() if cell.id == name)


def fresh(cell: Cell) -> tuple[Learner, Networks]:
    """A learner on the run's target, before any strategy."""
    task = make_target(cell.task, cell.table, list(range(cell.settings.simulations)))
    learner = TransferLearner(task, cell)
    return learner, Networks(learner.ppo.actor, learner.ppo.critic)


def saved(networks: Networks) -> Saved:
    """As it would be read from a file."""
    actor, critic = ({k: v.clone() for k, v in m.state_dict().items()} for m in networks.models)
    return Saved(actor, critic, networks.maps)
