"""Renders what `clip.film` asks for, from standard input to standard output: a process of its own.

Graphics drivers can take a program with them.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from importlib.util import find_spec

import mujoco
import numpy as np

from robot_runtime.arrays import Floats
from robot_runtime.flight.animated_png import Picture, animated_png

_AZIMUTH, _ELEVATION = 130.0, -20.0  # degrees, of the camera
_ROOM = 1.08
"""Times what the arm takes up of a picture."""
_SKY = ((0.85, 0.89, 0.94), (0.62, 0.68, 0.76))  # red, green, blue: at the horizon and above
_SHADES = np.uint8(0xFC)
"""64 of each colour: nobody sees the difference, and the file is half as large."""
_WIDER = 1.05
"""Times the arm's own size, of a ghost's parts: where both stand at one place, it is the ghost that is seen."""
_AMBIENT, _DIFFUSE = 0.25, 0.4  # of the light that goes with the camera


class _CannotRenderError(RuntimeError):
    """Why, and what to do."""


class Studio:
    """One model, a camera, and arms that stand in one scene."""

    def __init__(self, mjcf: str, joints: list[str], size: tuple[int, int]) -> None:
        """Find something to render with."""
        if find_spec("OpenGL") is None:  # `mujoco-core` alone: its own words are long, and advise something else
            raise _CannotRenderError("no clip: nothing to render with; pip install 'robot-runtime[clip]'")
        try:
            self._model = _lit(mjcf)
        except ValueError as error:
            raise _CannotRenderError(f"no clip: the arm's model cannot be used: {error}") from error
        try:
            self._renderer = mujoco.Renderer(self._model, size[1], size[0])
        except (mujoco.FatalError, ImportError, AttributeError, RuntimeError) as error:
            raise _CannotRenderError(
                f"no clip: MuJoCo finds no graphics here ({error}); try MUJOCO_GL=egl, osmesa, or on a screen glfw"
            ) from error
        self._data = mujoco.MjData(self._model)
        self._camera = mujoco.MjvCamera()
        mujoco.mjv_defaultFreeCamera(self._model, self._camera)
        self._camera.azimuth, self._camera.elevation = _AZIMUTH, _ELEVATION
        self._qpos = [int(self._model.joint(name).qposadr[0]) for name in joints]

    def look_at(self, poses: Floats) -> None:
        """Place the camera so that the arm is seen whole at all of these poses (arms x joints, rad)."""
        model, data = self._model, self._data
        arm = np.flatnonzero(model.geom_rbound)  # and what it stands on, but no planes
        spheres = []
        for pose in poses:
            self._place(pose)
            spheres.append(np.column_stack([data.geom_xpos[arm], model.geom_rbound[arm]]))
        points, radius = np.split(np.concatenate(spheres), [3], axis=1)
        turn, tilt = np.radians(_AZIMUTH), np.radians(_ELEVATION)
        ahead = np.array([np.cos(tilt) * np.cos(turn), np.cos(tilt) * np.sin(turn), np.sin(tilt)])
        across = np.array([np.sin(turn), -np.cos(turn), 0.0])
        axes = np.stack([ahead, across, np.cross(across, ahead)])
        seen = points @ axes.T
        middle = 0.5 * ((seen - radius).min(axis=0) + (seen + radius).max(axis=0))
        half = np.tan(0.5 * np.radians(model.vis.global_.fovy)) / _ROOM
        halves = half * np.array([self._renderer.width / self._renderer.height, 1.0])
        out = (np.abs(seen - middle)[:, 1:] + radius) / halves - (seen - middle)[:, :1]
        self._camera.lookat[:], self._camera.distance = middle @ axes, float(out.max())

    def picture(self, pose: Floats, ghost: Floats | None = None, colour: Floats | None = None) -> Picture:
        """The arm at `pose` (rad), and over it one at `ghost`, all in one colour."""
        renderer = self._renderer
        self._place(pose)
        renderer.update_scene(self._data, self._camera)
        scene = renderer.scene
        scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0  # slow without a graphics card
        if ghost is not None:
            first = scene.ngeom
            self._place(ghost)
            moves = mujoco.mjtCatBit.mjCAT_DYNAMIC  # the arm, not another table
            mujoco.mjv_addGeoms(self._model, self._data, mujoco.MjvOption(), mujoco.MjvPerturb(), moves, scene)
            for geom in scene.geoms[first : scene.ngeom]:
                geom.rgba[:], geom.matid = colour, -1
                geom.size[:] *= _WIDER
        shown: Picture = renderer.render() & _SHADES
        return shown

    def _place(self, pose: Floats) -> None:
        model, data = self._model, self._data
        data.qpos[self._qpos] = pose
        _follow(model, data)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_camlight(model, data)

    def close(self) -> None:
        """Let go of the graphics."""
        self._renderer.close()


def _lit(mjcf: str) -> mujoco.MjModel:
    """The model in daylight."""
    spec = mujoco.MjSpec.from_file(mjcf)
    if not any(t.type == mujoco.mjtTexture.mjTEXTURE_SKYBOX for t in spec.textures):
        sky = spec.add_texture(name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX)
        sky.builtin = mujoco.mjtBuiltin.mjBUILTIN_GRADIENT
        sky.rgb1[:], sky.rgb2[:] = _SKY
        sky.width = sky.height = 64
    light = spec.visual.headlight
    light.ambient[:], light.diffuse[:] = _AMBIENT, _DIFFUSE
    return spec.compile()


def _follow(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Joints that are coupled to others (a gripper's fingers) go where those put them."""
    for i in np.flatnonzero(model.eq_type == mujoco.mjtEq.mjEQ_JOINT):
        joint, leader = model.eq_obj1id[i], model.eq_obj2id[i]
        if leader < 0:
            continue
        x = data.qpos[model.jnt_qposadr[leader]] - model.qpos0[model.jnt_qposadr[leader]]
        at = model.jnt_qposadr[joint]
        data.qpos[at] = model.qpos0[at] + np.polyval(model.eq_data[i, 4::-1], x)


def render(job: bytes) -> bytes:
    """An animated PNG of what `clip.film` has packed."""
    with np.load(io.BytesIO(job)) as asked:
        ghosts: Floats = asked["ghosts"].reshape(-1, 4)
        size = (int(asked["size"][0]), int(asked["size"][1]))
        studio = Studio(str(asked["mjcf"]), asked["joints"].tolist(), size)
        try:
            studio.look_at(asked["poses"].reshape(-1, asked["poses"].shape[-1]))
            return animated_png(list(_pictures(studio, asked["poses"], ghosts)), float(asked["seconds"]))
        finally:
            studio.close()


def _pictures(studio: Studio, poses: Floats, ghosts: Floats) -> Iterator[Picture]:
    for arm, *others in poses:
        scenes = [studio.picture(arm, *ghost) for ghost in zip(others, ghosts, strict=True)]
        yield np.hstack(scenes or [studio.picture(arm)])


if __name__ == "__main__":
    try:
        sys.stdout.buffer.write(render(sys.stdin.buffer.read()))
    except _CannotRenderError as error:
        sys.exit(" ".join(str(error).split()))  # whoever asked takes the last line
