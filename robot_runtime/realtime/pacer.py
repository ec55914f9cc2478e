"""The pace: absolute deadlines, and the accounting of how punctual they were met."""

from __future__ import annotations

from robot_runtime.bus import Port


class Pacer:
    """Cycles at start + k * period, for ever: a cycle that is late does not delay the ones behind it.

    A cycle that takes longer than a period is followed by the next one that is not yet over: whole cycles are skipped,
    and counted, and the phase stays. All times by the port's clock, in seconds; so it runs in virtual time too.
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

    def wait(self) -> None:
        """Wait for the next cycle."""
        port, period = self.port, self.period
        cycle = self.cycle + 1
        due = self.start + cycle * period
        self.slack = due - port.now()
        port.sleep_until(due)
        self.began = began = port.now()
        late = began - due
        skipped = 0
        if late >= period:
            skipped = int(late / period)
            cycle += skipped
            due = self.start + cycle * period
            late -= skipped * period
            self.skipped_in_all += skipped
        self.cycle, self.due, self.lateness, self.skipped = cycle, due, late, skipped
