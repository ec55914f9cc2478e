"""What networks see, and what their actions are, before they have learnt anything."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from sim.tasks import make_task
from sim.tasks.arm_task import PAST, ArmTask
from sim.training.lens import CLOSE, HAND_OFF, LEAD, Lens


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


def test_a_network_cannot_hold_a_joint_that_sticks_near_its_target() -> None:
    task = arm_task("reach", "open-manipulator-x")
    lens, observation = Lens(task), torch.from_numpy(task.observation.copy())
    observation[:, lens.speeds] = 0.0
    observation[:, lens.targets] = torch.from_numpy(task.chain.tip(task._qpos + 0.05)).float()
    way = lens(observation)[:, lens.size :][:, :4]
    assert ((way.abs() > CLOSE) & (way.abs() < HAND_OFF)).all()
    actions = []
    for _ in range(5):
        actions.append(lens.action(lens(observation), -3.0 * way.sign()))
        observation[:, lens.last] = actions[-1]
    for before, after in pairwise(actions[1:]):
        assert ((after - before) * way.sign() > 0.01).all()


def test_a_network_that_errs_does_not_keep_a_goal_from_its_target() -> None:
    task = arm_task("reach", "koch-v1.1", 20)
    lens = Lens(task)
    task._targets.centre[:] = task.chain.tip(task._qpos + 0.05)
    errs = torch.full((20, 4), 0.1)
    for _ in range(task.limit):
        task.step(lens.action(lens(torch.from_numpy(task.observation.copy())), errs).numpy())
    assert np.median(task.error) < 0.002


@pytest.mark.parametrize("growth", [(0.0, 0.0, 0.0), (0.2, 0.1, -0.3)])
def test_positions_look_ahead_of_a_target_that_moves(growth: tuple[float, ...]) -> None:
    task = arm_task("track", "koch-v1.1", 20)
    lens, observation = Lens(task), torch.from_numpy(task.observation.copy())
    still, speed, more = observation.clone(), torch.tensor([0.05, -0.02, 0.03]), 0.5 * torch.tensor(growth)
    for sample in range(PAST):
        ago = (PAST - 1 - sample) * task.period
        columns = slice(observation.shape[1] - 3 * (PAST - sample), observation.shape[1] - 3 * (PAST - sample - 1))
        observation[:, columns] += -ago * speed + ago**2 * more
        still[:, columns] += LEAD * speed + LEAD**2 * more
    still[:, lens.targets] += LEAD * speed + LEAD**2 * more
    ways = slice(observation.shape[1], None)
    torch.testing.assert_close(lens(observation)[:, ways], lens(still)[:, ways], atol=1e-3, rtol=1e-3)


def test_a_walker_is_seen_as_it_is() -> None:
    task = make_task("walker2d", [0])
    task.reset()
    lens, observation = Lens(task), torch.from_numpy(task.observation)
    said = torch.full((1, 6), 3.0)
    assert lens(observation) is observation
    assert lens.action(observation, said) is said
