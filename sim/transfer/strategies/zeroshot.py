"""The base policy as it is: what transfer has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sim.transfer.networks import Networks, Saved
from sim.transfer.strategies.strategy import WHOLE, Strategy


@dataclass(frozen=True, slots=True)
class ZeroShot(Strategy):
    """Frozen: everything. New: nothing."""

    name: ClassVar[str] = "zeroshot"
    kind: ClassVar[str] = WHOLE
    trains: ClassVar[bool] = False

    def start(self, networks: Networks, base: Saved) -> None:
        """The base, frozen."""
        networks.load(base)
        networks.freeze()
