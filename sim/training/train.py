"""A training from beginning to end: rounds, checkpoints, and at the end the policy as an ONNX with its contract."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from models.export import Exported, export_policy
from sim.tasks import Task, make_task
from sim.tasks.arm_task import ArmTask
from sim.training import checkpoint
from sim.training.asked_to_stop import asked_to_stop
from sim.training.checkpoint import CheckpointError, Run
from sim.training.evaluate import Result, evaluate
from sim.training.learner import Learner
from sim.training.progress import Reporter

LAST, BEST, POLICY = "last.pt", "best.pt", "policy.onnx"
SAVE_EVERY = 30.0
"""s between two checkpoints."""
LAST_EPISODES = 200
"""Episodes that the finished policy is tried on, for its provenance."""
_EVALUATION_SEED = 1_000_000
"""Apart from every seed of a training."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training left behind."""

    folder: Path
    steps: int
    seconds: float
    complete: bool  # False: it was interrupted
    exported: Exported | None  # None: the task has no contract (no arm flies it)
    result: Result


def train(run: Run, folder: Path, console: Console, *, resume: bool = False, threads: int = 2) -> Trained:
    """Train until `run.steps`, or until Ctrl-C; checkpoints and policy go into `folder`.

    Raises:
        CheckpointError: `resume`, and there is no usable checkpoint of this run in the folder.
    """
    torch.set_num_threads(1)  # the networks are small: more threads wait for each other
    folder.mkdir(parents=True, exist_ok=True)
    state = checkpoint.load(folder / LAST)[1] if resume else None
    # A resumed training meets new episodes, not those that it began with.
    learner = Learner(_task(run, threads, _begun(state, folder / LAST)), run.settings, run.seed, run.steps)
    best = -math.inf
    if state is not None:
        best = _restored(learner, state, folder / LAST)
    began, saved = time.perf_counter(), time.perf_counter()
    with Reporter(console, run.steps, folder / "log") as reporter, asked_to_stop() as stop:
        while learner.steps < run.steps and not stop:
            done = learner.round()
            reporter.show(done)
            if time.perf_counter() - saved > SAVE_EVERY:
                saved = time.perf_counter()
                if done.mean_return > best:
                    best = done.mean_return
                    checkpoint.save(folder / BEST, run, {**learner.state(), "best": best})
                checkpoint.save(folder / LAST, run, {**learner.state(), "best": best})
    checkpoint.save(folder / LAST, run, {**learner.state(), "best": best})
    seconds = time.perf_counter() - began
    result, exported = finish(run, learner, folder, threads)
    return Trained(folder, learner.steps, seconds, learner.steps >= run.steps, exported, result)


def _begun(state: dict[str, Any] | None, path: Path) -> int:
    """Steps that were done before."""
    steps = 0 if state is None else state.get("steps")
    if not isinstance(steps, int) or steps < 0:
        raise CheckpointError(f"{path}: it does not say how many steps were done")
    return steps


def _restored(learner: Learner, state: dict[str, Any], path: Path) -> float:
    """Take up the learning where it was; returns the best mean return so far."""
    try:
        best = float(state.pop("best"))
        learner.restore(state)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        why = f"it has no {error.args[0]}" if isinstance(error, KeyError) else " ".join(str(error).split()[:20])
        raise CheckpointError(f"{path}: it does not fit the training that it says it is of: {why}") from error
    return best


def finish(run: Run, learner: Learner, folder: Path, threads: int) -> tuple[Result, Exported | None]:
    """Try what was learnt, and freeze it."""
    seeds = np.random.SeedSequence([_EVALUATION_SEED, run.seed]).generate_state(LAST_EPISODES).tolist()
    task = make_task(run.task, seeds, arm=run.arm, body=run.body, randomise=run.randomise, trial=True, threads=threads)
    network = learner.frozen()

    def policy(observation: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            actions: np.ndarray = network(torch.from_numpy(observation)).numpy()
        return actions

    result = evaluate(task, policy)
    if not isinstance(task, ArmTask) or task.contract is None:
        return result, None
    provenance = {
        "randomised": run.randomise,
        "seed": run.seed,
        "steps": learner.steps,
        "settings": asdict(run.settings),
        "success_in_simulation": result.success.mean,
        "error_in_simulation": result.error.mean,
        "episodes_tried": result.episodes,
    }
    exported = export_policy(network, task.contract, folder / POLICY, provenance=provenance, arm=task.world.spec)
    return result, exported


def _task(run: Run, threads: int, begun: int) -> Task:
    seeds = np.random.SeedSequence([run.seed, begun]).generate_state(run.settings.simulations).tolist()
    return make_task(run.task, seeds, arm=run.arm, body=run.body, randomise=run.randomise, threads=threads)
