"""From what the arms sense to what a policy sees, by the rules of its contract, for many arms at once.

The runtime does the same for one arm; a test holds the two equal, so that an exported policy sees in flight what it
saw in training.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from robot_runtime.arrays import Floats, Indices
from robot_runtime.policy.contract import Contract, Term

Observations = npt.NDArray[np.float32]

KINDS = ("joint_position", "joint_velocity", "tip_position", "last_action", "target", "target_error")
"""Terms that tasks use."""


class Observer:
    """Fills the observations of `count` arms, with the history that the contract asks for."""

    def __init__(self, contract: Contract, count: int) -> None:
        """Lay the terms out.

        Raises:
            ValueError: a term that no task computes, or histories in an order that tasks do not make.
        """
        if contract.stacked or any(term.kind not in KINDS for term in contract.observation):
            raise ValueError(f"tasks observe {', '.join(KINDS)} with histories term by term; asked for {contract}")
        self.values: Observations = np.zeros((count, contract.observation_size), dtype=np.float32)
        self._terms: list[tuple[Term, slice]] = []
        start = 0
        for term in contract.observation:
            self._terms.append((term, slice(start, start + term.size * term.history)))
            start += term.size * term.history

    def reset(self, ids: Indices, sensed: Mapping[str, Floats]) -> None:
        """A new beginning for these arms: every sample of a history is the first one."""
        for term, columns in self._terms:
            self.values[ids, columns] = np.tile(_scaled(term, sensed)[ids], term.history)

    def update(self, sensed: Mapping[str, Floats]) -> None:
        """One more sample of everything, oldest first."""
        for term, columns in self._terms:
            block = self.values[:, columns]
            if term.history > 1:
                block[:, : -term.size] = block[:, term.size :].copy()
            block[:, -term.size :] = _scaled(term, sensed)


def _scaled(term: Term, sensed: Mapping[str, Floats]) -> Floats:
    values: Floats = (sensed[term.kind] - np.asarray(term.offset)) * np.asarray(term.scale)
    return values if term.clip is None else np.clip(values, *term.clip)
