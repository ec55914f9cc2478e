"""Begin with the last layer, let the others go one by one towards the input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from sim.transfer.networks import Networks
from sim.transfer.strategies.strategy import FREEZING, Strategy


@dataclass(frozen=True, slots=True)
class FreezeThenThaw(Strategy):
    """Frozen: at first the actor's layers but the last, and its normaliser; after `share` of the training nothing."""

    name: ClassVar[str] = "freeze-then-thaw"
    kind: ClassVar[str] = FREEZING

    share: float = 0.5  # of the training, over which the layers thaw in equal steps

    def __post_init__(self) -> None:
        """Raise ValueError for what is no share."""
        if not 0 < self.share <= 1:
            raise ValueError(f"share is a share of the training, above 0 and up to 1, not {self.share}")

    def free(self, networks: Networks, done: float) -> None:
        """The last layers, the more the later; the normaliser belongs to the first."""
        layers = networks.layers(networks.actor)
        thawed = 1 + math.floor(min(done / self.share, 1.0) * (len(layers) - 1) + 1e-9)
        for k, layer in enumerate(reversed(layers)):
            networks.learn(layer, on=k < thawed)
        networks.normalise(networks.actor, on=thawed == len(layers))
