"""A moving picture of the arm in flight: rendered by MuJoCo, kept as an animated PNG, which every browser shows."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from robot_runtime.flight.reader import Flight, read_flight
from robot_runtime.spec import ArmSpecError, load_arm

WIDTH, HEIGHT = 360, 270
_RATE = 10.0  # pictures a second
_MOST = 150
"""Pictures, at most: a longer flight is shown faster."""

Picture = NDArray[np.uint8]


class ClipError(RuntimeError):
    """There can be no clip; the message says why and what to do.

    Example scenarios:
        - Only `mujoco-core` is installed, which cannot render.
        - The computer has no graphics that MuJoCo can use without a screen.
        - The recording lacks the arm's files.
    """


def clip(path: Path) -> bytes:
    """The arm over a whole flight, as an animated PNG; rendered in a process of its own.

    Raises:
        ClipError: it cannot be rendered.
    """
    screenless = {"MUJOCO_GL": "egl"} if sys.platform == "linux" else {}  # MuJoCo looks at it when it is imported
    done = subprocess.run(
        [sys.executable, "-m", "robot_runtime.flight.clip", str(path)],
        env={**screenless, **os.environ},
        capture_output=True,
        check=False,
    )
    if done.returncode:  # graphics drivers can take a program with them
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ClipError(said[-1] if said else f"no clip: rendering ended with exit code {done.returncode}")
    return done.stdout


def render(flight: Flight) -> bytes:
    """The arm over the whole flight, as an animated PNG.

    Raises:
        ClipError: it cannot be rendered.
    """
    if not len(flight):
        raise ClipError("no clip: nothing was recorded")
    if not hasattr(mujoco, "Renderer"):
        raise ClipError("no clip: mujoco-core cannot render; 'pip install mujoco' does")
    time = flight["begin"] - flight["begin"][0]
    seconds = float(time[-1])
    count = max(min(round(seconds * _RATE), _MOST), 1)
    rows = np.searchsorted(time, np.linspace(0.0, seconds, count)).clip(max=len(flight) - 1)
    return animated_png(list(_pictures(flight, rows)), max(seconds / count, 0.02))


def _pictures(flight: Flight, rows: NDArray[np.int64]) -> Iterator[Picture]:
    with tempfile.TemporaryDirectory() as folder:
        flight.extract(Path(folder))
        try:
            model = mujoco.MjModel.from_xml_path(str(load_arm(Path(folder) / "arm").mjcf))
        except (ArmSpecError, ValueError) as error:
            raise ClipError(f"no clip: the arm's files in the recording cannot be used: {error}") from error
    try:
        renderer = mujoco.Renderer(model, HEIGHT, WIDTH)
    except (mujoco.FatalError, ImportError, AttributeError, RuntimeError) as error:
        raise ClipError(
            f"no clip: MuJoCo finds no graphics here ({error}); try MUJOCO_GL=egl, osmesa, or on a screen glfw"
        ) from error
    data, camera = mujoco.MjData(model), mujoco.MjvCamera()
    mujoco.mjv_defaultFreeCamera(model, camera)
    camera.azimuth, camera.elevation = 130.0, -20.0
    qpos = [model.joint(name).qposadr[0] for name in flight.layout.joints]
    try:
        for row in rows:
            data.qpos[qpos] = flight["q"][row]
            _follow(model, data)
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            mujoco.mj_camlight(model, data)
            renderer.update_scene(data, camera)
            renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0  # slow without a graphics card
            yield renderer.render().copy()
    finally:
        renderer.close()


def _follow(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Joints that are coupled to others (a gripper's fingers) go where those put them."""
    for i in np.flatnonzero(model.eq_type == mujoco.mjtEq.mjEQ_JOINT):
        joint, leader = model.eq_obj1id[i], model.eq_obj2id[i]
        if leader < 0:
            continue
        x = data.qpos[model.jnt_qposadr[leader]] - model.qpos0[model.jnt_qposadr[leader]]
        at = model.jnt_qposadr[joint]
        data.qpos[at] = model.qpos0[at] + np.polyval(model.eq_data[i, 4::-1], x)


def animated_png(pictures: Sequence[Picture], seconds: float) -> bytes:
    """Pictures (height x width x 3, all alike in size), each shown for so long.

    The file is a PNG (ISO/IEC 15948) whose chunks acTL and fcTL make it move.
    """
    height, width, _ = pictures[0].shape
    delay = struct.pack(">HH", min(round(seconds * 1000), 65535), 1000)
    out = [b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))]
    out.append(_chunk(b"acTL", struct.pack(">II", len(pictures), 0)))  # for ever
    number = 0
    shown = None
    for picture in pictures:
        x, y, part = _changed(shown, picture)
        place = struct.pack(">IIIII", number, part.shape[1], part.shape[0], x, y)
        out.append(_chunk(b"fcTL", place + delay + b"\0\0"))
        number += 1
        data = zlib.compress(_filtered(part))
        if shown is None:
            out.append(_chunk(b"IDAT", data))
        else:
            out.append(_chunk(b"fdAT", struct.pack(">I", number) + data))
            number += 1
        shown = picture
    return b"".join((*out, _chunk(b"IEND", b"")))


def _changed(before: Picture | None, now: Picture) -> tuple[int, int, Picture]:
    """The part of a picture that is different from the one before, and where it begins."""
    if before is None:
        return 0, 0, now
    rows, columns = np.nonzero((before != now).any(axis=2))
    if not len(rows):
        return 0, 0, now[:1, :1]
    x, y = int(columns.min()), int(rows.min())
    return x, y, now[y : rows.max() + 1, x : columns.max() + 1]


def _filtered(picture: Picture) -> bytes:
    """Every line as the difference from the one above (filter 2): flat surfaces become zeros."""
    above = np.vstack([np.zeros_like(picture[:1]), picture[:-1]])
    lines = (picture - above).reshape(len(picture), -1)
    return np.hstack([np.full((len(lines), 1), 2, np.uint8), lines]).tobytes()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


if __name__ == "__main__":
    try:
        sys.stdout.buffer.write(render(read_flight(Path(sys.argv[1]))))
    except ClipError as error:
        sys.exit(str(error))
