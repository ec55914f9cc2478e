"""What `robot-calibrate check` says at the end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.cli.calibrate import main
from calibration.cli.check import _say
from calibration.judging.drift import Change, Checked, Verdict
from robot_runtime.cli.common import Screen
from robot_runtime.spec import load_arm
from tests.robot_runtime.calibrated.made import calibration

CHANGE = Change("joint1.offset", 0.0, 0.1, 20.0, "rad")


@pytest.mark.parametrize(
    ("verdict", "changes", "last"),
    [
        (Verdict.HOLDS, (), "holds; no number changed beyond noise"),
        (Verdict.DRIFTED, (), "drifted; no number says why: look for play"),
        (Verdict.DRIFTED, (CHANGE,), "drifted"),
        (Verdict.FOREIGN, (), "does not belong to this arm"),
    ],
)
def test_the_last_line_says_what_no_number_does(
    verdict: Verdict, changes: tuple[Change, ...], last: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = np.array([0.01])
    _say(Checked(verdict, ("joint1",), error, error, error, changes, (), accepted=True), Screen())
    said = capsys.readouterr()
    line = (said.out + said.err).strip().splitlines()[-1]
    assert line.startswith(last)
    assert (";" in line) == (";" in last)


def test_that_it_was_never_accepted_is_said_beside_what_holds(capsys: pytest.CaptureFixture[str]) -> None:
    error = np.array([0.01])
    _say(Checked(Verdict.HOLDS, ("joint1",), error, error, error, (), (), accepted=False), Screen())
    holds, refused = capsys.readouterr().out.strip().splitlines()[-2:]
    assert holds.startswith("holds")
    assert "NOT ACCEPTED" in refused


MAPPING = """
arm = "xl330-pendulum"
time = { column = "t", unit = "s" }
[joint.pendulum]
q = { column = "q", unit = "rad" }
command = { column = "duty", unit = "1" }
torque_on = { column = "on" }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a calibration and a mapping."""
    monkeypatch.chdir(tmp_path)
    Path("mapping.toml").write_text(MAPPING)
    calibration(load_arm("xl330-pendulum"), physics={"pendulum.coulomb": 0.01, "delay": 0.005}).write(Path("arm.cal"))
    return tmp_path


def a_log(rows: int, on: int = 1) -> None:
    time = 0.005 * np.arange(rows)
    lines = [f"{t},{0.2 * np.sin(3 * t)},{0.1 * np.sin(3 * t)},{on}" for t in time]
    Path("log.csv").write_text("\n".join(["t,q,duty,on", *lines]))


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("rows", "on", "why"),
    [
        *((rows, 1, "torque was on for less than 1 s (pendulum)") for rows in (2, 10, 40)),
        (2000, 0, "torque was on for less than 1 s (pendulum)"),
        (250, 1, "turns against its command"),
    ],
)
def test_what_cannot_be_judged_is_neither_drift_nor_a_traceback(
    rows: int, on: int, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    a_log(rows, on)
    assert main(["check", "arm.cal", "log.csv", "--mapping", "mapping.toml", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert "cannot be judged by this" in error["message"]
    assert why in error["message"]


@pytest.mark.usefixtures("folder")
def test_an_unfinished_recording_is_no_drift_either(capsys: pytest.CaptureFixture[str]) -> None:
    Path("today").mkdir()
    Path("today/recording.json").write_text(json.dumps({"missing": ["chirp-1"], "flights": []}))
    assert main(["check", "arm.cal", "today", "--arm", "xl330-pendulum"]) == 2
    assert "never flown to the end" in " ".join(capsys.readouterr().err.split())


@pytest.mark.usefixtures("folder")
def test_the_log_that_it_was_fitted_to_is_no_fresh_one(capsys: pytest.CaptureFixture[str]) -> None:
    a_log(2000)
    digest = hashlib.sha256(Path("log.csv").read_bytes()).hexdigest()
    known = calibration(load_arm("xl330-pendulum"), physics={"pendulum.coulomb": 0.01, "delay": 0.005})
    replace(known, logs={"log": digest}).write(Path("old.cal"))
    assert main(["check", "old.cal", "log.csv", "--mapping", "mapping.toml"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "log.csv: among the logs that this calibration was made from" in said
    assert "record a fresh one" in said


@pytest.mark.usefixtures("folder")
def test_each_stage_is_a_line_where_there_is_no_terminal_and_none_in_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stages(*_: object, progress: Callable[[str], None], **__: object) -> Checked:
        progress("rollouts")
        error = np.array([0.01])
        return Checked(Verdict.HOLDS, ("pendulum",), error, error, error, (), (), accepted=True)

    monkeypatch.setattr("calibration.judging.drift.check", stages)
    a_log(2000)
    arguments = ["check", "arm.cal", "log.csv", "--mapping", "mapping.toml"]
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert said.err.splitlines() == ["reading the logs", "rollouts"]
    assert "rollouts\n" not in said.out
    assert main([*arguments, "--json"]) == 0
    assert capsys.readouterr().err == ""


def test_zeros_that_are_not_told_and_what_robot_run_would_refuse_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    error = np.array([0.01])
    told = Checked(Verdict.HOLDS, ("joint1",), error, error, error, (), (), accepted=True, untold=("joint1",))
    _say(told, Screen())
    *_, zero, _, last = capsys.readouterr().out.strip().splitlines()
    assert "this log cannot tell the zero of joint1" in zero
    assert last == "holds; no number that this log tells changed beyond noise"
    _say(replace(told, verdict=Verdict.FOREIGN, differences=("joint1: sign -1, calibrated with 1",)), Screen())
    assert "robot-run would refuse it: joint1: sign -1" in capsys.readouterr().out.splitlines()[0]
    warm = Change("joint1.coulomb", 0.1, 0.12, 5.0, "N·m")
    _say(replace(told, changes=(warm,)), Screen())
    assert capsys.readouterr().out.strip().endswith("holds; what has changed comes and goes with warmth")
