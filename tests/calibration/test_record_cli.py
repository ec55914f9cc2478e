"""`robot-calibrate record`: what it shows, asks, and answers; one flight of the real program on a twin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from calibration import excitation
from calibration.cli.calibrate import main
from calibration.cli.record import _tell
from calibration.excitation.spans import INDEX
from calibration.recording import preview
from calibration.recording.record import Recording
from robot_runtime.cli.common import Screen
from robot_runtime.flight.clip import ClipError
from robot_runtime.safety.fault_kind import Ending
from robot_runtime.spec import load_arm
from robot_runtime.verdict import Verdict
from tests.calibration.excitations import small

RIG = "xl330-pendulum"


def prepared(folder: Path, seconds: float = 2.0) -> Path:
    """A recording of which nothing has been flown."""
    spec = load_arm(RIG)
    Recording.begin(folder, small(spec, ("pendulum",), ("sweep",), seconds), {"gap": "none"})
    return folder


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["record"], 2, "which arm"),
        (["record", "--arm", "nobody"], 2, "nobody"),
        (["record", "--arm", RIG, "--port", "/dev/none", "--gap", "mild"], 2, "leave --port out"),
        (["record", "--arm", RIG, "--joints", "nose"], 2, "no joint nose"),
        (["record", "--arm", RIG, "--payload", "-0.1"], 2, "--payload -0.1: a weight in kg"),
        *((["record", "--arm", RIG, "--rate", rate], 2, "--rate") for rate in ("0", "-5", "nan", "inf", "1e9")),
        (["record", "--arm", RIG, "--seed", "-1"], 2, "--seed -1: a whole number from 0 on"),
        (["record", "--resume", "nowhere"], 2, "no recording to go on with"),
        (["wreck"], 2, "wreck"),
    ],
)
def test_bad_usage_is_said(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str) -> None:
    assert main(arguments) == code
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


def test_a_recording_that_is_there_is_seen_before_another_is_planned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = prepared(tmp_path)
    monkeypatch.setattr(excitation, "plan", lambda *_, **__: pytest.fail("planned"))
    assert main(["record", "--arm", RIG, "--out", str(folder)]) != 0
    assert f"--resume {folder} goes on" in capsys.readouterr().err


def test_nobody_to_confirm_means_no_motion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = prepared(tmp_path)
    assert main(["record", "--resume", str(folder), "--port", "/dev/none", "--no-picture"]) == 5
    assert "--yes" in capsys.readouterr().err
    assert json.loads((folder / INDEX).read_text())["flights"] == []


def test_a_weight_needs_somebody_who_hangs_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = load_arm(RIG)
    Recording.begin(tmp_path, small(spec, ("pendulum",), ("sweep",), 2.0, load=0.02), {"gap": "none"})
    assert main(["record", "--resume", str(tmp_path), "--port", "/dev/none", "--yes", "--no-picture"]) == 5
    assert "hang 20 g at the tip" in " ".join(capsys.readouterr().err.split())


def test_preview_only_shows_and_moves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = prepared(tmp_path)
    assert main(["record", "--resume", str(folder), "--preview-only", "--no-picture", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["plan"][0]["segment"] == "sweep-1"
    assert told["plan"][0]["joints"]["pendulum"]["speed"] > 0
    assert not list(folder.glob("*.mcap"))


def test_people_get_range_and_speed_of_every_joint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = prepared(tmp_path)
    assert main(["record", "--resume", str(folder), "--preview-only", "--no-picture"]) == 0
    told = capsys.readouterr().out
    (row,) = preview.rows(Recording.open(folder).excitation, load_arm(RIG))
    cell = row["joints"]["pendulum"]
    assert f"{cell['low']:+.2f} to {cell['high']:+.2f}" in told
    assert f"{cell['speed']:.2f} {cell['speed'] / load_arm(RIG).joints[0].limits.velocity:4.0%}" in told
    assert max(len(line) for line in told.splitlines() if "pendulum" in line and "/" not in line) <= 80


def test_the_picture_shows_the_arm_moving(tmp_path: Path) -> None:
    spec = load_arm(RIG)
    try:
        folder = prepared(tmp_path)
        shown = preview.picture(folder, Recording.open(folder).excitation, spec).read_bytes()
    except ClipError as error:
        pytest.skip(str(error))
    assert shown.startswith(b"\x89PNG")
    assert shown.count(b"fcTL") == 20  # in the motion's own time, as it is short


def test_it_records_the_twin_and_tells_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The program itself, in real time: a busy computer may end the flight, but not without saying so."""
    folder = prepared(tmp_path)
    code = main(["record", "--resume", str(folder), "--no-picture", "--json"])
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told[-1]["exit_code"] == code
    assert told[-1]["complete"] is (code == 0)
    assert told[-1]["flights"] == [str(folder / "flight-01.mcap")]
    assert (folder / "flight-01.mcap").exists()


