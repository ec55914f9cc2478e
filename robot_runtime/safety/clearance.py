"""The table, the arm itself and a workspace box, turned into stops for the joints.

A distance d that must not fall below a margin shrinks by sum(|g_i| x_i) when joint i goes x_i further, g being its
gradient; while the joints turn by T in all, g_i changes by at most r_i T, r_i being its reach, the longest way from the
joint's axis to what it moves. So what shrinks is at most sum(min(l_i, |g_i| + r_i T / 2) x_i), l_i being its lever, the
most that the joint can do to that distance at all. What every joint still needs to brake is set aside; what is left of
d is shared out. Each joint gets a stop behind what it needs and its share, and brakes before it as it does before its
own: so any mode keeps distances by the law that it keeps its limits by, whatever the other joints do, and nothing has
to be solved.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from robot_runtime.arm.kinematics import Kinematics
from robot_runtime.safety.apart import pairs_to_watch

MARGIN = 0.005
"""m between the arm and the table or itself. The shipped arms rest 6 to 13 mm from what they could touch; nearer than
the margin the arm may only leave."""

KEPT = 0.8
"""Of the margin that joint limits alone must keep of a pair that is not watched."""

BOX_MARGIN = 0.005  # m between the tip and the sides of its box

_FAR = 0.3  # m: distances are not measured beyond

_LOOK_AHEAD = 0.012
"""m by which what is left of a pair's distance can shrink from one cycle to the next: closer pairs are looked at."""

_WATCHED = 0.004
"""m beyond that in which pairs are measured every cycle: sooner than working out again which pairs are close."""

_GROWTH = 3.0
"""Times the reaches' share: how fast what is set aside for braking can grow with the braking angles, bending
included."""

_FLAT = 1e-12  # m²/rad²: no joint changes such a distance


@dataclass(frozen=True, slots=True)
class Box:
    """Where the tip may be, in the base frame."""

    low: tuple[float, float, float]  # m
    high: tuple[float, float, float]  # m


@dataclass(slots=True, eq=False)
class _Reach:
    """Where the joints are and how far they go, one entry a joint (rad), and the stops that are moved."""

    at: list[float]  # where their commands are
    lowest: list[float]
    highest: list[float]
    up: list[float]  # what braking takes upwards, with swing
    down: list[float]
    low: list[float]  # where they must stop
    high: list[float]
    braking: list[float] = field(init=False)

    def __post_init__(self) -> None:
        """The longer of the two ways."""
        self.braking = list(map(max, self.up, self.down))


