"""Flights of a frozen policy over its targets, on a twin in virtual time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import calibration_flights
from benchmarks.calibration_flights import fly
from benchmarks.gaps import timer_set
from calibration.recording.record import SET_TIMER
from sim.tasks.arm_task import ArmTask
from sim.tasks.registry import make_task
from sim.twin.gap import Gap, load_gap

POLICY = Path(__file__).parents[2] / "models/policies/hold-xl330-pendulum.onnx"


@pytest.fixture
def hold() -> ArmTask:
    task = make_task("hold", range(1), arm="xl330-pendulum")
    assert isinstance(task, ArmTask)
    return task


def test_an_arm_without_a_gap_reaches_its_target(hold: ArmTask) -> None:
    found = fly(POLICY, hold, Gap(), 1, None)
    assert (found.success, found.let_go) == (1.0, 0)
    assert 0.0 < found.error < 0.01


def test_the_adapter_waits_no_longer_than_one_that_was_set(hold: ArmTask) -> None:
    """With 16 ms a bus of 10 ms is flown half blind, which no preflight lets pass."""
    flight = calibration_flights._Flight(POLICY, hold, load_gap("harsh"), None, seed=0, period=0.01)
    assert flight._port.adapter_latency == SET_TIMER < load_gap("harsh").bus.latency_timer
    assert timer_set(Gap()) == Gap()


def test_a_servo_that_lets_go_loses_its_target_and_no_other(hold: ArmTask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of three; the third is flown by an arm that was started anew."""
    started = []

    class Flight:
        def __init__(self, *_: object) -> None:
            started.append(self)
            self.let_go = False

        def towards(self, _: object, row: int, errors: np.ndarray) -> int:
            self.let_go = row == 1
            errors[:] = 0.001
            return 0

    monkeypatch.setattr(calibration_flights, "_Flight", Flight)
    found = fly(POLICY, hold, Gap(), 3, None)
    assert found.success == pytest.approx(2 / 3)
    assert found.let_go == 1
    assert len(started) == 2
    started.clear()
    fly(POLICY, hold, Gap(), 3, None, anew=True)
    assert len(started) == 3
