"""Checkpoints: weights, optimiser and counters as tensors and plain values, loaded without unpickling code."""

from __future__ import annotations

import pickle
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from sim.training.settings import Settings

FORMAT = 1


class CheckpointError(ValueError):
    """A checkpoint that cannot be used.

    Example scenarios:
        - The folder given to --resume holds none.
        - The file was written by another program, or holds more than tensors and plain values.
        - It is of another task or another network.
    """


@dataclass(frozen=True, slots=True)
class Run:
    """What a training is: with the same versions on the same machine it gives the same policy."""

    task: str
    arm: str | None
    body: str
    randomise: bool
    steps: int
    seed: int
    settings: Settings


def save(path: Path, run: Run, learner: dict[str, Any]) -> None:
    """Write a checkpoint; the old one stays until the new one is complete."""
    unfinished = path.with_name(f"{path.name}.part")
    torch.save({"format": FORMAT, "run": asdict(run), "learner": learner}, unfinished)
    unfinished.replace(path)


def load(path: Path) -> tuple[Run, dict[str, Any]]:
    """Read a checkpoint. Raises CheckpointError."""
    try:
        data = torch.load(path, weights_only=True)
        if data["format"] != FORMAT:
            raise CheckpointError(f"{path}: format {data['format']}; this version reads {FORMAT}")
        run = dict(data["run"])
        return Run(**{**run, "settings": Settings(**run["settings"])}), data["learner"]
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such checkpoint") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise CheckpointError(f"{path}: not a checkpoint that can be loaded safely: {error}") from error
    except (KeyError, TypeError) as error:
        known = ", ".join(f.name for f in fields(Run))
        raise CheckpointError(f"{path}: not a checkpoint of robot-train ({error}); one has {known}") from error
