"""Position goals as the runtime's envelope lets them through: `robot_runtime.safety.braking.Track`, many at once.

A goal that a policy moves reaches the servo later than the policy says it, by what acceleration and jerk limits take.
A policy that never met that lag turns round too late, and swings about its target. Left out is what depends on the
rest of the arm: stops before the table and before itself, room for sag, heat.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from robot_runtime.arrays import Floats
from robot_runtime.safety.braking import GENTLE_SHARE, GENTLE_ZONE
from robot_runtime.safety.servo_stages import POSITION_MARGIN, POSITION_SHARE, WINDUP
from robot_runtime.spec import JointSpec

_PLAN_SHARE = 0.9
"""Of acceleration and jerk that the envelope plans an approach with."""


class Following:
    """The commands of the joints: `p` (rad), with their speeds and accelerations. Arrays are (arms, joints)."""

    def __init__(self, joints: Sequence[JointSpec], count: int, period: float) -> None:
        """`period` (s): of the steps."""
        limits = [joint.limits for joint in joints]
        self._low = np.array([x.lower for x in limits]) + POSITION_MARGIN
        self._high = np.array([x.upper for x in limits]) - POSITION_MARGIN
        self._velocity = POSITION_SHARE * np.array([x.velocity for x in limits])
        self._acceleration = POSITION_SHARE * np.array([x.acceleration for x in limits])
        self._jerk = np.array([x.jerk for x in limits])
        self._period = period
        self.p, self.v, self._a, self._goal = (np.zeros((count, len(joints))) for _ in range(4))

    def reset(self, ids: npt.NDArray[np.intp], q: Floats) -> None:
        """These arms are commanded to stand at these angles."""
        self.p[ids] = self._goal[ids] = q
        self.v[ids] = self._a[ids] = 0.0

    def follow(self, goal: Floats, q: Floats) -> Floats:
        """The next commands towards `goal` (rad), of joints that stand at `q` (rad)."""
        p, v, a, period, jerk = self.p, self.v, self._a, self._period, self._jerk
        speed = np.clip((goal - self._goal) / period, -self._velocity, self._velocity)
        self._goal[:] = goal
        goal = np.clip(np.clip(goal, q - WINDUP, q + WINDUP), self._low, self._high)
        up, down, gentle = self._high - p, p - self._low, GENTLE_SHARE * self._acceleration
        strong = self._acceleration * np.clip(np.minimum(up, down) / GENTLE_ZONE, GENTLE_SHARE, 1.0)
        most = np.maximum(np.minimum(a + jerk * period, strong), a - jerk * period)
        least = np.minimum(np.maximum(a - jerk * period, -strong), most)
        upwards = np.minimum(self._velocity, _gentle_speed(up, gentle, jerk))
        downwards = np.minimum(self._velocity, _gentle_speed(down, gentle, jerk))
        least = np.maximum(least, np.clip(self._towards(-downwards - v), least, most))
        most = np.minimum(most, np.clip(self._towards(upwards - v), least, most))
        at_once = ((goal - p) / period - v) / period
        first, last = self._ends_at(least, speed), self._ends_at(most, speed)
        share = np.clip((goal - first) / np.maximum(last - first, 1e-12), 0.0, 1.0)
        a[:] = np.where((at_once >= least) & (at_once <= most), at_once, least + share * (most - least))
        v += a * period
        p += v * period
        return p

    def _towards(self, room: Floats) -> Floats:
        """The acceleration that just leads to a speed `room` from here, once it is taken back."""
        period, jerk = self._period, self._jerk
        wanted: Floats = np.copysign(jerk * (np.sqrt(period**2 + 2.0 * np.abs(room) / jerk) - period), room)
        return wanted

    def _ends_at(self, a: Floats, speed: Floats) -> Floats:
        """Where a stop relative to a goal of this speed ends, if this is the next acceleration."""
        relative = self.v + a * self._period - speed
        stop = _stop_distance(relative, a, _PLAN_SHARE * self._acceleration, _PLAN_SHARE * self._jerk)
        end: Floats = self.p + (relative + speed) * self._period + stop
        return end


def _gentle_speed(distance: Floats, braking: Floats, jerk: Floats) -> Floats:
    head = braking * braking / jerk
    speed: Floats = np.sqrt(head * head + 2.0 * braking * np.maximum(distance, 0.0)) - head
    return speed


def _stop_distance(v: Floats, a: Floats, acceleration: Floats, jerk: Floats) -> Floats:
    """How far the quickest jerk-limited stop from (v, a) ends from here (rad, with sign)."""
    side = np.where(v + a * np.abs(a) / (2.0 * jerk) < 0.0, -1.0, 1.0)
    v, a = side * v, side * a
    peak = np.maximum(v + a * np.abs(a) / (2.0 * jerk), 0.0)
    peak = np.where(a < 0.0, v + a * a / (2.0 * jerk), peak)
    long = 0.5 * peak * (peak / acceleration + acceleration / jerk)
    whole = np.where(peak * jerk >= acceleration**2, long, peak * np.sqrt(np.maximum(peak, 0.0) / jerk))
    since = -a / jerk
    distance: Floats = side * (whole - since * (peak - jerk * since * since / 6.0))
    return distance
