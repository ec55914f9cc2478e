"""What the loop leaves for the display, and how often; in the clock of the loop."""

from __future__ import annotations

import os
import subprocess
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from robot_runtime.aim import Aim
from robot_runtime.arm import Kinematics
from robot_runtime.flying import Phase
from robot_runtime.histogram import Histogram
from robot_runtime.live import EVERY, Live, about
from robot_runtime.safety.fault_kind import Stop
from robot_runtime.safety.why import REASONS
from robot_runtime.snapshot import SnapshotReader
from robot_runtime.spec import load_arm

PERIOD = 0.005


class Child:
    """Stands for the process that draws."""

    def __init__(self, arguments: list[str], **_: Any) -> None:
        self.arguments, self.killed, self.hangs = arguments, False, False

    def wait(self, timeout: float | None = None) -> int:
        if self.hangs and not self.killed:
            raise subprocess.TimeoutExpired("dashboard", timeout or 0)
        return 0

    def kill(self) -> None:
        self.killed = True


@pytest.fixture(autouse=True)
def _no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", Child)


def flight() -> tuple[Any, Live, SnapshotReader]:
    """A loop that stands for the real one, its display, and who looks."""
    spec = load_arm("open-manipulator-x")
    count = len(spec.joints)
    state = SimpleNamespace(
        q=np.arange(count) / 10, dq=np.zeros(count), tau=np.zeros(count), temperature=np.zeros(count)
    )
    loop = SimpleNamespace(
        phase=Phase.RUN,
        stop=Stop.NONE,
        run_time=1.0,
        pacer=SimpleNamespace(cycle=0, due=500.0, lateness=0.0, skipped_in_all=0),
        arm=SimpleNamespace(state=state),
        times={"lateness": Histogram()},
        command=np.zeros(count),
        envelope=SimpleNamespace(counts=np.zeros((count, len(REASONS)), dtype=np.int64)),
        inputs=SimpleNamespace(target=np.array([0.2, 0.0, 0.1])),
        monitor=SimpleNamespace(seen=[]),
    )
    shown = Live(about(spec, "p.onnx", PERIOD, target_size=3))
    return loop, shown, SnapshotReader(os.dup(shown.snapshot.fd))


def fly(loop: Any, shown: Live, cycles: int, *, skip: int = 0) -> None:
    for _ in range(cycles):
        loop.pacer.cycle += 1 + skip
        loop.pacer.skipped_in_all += skip
        loop.pacer.due += (1 + skip) * PERIOD
        shown(loop)


def test_a_snapshot_every_so_often_with_the_rate_that_was_reached() -> None:
    loop, shown, reader = flight()
    fly(loop, shown, 1)
    first = reader.read()
    assert first is not None
    assert first["time"] == 0
    loop.pacer.lateness = 40e-6
    fly(loop, shown, 5)
    loop.pacer.lateness = 0.0
    fly(loop, shown, 6)
    frame = reader.read()
    assert frame is not None
    assert EVERY - 1e-9 <= frame["time"] <= EVERY + PERIOD
    assert frame["rate"] == pytest.approx(1 / PERIOD)
    assert frame["lateness"] == 40e-6  # the worst between the two
    assert frame["q"].tolist() == loop.arm.state.q.tolist()
    assert frame["target"].tolist() == [0.2, 0.0, 0.1]
    fly(loop, shown, 20, skip=1)
    frame = reader.read()
    assert frame is not None
    assert frame["rate"] == pytest.approx(0.5 / PERIOD, rel=0.1)
    assert frame["skipped"] == pytest.approx(20, abs=6)
    shown.close()


def test_the_distance_from_the_target_is_told_while_it_is_flown_to() -> None:
    loop, shown, reader = flight()
    spec = load_arm("open-manipulator-x")
    aimed = Live(about(spec, "p.onnx", PERIOD, target_size=3), Aim(spec))
    looks = SnapshotReader(os.dup(aimed.snapshot.fd))
    fly(loop, shown, 1)
    fly(loop, aimed, 1)
    frames = reader.read(), looks.read()
    assert frames[0] is not None
    assert frames[1] is not None
    assert np.isnan(frames[0]["distance"])
    far = np.linalg.norm(Kinematics(spec).tip_position(loop.arm.state.q) - loop.inputs.target)
    assert frames[1]["distance"] == pytest.approx(far)
    loop.phase = Phase.STOP
    fly(loop, aimed, 12)
    frame = looks.read()
    assert frame is not None
    assert np.isnan(frame["distance"])
    shown.close()
    aimed.close()


def test_a_fault_is_told_once_and_the_end_with_its_verdict() -> None:
    loop, shown, reader = flight()
    loop.monitor.seen.append(SimpleNamespace(text="servo 3 is silent"))
    fly(loop, shown, 50)
    shown.say("stopping")
    shown.close("ended by a lost servo")
    shown.close()
    frame = reader.read()
    assert frame is not None
    assert bytes(frame["text"]).decode() == "servo 3 is silent\nstopping"
    assert frame["phase"] == Phase.ENDED
    assert bytes(frame["verdict"]) == b"ended by a lost servo"


def test_a_display_that_hangs_does_not_keep_the_flight() -> None:
    _, shown, _ = flight()
    child: Any = shown._process
    child.hangs = True
    with shown:
        pass
    assert child.killed
