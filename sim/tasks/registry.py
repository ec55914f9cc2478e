"""Tasks by name, for training and for Gymnasium."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gymnasium

from robot_runtime.spec import ArmSpec, load_arm
from sim.tasks.arm_task import ArmTask
from sim.tasks.env import TaskEnv
from sim.tasks.goals import Goal, goal_of
from sim.tasks.task import Task
from sim.tasks.walker2d import Walker2dTask
from sim.worlds.domain import Domain

DEFAULT_ARM = {"reach": "open-manipulator-x", "track": "open-manipulator-x", "hold": "xl330-pendulum"}
"""What each arm task is flown on when nobody says otherwise."""

TASKS = (*DEFAULT_ARM, "walker2d")
ENVIRONMENTS = {name: f"RobotRuntime/{name.capitalize()}-v0" for name in TASKS}
"""Task -> Gymnasium id."""


class UnknownTaskError(ValueError):
    """No task of that name, or one that this arm cannot do."""


def make_task(
    name: str,
    seeds: Sequence[int],
    *,
    arm: str | None = None,
    body: str = "base",
    randomise: bool = False,
    trial: bool = False,
    threads: int = 1,
) -> Task:
    """A task with one simulation a seed.

    `randomise`: every episode is another arm (see `sim.worlds.domain`). `trial`: every episode starts at home, as
    flights do; in training half of them start anywhere.

    Raises:
        UnknownTaskError: no such task.
        ArmSpecError: no such arm, or its files cannot be used.
    """
    if name == "walker2d":
        return Walker2dTask(seeds, body=body, threads=threads)
    spec, goal = arm_and_goal(name, arm)
    if trial:
        goal = replace(goal, from_home=1.0)
    return ArmTask(name, spec, seeds, goal=goal, domain=Domain() if randomise else None, threads=threads)


def arm_and_goal(name: str, arm: str | None) -> tuple[ArmSpec, Goal]:
    """Which arm does a task (None: the task's own), and what it is asked for.

    Raises:
        UnknownTaskError: no such task, or no arm does it.
        ArmSpecError: no such arm, or its files cannot be used.
    """
    if name not in DEFAULT_ARM:
        raise UnknownTaskError(f"no task '{name}' of an arm; there are {', '.join(DEFAULT_ARM)}")
    spec = load_arm(arm or DEFAULT_ARM[name])
    if name == "reach" and len(spec.joints) == 1:
        raise UnknownTaskError(f"'reach' brings a tip to a point; {spec.name} has one joint: use 'hold' or 'track'")
    return spec, goal_of(name, spec)


def make_env(name: str, render_mode: str | None = None, **options: Any) -> TaskEnv:
    """The Gymnasium environment of a task; `options` are those of `make_task`."""
    return TaskEnv(lambda seeds: make_task(name, seeds, **options), render_mode=render_mode)


def register() -> None:
    """Tell Gymnasium of all environments. Episodes end by the tasks themselves."""
    for name, identity in ENVIRONMENTS.items():
        gymnasium.register(identity, entry_point="sim.tasks.registry:make_env", kwargs={"name": name})
    gymnasium.register("RobotRuntime/RealArm-v0", entry_point="sim.real_arm.env:RealArm", nondeterministic=True)
