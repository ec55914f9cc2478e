"""Whether two logs hold the same samples, in whatever files: what is held out must not be fitted to as well.

The same file may have been mapped with a joint fewer, thinned out, rounded or begun at another time. What stays is
where the encoders stood: no two recordings agree in that, sample by sample, while something moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibration.logs.log import Log
from robot_runtime.arrays import Floats

RUN = 25
"""Samples in a row that must agree."""
LIVELY = RUN // 2
"""Changes from one sample to the next in these, all joints together: arms that stand in one pose look alike."""
SAME = 2e-4
"""rad: an encoder's step is seven times that, and what rounding to a hundredth of a degree leaves is less than half."""
CELL = 1e-3
"""rad: of a first, rough look."""
TOGETHER = 0.001
"""s between two stamps of one sample: files keep them to a millisecond."""
LOOKED_AT = 3000
"""Samples of a log, evenly, that are looked for in the other at first."""
MOST_PAIRS = 300_000
"""Of samples that stand in the same place; of those that stand where fewest others do: a joint at rest says nothing."""
LIKELY = 8
"""Times by which one log may be later than the other that are tried."""


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprint:
    """A log's motion, to be found again in others."""

    joints: tuple[str, ...]
    time: Floats
    q: Floats

    @classmethod
    def of(cls, log: Log) -> Fingerprint:
        """Take it once: it is compared with those of all others."""
        return cls(tuple(log.joints), log.time, log.q)

    def of_joints(self, names: list[str]) -> Fingerprint:
        """Of these alone."""
        return Fingerprint(tuple(names), self.time, self.q[:, [self.joints.index(name) for name in names]])


def shared(one: Fingerprint, other: Fingerprint) -> float:
    """Share of the motion of one log that the other has too, of the joints of both; of the log of which it is more."""
    names = [name for name in one.joints if name in other.joints]
    if not names or min(len(one.time), len(other.time)) < RUN:
        return 0.0
    one, other = one.of_joints(names), other.of_joints(names)
    return max(_found(one, other), _found(other, one))


def _found(part: Fingerprint, whole: Fingerprint) -> float:
    """Share of a log's lively runs that stand in the other one as well."""
    changes = np.concatenate([[0], np.cumsum((np.abs(np.diff(part.q, axis=0)) > SAME).sum(axis=1))])
    lively = changes[RUN - 1 :] - changes[: len(changes) - RUN + 1] >= LIVELY
    if not lively.any():
        return 0.0
    return max((float(_agree(part, whole, late)[lively].mean()) for late in _later(part, whole)), default=0.0)


def _agree(part: Fingerprint, whole: Fingerprint, late: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """By run, whether all of its samples stand in the other log, so much later."""
    at = part.time + late
    after = np.clip(np.searchsorted(whole.time, at), 1, len(whole.time) - 1)
    near = after - (at - whole.time[after - 1] < whole.time[after] - at)
    apart = np.abs(part.q - whole.q[near]) > SAME  # false where one of them has none
    same = ~apart.any(axis=1) & (np.abs(whole.time[near] - at) <= TOGETHER)
    count = np.concatenate([[0], np.cumsum(same)])
    return np.asarray(count[RUN:] - count[:-RUN] == RUN)


def _later(part: Fingerprint, whole: Fingerprint) -> list[float]:
    """By how much later the one may stand in the other, s: what most of its samples of the liveliest joint say."""
    moves = [(np.abs(np.diff(log.q, axis=0)) > SAME).sum(axis=0) for log in (part, whole)]
    joint = int(np.argmax(np.minimum(*moves)))
    cells = np.rint(np.nan_to_num(whole.q[:, joint]) / CELL)
    order = np.argsort(cells, kind="stable")
    moving = np.flatnonzero(np.abs(np.diff(part.q[:, joint])) > SAME) + 1
    rows = moving[:: max(1, len(moving) // LOOKED_AT)]
    wanted = np.rint(part.q[rows, joint] / CELL)
    first, last = (np.searchsorted(cells[order], wanted, side=side) for side in ("left", "right"))
    rare = np.argsort(last - first, kind="stable")
    rare = rare[np.cumsum((last - first)[rare]) <= MOST_PAIRS]
    rows, first, last = rows[rare], first[rare], last[rare]
    votes = [whole.time[order[a:b]] - part.time[row] for row, a, b in zip(rows, first, last, strict=True)]
    if not votes:
        return []
    every = np.sort(np.concatenate(votes))
    within = np.searchsorted(every, every + 2 * TOGETHER, side="right") - np.arange(len(every))
    found: list[float] = []
    for k in np.argsort(-within, kind="stable"):
        middle = float(np.median(every[k : k + within[k]]))
        if all(abs(middle - late) > 2 * TOGETHER for late in found):
            found.append(middle)
        if len(found) == LIKELY:
            break
    return found
