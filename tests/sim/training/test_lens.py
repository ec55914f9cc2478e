"""What networks see, and what their actions are, before they have learnt anything."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from sim.tasks import make_task
from sim.tasks.arm_task import ArmTask
from sim.training.lens import LEAD, Lens


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


def test_a_network_that_errs_does_not_keep_a_goal_from_its_target() -> None:
    task = arm_task("reach", "koch-v1.1", 20)
    lens = Lens(task)
    task._targets.centre[:] = task.chain.tip(task._qpos + 0.05)
    errs = torch.full((20, 4), 0.1)
    for _ in range(task.limit):
        task.step(lens.action(lens(torch.from_numpy(task.observation.copy())), errs).numpy())
    assert np.median(task.error) < 0.002


def test_positions_look_ahead_of_a_target_that_moves() -> None:
    task = arm_task("track", "koch-v1.1", 20)
    lens, observation = Lens(task), torch.from_numpy(task.observation.copy())
    assert lens.past is not None
    columns, since = lens.past
    speed = torch.tensor([0.05, -0.02, 0.03])
    observation[:, columns] = observation[:, lens.targets] - since * speed
    still = observation.clone()
    still[:, lens.targets] += LEAD * speed
    still[:, columns] = still[:, lens.targets]
    ways = slice(task.observation.shape[1], None)
    assert torch.allclose(lens(observation)[:, ways], lens(still)[:, ways], atol=1e-5)


def test_a_walker_is_seen_as_it_is() -> None:
    task = make_task("walker2d", [0])
    task.reset()
    lens, observation = Lens(task), torch.from_numpy(task.observation)
    said = torch.full((1, 6), 3.0)
    assert lens(observation) is observation
    assert lens.action(observation, said) is said
