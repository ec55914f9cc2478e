"""The loop as a whole, on the lock-step twin in virtual time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robot_runtime.flying import Phase
from robot_runtime.safety.fault_kind import Ending
from robot_runtime.spec import load_arm
from tests.robot_runtime.flights import Script, fly_twin


@pytest.mark.parametrize("name", ["open-manipulator-x", "koch-v1.1", "xl330-pendulum"])
@pytest.mark.parametrize("gap", [None, "mild"])
def test_a_healthy_flight_completes_and_ends_at_rest(name: str, gap: str | None, tmp_path: Path) -> None:
    flown = fly_twin(tmp_path, name, gap=gap)
    assert flown.verdict.ending is Ending.COMPLETED, flown.verdict.text
    assert flown.verdict.faults == ()
    assert flown.excess < 0.02
    assert flown.speed_share < 1.0
    assert not any(flown.twin.drives.torque_on)
    rest = np.array(load_arm(name).poses["rest"])
    assert np.abs(np.array(flown.twin.drives.joint_position) - rest).max() < 0.2
    assert flown.verdict.seconds == pytest.approx(2.0, abs=0.011)


def test_nothing_moves_and_nothing_is_sent_in_a_readonly_flight(tmp_path: Path) -> None:
    flown = fly_twin(tmp_path, readonly=True, duration=0.5)
    assert flown.verdict.ending is Ending.COMPLETED
    assert flown.loop is not None
    assert flown.loop.arm.bus.statistics.writes == 0
    assert not any(flown.twin.drives.torque_on)


def test_a_start_pose_that_is_not_reached_ends_the_flight(tmp_path: Path) -> None:
    script = Script(Phase.START, after=0.2)
    script.act = lambda: script.loop is not None and setattr(script.loop, "_moves", [])
    flown = fly_twin(tmp_path, script=script)
    assert next(f.kind.name for f in flown.verdict.faults) == "start-missed"
    assert flown.verdict.ending is Ending.MOTION
    assert flown.verdict.seconds == 0.0
