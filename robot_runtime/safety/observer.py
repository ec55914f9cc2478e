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
"""s between a command and its effect as the encoder shows it, without the age of the reading. The wire alone takes 2 ms;
0 to 30 ms were seen in servos, and up to 16 ms more pass in an adapter whose latency timer was never set down."""

_BANDWIDTH = 40.0
"""rad/s of the correction: an encoder step of 0.0015 rad moves the speed by 0.03 rad/s, and a disturbance is known within
about 75 ms."""

_KEPT = 64
"""Commands remembered: more than 40 ms and a lost reply or two at 1 kHz."""


class Observer:
    """Predicted position and velocity of all joints, by assumed delay: arrays of (delays x joints)."""

    def __init__(self, count: int) -> None:
        """Nothing known yet."""
        delays = len(DELAYS)
        self._delay = np.array(DELAYS)
        self._q, self._v, self._d = (np.zeros((delays, count)) for _ in range(3))
        self._error = np.zeros((delays, count))
        self._times = np.zeros(2 * _KEPT)
        self._speeds, self._rates = np.zeros((2 * _KEPT, count)), np.zeros((2 * _KEPT, count))
        self._count = 1
        self._stamp = -math.inf
        self._begun = np.zeros((delays, count))  # speed commanded up to `stamp - delay`
        self.position = np.zeros((delays, count))
        """rad, when a command sent now takes effect."""
        self.velocity = np.zeros((delays, count))
        """rad/s, the same."""
        self.disturbance = self._d
        """rad/s², what accelerates the joints besides the commands."""

    def reset(self, q: Floats, now: float) -> None:
        """The joints stand at `q` (rad), and nothing is on its way."""
        self._q[:] = q
        self._v[:] = self._d[:] = 0.0
        self._times[0], self._speeds[0], self._rates[0] = now, 0.0, 0.0
        self._count = 1
        self._stamp = -math.inf
        self._begun[:] = 0.0

    def commanded(self, acceleration: Floats, now: float) -> None:
        """This acceleration (rad/s², by the model) was commanded at `now`, until the next one is."""
        last = self._count - 1
        if self._count == 2 * _KEPT:
            for kept in (self._times, self._speeds, self._rates):
                kept[:_KEPT] = kept[_KEPT:]
            self._count = _KEPT
            last = _KEPT - 1
        new = self._count
        self._times[new] = now
        np.multiply(self._rates[last], now - self._times[last], out=self._speeds[new])
        np.add(self._speeds[new], self._speeds[last], out=self._speeds[new])
        self._rates[new] = acceleration
        self._count += 1

    def look(self, q: Floats, stamp: float, fresh: Flags, now: float) -> None:
        """Correct by what the encoders of the `fresh` joints said at `stamp`, and predict from there."""
        seen = self._commanded_until(stamp - self._delay)
        if stamp > self._stamp:
            self._correct(q, stamp, fresh, seen)
        ahead = (now + self._delay - self._stamp)[:, None]
        last = self._count - 1
        sent = self._rates[last] * (now - self._times[last])
        sent += self._speeds[last]
        velocity = self.velocity
        np.subtract(self._v, self._begun, out=velocity)
        velocity += sent
        velocity += self._d * ahead
        np.add(self._v, self.velocity, out=self.position)
        self.position *= 0.5 * ahead
        self.position += self._q

    def _correct(self, q: Floats, stamp: float, fresh: Flags, seen: Floats) -> None:
        passed = stamp - self._stamp
        if math.isinf(passed):  # the first reading
            self._q[:] = q
        else:
            before = self._v
            after = before + (seen - self._begun) + self._d * passed
            self._q += (0.5 * passed) * (before + after)
            r = math.exp(-_BANDWIDTH * passed)
            error = np.subtract(q, self._q, out=self._error)
            if not fresh.all():
                error *= fresh
            self._q += (1.0 - r**3) * error
            np.add(after, (1.5 * (1.0 - r) ** 2 * (1.0 + r) / passed) * error, out=self._v)
            self._d += ((1.0 - r) ** 3 / passed**2) * error
        self._stamp = stamp
        self._begun[:] = seen

    def _commanded_until(self, times: Floats) -> Floats:
        """Speed that the commands sent before each of these times add up to (times x joints)."""
        last = np.searchsorted(self._times[: self._count], times, side="right") - 1
        np.maximum(last, 0, out=last)
        since = np.maximum(times - self._times[last], 0.0)
        speeds: Floats = self._speeds[last] + self._rates[last] * since[:, None]
        return speeds
