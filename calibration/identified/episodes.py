"""Episodes of a policy in a task: one in each simulation, and how they ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.tasks.arm_task import ArmTask


class StoppedError(Exception):
    """Somebody asked it to stop; nothing was written."""


@dataclass(frozen=True, slots=True)
class Episodes:
    """How episodes ended, one entry each."""

    success: npt.NDArray[np.bool_]
    error: npt.NDArray[np.float64]
    returns: npt.NDArray[np.float64]


def episodes(
    task: ArmTask, policy: Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]], stop: Callable[[], bool]
) -> Episodes:
    """One whole episode in each of the task's simulations. `stop`: asked at every step; then it ends there."""
    task.reset()
    running = np.ones(task.count, dtype=bool)
    found = Episodes(np.zeros(task.count, dtype=bool), np.zeros(task.count), np.zeros(task.count))
    while running.any() and not stop():
        task.step(policy(task.observation))
        found.returns[running] += task.reward[running]
        ended = task.done & running
        found.error[ended], found.success[ended] = task.error[ended], task.success[ended]
        running &= ~ended
    return found
