"""What robot-train is given by mistake is refused, and says what is wrong; nothing is left aside in silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from sim.training import checkpoint
from sim.training.checkpoint import CheckpointError, Run
from sim.training.cli import main
from sim.training.settings import SETTINGS
from sim.training.train import LAST, POLICY, train

SMALL = replace(SETTINGS["hold"], simulations=4, horizon=8, hidden=(8,))
RUN = Run("hold", "xl330-pendulum", "base", randomise=False, steps=64, seed=5, settings=SMALL)


@pytest.fixture(scope="module", autouse=True)
def briefly() -> Iterator[None]:
    """How good the policies are does not matter here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sim.training.train.LAST_EPISODES", 2)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(RUN, tmp_path_factory.mktemp("run"), Console(quiet=True)).folder


@pytest.mark.parametrize("options", ["--steps 0", "--steps -5", "--seed -1", "--seed 1e3", "--threads 0"])
def test_numbers_that_cannot_be_are_refused(options: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--task", "hold", *options.split()]) == 2
    assert "is not a whole number from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("--task hold --video x.gif", "--video is for --evaluate"),
        ("--task hold --gap mild", "--gap is for --evaluate"),
        ("--task hold --body long", "--body is of walker2d"),
        ("--task walker2d --arm koch-v1.1", "walker2d has a --body"),
        ("--resume {run} --task reach", "was begun with --task hold"),
        ("--resume {run} --seed 6", "was begun with --seed 5"),
        ("--resume {run} --randomise", "was begun with --randomise False"),
        ("--resume {run} --out elsewhere", "leave --out out"),
        ("--resume {run} --steps 8", "has done 64 steps already"),
        ("--evaluate {run}/policy.onnx --resume {run}", "--resume is for training"),
        ("--evaluate {run}/policy.onnx --task reach", "has learnt hold, not reach"),
        ("--evaluate {run}/policy.onnx --video {run}/policy.onnx", "ends in .gif"),
        ("--evaluate {run}/policy.onnx --video nowhere/a.gif", "in a folder that is there"),
        ("--evaluate {run}/policy.onnx --arm koch-v1.1", "its observation is joint_position 1 + "),
    ],
)
def test_options_that_would_be_left_aside_are_refused(
    folder: Path, options: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {name: (folder / name).read_bytes() for name in (LAST, POLICY)}
    assert main([option.format(run=folder) for option in options.split()]) == 2
    assert reason in capsys.readouterr().err
    assert {name: (folder / name).read_bytes() for name in (LAST, POLICY)} == before


def changed(folder: Path, to: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    data = torch.load(folder / LAST, weights_only=True)
    change(data)
    torch.save(data, to / LAST)
    return to


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d["run"].update(arm=5), "run.arm is not str but 5"),
        (lambda d: d["run"]["settings"].update(horizon="x"), "run.settings.horizon is not int but 'x'"),
        (lambda d: d["run"].update(more=1), "'more' is unknown in run"),
        (lambda d: d.update(learner=None), "nothing of the learner"),
        (lambda d: d.update(format=9), "format 9"),
        (lambda d: d["learner"]["actor_state_dict"]["mlp.0.weight"].fill_(float("nan")), "has diverged"),
    ],
)
def test_a_checkpoint_that_says_something_else_is_refused(
    folder: Path, tmp_path: Path, change: Callable[[dict[str, Any]], Any], reason: str
) -> None:
    with pytest.raises(CheckpointError, match=reason):
        checkpoint.load(changed(folder, tmp_path, change) / LAST)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d["run"]["settings"].update(hidden=(16,)), "does not fit the training"),
        (lambda d: d["learner"].pop("best"), "it has no best"),
        (lambda d: d["learner"].update(steps="x"), "does not say how many steps"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[dict[str, Any]], Any],
    reason: str,
) -> None:
    assert main(["--resume", str(changed(folder, tmp_path, change)), "--steps", "128"]) == 2
    assert reason in capsys.readouterr().err


def test_a_flipped_bit_in_a_weight_is_noticed(folder: Path, tmp_path: Path) -> None:
    data = bytearray((folder / LAST).read_bytes())
    weight = checkpoint.load(folder / LAST)[1]["actor_state_dict"]["mlp.0.weight"].numpy().tobytes()
    data[data.index(weight) + 8] ^= 1
    (tmp_path / LAST).write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load(tmp_path / LAST)


@pytest.mark.parametrize("size", [0, 100, 0.5, -30])
def test_a_checkpoint_that_was_cut_short_is_damaged(folder: Path, tmp_path: Path, size: float) -> None:
    data = (folder / LAST).read_bytes()
    (tmp_path / LAST).write_bytes(data[: int(size * len(data)) if isinstance(size, float) else size])
    with pytest.raises(CheckpointError, match=r"last\.pt: damaged, or no checkpoint"):
        checkpoint.load(tmp_path / LAST)
