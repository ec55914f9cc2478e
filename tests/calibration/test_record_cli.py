"""`robot-calibrate record`: what it shows, asks, and answers; one flight of the real program on a twin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calibration.cli.calibrate import main
from calibration.excitation.spans import INDEX
from calibration.recording import preview
from calibration.recording.record import Recording
from robot_runtime.flight.clip import ClipError
from robot_runtime.spec import load_arm
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
        (["record", "--resume", "nowhere"], 2, "no recording to go on with"),
        (["wreck"], 2, "wreck"),
    ],
)
def test_bad_usage_is_said(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str) -> None:
    assert main(arguments) == code
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


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
