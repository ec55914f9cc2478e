"""robot-run with a calibration: what it says, what it refuses, what it records."""

# ruff: noqa: F811 (fixtures of a neighbour are imported by name)

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from robot_runtime.calibrated.file import Calibration
from robot_runtime.cli import replay, run
from robot_runtime.flight.reader import read_flight
from robot_runtime.spec import load_arm
from tests.robot_runtime.calibrated.made import calibration, healthy, mapped, observation_map
from tests.robot_runtime.cli.conftest import Desk
from tests.robot_runtime.cli.test_run import ARM, Pendulum, pendulum, policy  # noqa: F401 (fixtures)


@pytest.fixture
def accepted(tmp_path: Path) -> str:
    healthy(load_arm(ARM)).write(tmp_path / "arm.cal")
    return str(tmp_path / "arm.cal")


@pytest.fixture
def held_back(tmp_path: Path) -> str:
    spec = load_arm(ARM)
    calibration(spec, observation_map(mapped(spec, "observation")), accepted=False).write(tmp_path / "arm.cal")
    return str(tmp_path / "arm.cal")


def test_it_flies_and_the_recording_flies_again(desk: Desk, pendulum: Pendulum, policy: str, accepted: str) -> None:
    ended = desk.run(run.main, "--policy", policy, "--calibration", accepted, "--duration", "0.3", "--json")
    first, last = (json.loads(line) for line in ended.out.splitlines())
    assert ended.code == 0, last
    (row,) = [check for check in first["preflight"] if check["name"].startswith("calibration")]
    assert row["ok"] is True
    assert last["calibration"]["observation"]["outside"] == 0
    flight = read_flight(Path(last["recording"]))
    assert json.loads(flight.metadata["calibration"]["accepted"]) is True
    assert flight.metadata["calibration"]["digest"] == Calibration.read(Path(accepted)).digest
    assert replay.main([last["recording"]]) == 0


def test_what_failed_acceptance_is_refused_unless_forced(
    desk: Desk,
    pendulum: Pendulum,
    policy: str,
    held_back: str,
) -> None:
    args = ("--policy", policy, "--calibration", held_back, "--duration", "0.3")
    refused = desk.run(run.main, *args, "--no-record")
    assert refused.code == 5
    assert "held back: rollout (held-out log) 0.9" in " ".join(refused.out.split())
    forced = desk.run(run.main, *args, "--force", "--record", "there")
    assert forced.code == 0
    assert "calibration: acceptance: held back: rollout (held-out log) 0.9 (--force)" in " ".join(forced.out.split())
    (recording,) = Path("there").glob("*.mcap")
    flight = read_flight(recording)
    assert any("(--force)" in event.text for event in flight.events)
    assert json.loads(flight.metadata["policy"]["orders"])["force"] is True


def test_a_file_that_is_none_or_nothing_to_force_is_wrong_usage(desk: Desk, policy: str, tmp_path: Path) -> None:
    ended = desk.run(run.main, "--policy", policy, "--calibration", policy)
    assert ended.code == 2
    assert "not a calibration" in ended.err
    ended = desk.run(run.main, "--policy", policy, "--calibration", str(tmp_path / "missing.cal"))
    assert (ended.code, "missing.cal" in ended.err) == (2, True)
    ended = desk.run(run.main, "--policy", policy, "--force")
    assert ended.code == 2
    assert "--calibration" in ended.err


def test_a_map_that_cannot_be_run_is_refused_before_the_port_is_opened(desk: Desk, policy: str, tmp_path: Path) -> None:
    whole = healthy(load_arm(ARM))
    maps = {kind: replace(file, onnx=file.onnx.replace(b"Gemm", b"Gemn")) for kind, file in whole.maps.items()}
    replace(whole, maps=maps).write(tmp_path / "arm.cal")
    ended = desk.run(run.main, "--policy", policy, "--calibration", str(tmp_path / "arm.cal"))
    assert ended.code == 2, ended.out  # there is no port: that would be 3
    assert "is not a network that can be run" in ended.err
    whole.write(tmp_path / "arm.cal")
    ended = desk.run(run.main, "--policy", policy, "--calibration", str(tmp_path / "arm.cal"), "--rate", "500")
    assert ended.code == 2
    assert "use --rate 200 or a multiple" in ended.err
