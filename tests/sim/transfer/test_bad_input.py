"""Mistakes in a study's file are found before hours of work; rubbish in its folder is named, and nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sim.training.checkpoint import CheckpointError
from sim.transfer.cli import main
from sim.transfer.files import read_checkpoint, write_checkpoint
from sim.transfer.results import RUNS, STUDY
from sim.transfer.run import RESULT
from sim.transfer.study import StudyError, load_study

TEXT = """
task = "hold"
seeds = [1]
episodes = 2
[settings]
simulations = 4
[source]
steps = 32
arm = "xl330-pendulum"
[targets]
weak = { torque_constant = 0.8 }
[strategies]
zeroshot = {}
fine-tune = { steps = 32 }
"""


def test_the_study_of_these_tests_is_one(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(TEXT)
    assert len(load_study(str(tmp_path / "s.toml")).cells()) == 3


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("seeds = [1]", "seeds = [true]", "seeds are different whole numbers"),
        ("seeds = [1]", "seeds = 1", "seeds are different whole numbers"),
        ("seeds = [1]", "seeds = []", "seeds are different whole numbers"),
        ("episodes = 2", "episodes = 0", "episodes: a whole number from 1 on, not 0"),
        ("episodes = 2", "episodes = 2.7", "episodes: a whole number from 1 on, not 2.7"),
        ("simulations = 4", "simulations = 0", "settings.simulations is 0: 1 or more"),
        ("simulations = 4", "horizon = 2.5", "settings.horizon is not int but 2.5"),
        ("simulations = 4", "learning_rate = nan", "settings.learning_rate is nan"),
        ("simulations = 4", 'hidden = ["x"]', "settings.hidden is not int but 'x'"),
        ("simulations = 4", 'schedule = "nope"', "settings.schedule is 'nope': one of adaptive, linear"),
        ("simulations = 4", 'activation = "nope"', "settings.activation is 'nope': one of elu, "),
        ("simulations = 4", "gamma = 5.0", "settings.gamma is 5.0: 1 at most"),
        ("simulations = 4", "learning_rate = 1e30", r"settings.learning_rate is 1e.30: 1 at most"),
        ("simulations = 4", "hidden = []", "settings.hidden is empty"),
        ("simulations = 4", "minibatches = 100000", "settings.minibatches is 100000: .* at most"),
        ("[settings]\nsimulations = 4", "settings = 5", "'settings' is a table, not 5"),
        ("fine-tune = {", "noise-last-n = { layers = 9,", "layers is 9: the actor has 3"),
        ("fine-tune = {", "freeze-then-thaw = { share = 'x',", "share is not float but 'x'"),
        ("fine-tune = {", "fine-tune = { only = [['weak']],", r"'fine-tune': only are names, not \['weak'\]"),
        ("fine-tune = {", "fine-tune = { noise = ['a', 'b'],", "'fine-tune': noise is .at first, in the end."),
        ("steps = 32\narm", "steps = 1.5\narm", "steps of the source: a whole number from 1 on, not 1.5"),
        ("{ steps = 32 }", "{ steps = -1 }", "steps of 'fine-tune': a whole number from 0 on, not -1"),
        ("{ steps = 32 }", '{ steps = 32, only = "weak" }', "'fine-tune': only is a list"),
        ("{ steps = 32 }", "{ steps = 32, noise = [1] }", "'fine-tune': noise is .at first, in the end."),
        ("zeroshot = {}", "zeroshot = 3", "'zeroshot' is a table, not 3"),
        ("weak = { torque_constant = 0.8 }", "weak = 3", "'weak' is a table, not 3"),
        ("weak =", '"../../evil" =', "'../../evil' is no name for a target"),
        ('task = "hold"', 'task = "hold"\nname = "../evil"', "'../evil' is no name for the study"),
        (
            "fine-tune = { steps = 32 }",
            '"a b" = { parts = ["fine-tune"], steps = 32 }\n"a_b" = { parts = ["fine-tune"], steps = 32 }',
            "two runs would be called 'a_b-weak-1'",
        ),
        ("fine-tune = { steps = 32 }", "[curricula]\nc = { steps = 32 }", "'c': say through which targets"),
    ],
)
def test_a_mistake_in_a_study_is_named(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in TEXT
    (tmp_path / "s.toml").write_text(TEXT.replace(old, new))
    with pytest.raises(StudyError, match=rf"s\.toml: .*{reason}"):
        load_study(str(tmp_path / "s.toml"))


def test_a_mark_of_the_encoding_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(TEXT, encoding="utf-8-sig")
    assert len(load_study(str(tmp_path / "s.toml")).cells()) == 3


@pytest.mark.parametrize("rubbish", ["", "[]", "null", "{}", '{"definition": 3}', '{"curve": {}}', "[" * 100_000])
def test_a_result_that_is_none_is_named_and_left_where_it_is(
    tmp_path: Path, rubbish: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / STUDY).write_text(TEXT)
    result = tmp_path / RUNS / "source-1" / RESULT
    result.parent.mkdir(parents=True)
    result.write_text(rubbish)
    assert main(["page", str(tmp_path), "--no-films"]) == 2
    assert "source-1/result.json: not " in capsys.readouterr().err.replace("\n", "")
    assert main(["run", str(tmp_path / STUDY), "--out", str(tmp_path), "--no-films", "--workers", "1"]) == 2
    assert "source-1" in capsys.readouterr().err
    assert result.read_text() == rubbish


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        return self.path.touch, ()


def test_a_checkpoint_of_a_run_is_whole_and_never_run(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, {"weight": torch.arange(100.0)})
    state = read_checkpoint(path)
    assert state is not None
    assert state["weight"][3] == 3.0
    data = bytearray(path.read_bytes())
    data[data.index(torch.arange(100.0).numpy().tobytes()) + 9] ^= 1
    for content in (bytes(data), bytes(data[:400]), b"", b"rubbish"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"checkpoint\.pt: damaged.*; delete it to begin this run anew"):
            read_checkpoint(path)
    torch.save({"format": 1, "weight": Trap(tmp_path / "sprung")}, path)
    with pytest.raises(CheckpointError, match="nothing in it was run"):
        read_checkpoint(path)
    assert not (tmp_path / "sprung").exists()
