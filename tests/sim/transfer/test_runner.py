"""The matrix: what is finished is left alone, what was killed goes on, what failed is told."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from sim.training.checkpoint import CheckpointError
from sim.transfer.files import read_checkpoint
from sim.transfer.run import CHECKPOINT, NETWORKS, PROGRESS, RESULT, execute
from sim.transfer.runner import run_cells
from sim.transfer.study import Cell, Study, load_study
from tests.sim.transfer.small import TEXT, InlinePool, small_study

ROOT = Path(__file__).parents[3]


class Quiet:
    """A display that counts."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def show(self, active: Sequence[Cell], finished: int) -> None:
        pass

    def ended(self, cell: Cell, error: BaseException | None) -> None:
        self.told.append(cell.id if error is None else f"{cell.id}!")


class Pretended:
    """Workers that only write what says that a run is finished, or fail."""

    capacity = 2

    def __init__(self, fails: Callable[[Cell], bool] = lambda cell: False) -> None:
        self.fails, self.begun = fails, []  # type: ignore[var-annotated]

    def submit(self, cell: Cell, root: Path) -> Future[bool]:
        self.begun.append(cell.id)
        future: Future[bool] = Future()
        if self.fails(cell):
            future.set_exception(RuntimeError("no luck"))
            return future
        (root / cell.id).mkdir(parents=True)
        (root / cell.id / RESULT).write_text(json.dumps({"definition": cell.definition}))
        (root / cell.id / NETWORKS).touch()
        future.set_result(True)
        return future

    def close(self) -> None:
        pass


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return small_study(tmp_path)


def test_the_smoke_study_is_run_and_then_left_alone(tmp_path: Path) -> None:
    """Every strategy and both curricula, with one round of learning each."""
    smoke = load_study("smoke").scaled(0.01)
    fewer = replace(smoke.settings, simulations=8, horizon=8)
    cells, root = replace(smoke, settings=fewer, episodes=1).cells(), tmp_path / "runs"
    first = run_cells(cells, root, InlinePool(), Quiet())
    assert (first.finished, first.failed, first.left) == (len(cells), {}, 0)
    display = Quiet()
    assert run_cells(cells, root, InlinePool(), display).finished == len(cells)
    assert display.told == []
    for cell in cells:
        assert (root / cell.id / NETWORKS).exists()


def test_only_what_is_missing_is_run(study: Study, tmp_path: Path) -> None:
    cells = study.cells()
    run_cells(cells, tmp_path, Pretended(), Quiet())
    shutil.rmtree(tmp_path / cells[3].id)
    pool = Pretended()
    run_cells(cells, tmp_path, pool, Quiet())
    assert pool.begun == [cells[3].id]


def test_nothing_starts_from_a_base_that_was_not_kept(study: Study, tmp_path: Path) -> None:
    cells = study.cells()
    run_cells(cells, tmp_path, Pretended(), Quiet())
    (tmp_path / "source-1" / NETWORKS).unlink()
    for name in ("residual-maps-short-1", "scratch-short-1"):
        shutil.rmtree(tmp_path / name)
    pool = Pretended()
    outcome = run_cells(cells, tmp_path, pool, Quiet())
    assert pool.begun == ["scratch-short-1"]
    assert outcome.baseless == {"source-1": ["residual-maps-short-1"]}
    assert (outcome.finished, outcome.failed, outcome.left) == (len(cells) - 1, {}, 0)


def test_a_failure_stops_only_what_depends_on_it(study: Study, tmp_path: Path) -> None:
    cells = study.cells()
    outcome = run_cells(cells, tmp_path, Pretended(lambda cell: cell.id == "stacked-1-slippery-1"), Quiet())
    assert outcome.failed == {"stacked-1-slippery-1": "RuntimeError: no luck"}
    assert (outcome.finished, outcome.left) == (len(cells) - 2, 1)


def test_nothing_begins_before_what_it_starts_from(study: Study, tmp_path: Path) -> None:
    outcome = run_cells(study.cells(), tmp_path, Pretended(lambda cell: cell.base is None), Quiet())
    assert set(outcome.failed) == {"source-1", "scratch-short-1"}
    assert outcome.finished == 0


def test_the_results_of_another_study_are_refused(study: Study, tmp_path: Path) -> None:
    run_cells(study.cells(), tmp_path, Pretended(), Quiet())
    with pytest.raises(CheckpointError, match="another study"):
        run_cells(study.scaled(2.0).cells(), tmp_path, Pretended(), Quiet())


def test_ctrl_c_lets_workers_write_their_checkpoints(study: Study, tmp_path: Path) -> None:
    class Interrupted(InlinePool):
        def submit(self, cell: Cell, root: Path) -> Future[bool]:
            os.kill(os.getpid(), signal.SIGINT)
            return super().submit(cell, root)

    outcome = run_cells(study.cells(), tmp_path, Interrupted(), Quiet())
    assert outcome.interrupted
    assert (outcome.finished, outcome.failed) == (0, {})
    assert (tmp_path / "source-1" / CHECKPOINT).exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert run_cells(study.cells(), tmp_path, InlinePool(), Quiet()).finished == len(study.cells())


def test_a_killed_study_goes_on(tmp_path: Path) -> None:
    """SIGKILL to the command in the middle of a run: its worker notices, writes its checkpoint and ends."""
    file, folder = tmp_path / "long.toml", tmp_path / "study"
    file.write_text(TEXT.replace("[source]\nsteps = 128", "[source]\nsteps = 100_000_000"))
    run = folder / "runs" / "source-1"
    command = [sys.executable, "-m", "sim.transfer.cli", "run", str(file), "--out", str(folder), "--workers", "1"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=ROOT, stdout=quiet, stderr=quiet) as process:
        wait_for((run / PROGRESS).exists)
        process.send_signal(signal.SIGKILL)
    wait_for((run / CHECKPOINT).exists)
    before = steps_of(run)
    cell = load_study(str(file)).cells()[0]
    assert not execute(cell, folder / "runs", lambda: True)  # waits for the orphan, and goes on for one round
    assert steps_of(run) == before + 64


def steps_of(run: Path) -> int:
    state = read_checkpoint(run / CHECKPOINT)
    assert state is not None
    return int(state["learner"]["steps"])


def wait_for(happened: Callable[[], bool]) -> None:
    """Looks every now and then; a busy machine is given its time."""
    end = time.monotonic() + 90
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)
