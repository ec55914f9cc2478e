"""Preview: what an excitation will do, before it does: a table, and a moving picture of the arm by its own model."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
from rich.table import Table

from calibration.excitation.segment import Excitation, Segment
from robot_runtime.flight.clip import ClipError, Picture, animated_png
from robot_runtime.spec import ArmSpec, load_arm

Floats = npt.NDArray[np.float64]

FILE = "preview.png"
WIDTH, HEIGHT = 320, 240
PICTURES = 120
"""In all: a minute of motion shows as twelve seconds."""
SHOWN = 0.1  # s a picture


def table(excitation: Excitation, spec: ArmSpec) -> Table:
    """Range and greatest speed of every joint that moves, segment by segment."""
    names = [n for n in spec.joint_names if any(n in s.joints for s in excitation.segments)]
    shown = Table(title=f"{excitation.level}: {excitation.seconds:.0f} s of motion", title_justify="left")
    for column in ("segment", "s", *names):
        shown.add_column(column, justify="left" if column == "segment" else "right")
    for row in rows(excitation, spec):
        cells = [row["joints"].get(n) for n in names]
        shown.add_row(
            row["segment"] + (f" ({row['part']})" if row["part"] else ""),
            f"{row['seconds']:.0f}",
            *("-" if c is None else f"{c['low']:+.2f} to {c['high']:+.2f}, {c['speed']:.1f}/s" for c in cells),
        )
    return shown


def rows(excitation: Excitation, spec: ArmSpec) -> list[dict[str, Any]]:
    """The same for machines: rad, rad/s."""
    return [_row(s, excitation.period, spec) for s in excitation.segments]


def _row(segment: Segment, period: float, spec: ArmSpec) -> dict[str, Any]:
    speeds = np.abs(segment.speeds(period)).max(axis=0)
    low, high = segment.q.min(axis=0), segment.q.max(axis=0)
    joints = {
        name: {"low": float(low[i]), "high": float(high[i]), "speed": float(speeds[i])}
        for i, name in enumerate(spec.joint_names)
        if name in segment.joints
    }
    return {
        "segment": segment.name,
        "kind": segment.kind,
        "part": segment.part,
        "seconds": segment.duration(period),
        "joints": joints,
    }


def picture(folder: Path, spec: ArmSpec) -> Path:
    """Render the excitation of this folder into a file there, in a process of its own: graphics drivers may break it.

    Raises:
        ClipError: it cannot be rendered here; the message says why.
    """
    screenless = {"MUJOCO_GL": "egl"} if sys.platform == "linux" else {}
    done = subprocess.run(
        [sys.executable, "-m", "calibration.preview", str(folder), str(spec.path)],
        env={**screenless, **os.environ},
        capture_output=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ClipError(said[-1] if said else f"no preview: rendering ended with exit code {done.returncode}")
    return folder / FILE


def render(excitation: Excitation, spec: ArmSpec, pictures: int = PICTURES) -> bytes:
    """An animated PNG of all segments.

    Raises:
        ClipError: it cannot be rendered.
    """
    q = np.concatenate([s.q for s in excitation.segments])
    chosen = np.linspace(0, len(q) - 1, pictures).astype(int)
    return animated_png(list(_pictures(spec, q[chosen])), SHOWN)


def _pictures(spec: ArmSpec, poses: Floats) -> Iterator[Picture]:
    if not hasattr(mujoco, "Renderer"):
        raise ClipError("no preview: mujoco-core cannot render; 'pip install mujoco' does")
    model = mujoco.MjModel.from_xml_path(str(spec.mjcf))
    try:
        renderer = mujoco.Renderer(model, HEIGHT, WIDTH)
    except (mujoco.FatalError, ImportError, AttributeError, RuntimeError) as error:
        raise ClipError(f"no preview: MuJoCo finds no graphics here ({error})") from error
    data, camera = mujoco.MjData(model), mujoco.MjvCamera()
    mujoco.mjv_defaultFreeCamera(model, camera)
    camera.azimuth, camera.elevation = 130.0, -20.0
    qpos = [int(model.joint(name).qposadr[0]) for name in spec.joint_names]
    try:
        for pose in poses:
            data.qpos[qpos] = pose
            mujoco.mj_forward(model, data)
            renderer.update_scene(data, camera)
            renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0  # slow without a graphics card
            yield renderer.render().copy()
    finally:
        renderer.close()


if __name__ == "__main__":
    try:
        where = Path(sys.argv[1])
        (where / FILE).write_bytes(render(Excitation.load(where), load_arm(sys.argv[2])))
    except ClipError as error:
        sys.exit(str(error))
