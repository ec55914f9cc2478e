"""Checkpoints: weights, optimiser and counters as tensors and plain values, loaded without unpickling code."""

from __future__ import annotations

import pickle
import zipfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from robot_runtime.typed_json import record
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
        data = read(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such checkpoint") from error
    if data.get("format") != FORMAT:
        raise CheckpointError(f"{path}: format {data.get('format')}; this version reads {FORMAT}")
    try:
        run, learner = record(Run, data["run"], "run"), data["learner"]
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: not a checkpoint of robot-train: {error}") from error
    if not isinstance(learner, dict):
        raise CheckpointError(f"{path}: not a checkpoint of robot-train (there is nothing of the learner in it)")
    if not _finite(learner):
        raise CheckpointError(
            f"{path}: its weights are no numbers any more: the training has diverged; begin a new one"
        )
    return run, learner


def read(path: Path) -> dict[str, Any]:
    """What `torch.save` wrote, every bit of it as it was.

    Raises:
        OSError: it cannot be read.
        CheckpointError: it is damaged or something else; nothing in it was run.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not look at the sums
            damaged = archive.testzip()
        data = None if damaged else torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: not a checkpoint: it holds more than tensors and plain values; nothing in it was run"
        ) from error
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged, or no checkpoint: {str(error).partition('. ')[0]}") from error
    if damaged:
        raise CheckpointError(f"{path}: damaged: {damaged} in it is not as it was written")
    if not isinstance(data, dict):
        raise CheckpointError(f"{path}: not a checkpoint: it holds a {type(data).__name__}")
    return data


def _finite(value: Any) -> bool:
    """Whether all tensors in it are of finite numbers."""
    if isinstance(value, dict):
        return all(_finite(entry) for entry in value.values())
    if isinstance(value, list | tuple):
        return all(_finite(entry) for entry in value)
    return bool(torch.isfinite(value).all()) if isinstance(value, torch.Tensor) else True
