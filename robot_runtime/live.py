"""Showing a flight while it flies: the loop leaves snapshots, a process of its own draws them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from robot_runtime.flying import Phase
from robot_runtime.safety.why import REASONS
from robot_runtime.snapshot import VERDICT, About, Snapshot

if TYPE_CHECKING:
    from robot_runtime.aim import Aim
    from robot_runtime.loop import Loop
    from robot_runtime.spec import ArmSpec

EVERY = 0.05
"""s between snapshots: eyes see no more."""

_QUANTILE_EVERY = 20
"""Snapshots between two looks through the histogram, which take longer than all the rest."""

_PATIENCE = 2.0
"""s for the display to draw its last picture."""


def about(spec: ArmSpec, policy: str, period: float, *, target_size: int = 0, recording: str = "") -> About:
    """What the display says of a flight besides its state."""
    return About(
        arm=spec.name,
        policy=policy,
        period=period,
        joints=spec.joint_names,
        modes=tuple(j.mode for j in spec.joints),
        lower=tuple(j.limits.lower for j in spec.joints),
        upper=tuple(j.limits.upper for j in spec.joints),
        torque=tuple(j.limits.torque for j in spec.joints),
        temperature=tuple(j.limits.temperature for j in spec.joints),
        reasons=tuple(str(why.name).lower() for why in REASONS),
        target_size=target_size,
        recording=recording,
    )


class Live:
    """The display of one flight, on standard error: a picture on a terminal, else a line a second.

    Call it at the end of every cycle (`Loop(every_cycle=live)`): 0.2 µs, or some 15 µs every `EVERY` seconds.
    """

    def __init__(self, what: About, aim: Aim | None = None) -> None:
        """Start the process that draws, before the loop becomes punctual. `aim`: where targets are of the tip."""
        self.snapshot = Snapshot(what)
        self._aim = aim
        # Ctrl-C goes to all of a terminal's programs, and this one would be caught by it while it still imports.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "robot_runtime.cli.dashboard", str(self.snapshot.fd), str(os.getpid())],
                pass_fds=[self.snapshot.fd],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._begin = self._next = self._last = -np.inf  # s, the port's clock
        self._last_cycle = 0
        self._worst = 0.0
        self._told = 0
        self._count = 0

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """As `close`."""
        self.close()

    def __call__(self, loop: Loop) -> None:
        """Note this cycle, and now and then publish."""
        pacer = loop.pacer
        self._worst = max(self._worst, pacer.lateness)
        if pacer.due >= self._next:
            self._publish(loop)

    def _publish(self, loop: Loop) -> None:
        pacer, row, state = loop.pacer, self.snapshot.row, loop.arm.state
        due = pacer.due
        if self._count == 0:
            self._begin = due
        elif due > self._last:
            row["rate"][0] = (pacer.cycle - pacer.skipped_in_all - self._last_cycle) / (due - self._last)
        if self._count % _QUANTILE_EVERY == 0:
            row["lateness_p99"][0] = loop.times["lateness"].quantile(0.99)
        row["phase"][0], row["time"][0], row["run_time"][0] = loop.phase, due - self._begin, loop.run_time
        row["stop"][0] = loop.stop
        row["cycle"][0], row["skipped"][0], row["lateness"][0] = pacer.cycle, pacer.skipped_in_all, self._worst
        row["q"][0], row["dq"][0], row["tau"][0] = state.q, state.dq, state.tau
        row["command"][0], row["temperature"][0] = loop.command, state.temperature
        row["interventions"][0], row["target"][0] = loop.envelope.counts, loop.inputs.target
        if self._aim is not None:
            flown = loop.phase is Phase.RUN
            row["distance"][0] = self._aim.distance(state.q, loop.inputs.target) if flown else np.nan
        seen = loop.monitor.seen
        for fault in seen[self._told :]:
            self.snapshot.say(fault.text)
        self._told = len(seen)
        self.snapshot.publish()
        self._next, self._last, self._worst = due + EVERY, due, 0.0
        self._last_cycle = pacer.cycle - pacer.skipped_in_all
        self._count += 1

    def say(self, text: str) -> None:
        """Show a line among the events."""
        self.snapshot.say(text)
        self.snapshot.publish()

    def close(self, verdict: str = "") -> None:
        """Let the last picture be drawn, with the verdict. Closing twice is harmless."""
        if self.snapshot.fd < 0:
            return
        self.snapshot.row["phase"][0] = Phase.ENDED
        self.snapshot.row["verdict"][0] = verdict.encode()[:VERDICT]
        self.snapshot.publish()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.snapshot.close()
