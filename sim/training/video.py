"""A short clip of a policy at work, as an animated GIF. Needs Pillow and a GL context (MUJOCO_GL=egl: no screen)."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np

from sim.tasks import Task
from sim.training.evaluate import Policy

SIZE = (320, 240)
FRAMES_PER_SECOND = 25.0
_AMBIENT = 0.25  # of the light that goes with the camera; MuJoCo's own leaves half of a body in the dark
_MARK = np.array([0.9, 0.1, 0.1, 0.8])


class NoVideoError(RuntimeError):
    """Nothing can be drawn here: no GL context, or no Pillow; the message says what to do."""


def record(task: Task, policy: Policy, path: Path, episodes: int) -> None:
    """Film the task's first simulation for some episodes. Raises NoVideoError."""
    try:
        from PIL import Image  # noqa: PLC0415 (optional)
    except ImportError as error:
        raise NoVideoError("a video needs Pillow: pip install pillow") from error
    try:
        renderer = mujoco.Renderer(task.model, SIZE[1], SIZE[0])
    except (mujoco.FatalError, RuntimeError, AttributeError, ImportError) as error:
        raise NoVideoError(f"no GL context to draw in ({error}); set MUJOCO_GL=egl or MUJOCO_GL=osmesa") from error
    task.model.vis.headlight.ambient[:] = _AMBIENT
    every = max(1, round(1 / (task.period * FRAMES_PER_SECOND)))
    camera = 0 if task.model.ncam else -1  # a walker has one that walks along
    frames = []
    for _ in range(episodes):
        task.reset()
        while True:
            if task.steps[0] % every == 0:
                data = task.batch.get_data(0)
                mujoco.mj_fwdPosition(task.model, data)  # the batch keeps no positions of bodies
                renderer.update_scene(data, camera=camera)
                renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0  # a black patch under a light from above
                _mark_target(renderer.scene, task)
                frames.append(Image.fromarray(renderer.render()))
            task.step(policy(task.observation))
            if task.done[0]:
                break
    renderer.close()
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=1000 * every * task.period, loop=0)


def _mark_target(scene: mujoco.MjvScene, task: Task) -> None:
    """A small ball where the tip should go."""
    target = getattr(task, "target", None)
    if target is None or target.shape[1] != 3 or scene.ngeom >= scene.maxgeom:
        return
    ball = scene.geoms[scene.ngeom]
    mujoco.mjv_initGeom(ball, mujoco.mjtGeom.mjGEOM_SPHERE, np.full(3, 0.008), target[0], np.eye(3).ravel(), _MARK)
    scene.ngeom += 1
