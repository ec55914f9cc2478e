"""A task with one simulation, as a Gymnasium environment: for SB3, CleanRL, or any library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import mujoco
import numpy as np
import numpy.typing as npt

from sim.tasks.task import Task

Observation = npt.NDArray[np.float32]


class TaskEnv(gymnasium.Env[Observation, Observation]):
    """What the task says, step by step. `info` carries `error` and `is_success`."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(self, make: Callable[[Sequence[int]], Task], render_mode: str | None = None) -> None:
        """`make` builds the task, given the seed of its one simulation."""
        self.task = make([0])
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": round(1 / self.task.period)}
        size = self.task.observation.shape[1]
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (self.task.action_size,), np.float32)
        self._renderer: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a new episode."""
        super().reset(seed=seed, options=options)
        self.task.reseed(0, self.np_random)
        self.task.reset()
        return self.task.observation[0].copy(), {}

    def step(self, action: Observation) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Advance by one period of the policy."""
        task = self.task
        task.step(action[None])
        info = {"error": float(task.error[0]), "is_success": bool(task.success[0])}
        return (
            task.observation[0].copy(),
            float(task.reward[0]),
            bool(task.terminated[0]),
            bool(task.truncated[0]),
            info,
        )

    def render(self) -> Any:
        """The picture of now (height x width x 3); needs a GL context (MUJOCO_GL=egl or osmesa without a screen)."""
        if self.render_mode != "rgb_array":
            return None
        if self._renderer is None:
            self._renderer = mujoco.Renderer(self.task.model, 480, 640)
        self._renderer.update_scene(self.task.batch.get_data(0))
        return self._renderer.render()

    def close(self) -> None:
        """Give the GL context back."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
