"""Initialise with the base and go on learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sim.transfer.networks import Networks, Saved
from sim.transfer.strategies.strategy import START, Strategy


@dataclass(frozen=True, slots=True)
class FineTune(Strategy):
    """Frozen: nothing. New: nothing."""

    name: ClassVar[str] = "fine-tune"
    kind: ClassVar[str] = START

    def start(self, networks: Networks, base: Saved) -> None:
        """The base, all of it free."""
        networks.load(base)
