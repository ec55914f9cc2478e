from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robot_runtime.flight.reader import Flight, read_flight
from robot_runtime.flight.recorder import Recorder
from robot_runtime.flight.summary import arm_of, phases, summary
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