class Clearance:
    """Stops that keep distances. Pairs that no joint can bring together before it has braked cost nothing."""

    def __init__(
        self,
        kinematics: Kinematics,
        limits: tuple[list[float], list[float]],
        swing: list[float],
        workspace: Box | None,
    ) -> None:
        """Which pairs there are, and how fast each joint can bring them together.

        `limits` (rad): of the joints, which keep some pairs apart by themselves. `swing`: times as far as planned that
        each joint may go before it stands.
        """
        self._kinematics = kinematics
        self._swing = swing
        levers = kinematics.levers()
        watched = pairs_to_watch(kinematics, levers, *limits, KEPT * MARGIN)
        self._pairs = [kinematics.pairs[index] for index in watched]
        levers = levers[watched]
        reaches = np.where(levers > 0.0, kinematics.reaches()[watched], 0.0)
        self._levers = [_moving(*rows) for rows in zip(levers.tolist(), reaches.tolist(), strict=True)]
        pairs, joints = levers.shape
        # What is left of a distance when all have braked shrinks, at most, by these times what grows of the joints'
        # places, their negatives, and what braking takes upwards and downwards (pairs x 4 joints, m/rad).
        self._shrinks = np.hstack((levers, levers, _GROWTH * reaches, _GROWTH * reaches))
        self._most: list[float] = self._shrinks.max(axis=0, initial=0.0).tolist()
        self._left = np.zeros(pairs)  # m of each pair when it was measured last
        self._seen = np.zeros((pairs, 4 * joints))  # rad, what may grow, then
        self._close: list[int] = []  # pairs to measure in every cycle
        self._spare = -np.inf  # m, the least that was left of any other when they were sorted out
        self._sorted = [0.0] * (4 * joints)  # rad, what may grow, then
        self._box = workspace
        self._tip, self._tip_jacobian = np.zeros(3), np.zeros((3, joints))
        tip_levers: list[float] = kinematics.tip_levers().tolist()
        self._tip_levers = _moving(tip_levers, tip_levers)
        self.nearest = _FAR
        """m, the smallest distance measured in the last cycle; at most 0.3."""
        self.reset()

    def reset(self) -> None:
        """Forget how far things were."""
        self._left[:] = -np.inf
        self._spare = -np.inf

    def stops(
        self,
        q: list[float],
        at: list[float],
        lowest: list[float],
        highest: list[float],
        low: list[float],
        high: list[float],
    ) -> tuple[bool, bool]:
        """Move `low` and `high` (rad) inwards to where the joints must stop; says whether a pair, the box, did so.

        `q`: where the joints are. `at`: where their commands are, which no stop takes back. `lowest`, `highest`: how
        far they go before they can stand. All in rad.
        """
        up = [swing * (most - x) if most > x else 0.0 for swing, most, x in zip(self._swing, highest, q, strict=True)]
        down = [
            swing * (x - least) if x > least else 0.0 for swing, least, x in zip(self._swing, lowest, q, strict=True)
        ]
        now = [*q, *[-x for x in q], *up, *down]
        spare = self._spare
        for x, before, most in zip(now, self._sorted, self._most, strict=True):
            if x > before:
                spare -= most * (x - before)
        if spare <= _LOOK_AHEAD:
            self._sort_out(now)
        self.nearest = _FAR
        if not self._close and self._box is None:
            return False, False
        reach = _Reach(at, lowest, highest, up, down, low, high)
        self._kinematics.place(q)
        touched = bool(self._close) and self._keep_apart(now, reach)
        boxed = self._box is not None and self._keep_in_box(self._box, reach)
        return touched, boxed

    def _sort_out(self, now: list[float]) -> None:
        """Which pairs are close from now on, and the least that is left of the others."""
        grown = now - self._seen
        shrunk = np.einsum("ij,ij->i", self._shrinks, np.maximum(grown, 0.0, out=grown))
        lefts: list[float] = (self._left - shrunk).tolist()
        self._close = [index for index, left in enumerate(lefts) if left <= _LOOK_AHEAD + _WATCHED]
        self._spare = min([left for left in lefts if left > _LOOK_AHEAD + _WATCHED], default=np.inf)
        self._sorted = now

    def _keep_apart(self, now: list[float], reach: _Reach) -> bool:
        """Measure the close pairs, and share out what little is left of their distances."""
        near: list[int] = []
        braking = reach.braking
        distances: list[float] = []
        for index in self._close:
            distance = self._kinematics.distance(self._pairs[index], _FAR)
            self.nearest = min(self.nearest, distance)
            left = distance - MARGIN - sum([lever * braking[i] for i, lever, _ in self._levers[index]])
            if left <= _LOOK_AHEAD:  # by levers; gradients know more
                near.append(index)
                distances.append(distance)
            else:
                self._note(index, left)
        self._seen[self._close] = now
        touched = False
        if near:
            gradients = self._kinematics.gradients([self._pairs[index] for index in near]).tolist()
            for index, distance, gradient in zip(near, distances, gradients, strict=True):
                left = _share(distance - MARGIN, gradient, self._levers[index], reach)
                touched = touched or left <= _LOOK_AHEAD
                self._note(index, left)
        return touched

    def _note(self, index: int, left: float) -> None:
        """What is left of a pair (m); if it is no longer close, the next cycle finds out which ones are."""
        self._left[index] = left
        if left > _LOOK_AHEAD + _WATCHED:
            self._spare = -np.inf

    def _keep_in_box(self, box: Box, reach: _Reach) -> bool:
        need = sum([lever * reach.braking[i] for i, lever, _ in self._tip_levers]) + _LOOK_AHEAD
        self._kinematics.tip_motion(self._tip, self._tip_jacobian)
        touched = False
        for axis, place in enumerate(self._tip.tolist()):
            for side, sign in ((box.low[axis], 1.0), (box.high[axis], -1.0)):
                left = sign * (place - side) - BOX_MARGIN
                if left <= need:
                    gradient: list[float] = (sign * self._tip_jacobian[axis]).tolist()
                    left = _share(left, gradient, self._tip_levers, reach)
                    touched = touched or left <= _LOOK_AHEAD
        return touched


def _moving(levers: list[float], reaches: list[float]) -> list[tuple[int, float, float]]:
    """The joints that have a lever, with it and their reach."""
    return [(i, lever, far) for i, (lever, far) in enumerate(zip(levers, reaches, strict=True)) if lever > 0.0]


def _share(left: float, gradient: list[float], levers: list[tuple[int, float, float]], reach: _Reach) -> float:
    """What is left of the distance `left` (m) when all joints have braked. If little, each joint gets a stop behind
    what it needs itself and its share of that. `levers`: of the joints that change the distance.
    """
    up, down, braking = reach.up, reach.down, reach.braking
    turn = 0.5 * sum([braking[i] for i, _, _ in levers])
    square = 0.0
    shares = []
    for i, lever, far in levers:
        slope, bend = gradient[i], far * turn
        if slope > 0.0:
            size, closing, opening = slope, down[i], up[i]
        else:
            size, closing, opening = -slope, up[i], down[i]
        most = size + bend if size + bend < lever else lever
        left -= most * closing
        if bend > size:
            left -= (bend - size if bend - size < lever else lever) * opening
        square += most * most
        shares.append((i, slope, most))
    if square < _FLAT:
        return np.inf
    if left > _LOOK_AHEAD:
        return left
    low, high, at = reach.low, reach.high, reach.at
    for i, slope, most in shares:
        if slope > 0.0:
            stop = reach.lowest[i] - left / square * most
            if stop > low[i]:
                low[i] = max(low[i], min(stop, at[i]))
        else:
            stop = reach.highest[i] + left / square * most
            if stop < high[i]:
                high[i] = min(high[i], max(stop, at[i]))
    return left
