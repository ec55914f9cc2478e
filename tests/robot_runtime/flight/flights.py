"""Recorded flights for tests: an arm on the lock-step twin, and rows that can be recognised."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from robot_runtime.arm import Arm, JointCommand
from robot_runtime.bus.port import Port
from robot_runtime.flight.contents import attach_arm
from robot_runtime.flight.layout import CycleLayout
from robot_runtime.flight.ports import RecordingPort
from robot_runtime.flight.recorder import FlightRecorder, Recorder
from robot_runtime.spec import load_arm
from sim.twin import LockstepPort, Twin

ARM = "open-manipulator-x"
PERIOD = 0.005  # s
SMALL = CycleLayout(("pan", "Wrist-Roll"), ("position", "current"), 5, 2, 3, ("VELOCITY", "JERK"))


def arm_layout(name: str = ARM) -> CycleLayout:
    spec = load_arm(name)
    return CycleLayout(spec.joint_names, tuple(str(j.mode) for j in spec.joints), target=3, reasons=("VELOCITY",))


def fly(port: Port, recorder: FlightRecorder, cycles: int, name: str = ARM, each: Callable[[int], object] = id) -> None:
    """Open, torque on, swing the first joint a little, torque off: the whole session through one port."""
    arm = Arm.open(load_arm(name), port)
    arm.prepare()
    arm.torque_on()
    command = JointCommand(len(arm.spec.joints))
    everyone = command.held.copy()
    arm.capture_hold(everyone)
    command.held[:] = False
    for quantity in ("q", "dq", "tau", "stamp", "fresh", "alert", "voltage", "temperature", "health_stamp"):
        recorder.bind(quantity, getattr(arm.state, quantity))
    recorder.bind("command", command.values)
    row, start = recorder.row, port.now()
    middle = arm.state.q.copy()
    for k in range(cycles):
        due = start + k * PERIOD
        port.sleep_until(due)
        row["begin"][0] = begin = port.now()
        row["missing"][0] = arm.read(due + 0.7 * PERIOD)
        row["read"][0] = port.now()
        arm.hold_into(command.values, everyone)
        command.values[0] += 0.4 * np.sin(6.0 * (begin - start)) * np.cos(middle[0] - arm.state.q[0])
        arm.write(command)
        row["written"][0], row["due"][0], row["cycle"][0] = port.now(), due, k
        recorder.put()
        each(k)
    arm.torque_off()
    arm.close()


def record_twin(path: Path, cycles: int = 200, faults: Sequence[str] = (), parts: int = 1) -> None:
    """A flight on the lock-step twin; between its `parts` it waits until what was is in the file."""

    size = 0

    def wait(k: int) -> None:
        nonlocal size
        if (k + 1) % (cycles // parts) == 0 and k + 1 < cycles:
            patience = time.monotonic() + 20.0
            while path.stat().st_size == size and time.monotonic() < patience:
                time.sleep(0.01)
            size = path.stat().st_size

    with Recorder(path, arm_layout(), {"session": {"arm": ARM}}, waits=True) as recorder:
        attach_arm(recorder, load_arm(ARM))
        fly(RecordingPort(LockstepPort(Twin.load(ARM, faults=faults)), recorder), recorder, cycles, each=wait)
        recorder.metadata("verdict", {"verdict": "completed", "exit_code": 0})


def fill(recorder: Recorder, k: int) -> None:
    """Put row `k` with numbers that are all different from those of other rows."""
    for i, name in enumerate(("q", "command", "observation", "action")):
        recorder.row[name][:] = k + i / 8 + np.arange(len(recorder.row[name])) / 64
    recorder.row["begin"][0] = k * 0.002
    recorder.row["cycle"][0] = k
    recorder.put()
