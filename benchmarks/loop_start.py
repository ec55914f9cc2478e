"""From starting Python to torque on: `robot-run` on a twin that runs already and is set up.

The moment of torque on is in the recording, on the clock that this program reads too. The arm is let go at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.stand_ins import policy
from robot_runtime.bus import Bus, SerialPort
from robot_runtime.flight.reader import read_flight
from robot_runtime.operator_inputs import SECOND_REQUEST
from robot_runtime.realtime import PRIORITY
from robot_runtime.setup.unboxed import set_up_unboxed
from robot_runtime.spec import load_arm
from robot_runtime.twin_process import TwinProcess

ARM, POLICY_RATE = "open-manipulator-x", 50.0
STARTS, TARGET = 2, 1.0  # s

_FAVOURED = -15
"""Niceness that stands for a computer that does little else. SCHED_FIFO would starve the kernel's own threads."""


def starts(count: int = STARTS) -> dict[str, Any]:
    """Medians in s."""
    spec = load_arm(ARM)
    rows: dict[str, list[dict[str, float]]] = {"as it comes": [], "favoured": []}
    with tempfile.TemporaryDirectory() as folder, TwinProcess(ARM) as twin:
        twin.be_punctual(PRIORITY - 10)
        port = SerialPort(twin.port, spec.bus.baudrate)
        set_up_unboxed(Bus(port), spec)
        port.close()
        network = policy(Path(folder), spec, POLICY_RATE).network.file.path
        for _ in range(count):
            for name, niceness in (("as it comes", 0), ("favoured", _FAVOURED)):
                rows[name].append(_start(network, twin.port, Path(folder), niceness))
    return {
        "target_s": TARGET,
        "seconds": {
            name: {key: statistics.median(row[key] for row in found) for key in found[0]}
            for name, found in rows.items()
        },
    }


def _start(network: Path, port: str, folder: Path, niceness: int) -> dict[str, float]:
    def begin() -> None:
        with contextlib.suppress(OSError):
            os.nice(niceness)

    def run(*arguments: str) -> tuple[float, subprocess.Popen[str]]:
        before = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=begin,  # noqa: PLW1509
        )
        return before, process

    before, process = run("-c", "import robot_runtime.cli.run")
    usage = os.wait4(process.pid, 0)[2]
    process.wait()
    imports = time.monotonic() - before
    command = ["-m", "robot_runtime.cli.run", "--policy", str(network), "--port", port, "--json"]
    before, process = run(*command, "--record", str(folder))
    assert process.stdout is not None
    process.stdout.readline()  # the preflight; torque comes on next
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    time.sleep(SECOND_REQUEST + 0.2)
    process.send_signal(signal.SIGINT)
    verdict = json.loads(process.communicate()[0].splitlines()[-1])
    flight = read_flight(Path(verdict["recording"]))
    on = [event.time for event in flight.events if event.text == "phase start"]
    if not on:
        raise RuntimeError(f"torque never came on: {verdict['text']}")
    flight.path.unlink()
    return {"imports": imports, "their CPU time": usage.ru_utime + usage.ru_stime, "torque on": on[0] - before}


def show_starts(report: dict[str, Any]) -> None:
    """As a table."""
    print(f"from starting Python to torque on, s (target: below {report['target_s']:g})")
    for name, row in report["seconds"].items():
        print(f"    {name:16}" + ", ".join(f"{key} {value:.2f}" for key, value in row.items()))
