"""The table, the arm itself and a workspace box, turned into stops for the joints.

A distance d that must not fall below a margin shrinks by sum(|g_i| x_i) when joint i goes x_i further, g being its
gradient; while the joints turn by T in all, g_i changes by at most l_i T, l_i being the lever: the longest way from
the joint's axis to what it moves. So what shrinks is at most sum(min(l_i, |g_i| + l_i T / 2) x_i). What every joint
still needs to brake is set aside; what is left of d is shared out. Each joint gets a stop behind what it needs and
its share, and brakes before it as it does before its own: so any mode keeps distances by the law that it keeps its
limits by, whatever the other joints do, and nothing has to be solved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robot_runtime.arm.kinematics import Kinematics
from robot_runtime.arm.state import Floats

MARGIN = 0.005
"""m between the arm and the table or itself. The shipped arms rest 6 to 13 mm from what they could touch; nearer than
the margin the arm may only leave."""

BOX_MARGIN = 0.005  # m between the tip and the sides of its box

_FAR = 0.3  # m: distances are not measured beyond

_LOOK_AHEAD = 0.012
"""m by which what is left of a pair's distance can shrink from one cycle to the next: closer pairs are looked at."""

_GROWTH = 3.0
"""Times the levers' share: how fast what is set aside for braking can grow with the braking angles, bending
included."""

_FLAT = 1e-12  # m²/rad²: no joint changes such a distance


@dataclass(frozen=True, slots=True)
class Box:
    """Where the tip may be, in the base frame."""

    low: tuple[float, float, float]  # m
    high: tuple[float, float, float]  # m


