"""A whole flight of a policy, recorded and flown again from the recording alone."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader

from robot_runtime.bus.port import Port
from robot_runtime.cli.common import ExitCode
from robot_runtime.cli.replay import ReplayCode, _judged, main, replay_flight
from robot_runtime.flight.contents import attach_arm, attach_policy
from robot_runtime.flight.ports import RecordingPort
from robot_runtime.flight.reader import read_flight
from robot_runtime.flight.recorder import FlightRecorder, Recorder
from robot_runtime.flight.replay import ReplayResult, replay
from robot_runtime.flying import Inputs, InputSource
from robot_runtime.policy import Action, Contract, Term, contract_to_json
from robot_runtime.policy.load import load_policy
from robot_runtime.session import Orders, fly, layout_of
from robot_runtime.spec import load_arm
from sim.twin import LockstepPort, Twin
from tests.robot_runtime.policy.networks import linear

ARM = "koch-v1.1"


class Nobody:
    """Asks for nothing."""

    def begin(self, now: float) -> None:
        pass

    def sample(self, inputs: Inputs, now: float) -> None:
        pass


def record(folder: Path, faults: Sequence[str] = (), *, goes_on: bool = True) -> Path:
    """A policy that swings every joint by what it sees and by what it said last, flown for half a second."""
    spec = load_arm(ARM)
    joints = spec.joint_names
    n = len(joints)
    contract = Contract(
        (Term("joint_position", n, joints), Term("joint_velocity", n, joints, (0.1,)), Term("last_action", n)),
        Action("position", joints, scale=(0.3,)),
        rate=50.0,
    )
    weights = np.random.default_rng(1).normal(size=(3 * n, n)) / np.sqrt(3 * n)
    network = linear(folder / "policy.onnx", weights, external=True)
    (folder / "policy.json").write_text(contract_to_json(contract))
    policy = load_policy(network, spec, folder / "policy.json")
    orders, path = Orders(200.0, duration=0.5), folder / "a.mcap"
    with Recorder(path, layout_of(spec, policy.contract), waits=True) as recorder:
        attach_arm(recorder, spec)
        attach_policy(recorder, network, policy.contract, orders.as_json())
        port = RecordingPort(LockstepPort(Twin.load(ARM, faults=faults)), recorder)
        verdict = fly(spec, policy, port, orders, Nobody(), recorder, show_checks=lambda _: goes_on)
        recorder.metadata("verdict", verdict.as_json())
    for file in (network, folder / "policy.onnx.data", folder / "policy.json"):
        file.unlink()  # the recording has its own
    return path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("flight"))


def test_every_command_is_the_same_bit_for_bit(recorded: Path) -> None:
    flight = read_flight(recorded)
    assert flight["acts"].sum() > 10
    assert np.ptp(flight["command"][flight["phase"] == 2], axis=0).max() > 0.01
    result = replay_flight(flight)
    assert result.identical
    assert result.cycles == len(flight) > 100
    assert not result.differences
    assert not result.ended


def test_also_on_a_bus_that_loses_replies(tmp_path: Path) -> None:
    flight = read_flight(record(tmp_path, ["packet-lost:p=0.02"]))
    assert flight["missing"].any()
    result = replay_flight(flight)
    assert result.identical
    assert not result.differences


def test_a_torn_recording_is_flown_as_far_as_it_goes(recorded: Path, tmp_path: Path) -> None:
    data = recorded.read_bytes()
    torn = tmp_path / "torn.mcap"
    torn.write_bytes(data[: len(data) * 2 // 3])
    flight = read_flight(torn)
    assert 0 < len(flight) < len(read_flight(recorded))
    result = replay_flight(flight)
    assert result.identical
    assert result.ended


def test_the_command_says_that_a_torn_recording_is_the_same_as_far_as_it_goes(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = recorded.read_bytes()
    (tmp_path / "torn.mcap").write_bytes(data[: len(data) * 2 // 3])
    assert main([str(tmp_path / "torn.mcap")]) == ReplayCode.PARTLY
    out = capsys.readouterr().out
    assert "the same as far as the recording goes, bit for bit" in out
    assert "breaks off" in out


def test_damage_in_the_middle_is_no_difference(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with recorded.open("rb") as file:
        found = make_reader(file).get_summary()
    assert found is not None
    chunk = found.chunk_indexes[len(found.chunk_indexes) // 2]
    data = bytearray(recorded.read_bytes())
    data[chunk.chunk_start_offset + chunk.chunk_length // 2] ^= 0xFF
    (tmp_path / "hole.mcap").write_bytes(data)
    flight = read_flight(tmp_path / "hole.mcap")
    assert 0 < flight.unbroken < len(flight)
    assert main([str(tmp_path / "hole.mcap"), "--json"]) == ReplayCode.PARTLY
    told = json.loads(capsys.readouterr().out)
    assert told["same"]
    assert not told["whole"]
    assert told["differences"] == {}
    assert 0 < told["cycles"] <= flight.unbroken
    assert main([str(tmp_path / "hole.mcap")]) == ReplayCode.PARTLY
    assert f"{len(flight) - flight.unbroken} cycles behind the hole" in capsys.readouterr().out


def test_a_replay_that_goes_on_is_not_the_same(recorded: Path) -> None:
    flight = read_flight(recorded)
    ended = ReplayResult(len(flight), len(flight), {}, 9, (), "the recording ends", "")
    assert _judged(flight, ended, 0.0) is ReplayCode.DIFFERENT
    assert _judged(flight, replace(ended, ended=""), 0.0) is ReplayCode.SAME
    assert _judged(flight, replace(ended, ended="", cycles=9), 0.0) is ReplayCode.DIFFERENT


@pytest.mark.parametrize("name", ["policy/policy.onnx", "arm/arm.toml", "arm/arm.xml"])
def test_a_damaged_recording_that_cannot_be_flown_says_both(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    with recorded.open("rb") as file:
        found = make_reader(file).get_summary()
    assert found is not None
    policy = next(a for a in found.attachment_indexes if a.name == name)
    data = bytearray(recorded.read_bytes())
    data[policy.offset + policy.length // 2] ^= 0xFF
    (tmp_path / "a.mcap").write_bytes(data)
    assert main([str(tmp_path / "a.mcap")]) == ExitCode.USAGE
    first, then = capsys.readouterr().err.strip().split("\n", 1)
    assert f"{name}' is not as it was written" in first
    assert "/a.mcap: " in then
    assert tempfile.gettempdir() + "/tmp" not in then  # where it was unpacked


@pytest.mark.parametrize("tolerance", ["nan", "-1", "inf"])
def test_a_tolerance_is_a_number(recorded: Path, capsys: pytest.CaptureFixture[str], tolerance: str) -> None:
    assert main([str(recorded), f"--tolerance={tolerance}"]) == ExitCode.USAGE
    assert "--tolerance" in capsys.readouterr().err


def test_what_went_wrong_first_is_told(recorded: Path) -> None:
    def fly(port: Port, inputs: InputSource, recorder: FlightRecorder) -> None:
        try:
            port.set_baudrate(9600)
        finally:
            port.read_into(memoryview(bytearray(1)), 0.0)  # what cleaning up does

    result = replay(read_flight(recorded), fly)
    assert "the replay does BAUD" in result.diverged
    assert not result.identical


def test_a_recording_without_a_cycle_is_not_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record(tmp_path, goes_on=False)
    assert len(read_flight(path)) == 0
    assert main([str(path)]) == 1
    out = capsys.readouterr().out
    assert "nothing to compare" in out
    assert "the same" not in out


def test_the_command_says_the_same(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(recorded)]) == 0
    assert "the same, bit for bit" in capsys.readouterr().out
    assert main([str(recorded), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["same"]
    assert told["differences"] == {}


def test_a_recording_without_a_policy_cannot_be_flown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Recorder(tmp_path / "a.mcap", layout_of(load_arm(ARM), None)):
        pass
    assert main([str(tmp_path / "a.mcap")]) == 2
    assert "carries no policy" in capsys.readouterr().err