def begun(folder: Path, flown: bool = True, **notes: Any) -> Path:
    """A recording whose first segment of two is there."""
    spec = load_arm(RIG)
    asked = {"level": "quick", "rate": 200.0, "payload": 0.0, "seed": 0, "one_by_one": False, "gains": None}
    asked |= {"joints": None, "policy": None}
    told = {"gap": "mild", "name": "left", "asked": asked, **notes}
    recording = Recording.begin(folder, small(spec, ("pendulum",)), told)
    if flown:
        recording.add(folder / "flight-01.mcap", "", ("sweep-1",), Verdict(Ending.ASKED, "asked"))
    return folder


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--level", "full"], "was begun with --level quick: leave --level out"),
        (["--payload", "0.2"], "was begun with --payload 0.0: leave --payload out"),
        (["--rate", "100"], "was begun with --rate 200.0: leave --rate out"),
        (["--seed", "3"], "was begun with --seed 0: leave --seed out"),
        (["--joints", "pendulum"], "was begun without --joints: leave --joints out"),
        (["--one-by-one"], "was begun without --one-by-one"),
        (["--no-gains"], "was begun without --no-gains"),
        (["--gap", "harsh"], "was begun with --gap mild: leave --gap out"),
        (["--port", "/dev/none"], "was begun on the twin: leave --port out"),
        (["--name", "right"], "was begun with --name left: leave --name out"),
        (["--out", "elsewhere"], "leave --out out"),
    ],
)
def test_whoever_goes_on_asks_for_nothing_else(
    given: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = begun(tmp_path)
    before = (folder / INDEX).read_bytes()
    assert main(["record", "--resume", str(folder), "--no-picture", *given]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert (folder / INDEX).read_bytes() == before


def test_the_same_may_be_said_again_and_the_name_is_kept(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    again = ["--level", "quick", "--rate", "200", "--gap", "mild", "--name", "left", "--out", str(folder)]
    for given in ([], again):
        assert main(["record", "--resume", str(folder), "--preview-only", "--no-picture", *given]) == 0
        assert Recording.open(folder).notes["name"] == "left"


def test_where_it_is_flown_is_open_until_the_first_flight(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = begun(tmp_path, flown=False, gap="none", name="")
    port = ["--port", "/dev/none", "--name", "right"]
    assert main(["record", "--resume", str(folder), "--preview-only", "--no-picture", *port]) == 0
    recording = Recording.open(folder)
    assert (recording.notes["gap"], recording.notes["name"]) == ("", "right")
    recording.add(folder / "flight-01.mcap", "", ("sweep-1",), Verdict(Ending.ASKED, "asked"))
    assert main(["record", "--resume", str(folder), "--preview-only", "--no-picture"]) == 2
    assert "begun on an arm, not on its twin: give its --port" in " ".join(capsys.readouterr().err.split())
    assert main(["record", "--resume", str(folder), "--preview-only", "--no-picture", "--port", "/dev/other"]) == 0


def test_a_recording_of_before_is_compared_with_its_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(prepared(tmp_path))
    assert main(["record", "--resume", folder, "--preview-only", "--no-picture", "--rate", "200"]) == 0
    assert main(["record", "--resume", folder, "--rate", "100"]) == 2
    assert main(["record", "--resume", folder, "--seed", "0"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "was begun with --rate 200.0" in said
    assert "does not say with which --seed: leave --seed out" in said


def test_what_was_asked_and_the_name_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(excitation, "plan", lambda spec, *_, **__: small(spec, ("pendulum",)))
    folder = tmp_path / "r"
    given = ["--arm", RIG, "--seed", "3", "--name", "left", "--out", str(folder)]
    assert main(["record", *given, "--preview-only", "--no-picture"]) == 0
    notes = Recording.open(folder).notes
    assert notes["name"] == "left"
    assert (notes["asked"]["seed"], notes["asked"]["rate"], notes["asked"]["level"]) == (3, 200.0, "quick")


def test_it_advises_a_fit_that_knows_what_was_interrupted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder's index leaves out flights that hold no whole segment; a shell's star does not."""
    folder = prepared(tmp_path)
    recording = Recording.open(folder)
    recording.add(folder / "flight-01.mcap", "", ("sweep-1",), ended := Verdict(Ending.COMPLETED, "completed"))
    _tell(Screen(), recording, ended)
    assert f"robot-calibrate fit {folder}'" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("given", "words"), [(["--gap", "nope"], "no gap 'nope'"), (["--fault", "nope"], "unknown fault 'nope'")]
)
def test_gaps_and_faults_that_do_not_exist_are_told_before_the_preview(
    given: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = prepared(tmp_path / "old")
    for where in (["--resume", str(folder)], ["--arm", RIG, "--out", str(tmp_path / "new")]):
        assert main(["record", *where, "--no-picture", *given]) == 2
        said = capsys.readouterr()
        assert words in " ".join(said.err.split())
        assert said.out == ""
    assert not (tmp_path / "new").exists()
    assert Recording.open(folder).notes["gap"] == "none"
