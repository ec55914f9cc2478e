"""Following a joint that is moved by hand: where it started, how far it went, whether it rests. Fed with readings."""

from __future__ import annotations

from collections import deque

REST_TIME = 0.4
"""s that a joint must keep still to count as held in place."""

REST_TICKS = 12
"""ticks (1 degree) that a joint held by hand may tremble."""


class JointTrack:
    """One servo's raw encoder position over time, unwrapped.

    Raw is what the encoder itself counts: Present Position without Homing Offset, 0 to one turn at power-up. From there
    it is followed across the wrap, whether the register goes on counting (torque off) or falls back into one turn.
    """

    def __init__(self, ticks_per_turn: int, homing_offset: int = 0) -> None:
        """Nothing seen yet. `homing_offset`: what the servo adds to its readings (ticks)."""
        self._turn = ticks_per_turn
        self._homing = homing_offset
        self._recent: deque[tuple[float, int]] = deque()
        self._fresh = True
        self.now = 0
        self.start = 0
        self.low = 0
        self.high = 0

    @property
    def seen(self) -> bool:
        """Whether there is anything to tell."""
        return not self._fresh

    def add(self, time: float, ticks: int) -> None:
        """A reading of Present Position (ticks) at a time (s)."""
        raw = (ticks - self._homing) % self._turn
        if self._fresh:
            self._fresh = False
            self.now = self.start = self.low = self.high = raw
        else:
            step = (raw - self.now) % self._turn
            self.now += step - self._turn if step > self._turn // 2 else step
            self.low, self.high = min(self.low, self.now), max(self.high, self.now)
        self._recent.append((time, self.now))
        while len(self._recent) > 2 and self._recent[1][0] <= time - REST_TIME:
            self._recent.popleft()

    def restart(self) -> None:
        """Forget what was seen, but not which turn this is: the next capture starts here."""
        self.start = self.low = self.high = self.now

    @property
    def span(self) -> int:
        """Ticks between the ends of what was seen."""
        return self.high - self.low

    @property
    def rests(self) -> bool:
        """Whether the joint has kept still for REST_TIME."""
        if not self._recent or self._recent[-1][0] - self._recent[0][0] < REST_TIME * 0.99:
            return False
        values = [value for _, value in self._recent]
        return max(values) - min(values) <= REST_TICKS

    @property
    def held(self) -> float:
        """Mean raw position over the last REST_TIME (ticks)."""
        return sum(value for _, value in self._recent) / len(self._recent)
