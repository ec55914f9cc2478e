"""Observation: from joints, target and time to the vector that the network takes, exactly as its contract says.

Everything that a term can be about stands in one list of cells; each entry of the observation is one cell minus
another (an error) or minus nothing. So a sample is two gathers, and its history one more, whatever the terms are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from robot_runtime.arm import Kinematics
from robot_runtime.arrays import Floats
from robot_runtime.policy.contract import Contract, Term
from robot_runtime.spec import ArmSpec

_NOTHING = 0
"""The cell that is always 0."""


class Observation:
    """Builds observations; holds the last action and the history."""

    def __init__(self, contract: Contract, spec: ArmSpec, kinematics: Kinematics) -> None:
        """Lay out the cells. The contract has been checked against the arm (`require_arm`)."""
        self._contract, self._kinematics = contract, kinematics
        count, target = len(spec.joints), contract.target.size if contract.target else 0
        terms = contract.observation
        phases = [term for term in terms if term.kind == "phase"]
        sizes = [1, count, count, count, 3, contract.action_size, target, 2 * len(phases)]
        ends = np.cumsum(sizes)
        self._cells: Floats = np.zeros(ends[-1])
        views = [self._cells[end - size : end] for end, size in zip(ends, sizes, strict=True)]
        _, self._q, self._dq, self._tau, self._tip, self.last_action, self._target, self._phase = views
        self._first = dict(
            zip(
                ("joint_position", "joint_velocity", "joint_torque", "tip_position", "last_action", "target", "phase"),
                (int(end) - size for end, size in zip(ends[1:], sizes[1:], strict=True)),
                strict=True,
            )
        )
        self._periods = [term.period or math.inf for term in phases]
        self._index = {name: i for i, name in enumerate(spec.joint_names)}
        self._needs_tip = any(t.kind == "tip_position" for t in terms) or (
            any(t.kind == "target_error" for t in terms)
            and contract.target is not None
            and contract.target.kind == "tip_position"
        )
        pairs = iter(range(self._first["phase"], int(ends[-1]), 2))
        self._plus = np.array([cell for term in terms for cell in self._of(term, pairs)])
        self._minus = np.array([cell for term in terms for cell in self._less(term)])
        self._offset = np.concatenate([_entries(_offset(t), t.size) for t in terms])
        self._scale = np.concatenate([_entries(t.scale, t.size) for t in terms])
        low, high = zip(*(t.clip or (-math.inf, math.inf) for t in terms), strict=True)
        lengths = [t.size for t in terms]
        self._low, self._high = np.repeat(low, lengths), np.repeat(high, lengths)
        self._clips = bool(np.isfinite(self._low).any())
        self._less_is_nothing, self._offset_is_nothing = not self._minus.any(), not self._offset.any()
        self._needs_torque = any(t.kind == "joint_torque" for t in terms)
        self._sample, self._minuend = np.zeros(len(self._plus)), np.zeros(len(self._plus))
        deepest = max(t.history for t in terms)
        self._past = np.zeros((deepest, len(self._plus)))
        self._layout = _layout(contract, deepest) if deepest > 1 else None
        self._start = 0.0
        self._fresh = True

    def reset(self, now: float) -> None:
        """A new episode: no action yet, phases begin here, the history will be the first sample."""
        self.last_action.fill(0.0)
        self._start = now
        self._fresh = True

    def build(self, q: Floats, dq: Floats, tau: Floats, target: Floats, now: float, out: NDArray[np.float32]) -> None:
        """Observe: joint arrays of the whole arm (mapped, if there is a calibration), into `out`."""
        self._q[:] = q
        self._dq[:] = dq
        if self._needs_torque:
            self._tau[:] = tau
        if len(self._target):
            self._target[:] = target
        if self._needs_tip:
            self._tip[:] = self._kinematics.tip_position(q)
        for i, period in enumerate(self._periods):
            angle = 2.0 * math.pi * math.fmod(now - self._start, period) / period
            self._phase[2 * i], self._phase[2 * i + 1] = math.sin(angle), math.cos(angle)
        sample = self._sample
        self._cells.take(self._plus, out=sample, mode="clip")
        if not self._less_is_nothing:
            self._cells.take(self._minus, out=self._minuend, mode="clip")
            np.subtract(sample, self._minuend, out=sample)
        if not self._offset_is_nothing:
            np.subtract(sample, self._offset, out=sample)
        np.multiply(sample, self._scale, out=sample)
        if self._clips:
            np.maximum(sample, self._low, out=sample)
            np.minimum(sample, self._high, out=sample)
        if self._layout is None:
            out[:] = sample
            return
        if self._fresh:
            self._past[:] = sample
            self._fresh = False
        else:
            self._past[:-1] = self._past[1:]
            self._past[-1] = sample
        out[:] = self._past.take(self._layout)

    def _of(self, term: Term, phases: Iterator[int]) -> list[int]:
        """The cells of a term; `phases`: where each phase begins, in their order."""
        if term.kind == "constant":
            return [_NOTHING] * term.size
        first = self._first["target" if term.kind == "target_error" else term.kind]
        if term.joints:
            return [first + self._index[joint] for joint in term.joints]
        if term.kind == "phase":
            first = next(phases)
        return list(range(first, first + term.size))

    def _less(self, term: Term) -> list[int]:
        """The cells that are subtracted from them: of an error, where the arm is."""
        target = self._contract.target
        if term.kind != "target_error" or target is None:
            return [_NOTHING] * term.size
        if target.kind == "tip_position":
            return list(range(self._first["tip_position"], self._first["tip_position"] + 3))
        return [self._first["joint_position"] + self._index[joint] for joint in target.joints]


def _entries(values: tuple[float, ...], size: int) -> Floats:
    return np.broadcast_to(np.array(values), (size,))


def _offset(term: Term) -> tuple[float, ...]:
    """A constant is its offset: nothing, less its negative."""
    return tuple(-v for v in term.offset) if term.kind == "constant" else term.offset


def _layout(contract: Contract, deepest: int) -> NDArray[np.intp]:
    """Where each entry of the observation stands in the past samples (deepest x sample, the newest last)."""
    terms = contract.observation
    width = sum(t.size for t in terms)
    if contract.stacked:
        return np.arange(deepest * width)
    entries, first = [], 0
    for term in terms:
        rows = range(deepest - term.history, deepest)
        entries += [row * width + column for row in rows for column in range(first, first + term.size)]
        first += term.size
    return np.array(entries)
