"""What a strategy says: where the networks start from, what is new in them, and what may learn when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sim.transfer.networks import Networks, Saved

WHOLE, START, FREEZING = "whole", "start", "freezing"
"""Kinds. A whole strategy stands alone; one that says how to start and one that says what is frozen go together."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """One way to go on from a policy learnt elsewhere. Fields of a strategy are its options in a study."""

    name: ClassVar[str]
    kind: ClassVar[str]
    trains: ClassVar[bool] = True
    needs_base: ClassVar[bool] = True
    fresh_noise: ClassVar[bool] = False  # the noise of the actions is not the base's

    def start(self, networks: Networks, base: Saved) -> None:
        """Change fresh networks into what the training begins with."""

    def free(self, networks: Networks, done: float) -> None:
        """Say what may learn at this share of the training (0 to 1)."""

    def unlearnt(self, layers: int) -> frozenset[int]:  # noqa: ARG002 (most know all of them)
        """Which of the actor's layers do not come from the base as they were: nobody may freeze these."""
        return frozenset()

    def frozen_at_the_end(self, layers: int) -> frozenset[int]:  # noqa: ARG002 (most freeze none)
        """Which of the actor's layers never learn."""
        return frozenset()
