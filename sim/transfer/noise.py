"""Action noise by a schedule, instead of one that is learnt: an option of every strategy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from sim.transfer.networks import Networks


@dataclass(frozen=True, slots=True)
class Noise:
    """Standard deviation of the actions: from `start` to `end`, by equal factors in equal shares of the training."""

    start: float
    end: float

    def __post_init__(self) -> None:
        """Raise ValueError for what is no noise."""
        if not (self.start > 0 and self.end > 0):
            raise ValueError(
                f"noise goes from one standard deviation above 0 to another, not {self.start} to {self.end}"
            )

    def apply(self, networks: Networks, done: float) -> None:
        """Set the noise for this share of the training; it is not learnt any more."""
        networks.log_std.requires_grad = False
        with torch.no_grad():
            networks.log_std.fill_(math.log(self.start * (self.end / self.start) ** done))
