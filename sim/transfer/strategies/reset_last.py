"""Keep what the hidden layers know, forget what was made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sim.transfer.networks import Networks, Saved
from sim.transfer.strategies.strategy import START, Strategy


@dataclass(frozen=True, slots=True)
class ResetLast(Strategy):
    """New: the last layer of both networks, and the noise, which explores as from scratch."""

    name: ClassVar[str] = "reset-last"
    kind: ClassVar[str] = START
    fresh_noise: ClassVar[bool] = True

    def start(self, networks: Networks, base: Saved) -> None:
        """The base, with the fresh network's last layers and noise."""
        fresh = [{k: v.clone() for k, v in networks.layers(m)[-1].state_dict().items()} for m in networks.models]
        log_std = networks.log_std.detach().clone()
        networks.load(base)
        for model, last in zip(networks.models, fresh, strict=True):
            networks.layers(model)[-1].load_state_dict(last)
        networks.log_std.data.copy_(log_std)

    def unlearnt(self, layers: int) -> frozenset[int]:
        """The last."""
        return frozenset({layers - 1})