class Clearance:
    """Stops that keep distances. Pairs that no joint can bring together before it has braked cost nothing."""

    def __init__(self, kinematics: Kinematics, swing: Floats, workspace: Box | None) -> None:
        """Which pairs there are, and how fast each joint can bring them together.

        `swing`: times as far as planned that each joint may go before it stands.
        """
        self._swing = swing
        self._kinematics = kinematics
        self._levers = kinematics.levers()
        self._pairs = kinematics.pairs
        self._lever_rows: list[list[float]] = self._levers.tolist()
        count = self._levers.shape[1]
        self._left = np.full(len(self._pairs), -np.inf)  # m: at least this is left when all have braked
        self._spare = -np.inf  # m, the least of them, with the margin to look ahead
        self._longest = self._levers.max(axis=0, initial=0.0)
        self._size_before = np.zeros(count)
        self._needed = np.zeros(len(self._pairs))  # m by levers, when it was looked at
        self._reference = np.zeros(count)
        self._need, self._work = np.zeros(len(self._pairs)), np.zeros(len(self._pairs))
        self._moved, self._gradient, self._size = np.zeros(count), np.zeros(count), np.zeros(count)
        self._up, self._down = np.zeros(count), np.zeros(count)
        self._tip, self._tip_jacobian = np.zeros(3), np.zeros((3, count))
        self._box = workspace
        self._tip_levers = kinematics.tip_levers()
        self.nearest = _FAR
        """m, the smallest distance measured in the last cycle; at most 0.3."""

    def reset(self) -> None:
        """Forget how far things were."""
        self._left[:] = -np.inf
        self._spare = -np.inf
        self._reference[:] = 0.0

    def stops(
        self, q: Floats, at: Floats, lowest: Floats, highest: Floats, low: Floats, high: Floats
    ) -> tuple[bool, bool]:
        """Move `low` and `high` (rad) inwards to where the joints must stop; says whether a pair, the box, did so.

        `q`: where the joints are. `at`: where their commands are, which no stop takes back. `lowest`, `highest`: how
        far they go before they can stand. All in rad.
        """
        up, down = self._up, self._down
        np.maximum(self._swing * (highest - q), 0.0, out=up)
        np.maximum(self._swing * (q - lowest), 0.0, out=down)
        np.maximum(up, down, out=self._size)
        near = self._near(q)
        placed = False
        self.nearest = _FAR
        touched = boxed = False
        for index in near:
            if not placed:
                self._kinematics.place(q)
                placed = True
            pair = self._pairs[index]
            distance = self._kinematics.distance(pair, _FAR)
            self.nearest = min(self.nearest, distance)
            left, need = distance - MARGIN, float(self._need[index])
            if left <= need + _LOOK_AHEAD:
                gradient = self._kinematics.gradient(pair, self._gradient)
                left = self._share(left, gradient.tolist(), self._lever_rows[index], at, lowest, highest, low, high)
                touched = True
            else:
                left -= need
            self._left[index], self._needed[index] = left, need
        if self._box is not None:
            if not placed:
                self._kinematics.place(q)
            boxed = self._keep_in_box(self._box, at, lowest, highest, low, high)
        return touched, boxed

    def _near(self, q: Floats) -> list[int]:
        """Pairs of which little may be left when every joint has braked."""
        moved, work, need, left = self._moved, self._work, self._need, self._left
        # First all pairs at once, each joint at the longest of its levers: mostly nothing is near.
        np.subtract(q, self._reference, out=moved)
        np.abs(moved, out=moved)
        np.subtract(self._size, self._size_before, out=self._gradient)
        np.maximum(self._gradient, 0.0, out=self._gradient)
        self._gradient *= _GROWTH
        self._gradient += moved
        if self._spare - float(self._longest @ self._gradient) > _LOOK_AHEAD:
            return []
        np.copyto(self._reference, q)
        np.copyto(self._size_before, self._size)
        np.dot(self._levers, moved, out=work)
        np.subtract(left, work, out=left)
        np.dot(self._levers, self._size, out=need)
        np.subtract(need, self._needed, out=work)
        np.maximum(work, 0.0, out=work)
        np.multiply(work, _GROWTH, out=work)
        np.subtract(left, work, out=work)
        self._spare = float(work.min(initial=np.inf))
        if self._spare > _LOOK_AHEAD:
            return []
        self._spare = -np.inf
        indices: list[int] = np.flatnonzero(work <= _LOOK_AHEAD).tolist()
        return indices

    def _keep_in_box(self, box: Box, at: Floats, lowest: Floats, highest: Floats, low: Floats, high: Floats) -> bool:
        need = float(self._tip_levers @ self._size) + _LOOK_AHEAD
        self._kinematics.tip_motion(self._tip, self._tip_jacobian)
        levers: list[float] = self._tip_levers.tolist()
        touched = False
        for axis in range(3):
            for side, sign in ((box.low[axis], 1.0), (box.high[axis], -1.0)):
                left = sign * (self._tip[axis] - side) - BOX_MARGIN
                if left <= need:
                    gradient: list[float] = (sign * self._tip_jacobian[axis]).tolist()
                    self._share(left, gradient, levers, at, lowest, highest, low, high)
                    touched = True
        return touched

    def _share(
        self,
        left: float,
        gradient: list[float],
        levers: list[float],
        at: Floats,
        lowest: Floats,
        highest: Floats,
        low: Floats,
        high: Floats,
    ) -> float:
        """Stops behind what each joint needs of the distance `left` and its share of the rest; returns the rest (m)."""
        up, down = self._up.tolist(), self._down.tolist()
        turn = 0.5 * sum(max(u, d) for u, d, lever in zip(up, down, levers, strict=True) if lever > 0.0)
        square = 0.0
        worst = []
        for slope, lever, u, d in zip(gradient, levers, up, down, strict=True):
            size, bend = abs(slope), lever * turn
            most = min(size + bend, lever)
            closing, opening = (d, u) if slope > 0.0 else (u, d)
            left -= most * closing + max(bend - size, 0.0) * opening
            square += most * most
            worst.append(most)
        if square < _FLAT:
            return np.inf
        share = left / square
        for i, (slope, most) in enumerate(zip(gradient, worst, strict=True)):
            if most > 0.0:
                if slope > 0.0:
                    low[i] = max(low[i], min(lowest[i] - share * most, at[i]))
                else:
                    high[i] = min(high[i], max(highest[i] + share * most, at[i]))
        return left
