"""Keep only how the observation is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sim.transfer.networks import Networks, Saved
from sim.transfer.strategies.strategy import START, Strategy


@dataclass(frozen=True, slots=True)
class FirstLayerOnly(Strategy):
    """New: everything behind the first layer of both networks. From the base: first layers and normalisers."""

    name: ClassVar[str] = "first-layer-only"
    kind: ClassVar[str] = START
    fresh_noise: ClassVar[bool] = True

    def start(self, networks: Networks, base: Saved) -> None:
        """Fresh networks that see as the base does."""
        fresh = [{k: v.clone() for k, v in model.state_dict().items()} for model in networks.models]
        networks.load(base)
        for model, state in zip(networks.models, fresh, strict=True):
            names = {module: name for name, module in model.named_modules()}
            behind = [names[layer] for layer in networks.layers(model)[1:]]
            changed = {
                k: v for k, v in state.items() if k.rpartition(".")[0] in behind or k.startswith("distribution.")
            }
            model.load_state_dict(changed, strict=False)

    def unlearnt(self, layers: int) -> frozenset[int]:
        """All but the first."""
        return frozenset(range(1, layers))
