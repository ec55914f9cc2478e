"""What a file is, by its outside alone: a checkpoint, or something that people take for one."""

from __future__ import annotations

import zipfile
from pathlib import Path

from models.errors import EXPORT, CheckpointError
from robot_runtime.policy.errors import PolicyFileError
from robot_runtime.policy.onnx_data import files_of


def require_checkpoint(path: Path) -> None:
    """Say what a file is that people take for a checkpoint, before anything tries to load it.

    Both libraries save zip archives; what else there is in them tells them apart.

    Raises:
        CheckpointError: it is no checkpoint that is known here.
        OSError: it cannot be read.
    """
    try:
        files_of(path)
    except PolicyFileError:
        pass
    else:
        raise CheckpointError(f"{path}: an ONNX already, there is nothing to import: robot-run --policy {path}")
    names = {Path(name).name for name in _names(path)}
    if "constants.pkl" in names:
        raise CheckpointError(f"{path}: a TorchScript module, which is a program, not a checkpoint; {EXPORT}")
    if "data.pkl" not in names and not is_sb3(path):
        raise CheckpointError(f"{path}: not a checkpoint of Stable-Baselines3 or rsl_rl, or cut short; {EXPORT}")


def is_sb3(path: Path) -> bool:
    """Whether the file is what SB3's `save()` writes."""
    return {"data", "policy.pth"} <= set(_names(path))


def _names(path: Path) -> list[str]:
    """Files in an archive; none where it is no archive."""
    with path.open("rb") as file:
        try:
            return zipfile.ZipFile(file).namelist()
        except (zipfile.BadZipFile, NotImplementedError):
            return []
