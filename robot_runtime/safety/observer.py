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
        self._delay = np.array(DELAYS)
        self._state = np.zeros((3, delays, count))  # rad, rad/s, rad/s², when the encoders were last read
        self._gains = np.zeros((3, 1, 1))
        self._times = np.zeros(2 * _KEPT)
        self._sent = np.zeros((2 * _KEPT, 2, count))  # rad/s sent up to that time, rad/s² from then on
        self._count = 1
        self._stamp = -math.inf
        self._begun = np.zeros((delays, count))  # speed commanded up to `stamp - delay`
        self._error, self._work = np.zeros((delays, count)), np.zeros((delays, count))
        self.predicted = np.zeros((3, delays, count))
        """rad, rad/s when a command sent now takes effect, and rad/s² that come from no command (3 x delays x
        joints)."""

    def reset(self, q: Floats, now: float) -> None:
        """The joints stand at `q` (rad), and nothing is on its way."""
        self._state[:] = 0.0
        self._state[0] = q
        np.copyto(self.predicted, self._state)
        self._times[0] = -math.inf
        self._times[1] = now
        self._sent[:2] = 0.0
        self._count = 2
        self._stamp = -math.inf
        self._begun[:] = 0.0

    def commanded(self, acceleration: Floats, now: float) -> None:
        """Remember that this acceleration (rad/s², by the model) was commanded at `now`, until the next one is."""
        if self._count == 2 * _KEPT:
            self._times[:_KEPT] = self._times[_KEPT:]
            self._sent[:_KEPT] = self._sent[_KEPT:]
            self._count = _KEPT
        new = self._count
        self._times[new] = now
        before, sent = self._sent[new - 1], self._sent[new]
        np.multiply(before[1], now - self._times[new - 1], out=sent[0])
        sent[0] += before[0]
        sent[1] = acceleration
        self._count += 1

    def look(self, q: Floats, stamp: float, fresh: Flags, now: float) -> None:
        """Correct by what the encoders of the `fresh` joints said at `stamp`, and predict from there."""
        if stamp > self._stamp:
            self._correct(q, stamp, fresh)
        (place, speed, extra), (place_then, speed_then, _) = self._state, self.predicted
        ahead = (now + self._delay - self._stamp)[:, None]
        last = self._count - 1
        sent = self._sent[last, 1] * (now - self._times[last])
        sent += self._sent[last, 0]
        np.copyto(self.predicted[2], extra)
        np.multiply(extra, ahead, out=speed_then)
        speed_then += speed
        speed_then -= self._begun
        speed_then += sent
        np.add(speed, speed_then, out=place_then)
        place_then *= 0.5 * ahead
        place_then += place

    def _correct(self, q: Floats, stamp: float, fresh: Flags) -> None:
        passed = stamp - self._stamp
        seen = self._commanded_until(stamp - self._delay)
        place, speed, extra = self._state
        if math.isinf(passed):  # the first reading
            place[:] = q
        else:
            gained, error = self._work, self._error
            np.multiply(extra, passed, out=gained)
            gained += seen
            gained -= self._begun
            np.multiply(gained, 0.5, out=error)
            error += speed
            error *= passed
            place += error
            speed += gained
            np.subtract(q, place, out=error)
            if not fresh.all():
                error *= fresh
            r = math.exp(-_BANDWIDTH * passed)
            gains = self._gains
            gains[0], gains[1] = 1.0 - r**3, 1.5 * (1.0 - r) ** 2 * (1.0 + r) / passed
            gains[2] = (1.0 - r) ** 3 / passed**2
            self._state += gains * error
        self._stamp = stamp
        self._begun = seen

    def _commanded_until(self, times: Floats) -> Floats:
        """Speed that the commands sent before each of these times add up to (times x joints)."""
        last = self._times[1 : self._count].searchsorted(times, side="right")
        sent = self._sent[last]
        since = np.where(last > 0, times - self._times[last], 0.0)
        speeds: Floats = sent[:, 1] * since[:, None]
        speeds += sent[:, 0]
        return speeds
