"""The twin of a command is that command's: no key of its terminal ends it, and it outlives it in no way."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from robot_runtime.twin_process import TwinProcess, TwinStartError

PROGRAM = """
import sys, time
from robot_runtime.twin_process import TwinProcess
twin = TwinProcess("xl330-pendulum")
print(twin._process.pid, twin.port, flush=True)
time.sleep(60)
"""


def lives(pid: str) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True, check=False).stdout
    return state.strip()[:1] not in ("", "Z")


def test_it_ends_with_a_program_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid, _ = process.stdout.readline().split()
        assert lives(pid)
        process.kill()
    end = time.monotonic() + 20.0
    while lives(pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert not lives(pid)


def test_a_signal_to_everybody_in_front_of_the_terminal_does_not_reach_it() -> None:
    with TwinProcess("xl330-pendulum") as twin:
        pid = twin._process.pid
        assert os.getpgid(pid) == pid != os.getpgrp()
        assert os.getsid(pid) != os.getsid(0)
        with pytest.raises(subprocess.TimeoutExpired):
            twin._process.wait(0.2)
    assert twin._process.returncode == 0
    twin.stop()


def test_one_that_does_not_start_says_why() -> None:
    with pytest.raises(TwinStartError, match="no-such-arm"):
        TwinProcess("no-such-arm")
