from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_runtime.flight.reader import Flight, read_flight
from robot_runtime.flight.recorder import Level, Recorder
from robot_runtime.flight.summary import arm_of, ending, phases, summary
from robot_runtime.spec import load_arm
from tests.robot_runtime.flight.flights import ARM, SMALL, record_twin


@pytest.fixture
def flight(tmp_path: Path) -> Flight:
    """Ten cycles of numbers that can be counted in the head."""
    with Recorder(tmp_path / "a.mcap", SMALL, waits=True) as recorder:
        row = recorder.row
        for k in range(10):
            row["begin"][0] = row["due"][0] = k * 0.002
            for i, name in enumerate(("read", "acted", "limited", "written")):
                row[name][0] = row["begin"][0] + (i + 1) * 1e-4
            row["phase"][0] = 1 if k < 4 else 2
            row["q"][:], row["command"][:] = 0.1 * k, 0.1 * k + 0.5
            row["interventions"][:] = (3 if k == 5 else 0, 2 if k > 7 else 0)
            row["missing"][0] = 2 if k == 3 else 0
            row["skipped"][0] = k == 6
            recorder.put()
    return read_flight(tmp_path / "a.mcap")


def test_numbers(flight: Flight) -> None:
    found = summary(flight, None)
    assert (found["cycles"], found["skipped"], found["lost_replies"]) == (10, 1, 1)
    assert found["rate"] == pytest.approx(500.0)
    assert found["seconds"] == pytest.approx(0.018)
    assert found["timing"]["act"]["p99"] == pytest.approx(1e-4)
    pan, wrist = found["joints"]
    assert pan["interventions"] == {"VELOCITY": 1, "JERK": 1}
    assert wrist["interventions"] == {"JERK": 2}
    assert wrist["lost_replies"] == 1
    assert pan["tracking_rms"] == pytest.approx(0.5)
    assert found["verdict"] is None


def test_phases_in_order(flight: Flight) -> None:
    assert [(s.phase.name, s.first, s.end) for s in phases(flight)] == [("START", 0, 4), ("RUN", 4, 10)]


def test_shares_of_the_arms_limits(tmp_path: Path) -> None:
    record_twin(tmp_path / "a.mcap", cycles=40)
    flight = read_flight(tmp_path / "a.mcap")
    arm = arm_of(flight)
    assert arm is not None
    assert arm.digest == load_arm(ARM).digest
    first = summary(flight, arm)["joints"][0]
    assert first["torque_share"] == pytest.approx(np.abs(flight["tau"][:, 0]).max() / arm.joints[0].limits.torque)
    assert first["beyond_limits"] == 0.0


def test_a_recording_without_its_arm(flight: Flight) -> None:
    assert arm_of(flight) is None


def ended(path: Path, verdict: Mapping[str, Any] | None = None, *events: tuple[str, Level, str]) -> Flight:
    """A flight of three cycles, the third of which was lost, that ended like this."""
    path.unlink(missing_ok=True)
    with Recorder(path, SMALL, waits=True) as recorder:
        for k in (0, 1, 3):
            recorder.row["cycle"][0], recorder.row["begin"][0] = k, 5.0 + 0.1 * k
            recorder.put()
        for text, level, name in events:
            recorder.event(text, level, name, at=5.2)
        if verdict is not None:
            recorder.metadata("verdict", verdict)
    return read_flight(path)


def test_how_it_ended_is_what_the_verdict_says(tmp_path: Path) -> None:
    told = {"verdict": "completed", "text": "2.0 s"}
    assert ending(ended(tmp_path / "a.mcap", told)) == ("completed", "2.0 s")
    told = {"verdict": "bus", "text": "joint1 was not heard"}
    assert summary(ended(tmp_path / "a.mcap", told), None)["ending"] == "bus: joint1 was not heard"


def test_without_a_verdict_only_what_is_known_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    full = ("the disk is nearly full", Level.ERROR, "DISK_FULL")
    assert "the command ended without one" in ending(ended(path, None))[1]
    assert "was gone" in ending(ended(path, None, ("the program is gone", Level.FATAL, "recorder")))[1]
    ended(path, None, full)
    path.write_bytes(path.read_bytes()[:-200])
    _, text = ending(read_flight(path))
    assert "was gone" not in text
    assert "a full disk" in text


def test_cycles_that_were_lost_are_missed(tmp_path: Path) -> None:
    flight = ended(tmp_path / "a.mcap", {"verdict": "completed"}, ("careful", Level.WARNING, "target"))
    assert flight.lost == 1
    assert summary(flight, None)["damage"] == ["cycles that ran and are not in it: 1"]
