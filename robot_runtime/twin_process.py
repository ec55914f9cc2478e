"""The twin as another process: what a command runs on when no --port is given. Nothing of the simulator is imported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_PATIENCE = 20.0
"""s for the twin to end after it was asked to."""


class TwinStartError(RuntimeError):
    """The twin did not start; its own words are in the message.

    Example scenarios:
        - The arm or gap file has a mistake.
    """


class TwinProcess:
    """A running `robot-twin`; `port` is where to connect.

    Keys typed on this terminal do not reach it (it has a session of its own): the arm must not vanish while Ctrl-C
    lowers it. It ends with this program, however that ends.
    """

    def __init__(self, arm: str, arguments: Sequence[str] = ()) -> None:
        """Start a twin of this arm (a shipped name or a path), with further arguments of `robot-twin`.

        Raises:
            TwinStartError: it ended before it had a port.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sim.twin.cli", "--arm", arm, "--stop-at-eof", *arguments],
            stdin=subprocess.PIPE,  # never written to: its end tells the twin that nobody is left
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.port = self._process.stdout.readline().strip()
        if not self.port:
            _, errors = self._process.communicate()
            raise TwinStartError(errors.strip() or f"robot-twin ended with exit code {self._process.returncode}")

    def __enter__(self) -> Self:
        """The running twin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    def be_punctual(self, priority: int) -> bool:
        """Let it run before ordinary programs, as a real arm does not wait for a busy computer; False: not allowed."""
        if not hasattr(os, "sched_setscheduler"):
            return False
        try:
            for thread in Path(f"/proc/{self._process.pid}/task").iterdir():
                os.sched_setscheduler(int(thread.name), os.SCHED_FIFO, os.sched_param(priority))
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """End the twin and wait until it has. Stopping twice is harmless."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
