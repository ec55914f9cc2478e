"""Shake the last layers a little: out of the base's habits, not out of its knowledge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from sim.transfer.networks import Networks, Saved
from sim.transfer.strategies.strategy import START, Strategy


@dataclass(frozen=True, slots=True)
class NoiseLast(Strategy):
    """New: noise on the weights of the actor's last `layers`, `size` times each layer's own spread."""

    name: ClassVar[str] = "noise-last-n"
    kind: ClassVar[str] = START

    layers: int = 1
    size: float = 0.5  # standard deviations of the layer's weights

    def __post_init__(self) -> None:
        """Raise ValueError for what is no number of layers, or no size."""
        if self.layers < 1 or self.size <= 0:
            raise ValueError(f"layers is 1 or more and size above 0, not {self.layers} and {self.size}")

    def start(self, networks: Networks, base: Saved) -> None:
        """The base, shaken."""
        networks.load(base)
        with torch.no_grad():
            for layer in networks.layers(networks.actor)[-self.layers :]:
                spread = layer.weight.std()
                for parameter in layer.parameters():
                    parameter.add_(torch.randn_like(parameter) * spread * self.size)

    def unlearnt(self, layers: int) -> frozenset[int]:
        """Those that are shaken."""
        return frozenset(range(max(layers - self.layers, 0), layers))
