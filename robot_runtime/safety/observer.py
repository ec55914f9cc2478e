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

import numpy as np

from robot_runtime.arm.state import Flags, Floats

DELAYS = (0.002, 0.020, 0.040)
"""s between a command and its effect as the encoder shows it, without the age of the reading. The wire alone takes 2
ms; 0 to 30 ms were seen in servos, and up to 16 ms more pass in an adapter whose latency timer was never set down."""

_BANDWIDTH = 40.0
"""rad/s of the correction: an encoder step of 0.0015 rad moves the speed by 0.03 rad/s, and a disturbance is known
within about 75 ms."""

_KEPT = 64
"""Commands remembered: more than 40 ms and a lost reply or two at 1 kHz."""


class Observer:
    """Predicted position and velocity of all joints, by assumed delay."""

    def __init__(self, count: int) -> None:
        """Nothing known yet."""
        delays = len(DELAYS)
        shape = (delays, count)
        # What a correction is linear in: the state (rad, rad/s, rad/s² when the encoders were last read), the speed
        # gained by commands since then, and the encoders.
        self._known = np.zeros((5, delays * count))
        self._state = self._known[:3].reshape(3, *shape)
        self._gained, self._encoders = self._known[3].reshape(shape), self._known[4].reshape(shape)
        self._times = [-math.inf]
        self._sent = [([0.0] * count, [0.0] * count)]  # rad/s sent up to that time, rad/s² from then on
        self._stamp = -math.inf
        self._begun = np.zeros(shape)  # speed commanded up to `stamp - delay`
        self._delay = np.array(DELAYS)[:, None]
        self.predicted = np.zeros((3, *shape))
        """rad, rad/s when a command sent now takes effect, and rad/s² that come from no command (3 x delays x
        joints)."""
        self.least: list[list[float]] = [[0.0] * count] * 3
        """The same, the least of all delays (3 x joints)."""
        self.most: list[list[float]] = [[0.0] * count] * 3

    def reset(self, q: Floats, now: float) -> None:
        """The joints stand at `q` (rad), and nothing is on its way."""
        self._state[:] = 0.0
        self._state[0] = q
        np.copyto(self.predicted, self._state)
        still = [0.0] * len(q), [0.0] * len(q)
        self._times, self._sent = [-math.inf, now], [still, still]
        self._stamp = -math.inf
        self._begun[:] = 0.0
        self._take_worst()

    def commanded(self, acceleration: list[float], now: float) -> None:
        """Remember that this acceleration (rad/s², by the model) was commanded at `now`, until the next one is."""
        self._sent.append((self._speed_sent(now), acceleration))
        self._times.append(now)
        if len(self._times) > 2 * _KEPT:
            del self._times[:_KEPT], self._sent[:_KEPT]

    def look(self, q: Floats, stamp: float, fresh: Flags, now: float) -> None:
        """Correct by what the encoders of the `fresh` joints said at `stamp`, and predict from there."""
        if stamp > self._stamp:
            self._correct(q, stamp, fresh)
        place, speed, extra = self.predicted
        np.copyto(self.predicted, self._state)
        ahead = self._delay + (now - self._stamp)
        gained = np.subtract(self._speed_sent(now), self._begun)
        gained += extra * ahead
        ahead *= 0.5
        place += ahead * (speed + speed + gained)
        speed += gained
        self._take_worst()

    def _take_worst(self) -> None:
        self.least = np.minimum.reduce(self.predicted, axis=1).tolist()
        self.most = np.maximum.reduce(self.predicted, axis=1).tolist()

    def _correct(self, q: Floats, stamp: float, fresh: Flags) -> None:
        passed = stamp - self._stamp
        seen = np.array([self._speed_sent(stamp - delay) for delay in DELAYS])
        if math.isinf(passed):  # the first reading
            self._state[0] = q
        else:
            np.subtract(seen, self._begun, out=self._gained)
            expected, corrected = _correction(passed)
            self._encoders[:] = q
            if False in fresh.tolist():  # who did not answer is taken to be where it was expected
                place = np.dot(expected, self._known[:4]).reshape(self._encoders.shape)
                np.copyto(self._encoders, place, where=~fresh)
            self._known[:3] = np.dot(corrected, self._known)
        self._stamp = stamp
        self._begun = seen

    def _speed_sent(self, time: float) -> list[float]:
        """Speed (rad/s) that the commands sent before that time add up to."""
        last = max(bisect_right(self._times, time) - 1, 0)
        speed, acceleration = self._sent[last]
        since = time - self._times[last] if last else 0.0
        return [v + since * a for v, a in zip(speed, acceleration, strict=True)]


def _correction(passed: float) -> tuple[list[float], list[list[float]]]:
    """The place that is expected after this time (s), and the state as the encoders correct it: rows of factors of the
    state before, the speed gained by commands, and the encoders.
    """
    r = math.exp(-_BANDWIDTH * passed)
    by_place, by_speed = 1.0 - r**3, 1.5 * (1.0 - r) ** 2 * (1.0 + r) / passed
    by_extra = (1.0 - r) ** 3 / passed**2
    half = 0.5 * passed
    square = half * passed
    kept = 1.0 - by_place
    return [1.0, passed, square, half], [
        [kept, kept * passed, kept * square, kept * half, by_place],
        [-by_speed, 1.0 - by_speed * passed, passed - by_speed * square, 1.0 - by_speed * half, by_speed],
        [-by_extra, -by_extra * passed, 1.0 - by_extra * square, -by_extra * half, by_extra],
    ]
