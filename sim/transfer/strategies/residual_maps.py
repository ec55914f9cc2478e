"""Two small maps around a frozen policy, as the published experiment has them (iyevenko/SimTransfer).

obs + pre(obs) -> frozen actor -> out + post(out); the critic is frozen too and has a map of its own before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sim.transfer.networks import Networks, Saved
from sim.transfer.strategies.strategy import WHOLE, Strategy

STACKED, CARRIED = "stacked", "carried"


@dataclass(frozen=True, slots=True)
class ResidualMaps(Strategy):
    """Frozen: actor, critic, normalisers, log-std. New: the maps, very nearly nothing at first."""

    name: ClassVar[str] = "residual-maps"
    kind: ClassVar[str] = WHOLE

    maps: str = STACKED  # where the start has maps already: new ones around them, or go on with those ("carried")

    def __post_init__(self) -> None:
        """Raise ValueError for a word that means nothing."""
        if self.maps not in (STACKED, CARRIED):
            raise ValueError(f"maps are '{STACKED}' or '{CARRIED}', not '{self.maps}'")

    def start(self, networks: Networks, base: Saved) -> None:
        """The base, frozen, with maps around it."""
        networks.load(base)
        if self.maps == STACKED or not networks.maps:
            networks.add_maps()
        networks.freeze()
        for part in networks.newest_maps():
            networks.learn(part, on=True)
