"""Learn on the target as if there were no base: what transfer is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sim.transfer.strategies.strategy import WHOLE, Strategy


@dataclass(frozen=True, slots=True)
class Scratch(Strategy):
    """Frozen: nothing. New: everything."""

    name: ClassVar[str] = "scratch"
    kind: ClassVar[str] = WHOLE
    needs_base: ClassVar[bool] = False
    fresh_noise: ClassVar[bool] = True
