"""The runs of a study over all workers: what is finished is left alone, what was begun goes on, the rest begins."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sim.training.asked_to_stop import asked_to_stop
from sim.training.checkpoint import CheckpointError
from sim.transfer.files import read_json, same_run
from sim.transfer.run import NETWORKS, RESULT
from sim.transfer.study import Cell

STOP = "stop"
"""A file in the folder of all runs: while it is there, workers write their checkpoints and end."""
LOOK_EVERY = 0.5
"""s between two looks at how far the runs are."""


class Pool(Protocol):
    """Workers, here or elsewhere."""

    capacity: int

    def submit(self, cell: Cell, root: Path) -> Future[bool]:
        """Begin this run; the future says whether it finished, or raises what went wrong."""

    def close(self) -> None:
        """Let the workers go."""


class Display(Protocol):
    """Who is told how far it is."""

    def show(self, active: Sequence[Cell], finished: int) -> None:
        """Now."""

    def ended(self, cell: Cell, error: BaseException | None) -> None:
        """One run has finished, or failed."""


@dataclass(slots=True)
class Outcome:
    """How it ended."""

    finished: int = 0  # runs that have a result now
    failed: dict[str, str] = field(default_factory=dict)  # run -> why
    baseless: dict[str, list[str]] = field(default_factory=dict)  # a finished run without its networks -> what waits
    left: int = 0  # runs without one, because something before them failed or the study was interrupted
    interrupted: bool = False


def run_cells(cells: Sequence[Cell], root: Path, pool: Pool, display: Display) -> Outcome:
    """Do all runs in their order, as many at a time as the pool has room for.

    Raises:
        CheckpointError: the folder holds results of another study.
    """
    root.mkdir(parents=True, exist_ok=True)
    (root / STOP).unlink(missing_ok=True)
    done = {cell.id for cell in cells if _has_result(cell, root)}
    active: dict[Future[bool], Cell] = {}
    outcome = Outcome()
    waiting: list[Cell] = []
    for cell in cells:
        # Trained again, on another machine, a base is another one: what started from it would not compare.
        if cell.id not in done and cell.base in done and not (root / cell.base / NETWORKS).exists():
            outcome.baseless.setdefault(cell.base, []).append(cell.id)
        elif cell.id not in done:
            waiting.append(cell)
    with asked_to_stop((root / STOP).touch) as asked:
        while active or (waiting and not asked):
            ready = [cell for cell in waiting if cell.base is None or cell.base in done]
            for cell in ready[: 0 if asked else pool.capacity - len(active)]:
                waiting.remove(cell)
                active[pool.submit(cell, root)] = cell
            if not active:
                break  # what is left waits for something that failed
            display.show(list(active.values()), len(done))
            ended, _ = wait(active, timeout=LOOK_EVERY, return_when=FIRST_COMPLETED)
            for future in ended:
                cell = active.pop(future)
                error = future.exception()
                if error is not None:
                    outcome.failed[cell.id] = f"{type(error).__name__}: {error}"
                elif future.result():
                    done.add(cell.id)
                else:
                    continue  # it was asked to stop
                display.ended(cell, error)
        outcome.interrupted = bool(asked)
    (root / STOP).unlink(missing_ok=True)
    outcome.finished = len(done)
    outcome.left = len(cells) - len(done) - len(outcome.failed) - sum(map(len, outcome.baseless.values()))
    return outcome


def _has_result(cell: Cell, root: Path) -> bool:
    result = read_json(root / cell.id / RESULT)
    if result is not None and not same_run(result.get("definition"), cell.definition):
        raise CheckpointError(
            f"{root / cell.id} holds the result of another study; give another --out, or move it away"
        )
    return result is not None
