"""The comparison of calibration with RL: arms, runs that go on, equal starts, table and figure."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from rich.console import Console

from benchmarks.calibration_flights import Flown
from benchmarks.claim import base as claim_base
from benchmarks.claim import calibrating, learning, study
from benchmarks.claim.arms import ARM, GapArm
from benchmarks.claim.base import Base
from benchmarks.claim.calibrating import NotFlownError
from benchmarks.claim.figure import draw
from benchmarks.claim.runs import CALIBRATION, MAPS, RECORDING, TUNING, ZERO_SHOT, Run, add, learning_for, read, seeded
from benchmarks.claim.study import Study
from benchmarks.claim.table import over_trials, table
from benchmarks.gaps import gap_text
from robot_runtime.spec import load_arm
from sim.tasks.registry import make_task
from sim.training import checkpoint
from sim.training.evaluate import onnx_policy
from sim.training.learner import Learner
from sim.training.settings import SETTINGS
from sim.training.train import LAST, POLICY
from sim.twin.gap import load_gap

JOINTS = load_arm(ARM).joint_names
SMALL = replace(SETTINGS["reach"], simulations=2, horizon=8, hidden=(8,), epochs=1, minibatches=1)


@pytest.mark.parametrize("name", ["mild", "random:3"])
def test_a_gap_file_says_what_the_gap_says(tmp_path: Path, name: str) -> None:
    path = tmp_path / "gap.toml"
    path.write_text(gap_text(load_gap(name), JOINTS))
    written, gap = load_gap(path), load_gap(name)
    assert [written.joint(j) for j in JOINTS] == [gap.joint(j) for j in JOINTS]
    for part in ("payload", "command_delay", "ambient", "supply", "bus"):
        assert getattr(written, part) == getattr(gap, part)


def test_zeroed_takes_the_first_offset_and_nothing_else(tmp_path: Path) -> None:
    gap, zeroed = load_gap("random:3"), load_gap(GapArm("random:3").file(JOINTS, tmp_path))
    assert gap.joint(JOINTS[0]).offset != 0.0
    assert zeroed.joint(JOINTS[0]) == replace(gap.joint(JOINTS[0]), offset=0.0)
    assert [zeroed.joint(j) for j in JOINTS[1:]] == [gap.joint(j) for j in JOINTS[1:]]
    as_it_is = load_gap(GapArm("random:3", zeroed=False).file(JOINTS, tmp_path))
    assert as_it_is.joint(JOINTS[0]) == gap.joint(JOINTS[0])


def test_a_line_that_was_cut_off_is_no_result_and_spoils_no_other(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    add(file, {"arm": "mild"})
    with file.open("a") as out:
        out.write('{"arm": "ran')
    add(file, {"arm": "random:1"})
    assert [line["arm"] for line in read(file)] == ["mild", "random:1"]


# --- RL ---


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Base:
    """Kept from a training that never learnt anything."""
    task = make_task("reach", [0, 1], arm=ARM)
    learner = Learner(task, SMALL, seed=3, total=100)
    with torch.no_grad():
        learner.actor.obs_normalizer._mean.fill_(0.1)  # as if it had seen something
    run = checkpoint.Run("reach", ARM, body="base", randomise=True, steps=100, seed=3, settings=SMALL)

    def train(wanted: object, folder: Path, *_: object, **__: object) -> SimpleNamespace:
        folder.mkdir()
        checkpoint.save(folder / LAST, run, learner.state())
        (folder / POLICY).write_bytes(b"frozen")
        return SimpleNamespace(complete=True)

    monkeypatch.setattr(claim_base, "train", train)
    kept = Base(tmp_path / "work", tmp_path / "results")
    (tmp_path / "work").mkdir()
    assert kept.made(Console(quiet=True))
    return kept


def test_the_base_policy_is_trained_once_and_kept_with_the_results(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(claim_base, "train")
    elsewhere = Base(tmp_path / "another machine", tmp_path / "results")
    assert elsewhere.made(Console(quiet=True))
    assert elsewhere.policy.read_bytes() == b"frozen"
    before, after = base.networks(), elsewhere.networks()
    assert all(torch.equal(before.actor[key], value) for key, value in after.actor.items())


def test_nothing_learnt_is_the_base_policy(base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gap, file = GapArm("mild").file(JOINTS, tmp_path), tmp_path / "a.onnx"
    learning.learn(TUNING, gap, 0.0, 1, base.networks(), file, SMALL)
    task = make_task("reach", [5, 6], arm=ARM)
    learner = Learner(task, SMALL, seed=1, total=100)
    learner.restore(checkpoint.load(tmp_path / "work" / "base" / LAST)[1])
    seen = task.observation.copy()
    with torch.inference_mode():
        expected = learner.frozen()(torch.from_numpy(seen)).numpy()
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(onnx_policy(file, task)(seen), expected, atol=1e-5)
    monkeypatch.setattr(learning, "EPISODES", 2)
    success, error = learning.own_trial(file, gap, seed=1)
    assert success in (0.0, 0.5, 1.0)
    assert error > 0.0


def test_learning_counts_the_seconds_of_all_arms_and_keeps_what_is_frozen(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "export_policy", lambda *_, **__: None)
    gap = GapArm("mild").file(JOINTS, tmp_path)
    learnt = learning.learn(MAPS, gap, 0.9, 1, base.networks(), tmp_path / "a.onnx", SMALL, noise=(0.2, 0.1))
    assert learnt.motion == pytest.approx(0.96)  # whole rounds: 3 of 2 x 8 steps, 20 ms each
    assert learnt.frozen > 4


@pytest.mark.parametrize("seconds", learning.ROUNDS)
def test_a_training_has_some_updates_and_ends_near_its_seconds(seconds: float) -> None:
    settings, _ = learning.settings_of(seconds)
    a_round = settings.simulations * settings.horizon * 0.02
    assert seconds / a_round >= 15
    assert a_round / seconds < 0.1


# --- the study ---


@pytest.fixture
def flights(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was flown; nothing is, in truth."""
    flown: list[Any] = []

    def fly(policy: Path, task: object, gap: object, targets: int, calibration: object, seed: int) -> Flown:
        flown.append((policy.name, calibration, seed))
        return Flown(0.5, 0.004, 0.0)

    monkeypatch.setattr(study, "fly", fly)
    monkeypatch.setattr(learning, "own_trial", lambda *_: (0.25, 0.008))
    monkeypatch.setattr(Base, "networks", lambda _: None)
    monkeypatch.setattr(learning, "learn", lambda *_: learning.Learnt(60.16, 5.0, 9))
    return flown


