"""Nothing is written over an input or over something else, and that is said before the work begins."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from calibration.cli.calibrate import main
from robot_runtime.spec import load_arm
from tests.robot_runtime.calibrated.made import healthy

MAPPING = """
arm = "xl330-pendulum"
time = { column = "t", unit = "s" }
[joint.pendulum]
q = { column = "q", unit = "rad" }
command = { column = "duty", unit = "1" }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With everything that a command can be given."""
    monkeypatch.chdir(tmp_path)
    Path("log.csv").write_text("t,q,duty\n0,0,0\n0.005,0,0\n")
    Path("mapping.toml").write_text(MAPPING)
    Path("notes.txt").write_text("dear diary")
    Path("policy.onnx").write_bytes(b"a policy")
    Path("folder").mkdir()
    healthy(load_arm("koch-v1.1")).write(Path("old.cal"))
    return tmp_path


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--out", "log.csv"], "--out log.csv: that is an input"),
        (["--out", "folder/../mapping.toml"], "that is an input"),
        (["--out", "notes.txt"], "--out notes.txt: something else is there"),
        (["--out", "folder"], "--out folder: a folder"),
        (["--out", "nowhere/arm.cal"], "there is no folder nowhere; make it first"),
        (["--out", "old.cal", "--report", "old.cal"], "--report old.cal: that is an input"),
        (["--report", "notes.txt"], "--report notes.txt: something else is there"),
        (["--name", "caf\udce9"], "'caf\\udce9' is not UTF-8: give the name in plain letters"),
        (["--threads", "0"], "'0' is not a number of threads"),
        (["--threads", "-2"], "'-2' is not a number of threads"),
        (["--threads", "1000000"], "'1000000' is not a number of threads"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_fit_loses_nothing(options: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = {file: file.read_bytes() for file in Path().iterdir() if file.is_file()}
    assert main(["fit", "log.csv", "--mapping", "mapping.toml", *options]) == 2
    assert reason in capsys.readouterr().err.replace("\n", " ")
    assert {file: file.read_bytes() for file in Path().iterdir() if file.is_file()} == before


@pytest.mark.usefixtures("folder")
def test_an_older_calibration_may_be_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "log.csv", "--mapping", "mapping.toml", "--out", "old.cal"]) == 1
    assert "these logs cannot be fitted" in capsys.readouterr().err  # it got that far


@pytest.mark.parametrize("out", ["policy.onnx", "old.cal", "notes.txt", "folder", "nowhere/b.onnx"])
@pytest.mark.usefixtures("folder")
def test_a_bundle_loses_nothing(out: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = {file: file.read_bytes() for file in Path().iterdir() if file.is_file()}
    assert main(["bundle", "--policy", "policy.onnx", "--calibration", "old.cal", "--out", out]) == 2
    assert f"--out {out}: " in capsys.readouterr().err.replace("\n", " ")
    assert {file: file.read_bytes() for file in Path().iterdir() if file.is_file()} == before


LOST = ["policy.onnx", "old.cal", "notes.txt", "folder", "nowhere/b.cal"]


@pytest.mark.parametrize("out", LOST)
@pytest.mark.usefixtures("folder")
def test_refining_looks_before_it_learns(out: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["refine", "old.cal", "--policy", "policy.onnx", "--out", out]) == 2
    assert f"--out {out}: " in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(
    "options", [*(["--out", out] for out in LOST if out != "old.cal"), ["--report", "notes.txt"]], ids=" ".join
)
@pytest.mark.usefixtures("folder")
def test_the_whole_looks_before_the_arm_moves(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--arm", "xl330-pendulum", "--policy", "policy.onnx", "--recording", "there", "--yes", *options]) == 2
    assert f"{' '.join(options)}: " in capsys.readouterr().err.replace("\n", " ")
    assert not Path("there").exists()


@pytest.mark.parametrize("count", ["-3", "0", "1000000"])
@pytest.mark.parametrize("command", ["forecast", "refine"])
def test_threads_that_cannot_be_are_told(command: str, count: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", "b.cal"] if command == "refine" else []
    assert main([command, "old.cal", "--policy", "policy.onnx", *out, "--threads", count]) == 2
    assert f"'{count}' is not a number of threads" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_a_log_whose_name_fits_in_no_file_is_refused_before_the_fit(capsys: pytest.CaptureFixture[str]) -> None:
    Path("log.csv").rename(os.fsdecode(b"caf\xe9.csv"))
    assert main(["fit", os.fsdecode(b"caf\xe9.csv"), "--mapping", "mapping.toml", "--json"]) == 2
    assert (
        "'caf\\udce9': a name that is not UTF-8"
        in json.loads(capsys.readouterr().out.splitlines()[-1])["error"]["message"]
    )
