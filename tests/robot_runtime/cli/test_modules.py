"""Every command also runs as a module, and says its own exit codes."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "own"),
    [
        ("robot_runtime.cli.replay", "6    the same as far as the recording goes"),
        ("robot_runtime.cli.report", "0    the recording is whole"),
        ("robot_runtime.cli.run", "16   the flight could not be recorded"),
        ("robot_runtime.cli.scan", "0    all is well"),
        ("robot_runtime.cli.setup", "0    all is well"),
    ],
)
def test_a_command_as_a_module(module: str, own: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True)
    assert own in done.stdout
