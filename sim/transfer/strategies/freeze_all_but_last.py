"""Keep what the hidden layers know, learn only what is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sim.transfer.networks import Networks
from sim.transfer.strategies.strategy import FREEZING, Strategy


@dataclass(frozen=True, slots=True)
class FreezeAllButLast(Strategy):
    """Frozen: the actor's layers but the last, and its normaliser. The critic learns: it only teaches."""

    name: ClassVar[str] = "freeze-all-but-last"
    kind: ClassVar[str] = FREEZING

    def free(self, networks: Networks, done: float) -> None:  # noqa: ARG002 (the same all the time)
        """The last layer."""
        networks.normalise(networks.actor, on=False)
        for layer in networks.layers(networks.actor)[:-1]:
            networks.learn(layer, on=False)

    def frozen_at_the_end(self, layers: int) -> frozenset[int]:
        """All but the last."""
        return frozenset(range(layers - 1))
