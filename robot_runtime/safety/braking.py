"""A command that can always still stop: one joint's position command under velocity, acceleration and jerk limits.

The commands of a joint are a sequence p of positions, one a period T. Their differences are the state:
v = (p - p before) / T, a = (v - v before) / T, and (a - a before) / T is the jerk. So what is promised here is what
anyone can compute from the commands that were sent.

Two laws make it safe, both kept by every command:

- |v + a |a| / 2J| <= V: were the acceleration taken back to 0 as fast as the jerk limit allows, the speed would not
  pass its limit. Taking it back keeps the sum, in these discrete steps too: T a' + a'² / 2J falls by J T² / 2 more
  than it must.
- From the new state the stopping law (`stopping`) comes to rest inside the position limits. It has no memory: what was
  simulated from the new state is, number for number, what the next period would do. So a command that is admitted
  leaves at least one that will be admitted, and no margin for rounding is needed.

Any command that keeps both is admitted: one that follows a goal which itself keeps the limits passes unchanged.
"""

from __future__ import annotations

from math import copysign, sqrt

_PLAN_SHARE = 0.9
"""Of acceleration and jerk that an approach to a far goal plans with: the rest is left to correct it."""

_SURE = 0.7
"""Of acceleration and jerk: a stop planned in continuous time with these, and `_SURE_PERIODS` more at the present
speed, is longer than the stop in whole periods (compared in tests/robot_runtime/safety/test_envelope_braking.py)."""

_SURE_PERIODS = 3.0
_SURE_SLACK = 1e-6  # rad

_LONGEST_STOP = 100_000
"""Periods; a stop that takes longer has no place in any arm, and is treated as leaving the limits."""

_LOOKS = 4
"""Simulated periods between two looks at whether the rest of a stop is sure."""

_AT_REST = 1e-9
"""rad/s and, over a period, rad/s²: what is left moves a joint by nothing that could be measured."""

_BISECTIONS = 8

GENTLE_SHARE = 0.15
"""Of the acceleration limit that is planned with where a stop is near. A servo's position loop swings beyond a
command that brakes at B by about B / w² (w: its natural frequency, 15 to 30 rad/s in small servos): 0.1 rad at 60
rad/s²."""

GENTLE_ZONE = 0.3
"""rad before a stop in which the acceleration planned with goes down to that."""


def stop_distance(v: float, a: float, acceleration: float, jerk: float) -> float:
    """How far the quickest jerk-limited stop from (v, a) ends from here (rad, with sign), in continuous time."""
    peak = v + a * abs(a) / (2.0 * jerk)
    if peak < 0.0:
        return -stop_distance(-v, -a, acceleration, jerk)
    # Where the acceleration passes 0, now or before, the stop is a symmetric S of speed `peak`.
    if a < 0.0:
        peak = v + a * a / (2.0 * jerk)
    if peak * jerk >= acceleration * acceleration:
        whole = 0.5 * peak * (peak / acceleration + acceleration / jerk)
    else:
        whole = peak * sqrt(peak / jerk)
    since = -a / jerk
    return whole - since * (peak - jerk * since * since / 6.0)


def _gentle_speed(distance: float, braking: float, jerk: float) -> float:
    """The speed from which braking this gently ends after `distance`, with the time that building it up takes."""
    head = braking * braking / jerk
    return sqrt(head * head + 2.0 * braking * distance) - head if distance > 0.0 else 0.0


