"""Short films of a study's policies, rendered in a process of its own: graphics drivers can take one with them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sim.training.video import NoVideoError, record
from sim.transfer.evaluate import deterministic
from sim.transfer.learner import TransferLearner
from sim.transfer.networks import Networks, load_networks
from sim.transfer.results import RUNS
from sim.transfer.run import NETWORKS, RESULT
from sim.transfer.study import Cell, load_study
from sim.transfer.targets import make_target

FILMS = "films"
"""Folder of a study."""
LENGTH = 4.0
"""s of a film."""


def film_all(folder: Path, study: str) -> str | None:
    """Film what has finished and is not on film yet, one seed of everything. Returns in words why it could not."""
    screenless = {"MUJOCO_GL": "egl"} if sys.platform == "linux" else {}  # MuJoCo looks at it when it is imported
    done = subprocess.run(
        [sys.executable, "-m", "sim.transfer.films", str(folder), study],
        env={**screenless, **os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    if not done.returncode:
        return None
    said = done.stderr.strip().splitlines()
    return said[-1] if said else f"rendering ended with exit code {done.returncode}"


def film(cell: Cell, root: Path, path: Path) -> None:
    """The policy of one run, for a few seconds and without noise.

    Raises:
        NoVideoError: nothing can be drawn here.
        NetworksFileError: the run's networks are not there.
    """
    task = make_target(cell.task, cell.table, [cell.seed], source=cell.source)
    task.limit = min(task.limit, round(LENGTH / task.period))
    learner = TransferLearner(task, cell)
    Networks(learner.ppo.actor, learner.ppo.critic).load(load_networks(root / cell.id / NETWORKS))
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_name(f"{path.stem}.part.webp")
    record(task, deterministic(learner.frozen()), unfinished, episodes=1)
    unfinished.replace(path)


def _main(folder: Path, study: str) -> int:
    shown = load_study(study)
    for cell in shown.cells():
        root, path = folder / RUNS, folder / FILMS / f"{cell.id}.webp"
        there = (root / cell.id / RESULT).exists() and (root / cell.id / NETWORKS).exists()
        if cell.seed == shown.seeds[0] and there and not path.exists():
            try:
                film(cell, root, path)
            except NoVideoError as error:
                sys.stderr.write(f"{error}\n")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1]), sys.argv[2]))
