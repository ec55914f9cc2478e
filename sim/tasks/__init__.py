"""Tasks: what an arm, or a walker, is asked to do. Importing this registers the Gymnasium environments.

import gymnasium, sim.tasks
env = gymnasium.make("RobotRuntime/Reach-v0", arm="open-manipulator-x", randomise=True)
"""

from sim.tasks.env import TaskEnv
from sim.tasks.registry import ENVIRONMENTS, TASKS, UnknownTaskError, make_env, make_task, register
from sim.tasks.task import Task

register()

__all__ = ["ENVIRONMENTS", "TASKS", "Task", "TaskEnv", "UnknownTaskError", "make_env", "make_task"]