class Track:
    """The command of one joint that is positioned: `p`, `v`, `a` of the last command."""

    __slots__ = ("_high", "_low", "a", "acceleration", "high", "jerk", "low", "p", "period", "v", "velocity")

    def __init__(
        self, low: float, high: float, velocity: float, acceleration: float, jerk: float, period: float
    ) -> None:
        """Limits in rad, rad/s, rad/s², rad/s³; period in s."""
        self.low, self.high = low, high
        self.velocity, self.acceleration, self.jerk, self.period = velocity, acceleration, jerk, period
        self.reset(0.0)

    def reset(self, p: float) -> None:
        """The joint is commanded to stand at `p` (rad). Outside its limits, it may go nowhere but inwards."""
        self.p, self.v, self.a = p, 0.0, 0.0
        self._low, self._high = min(self.low, p), max(self.high, p)

    @property
    def at_rest(self) -> bool:
        """Whether the command stands."""
        return abs(self.v) < _AT_REST and abs(self.a) * self.period < _AT_REST

    def stop(self) -> float:
        """How far the command goes on if it is stopped now (rad, with sign)."""
        return stop_distance(self.v, self.a, self.acceleration, self.jerk) + self.v * self.period

    def _halt(self, v: float) -> float:
        """The acceleration that takes most of the speed, the jerk being free: never further than `stopping` goes."""
        wanted, limit = -v / self.period, self.acceleration
        return -limit if wanted < -limit else min(wanted, limit)

    def stopping(self, v: float, a: float) -> float:
        """The next acceleration of the quickest jerk-limited stop in whole periods from (v, a)."""
        period, jerk = self.period, self.jerk
        # The strongest braking that could end with v and a reaching 0 together.
        wanted = jerk * (sqrt(period * period + 2.0 * abs(v) / jerk) - period)
        if v > 0.0:
            wanted = -wanted
        least, most = a - jerk * period, a + jerk * period
        wanted = least if wanted < least else min(wanted, most)
        limit = self.acceleration
        return -limit if wanted < -limit else min(wanted, limit)

    def stays_inside(self, p: float, v: float, a: float, low: float, high: float) -> bool:
        """Whether the stopping law, from this state, never leaves low..high."""
        if not low <= p <= high:
            return False
        period = self.period
        for step in range(_LONGEST_STOP):
            if step % _LOOKS == 0 and self._surely_stays(p, v, a, low, high):
                return True
            a = self.stopping(v, a)
            v += a * period
            p += v * period
            if not low <= p <= high:
                return False
            if abs(v) < _AT_REST and abs(a) * period < _AT_REST:
                return True
        return False

    def _surely_stays(self, p: float, v: float, a: float, low: float, high: float) -> bool:
        """The same without simulation, never the bolder of the two."""
        jerk, period = self.jerk, self.period
        # Mostly the stops are far: the longest stop of any shape, by the mean of its two phases.
        peak = abs(v) + a * a / (2.0 * _SURE * jerk)
        time = 0.5 * (peak / (_SURE * self.acceleration) + self.acceleration / jerk) + abs(a) / (_SURE * jerk)
        most = peak * (time + _SURE_PERIODS * period) + _SURE_PERIODS * period * period * abs(a) + _SURE_SLACK
        if low <= p - most and p + most <= high:
            return True
        end = stop_distance(v, a, _SURE * self.acceleration, _SURE * jerk)
        slack = _SURE_PERIODS * period * (abs(v) + abs(a) * period) + _SURE_SLACK
        turns = v * a < 0.0 and abs(v) < a * a / (2.0 * _SURE * jerk)
        dip = copysign(2.0 * v * v / abs(a), v) if turns else 0.0  # it turns back within this, before it ends
        return low <= p + min(end, dip, 0.0) - slack and p + max(end, dip, 0.0) + slack <= high

    def advance(
        self,
        goal: float,
        speed: float,
        velocity: float,
        low: float,
        high: float,
        *,
        emergency: bool = False,
        gentle: bool = True,
    ) -> float:
        """The next command towards `goal` (rad), which itself moves at `speed` (rad/s); returns it and remembers it.

        `velocity` (rad/s) is allowed now, at most the limit. `low` and `high` (rad) are stops that may come and go,
        inside the joint's own: as long as it can, the command stops before them; the joint's own limits it keeps
        always. `emergency` frees the jerk, for braking. Not `gentle`: all of the acceleration, near a stop as well.
        """
        p, v, a, period, limit = self.p, self.v, self.a, self.period, self.acceleration
        jerk = 2.0 * limit / period if emergency else self.jerk
        low, high = max(low, self._low), min(high, self._high)
        goal = low if goal < low else min(goal, high)
        up, down, braking = high - p, p - low, GENTLE_SHARE * limit
        near = (up if up < down else down) / GENTLE_ZONE
        strong = limit * (1.0 if near > 1.0 or not gentle else max(near, GENTLE_SHARE))
        step = jerk * period
        most = max(min(a + step, strong), a - step)
        least = min(max(a - step, -strong), most)
        upwards = min(velocity, _gentle_speed(up, braking, jerk))
        downwards = min(velocity, _gentle_speed(down, braking, jerk))

        wanted = ((goal - p) / period - v) / period
        landing = v + wanted * (period + abs(wanted) / (2.0 * jerk))  # the speed, once the acceleration is taken back
        if not (least <= wanted <= most and -downwards <= landing <= upwards):
            least = max(least, self._towards_velocity(-downwards - v, jerk, least, most))
            most = min(most, self._towards_velocity(upwards - v, jerk, least, most))
            if not least <= wanted <= most:
                wanted = self._approach(goal, speed, jerk, least, most)
        if not self._admit(wanted, min(low, p), max(high, p)):  # a stop that came too near: not further, at least
            wanted = self._halt(v) if emergency else self.stopping(v, a)
        self.a = wanted
        self.v = v + wanted * period
        self.p = p + self.v * period
        if self._low < self.low or self._high > self.high:
            self._close()
        return self.p

    def _close(self) -> None:
        """What lies behind a joint that comes in from outside its limits is closed to it."""
        low, high = min(self.low, self.p), max(self.high, self.p)
        if self.stays_inside(self.p, self.v, self.a, low, self._high):
            self._low = low
        if self.stays_inside(self.p, self.v, self.a, self._low, high):
            self._high = high

    def _admit(self, a: float, low: float, high: float) -> bool:
        v = self.v + a * self.period
        return self.stays_inside(self.p + v * self.period, v, a, low, high)

    def _towards_velocity(self, room: float, jerk: float, least: float, most: float) -> float:
        """The acceleration that just leads to a speed `room` from here, once it is taken back."""
        period = self.period
        a = copysign(jerk * (sqrt(period * period + 2.0 * abs(room) / jerk) - period), room)
        return least if a < least else min(a, most)

    def _approach(self, goal: float, speed: float, jerk: float, least: float, most: float) -> float:
        """The acceleration between `least` and `most` from which a stop relative to the goal would end on the goal."""
        if self._ends_at(most, speed, jerk) <= goal:
            return most
        if self._ends_at(least, speed, jerk) >= goal:
            return least
        for _ in range(_BISECTIONS):
            middle = 0.5 * (least + most)
            if self._ends_at(middle, speed, jerk) <= goal:
                least = middle
            else:
                most = middle
        return 0.5 * (least + most)

    def _ends_at(self, a: float, speed: float, jerk: float) -> float:
        relative = self.v + a * self.period - speed
        stop = stop_distance(relative, a, _PLAN_SHARE * self.acceleration, _PLAN_SHARE * jerk)
        return self.p + (relative + speed) * self.period + stop  # where the goal is by then


