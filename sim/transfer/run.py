"""One run of a study, from its networks' start to its result: `execute` is all that a worker does, wherever it is.

A run has a folder. It goes on from the checkpoint there, and when the result is there it is done.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sim.training.checkpoint import CheckpointError
from sim.transfer.evaluate import Evaluation, field, published
from sim.transfer.files import FORMAT, read_checkpoint, same_run, write_checkpoint, write_json
from sim.transfer.frozen import FrozenChangedError
from sim.transfer.networks import load_networks
from sim.transfer.study import Cell
from sim.transfer.targets import make_target
from sim.transfer.training import Training
from sim.transfer.twin_trial import on_twin

RESULT, NETWORKS, CHECKPOINT, PROGRESS, LOCK = "result.json", "networks.npz", "checkpoint.pt", "progress.json", "lock"
SAVE_EVERY, TELL_EVERY = 30.0, 1.0
"""s between two checkpoints, and between two words of progress."""
POINTS = 100
"""Of a learning curve in the result."""
_EVALUATION = 1_000_000
"""Apart from every seed of a training: all strategies are tried on the same episodes."""


class StoppedError(Exception):
    """The run was asked to stop; its checkpoint is written."""


def execute(cell: Cell, root: Path, stopped: Callable[[], bool]) -> bool:
    """Do the run in its folder below `root`, or what is left of it. Returns whether it is finished.

    Raises:
        NetworksFileError: what it starts from is not there.
        CheckpointError: the folder holds another run.
        FrozenChangedError: the result would be wrong.
    """
    torch.set_num_threads(1)  # every core has a run of its own
    folder = root / cell.id
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if (folder / RESULT).exists():
            return True
        try:
            _Run(cell, folder, root, stopped).finish()
        except StoppedError:
            return False
        (folder / CHECKPOINT).unlink(missing_ok=True)
        (folder / PROGRESS).unlink(missing_ok=True)
    return True


class _Run:
    """What is there while it runs."""

    def __init__(self, cell: Cell, folder: Path, root: Path, stopped: Callable[[], bool]) -> None:
        self.cell, self.folder, self._stopped = cell, folder, stopped
        self._base = None if cell.base is None else load_networks(root / cell.base / NETWORKS)
        state = read_checkpoint(folder / CHECKPOINT)
        if state is not None and not same_run(state["definition"], cell.definition):
            raise CheckpointError(f"{folder} holds another run; give another --out, or move it away")
        self.training = self._begin(0 if state is None else int(state["learner"]["steps"]))
        self.learner, self.networks = self.training.learner, self.training.networks
        self.curve: list[list[float]] = []  # steps, mean return, share of successes, processor seconds
        self.seconds = 0.0  # of the processor, for training
        if state is not None:
            self.training.restore(state["learner"])
            self.curve, self.seconds = state["curve"], float(state["seconds"])
        self._told = self._saved = time.monotonic()

    def finish(self) -> None:
        """Train what is left, try the policy, write the result."""
        while not self.training.over:
            self.training.free()
            began = time.process_time()
            told = self.learner.round()
            self.seconds += time.process_time() - began
            self.curve.append([told.steps, told.mean_return, told.success, self.seconds])
            self._keep()
        self.training.free()
        self.networks.save(self.folder / NETWORKS)
        write_json(self.folder / RESULT, self._result())

    def _begin(self, begun: int) -> Training:
        cell = self.cell
        # A run that goes on meets new episodes, not those that it began with.
        seeds = np.random.SeedSequence([cell.seed, begun]).generate_state(cell.settings.simulations).tolist()
        return Training(cell, make_target(cell.task, cell.table, seeds, source=cell.source), self._base)

    def _keep(self) -> None:
        now = time.monotonic()
        stop = self._stopped()
        if stop or now - self._saved > SAVE_EVERY:
            self._saved = now
            facts = {"definition": self.cell.definition, "curve": self.curve, "seconds": self.seconds}
            write_checkpoint(self.folder / CHECKPOINT, {**facts, "learner": self.learner.state()})
        if stop:
            raise StoppedError
        if now - self._told > TELL_EVERY:
            self._told = now
            steps, mean_return, _, seconds = self.curve[-1]
            write_json(self.folder / PROGRESS, {"steps": steps, "return": mean_return, "seconds": seconds})

    def _look(self) -> None:
        """In a trial, which takes a minute or two and is done again if it is interrupted."""
        if self._stopped():
            if self.learner.steps:
                self._keep()
            raise StoppedError

    def _result(self) -> dict[str, Any]:
        cell, learner, networks = self.cell, self.learner, self.networks
        began = time.process_time()
        frozen, std = learner.frozen(), networks.log_std.detach().exp()
        checked = self.training.watch.finish()
        trials: dict[str, Evaluation] = {
            "published": published(self._task(), frozen, std, _EVALUATION + cell.seed, self._look),
            "field": field(self._task(), frozen, self._look),
        }
        if cell.base is not None and cell.steps and cell.table != cell.source:
            trials["back_home"] = field(self._task(home=True), frozen, self._look)
        twin = on_twin(self._task(), cell.table, frozen, cell.seed)
        return {
            "format": FORMAT,
            "id": cell.id,
            "strategy": cell.label,
            "target": cell.target,
            "seed": cell.seed,
            "steps": learner.steps,
            "seconds": round(self.seconds, 1),
            "trial_seconds": round(time.process_time() - began, 1),
            "period": learner.task.period,
            "std": round(float(std.mean()), 4),
            "frozen_tensors_unchanged": checked,
            "maps_off_is_base": self._maps_off(),
            **{name: trial.facts() for name, trial in trials.items()},
            **({} if twin is None else {"twin": twin}),
            "curve": _thinned(self.curve),
            "definition": cell.definition,
        }

    def _task(self, *, home: bool = False) -> Any:
        cell = self.cell
        seeds = np.random.SeedSequence([_EVALUATION, cell.seed]).generate_state(cell.episodes).tolist()
        return make_target(cell.task, cell.source if home else cell.table, seeds, source=cell.source)

    def _maps_off(self) -> bool | None:
        """Whether the actor without its new maps says what it said before, bit for bit; None: it has no new maps."""
        if self._base is None or self.networks.maps == self._base.maps:
            return None
        before, after = self.learner.bare(self._base), self.networks.actor
        seen = self.learner.env.get_observations()
        random = torch.randn(1000, seen["policy"].shape[1])
        with torch.inference_mode(), self.networks.newest_maps_off():
            if not all(torch.equal(before(obs), after(obs)) for obs in (seen, {"policy": random})):
                raise FrozenChangedError(f"{self.cell.id}: without its maps the actor is not the base policy")
        return True


def _thinned(curve: list[list[float]]) -> dict[str, list[float]]:
    """Few enough points to keep, the last one among them."""
    rows = [curve[k] for k in sorted({round(k) for k in np.linspace(0, len(curve) - 1, POINTS)})] if curve else []
    names, digits = ("steps", "return", "success", "seconds"), (0, 2, 4, 1)
    return {name: [_number(row[k], digits[k]) for row in rows] for k, name in enumerate(names)}


def _number(value: float, digits: int) -> float:
    return round(value, digits) if digits else int(value)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process works in this folder: one whose parent was killed may need a moment to notice."""
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
