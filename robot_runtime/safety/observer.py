"""Where a joint is and how fast it moves when the next command takes effect, as nobody knows how late that is.

The servo's velocity register is an average over up to 80 ms, and a command acts up to 30 ms after it was sent: in that
time a joint at 30 rad/s² changes its speed by a third of its limit. So the accelerations that were commanded are
integrated, and the encoder corrects them. How late they act is not known, and cannot be read from any register: several
observers run side by side, each believing in another delay, and a bound on speed or place takes the worst of them.
A delay between two of theirs lies between what they say.

Each is a double integrator with a disturbance (what the rigid-body model does not know: friction, payload, a weak
motor), corrected by the critically damped gains of a fading-memory filter. Source of the gains: Morrison, Introduction
to Sequential Smoothing and Prediction, 1969 (also "alpha-beta-gamma filter"): with r = exp(-bandwidth dt),
position 1 - r³, velocity 1.5 (1 - r)² (1 + r) / dt, acceleration (1 - r)³ / dt².
"""

from __future__ import annotations

import math
from bisect import bisect_right

from robot_runtime.arrays import Flags, Floats

DELAYS = (0.002, 0.020, 0.040)
"""s between a command and its effect as the encoder shows it, without the age of the reading. The wire alone takes 2
ms; 0 to 30 ms were seen in servos, and up to 16 ms more pass in an adapter whose latency timer was never set down."""

_BANDWIDTH = 40.0
"""rad/s of the correction: an encoder step of 0.0015 rad moves the speed by 0.03 rad/s, and a disturbance is known
within about 75 ms."""

_KEPT = 64
"""Commands remembered: more than 40 ms and a lost reply or two at 1 kHz."""


class Observer:
    """Predicted position and velocity of all joints, by assumed delay.

    Plain numbers in lists: the joints are few, and this is what compiles well.
    """

    def __init__(self, count: int) -> None:
        """Nothing known yet."""
        # One list a delay, one entry a joint: rad, rad/s, rad/s² that come from no command, when the encoders were
        # last read; and the speed that was commanded up to `stamp - delay`.
        self._place: list[list[float]] = [[0.0] * count for _ in DELAYS]
        self._speed: list[list[float]] = [[0.0] * count for _ in DELAYS]
        self._extra: list[list[float]] = [[0.0] * count for _ in DELAYS]
        self._begun: list[list[float]] = [[0.0] * count for _ in DELAYS]
        self._times = [-math.inf]
        self._sent = [([0.0] * count, [0.0] * count)]  # rad/s sent up to that time, rad/s² from then on
        self._stamp = -math.inf
        self.places: list[list[float]] = [[0.0] * count for _ in DELAYS]
        """rad when a command sent now takes effect, by delay and joint."""
        self.speeds: list[list[float]] = [[0.0] * count for _ in DELAYS]
        """rad/s, the same."""

    @property
    def extras(self) -> list[list[float]]:
        """rad/s² that come from no command, by delay and joint."""
        return self._extra

    def reset(self, q: Floats, now: float) -> None:
        """The joints stand at `q` (rad), and nothing is on its way."""
        count = len(q)
        angles: list[float] = q.tolist()
        for place, seen in zip(self._place, self.places, strict=True):
            place[:], seen[:] = angles, angles
        for lists in (self._speed, self._extra, self._begun, self.speeds):
            for values in lists:
                values[:] = [0.0] * count
        still = [0.0] * count, [0.0] * count
        self._times, self._sent = [-math.inf, now], [still, still]
        self._stamp = -math.inf

    def commanded(self, acceleration: list[float], now: float) -> None:
        """Remember that this acceleration (rad/s², by the model) was commanded at `now`, until the next one is."""
        self._sent.append((self._speed_sent(now), acceleration))
        self._times.append(now)
        if len(self._times) > 2 * _KEPT:
            del self._times[:_KEPT], self._sent[:_KEPT]

    def look(self, q: Floats, stamp: float, fresh: Flags, now: float) -> None:
        """Correct by what the encoders of the `fresh` joints said at `stamp`, and predict from there."""
        if stamp > self._stamp:
            self._correct(q.tolist(), stamp, fresh.tolist())
        sent = self._speed_sent(now)
        for d, delay in enumerate(DELAYS):
            ahead = delay + (now - self._stamp)
            half = 0.5 * ahead
            place, speed, extra, begun = self._place[d], self._speed[d], self._extra[d], self._begun[d]
            places, speeds = self.places[d], self.speeds[d]
            for i, commanded in enumerate(sent):
                was = speed[i]
                gained = commanded - begun[i] + extra[i] * ahead
                places[i] = place[i] + half * (was + was + gained)
                speeds[i] = was + gained

    def _correct(self, q: list[float], stamp: float, fresh: list[bool]) -> None:
        first, passed = math.isinf(self._stamp), stamp - self._stamp
        r = math.exp(-_BANDWIDTH * passed)
        s = 1.0 - r
        by_place, by_speed, by_extra = 1.0 - r * r * r, 1.5 * s * s * (1.0 + r) / passed, s * s * s / (passed * passed)
        half = 0.5 * passed
        square = half * passed
        for d, delay in enumerate(DELAYS):
            place, speed, extra, begun = self._place[d], self._speed[d], self._extra[d], self._begun[d]
            seen = self._speed_sent(stamp - delay)
            if first:
                place[:] = q
            else:
                for i, commanded in enumerate(seen):
                    gained = commanded - begun[i]
                    expected = place[i] + passed * speed[i] + square * extra[i] + half * gained
                    # Who did not answer is taken to be where it was expected.
                    wrong = q[i] - expected if fresh[i] else 0.0
                    place[i] = expected + by_place * wrong
                    speed[i] += passed * extra[i] + gained + by_speed * wrong
                    extra[i] += by_extra * wrong
            self._begun[d] = seen
        self._stamp = stamp

    def _speed_sent(self, time: float) -> list[float]:
        """Speed (rad/s) that the commands sent before that time add up to."""
        last = max(bisect_right(self._times, time) - 1, 0)
        speed, acceleration = self._sent[last]
        since = time - self._times[last] if last else 0.0
        return [v + since * a for v, a in zip(speed, acceleration, strict=True)]