class SpeedTrack:
    """The command of one joint in velocity mode: `v` and `a` of the last command. |v + a |a| / 2J| stays inside the
    limit.
    """

    __slots__ = ("a", "acceleration", "jerk", "period", "v", "velocity")

    def __init__(self, velocity: float, acceleration: float, jerk: float, period: float) -> None:
        """Limits in rad/s, rad/s², rad/s³; period in s."""
        self.velocity, self.acceleration, self.jerk, self.period = velocity, acceleration, jerk, period
        self.v = self.a = 0.0

    def reset(self, v: float) -> None:
        """The joint was told to move at `v` (rad/s)."""
        self.v, self.a = min(max(v, -self.velocity), self.velocity), 0.0

    def advance(self, goal: float, low: float, high: float, *, emergency: bool = False) -> float:
        """The next speed towards `goal` (rad/s), inside low..high as far as the acceleration limit lets it be.

        To get back inside them, and in an `emergency`, the jerk is free.
        """
        v, period, limit = self.v, self.period, self.acceleration
        goal = low if goal < low else min(goal, high)
        a = (goal - v) / period
        if not emergency:
            room = goal - v
            landing = copysign(self.jerk * (sqrt(period * period + 2.0 * abs(room) / self.jerk) - period), room)
            a = min(max(landing, self.a - self.jerk * period), self.a + self.jerk * period)
            after = v + a * period
            if after > high:
                a = (max(high, v - limit * period) - v) / period
            elif after < low:
                a = (min(low, v + limit * period) - v) / period
        self.a = min(max(a, -limit), limit)
        self.v = v + self.a * period
        return self.v
