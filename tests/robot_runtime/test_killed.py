"""robot-run as a real process, on a twin in real time, killed and frozen while it moves: the servos stop the arm."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import serial

from robot_runtime.bus import Bus, SerialPort, serial_port
from robot_runtime.flight.reader import Flight, FlightError, read_flight
from robot_runtime.port_or_twin import TWIN_PRIORITY
from robot_runtime.safety.fault_kind import Ending
from robot_runtime.setup.unboxed import set_up_unboxed
from robot_runtime.spec import ArmSpec, load_arm
from robot_runtime.twin_process import TwinProcess
from tests.robot_runtime.flights import swing

PATIENCE = 60.0  # s, for a busy computer
ATTEMPTS = 3
"""A computer that others use too may stop a flight by its lateness, before there is anything to kill."""
STANDS = 2  # velocity register, of 0.229 rev/min


@dataclass
class Moving:
    """A flight whose policy moves the arm, in another process."""

    spec: ArmSpec
    port: str
    folder: Path
    process: subprocess.Popen[str]

    def flight(self) -> Flight | None:
        try:
            return read_flight(next(self.folder.glob("*.mcap")))
        except (StopIteration, FlightError):
            return None

    def runs(self) -> bool:
        flight = self.flight()
        return flight is not None and "phase run" in [event.text for event in flight.events]

    def values(self, register: str) -> list[int]:
        """One register of every servo, read behind the back of whoever has the port."""
        port = SerialPort(self.port, self.spec.bus.baudrate)
        try:
            bus = Bus(port)
            return [bus.read(j.servo_id, j.servo.register(register)) for j in self.spec.joints]
        finally:
            port.close()


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.1)


@pytest.fixture
def moving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Moving]:
    def shared(name: str, baudrate: int) -> Any:  # a frozen process does not let go of its port
        return serial.Serial(name, baudrate, timeout=0)

    monkeypatch.setattr(serial_port, "_open", shared)
    spec = load_arm("koch-v1.1")
    with TwinProcess("koch-v1.1") as twin:
        twin.be_punctual(TWIN_PRIORITY)
        port = SerialPort(twin.port, spec.bus.baudrate)
        set_up_unboxed(Bus(port), spec)
        port.close()
        policy = swing(tmp_path, spec).network.file.path
        command = [
            sys.executable,
            "-m",
            "robot_runtime.cli.run",
            "--policy",
            str(policy),
            "--port",
            twin.port,
            "--json",
        ]
        for attempt in range(ATTEMPTS):
            folder = tmp_path / str(attempt)
            flown = Moving(
                spec,
                twin.port,
                folder,
                subprocess.Popen(
                    [*command, "--record", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
                ),
            )
            try:
                wait_for(lambda flown=flown: flown.process.poll() is not None or flown.runs())  # type: ignore[misc]
                if flown.process.poll() == Ending.COMPUTER and attempt + 1 < ATTEMPTS:
                    continue
                assert flown.process.poll() is None, flown.process.communicate()[0].splitlines()[-1]
                yield flown
                return
            finally:
                flown.process.kill()
                flown.process.communicate()


def stopped_by_themselves(flown: Moving) -> bool:
    """Every servo has tripped its watchdog and stands."""
    tripped = all(value == -1 for value in flown.values("bus_watchdog"))
    return tripped and all(abs(value) <= STANDS for value in flown.values("present_velocity"))


def test_killed_the_servos_stop_and_the_recording_goes_to_the_end(moving: Moving) -> None:
    killed = time.monotonic()
    moving.process.kill()
    moving.process.wait()
    wait_for(lambda: stopped_by_themselves(moving))
    assert moving.values("torque_enable") == [1] * 6  # they hold, in a position mode

    def whole() -> bool:
        flight = moving.flight()
        return flight is not None and killed - float(flight["written"][-1]) < 0.5

    wait_for(whole)
    flight = moving.flight()
    assert flight is not None
    assert flight.verdict is None  # nobody was left to say it


def test_frozen_the_servos_stop_and_it_does_not_go_on(moving: Moving) -> None:
    moving.process.send_signal(signal.SIGSTOP)
    wait_for(lambda: stopped_by_themselves(moving))
    moving.process.send_signal(signal.SIGCONT)
    out, err = moving.process.communicate(timeout=PATIENCE)
    verdict = json.loads(out.splitlines()[-1])
    assert moving.process.returncode == verdict["exit_code"] != 0
    assert {"watchdog-tripped", "late-cycle"} & {fault["fault"] for fault in verdict["faults"]}
    assert "Traceback" not in err
    assert moving.values("torque_enable") == [0] * 6