def test_a_run_is_flown_once_over_the_trials_that_are_its_own(tmp_path: Path, flights: list[Any]) -> None:
    results = tmp_path / "runs.jsonl"
    for _ in range(2):
        again = Study(tmp_path, results, Console(quiet=True))
        again.do(Run(GapArm("mild"), ZERO_SHOT))
        again.do(Run(GapArm("mild"), TUNING, 60, 2))
    assert flights == [("policy.onnx", None, seed) for seed in (1, 2, 3)] + [("fine-tune-60-2.onnx", None, 2)]
    lines = read(results)
    assert [len(line["trials"]) for line in lines] == [3, 1]
    assert lines[1]["motion"] == 60.16
    assert lines[0]["trials"][0]["own_success"] == 0.25


def test_an_arm_that_cannot_be_recorded_is_skipped_and_said(
    tmp_path: Path, flights: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(spec: object, gap: Path, *_: object) -> None:
        asked.append(gap.stem)
        if gap.stem == "random-1-zeroed":
            raise NotFlownError("it sticks")

    asked: list[str] = []
    monkeypatch.setattr(calibrating, "record", record)
    results = tmp_path / "runs.jsonl"
    for _ in range(2):
        arms = {run.arm.gap for run in Study(tmp_path, results, Console(quiet=True)).runs()}
        assert arms == {"none", "mild", "random:2", "random:3"}
    assert asked.count("random-1-zeroed") == 1
    assert [line["skipped"] for line in read(results)] == ["it sticks"]


def test_the_short_recording_has_something_to_fit_to_and_something_to_judge_by(tmp_path: Path) -> None:
    planned = calibrating.planned(load_arm(ARM), "quick", calibrating.WEIGHT, tmp_path / "plan")
    short = planned.without([s.name for s in planned.segments if s.name not in calibrating.SHORT])
    assert tuple(s.name for s in short.segments) == calibrating.SHORT
    assert [s.part for s in short.segments] == ["", "", "loaded"]
    assert [name.endswith("-check") for name in calibrating.SHORT] == [False, True, False]


# --- what is shown ---


def lines_of() -> Sequence[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    arm = GapArm("mild")
    for run in (Run(arm, ZERO_SHOT), *seeded(arm, ((CALIBRATION, 60), *learning_for(60, 3000)))):
        motion = {} if run.method == ZERO_SHOT else {"motion": 1.01 * run.seconds}
        trials = [{"trial": t, "success": 0.1 * t, "error": 0.001 * t} for t in run.trials]
        facts = {"arm": run.arm.name, "method": run.method, "seconds": run.seconds, "seed": run.seed}
        lines.append({**facts, **motion, "trials": trials})
    healthy = {"arm": "none", "method": ZERO_SHOT, "seconds": 0.0, "seed": None}
    lines.append({**healthy, "trials": [{"trial": 1, "success": 1.0, "error": 0.001}]})
    skipped = {"arm": "random:2", "method": RECORDING, "seconds": 0.0, "seed": None, "skipped": "it sticks"}
    return [*map(json.loads, map(json.dumps, lines)), skipped]


def test_figures_are_over_seeds_and_trials_alike() -> None:
    found = over_trials(lines_of(), "success")
    assert found["mild", TUNING, 3030].values == pytest.approx((0.1, 0.2, 0.3))
    assert found["mild", ZERO_SHOT, 0].values == pytest.approx((0.1, 0.2, 0.3))


def test_the_table_tells_all_and_what_was_skipped() -> None:
    text = table(lines_of())
    assert "| mild | fine-tune | 3030 | 20 ± 25 | 2.0 ± 2.5 | - |" in text
    assert "random:2, recording: skipped: it sticks" in text


def test_the_figure_stands_alone() -> None:
    root = ElementTree.fromstring(draw(lines_of()))
    charts = [element for element in root if element.tag.endswith("svg")]
    assert len(charts) == 2
    assert "calibration" in "".join(root.itertext())
