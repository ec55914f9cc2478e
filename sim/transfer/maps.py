"""The two maps around a frozen network: y = x + net(x), so small at first that nothing changes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

HIDDEN = 32
SHRINK = 0.01
"""Factor on all fresh parameters: a map begins as very nearly nothing, and yet has gradients."""


class SkipMap(nn.Module):
    """x + net(x): one hidden layer of tanh."""

    def __init__(self, size: int) -> None:
        """`size` numbers in and out."""
        super().__init__()
        self.net = nn.Sequential(nn.Linear(size, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, size))
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.mul_(SHRINK)

    def forward(self, x: Tensor) -> Tensor:
        """One step."""
        y: Tensor = x + self.net(x)
        return y
