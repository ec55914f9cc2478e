"""What networks see, and what their actions are, before they have learnt anything."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from sim.tasks import make_task
from sim.tasks.arm_task import ArmTask
from sim.training.lens import Lens


def arm_task(name: str, arm: str, count: int = 1) -> ArmTask:
    task = make_task(name, range(count), arm=arm, trial=True)
    assert isinstance(task, ArmTask)
    task.reset()
    return task


def first_action(task: ArmTask, lens: Lens) -> np.ndarray:
    """Of a network that says nothing."""
    seen = lens(torch.from_numpy(task.observation.copy()))
    return lens.action(seen, torch.zeros(task.count, task.action_size)).numpy()


@pytest.mark.parametrize(
    ("name", "arm"), [("reach", "open-manipulator-x"), ("reach", "koch-v1.1"), ("hold", "xl330-pendulum")]
)
def test_untaught_it_carries_the_arm_and_goes_nearer(name: str, arm: str) -> None:
    task = arm_task(name, arm, 20)
    lens = Lens(task)
    task.step(first_action(task, lens))
    before = task.error.copy()
    for _ in range(100):
        task.step(first_action(task, lens))
    assert np.median(task.error / before) < 0.95


def test_a_joint_that_sticks_gets_more_with_every_action() -> None:
    task = arm_task("reach", "open-manipulator-x")
    lens = Lens(task)
    observation = torch.from_numpy(task.observation.copy())
    observation[:, lens.speeds] = 0.0
    actions = []
    for _ in range(4):
        actions.append(lens.action(lens(observation), torch.zeros(1, 4)))
        observation[:, lens.last] = actions[-1]
    way = lens(observation)[:, task.observation.shape[1] :][:, :4]
    for before, after in pairwise(actions[1:]):
        grown = (after - before) * way.sign()
        assert ((grown > 0.01) | (after.abs() == 1.0) | (way.abs() < 0.01)).all()


def test_a_walker_is_seen_as_it_is() -> None:
    task = make_task("walker2d", [0])
    task.reset()
    lens, observation = Lens(task), torch.from_numpy(task.observation)
    said = torch.full((1, 6), 3.0)
    assert lens(observation) is observation
    assert lens.action(observation, said) is said
