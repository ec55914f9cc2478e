"""A moving picture of arms by their own model: rendered by MuJoCo in a process of its own, kept as an animated PNG."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from robot_runtime.arrays import Floats
from robot_runtime.flight.reader import read_flight, unpacked_arm
from robot_runtime.spec import ArmSpecError

SIZE = (360, 270)
"""Pixels, across and down."""
_RATE = 10.0  # pictures a second
_MOST = 150
"""Pictures, at most: a longer flight is shown faster."""

Colour = tuple[float, float, float, float]
"""Red, green, blue, and how much of what is behind is covered; 0 to 1."""


class ClipError(RuntimeError):
    """There can be no clip; the message says why and what to do.

    Example scenarios:
        - Only `mujoco-core` is installed, which cannot render.
        - The computer has no graphics that MuJoCo can use without a screen.
        - The recording lacks the arm's files.
    """


def film(
    mjcf: Path,
    joints: Sequence[str],
    poses: Floats,
    seconds: float,
    *,
    ghosts: Sequence[Colour] = (),
    size: tuple[int, int] = SIZE,
) -> bytes:
    """An animated PNG of this model, each picture shown for `seconds`.

    `poses` (rad): pictures x joints of one arm. With `ghosts`, pictures x (1 + ghosts) x joints: the first arm stands
    in as many scenes side by side as there are ghosts, in each with one of the others over it, in that one's colour.

    Raises:
        ClipError: it cannot be rendered.
    """
    job = io.BytesIO()
    arms = poses.reshape(len(poses), -1, len(joints))
    np.savez(job, mjcf=str(mjcf), joints=list(joints), poses=arms, ghosts=list(ghosts), size=size, seconds=seconds)
    screenless = {"MUJOCO_GL": "egl"} if sys.platform == "linux" else {}  # MuJoCo looks at it when it is imported
    done = subprocess.run(
        [sys.executable, "-m", "robot_runtime.flight.rendering"],
        input=job.getvalue(),
        env={**screenless, **os.environ},
        capture_output=True,
        check=False,
    )
    if done.returncode:  # graphics drivers can take a program with them
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ClipError(said[-1] if said else f"no clip: rendering ended with exit code {done.returncode}")
    return done.stdout


def clip(path: Path) -> bytes:
    """The arm over a whole flight, as an animated PNG.

    Raises:
        ClipError: it cannot be rendered.
    """
    flight = read_flight(path)
    if not len(flight):
        raise ClipError("no clip: nothing was recorded")
    time = flight["begin"] - flight["begin"][0]
    seconds = float(time[-1])
    count = max(min(round(seconds * _RATE), _MOST), 1)
    rows = np.searchsorted(time, np.linspace(0.0, seconds, count)).clip(max=len(flight) - 1)
    try:
        with unpacked_arm(flight) as arm:
            return film(arm.mjcf, flight.layout.joints, flight["q"][rows], max(seconds / count, 0.02))
    except ArmSpecError as error:
        raise ClipError(f"no clip: the arm's files in the recording cannot be used: {error}") from error
