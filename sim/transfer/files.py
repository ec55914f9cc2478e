"""What runs write: each file is complete or not there, whenever a process dies."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sim.training.checkpoint import CheckpointError, read

FORMAT = 1


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Numbers that are none become null."""
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.write_text(json.dumps(_plain(facts), allow_nan=False) + "\n", encoding="utf-8")
    unfinished.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """None: it is not there.

    Raises:
        CheckpointError: it is there and cannot be used.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a file of this program: {error}") from error
    if not isinstance(facts, dict):
        raise CheckpointError(f"{path}: not a file of this program: it holds no table")
    return facts


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Tensors and plain values; the old one stays until the new one is complete."""
    unfinished = path.with_name(f"{path.name}.part")
    torch.save({"format": FORMAT, **state}, unfinished)
    unfinished.replace(path)


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """None: there is none.

    Raises:
        CheckpointError: it is there and cannot be used.
    """
    try:
        state = read(path)
    except FileNotFoundError:
        return None
    except CheckpointError as error:
        raise CheckpointError(f"{error}; delete it to begin this run anew") from error
    if state.get("format") != FORMAT:
        raise CheckpointError(f"{path}: format {state.get('format')}; this version reads {FORMAT}")
    return state


def same_run(written: object, wanted: Mapping[str, Any]) -> bool:
    """Whether two definitions are of one run; a setting that only one of them knows is no difference."""
    if not isinstance(written, Mapping):
        return False
    a, b = (dict(_plain(x)) for x in (written, wanted))
    settings_a, settings_b = a.pop("settings", None), b.pop("settings")
    return (
        isinstance(settings_a, dict)
        and a == b
        and all(settings_a[key] == settings_b[key] for key in settings_a.keys() & settings_b.keys())
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
