"""The strategies by name, and which of them go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from robot_runtime.typed_json import record
from sim.transfer.strategies.fine_tune import FineTune
from sim.transfer.strategies.first_layer_only import FirstLayerOnly
from sim.transfer.strategies.freeze_all_but_last import FreezeAllButLast
from sim.transfer.strategies.freeze_then_thaw import FreezeThenThaw
from sim.transfer.strategies.noise_last import NoiseLast
from sim.transfer.strategies.reset_last import ResetLast
from sim.transfer.strategies.residual_maps import ResidualMaps
from sim.transfer.strategies.scratch import Scratch
from sim.transfer.strategies.strategy import FREEZING, START, WHOLE, Strategy
from sim.transfer.strategies.zeroshot import ZeroShot

ALL: tuple[type[Strategy], ...] = (
    ZeroShot,
    Scratch,
    ResidualMaps,
    FineTune,
    FreezeAllButLast,
    FreezeThenThaw,
    ResetLast,
    NoiseLast,
    FirstLayerOnly,
)
STRATEGIES: dict[str, type[Strategy]] = {strategy.name: strategy for strategy in ALL}


class StrategyError(ValueError):
    """No such strategy, no such option, or strategies that mean nothing together."""


def combined(names: Sequence[str], options: Mapping[str, Any], layers: int) -> tuple[Strategy, ...]:
    """The strategies of one run, in the order in which they are done: first the start, then what is frozen.

    A freezing alone starts as `fine-tune` does. `options` are those of all of them; `layers`: of the actor.

    Raises:
        StrategyError: unknown names or options, or a combination that means nothing.
    """
    if unknown := [name for name in names if name not in STRATEGIES]:
        raise StrategyError(f"no strategy '{unknown[0]}'; there are {', '.join(STRATEGIES)}")
    kinds = [STRATEGIES[name].kind for name in names]
    if not names or (WHOLE in kinds and len(kinds) > 1) or len(set(kinds)) < len(kinds):
        alone = ", ".join(name for name, strategy in STRATEGIES.items() if strategy.kind == WHOLE)
        raise StrategyError(
            f"{' + '.join(names) or 'nothing'}: one start and one freezing go together; {alone} stand alone"
        )
    chosen = [STRATEGIES[name] for name in sorted(names, key=lambda name: STRATEGIES[name].kind != START)]
    if kinds == [FREEZING]:
        chosen.insert(0, FineTune)
    known = {f.name for strategy in chosen for f in fields(strategy)}
    if strange := [key for key in options if key not in known]:
        raise StrategyError(
            f"{' + '.join(names)} has no option '{strange[0]}'; it has {', '.join(sorted(known)) or 'none'}"
        )
    try:
        parts = tuple(
            record(strategy, {f.name: options[f.name] for f in fields(strategy) if f.name in options})
            for strategy in chosen
        )
    except (ValueError, TypeError) as error:
        raise StrategyError(f"{' + '.join(names)}: {error}") from error
    if options.get("layers", 0) > layers:
        raise StrategyError(f"{' + '.join(names)}: layers is {options['layers']}: the actor has {layers}")
    unlearnt = frozenset[int]().union(*(part.unlearnt(layers) for part in parts))
    frozen = frozenset[int]().union(*(part.frozen_at_the_end(layers) for part in parts))
    if unlearnt & frozen:
        raise StrategyError(f"{' + '.join(names)} freezes layers that nobody has learnt")
    return parts


__all__ = ["STRATEGIES", "Strategy", "StrategyError", "combined"]
