"""Whole flights with the real operator: what a person or a computer does reaches the arm within the table's bound."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from robot_runtime import operator_inputs
from robot_runtime.flight.recorder import Recorder
from robot_runtime.flying import Inputs, Phase
from robot_runtime.operator_inputs import Operator
from robot_runtime.safety.faults import FAULTS
from robot_runtime.session import layout_of, recorder_watcher
from robot_runtime.spec import load_arm
from tests.robot_runtime.flights import Flown, Script, fly_twin

PERIOD = 0.005  # s
OMX = "open-manipulator-x"


class Operated(Script):
    """Acts right after the operator has looked: the worst moment. Presses Ctrl-C a second later, should it hold."""

    def __init__(self, operator: Operator, act: Callable[[], object]) -> None:
        super().__init__(Phase.RUN, act)
        self.operator = operator
        self._pressed = False

    def sample(self, inputs: Inputs, now: float) -> None:
        self.operator.sample(inputs, now)
        super().sample(inputs, now)
        if now > self.acted_at + 1.0 and not self._pressed:
            self._pressed = True
            signal.raise_signal(signal.SIGINT)


def check(flown: Flown, kind: str) -> None:
    assert flown.loop is not None
    assert flown.loop.monitor.seen[0].kind is FAULTS[kind]
    when, stop = flown.stops[0]
    assert stop == FAULTS[kind].stop
    assert when - flown.script.acted_at <= FAULTS[kind].bound.at(PERIOD, 0.1)
    assert not any(flown.twin.drives.torque_on)


def test_the_emergency_stop_in_a_pipe(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with Operator(keys=False, parent=False, estop=reader) as operator:
        script = Operated(operator, lambda: os.write(writer, b"!"))
        check(fly_twin(tmp_path, script=script), "e-stop")
    os.close(reader)
    os.close(writer)


def test_the_emergency_stop_in_a_file(tmp_path: Path) -> None:
    value = tmp_path / "value"
    value.write_text("1\n")
    with Operator(keys=False, parent=False, estop=value) as operator:
        check(fly_twin(tmp_path, script=Operated(operator, lambda: value.write_text("0\n"))), "e-stop")


def test_the_space_bar(tmp_path: Path, keyboard: int) -> None:
    with Operator(parent=False) as operator:
        script = Operated(operator, lambda: os.write(keyboard, b" "))
        flown = fly_twin(tmp_path, script=script, hold_for=0.3)
    check(flown, "operator-freeze")
    assert "held for" not in flown.verdict.outcome  # it stood until Ctrl-C
    assert [f.kind.name for f in flown.verdict.faults] == ["operator-freeze", "operator-stop"]


def test_a_parent_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Operator(keys=False) as operator:
        script = Operated(operator, lambda: monkeypatch.setattr(os, "getppid", lambda: 1))
        check(fly_twin(tmp_path, script=script), "parent-gone")


def test_a_recorder_that_is_killed(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.mcap", layout_of(load_arm(OMX), None))
    assert recorder.wait_until_alive()

    def kill() -> None:
        os.kill(recorder.writer_pid, signal.SIGKILL)
        recorder._process.wait()  # a process that is killed ends a moment later, and no moment passes here

    with recorder, Operator(keys=False, parent=False, watchers=[recorder_watcher(recorder)]) as operator:
        flown = fly_twin(tmp_path, script=Operated(operator, kill))
    check(flown, "recorder-failed")
    assert flown.stops[0][0] - flown.script.acted_at <= operator_inputs.LOOK_EVERY + 2 * PERIOD
