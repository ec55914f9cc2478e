"""The pace: absolute deadlines, and the accounting of how punctual they were met."""

from __future__ import annotations

from robot_runtime.bus import Port

_NOTICED = 0.25
"""Of a period: what is less late than that is no pause, and no cycle is left out for it."""

_PATIENCE = 2.0
"""Cycles that may begin late behind a pause; one is left out where so many could not make up for it."""

_FULL = 0.95
"""Of a period: cycles that take longer make up for nothing, so leaving one out would only make them fewer."""

_SMOOTH = 1 / 16
"""Of a cycle's time in the average."""


class Pacer:
    """Cycles at start + k * period, for ever: a cycle that is late does not delay the ones behind it.

    A cycle that takes longer than a period is followed by the next one that is not yet over: whole cycles are skipped,
    and counted, and the phase stays. Where cycles leave so little time that a pause would make several of them late,
    one is skipped instead. All times by the port's clock, in seconds; so it runs in virtual time too.
    """

    def __init__(self, port: Port, period: float, start: float | None = None) -> None:
        """Cycle 0 is due at `start`, by default now."""
        self.port, self.period = port, period
        self.start = port.now() if start is None else start
        self.cycle = 0  # the one that is running
        self.due = self.start  # when it should have begun
        self.began = self.start  # when it did
        self.lateness = 0.0  # s that it began later
        self.slack = 0.0  # s that were left when the one before it was done; negative: it took too long
        self.skipped = 0  # cycles between the two that never ran
        self.skipped_in_all = 0
        self._takes = period  # s, a cycle without pauses, on average; at first the worst

    def wait(self) -> None:
        """Wait for the next cycle."""
        port, period = self.port, self.period
        cycle, skipped = self.cycle + 1, 0
        due = self.start + cycle * period
        now = port.now()
        self.slack = due - now
        behind = now - due
        if behind < _NOTICED * period:
            self._takes += _SMOOTH * (now - self.began - self._takes)
        elif behind < period and _PATIENCE * (period - self._takes) < behind and self._takes < _FULL * period:
            cycle, skipped = cycle + 1, 1
            due = self.start + cycle * period
        port.sleep_until(due)
        self.began = began = port.now()
        late = began - due
        if late >= period:
            more = int(late / period)
            cycle, skipped = cycle + more, skipped + more
            due = self.start + cycle * period
            late -= more * period
        self.skipped_in_all += skipped
        self.cycle, self.due, self.lateness, self.skipped = cycle, due, late, skipped
