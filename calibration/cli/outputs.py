"""What a command is to write, looked at before the work begins: never over an input, nor over something else."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from robot_runtime.cli.common import UsageError

_MOST_THREADS = 256


def require_free(option: str, out: Path, inputs: Iterable[Path | None], ours: Callable[[Path], bool]) -> None:
    """`ours`: whether a file that is there is an earlier result, and may be replaced.

    Raises:
        UsageError: nothing can be written there, or something would be lost.
    """
    if not out.parent.is_dir():
        raise UsageError(f"{option} {out}: there is no folder {out.parent}; make it first")
    if not os.access(out.parent, os.W_OK):
        raise UsageError(f"{option} {out}: nothing can be written into {out.parent}")
    if out.is_dir():
        raise UsageError(f"{option} {out}: a folder; give the name of a file")
    if any(path is not None and path.exists() and out.exists() and out.samefile(path) for path in inputs):
        raise UsageError(f"{option} {out}: that is an input, which would be lost; choose another name")
    if out.exists() and not ours(out):
        raise UsageError(f"{option} {out}: something else is there, which would be lost; choose another name")


def is_calibration(path: Path) -> bool:
    """Whether it is one, be it damaged or of another version."""
    from robot_runtime.calibrated.errors import ArmCalError, NotCalibrationError  # noqa: PLC0415 (help needs none)
    from robot_runtime.calibrated.file import Calibration  # noqa: PLC0415

    try:
        Calibration.read(path)
    except NotCalibrationError:
        return False
    except ArmCalError:
        return True
    return True


def is_page(path: Path) -> bool:
    """Whether it is HTML."""
    with path.open("rb") as file:
        return file.read(64).lstrip().lower().startswith((b"<!doctype html", b"<html"))


def arm_name(text: str) -> str:
    """What somebody calls an arm, for argparse: bytes that are no UTF-8 cannot be written into any file of ours."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError(f"{text!a} is not UTF-8: give the name in plain letters") from error
    return text


def threads(text: str) -> int:
    """A number of threads from the command line, for argparse."""
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_THREADS:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of threads: 1 to {_MOST_THREADS}")
    return int(text)
