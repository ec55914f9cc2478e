"""Proof that what is said to be frozen has not changed by a bit."""

from __future__ import annotations

import torch
from torch import Tensor

from sim.transfer.networks import Networks


class FrozenChangedError(RuntimeError):
    """A weight that was frozen is another one now: the run's result means nothing, and the program has a mistake."""


class Watch:
    """Remembers every frozen weight, and compares when it thaws and at the end."""

    def __init__(self, networks: Networks) -> None:
        """Remember what is frozen now."""
        self._networks = networks
        self._kept = {name: tensor.clone() for name, tensor in _frozen(networks).items()}
        self.checked = 0  # tensors found unchanged, by now

    def thawed(self, *, compare: bool = True) -> None:
        """Some weights may learn from now on: compare them a last time (not after a restart: they learnt before it)."""
        still = _frozen(self._networks)
        for name in [name for name in self._kept if name not in still]:
            if compare:
                self._compare(name)
            del self._kept[name]

    def forget(self, name: str) -> None:
        """A schedule changes it."""
        self._kept.pop(name, None)

    def finish(self) -> int:
        """Compare all that is frozen still; returns how many tensors were found unchanged in the whole run.

        Raises:
            FrozenChangedError: one is not what it was.
        """
        for name in self._kept:
            self._compare(name)
        return self.checked

    def _compare(self, name: str) -> None:
        now = _tensors(self._networks)[name]
        if not torch.equal(now.view(torch.uint8), self._kept[name].view(torch.uint8)):
            raise FrozenChangedError(
                f"{name} was frozen and has changed by up to {(now - self._kept[name]).abs().max()}"
            )
        self.checked += 1


def _tensors(networks: Networks) -> dict[str, Tensor]:
    """All tensors by name, flat."""
    return {
        f"{which}.{name}": tensor.detach().reshape(-1)
        for which, model in zip(("actor", "critic"), networks.models, strict=True)
        for name, tensor in model.state_dict().items()
    }


def _frozen(networks: Networks) -> dict[str, Tensor]:
    """Parameters that do not learn, and the normalisers' figures where they do not."""
    learning = set()
    for which, model in zip(("actor", "critic"), networks.models, strict=True):
        learning |= {f"{which}.{name}" for name, p in model.named_parameters() if p.requires_grad}
        if model.obs_normalization:
            learning |= {f"{which}.{name}" for name, _ in model.named_buffers()}
    return {name: tensor for name, tensor in _tensors(networks).items() if name not in learning}
