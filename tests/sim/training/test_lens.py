"""What networks see, and what their actions are, before they have learnt anything."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from sim.tasks import make_task
from sim.tasks.arm_task import PAST, ArmTask
from sim.training.ahead import Ahead
from sim.training.lens import CLOSE, HAND_OFF, LEAD, LEAD_BY_TORQUE, Lens


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


def moving(task: ArmTask, coefficients: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """What the arms see of targets that move so (powers of time x entries), and where those are now."""
    observation, start = torch.from_numpy(task.observation.copy()), task.contract.observation_size - 3 * PAST
    here = observation[:, start : start + 3].clone()
    for sample in range(PAST):
        time = (sample - PAST + 1) * task.period
        place = here + torch.from_numpy(coefficients.T @ [time, time**2]).float()
        observation[:, start + 3 * sample : start + 3 * (sample + 1)] = place
    return observation, here


@pytest.mark.parametrize(("arm", "lead"), [("koch-v1.1", LEAD), ("open-manipulator-x", LEAD_BY_TORQUE)])
@pytest.mark.parametrize("growth", [0.0, 0.3])
def test_they_look_ahead_of_a_target_that_moves(arm: str, lead: float, growth: float) -> None:
    task = arm_task("track", arm, 20)
    lens, past = Lens(task), task.contract.observation_size - 3 * PAST
    coefficients = np.array([[0.05, -0.02, 0.03], [growth, -growth, growth]])
    observation, here = moving(task, coefficients)
    still, _ = moving(task, np.zeros((2, 3)))
    there = here + torch.from_numpy(coefficients.T @ [lead, lead**2]).float()
    still[:, lens.targets] = there
    still[:, past:] = there.repeat(1, PAST)
    ways = slice(lens.size, lens.size + 4)
    torch.testing.assert_close(lens(observation)[:, ways], lens(still)[:, ways], atol=1e-3, rtol=1e-3)
    assert not torch.allclose(lens(observation)[:, ways], lens(moving(task, np.zeros((2, 3)))[0])[:, ways], atol=1e-2)


def test_noise_in_where_a_target_was_hardly_shows() -> None:
    task = arm_task("track", "koch-v1.1", 200)
    ahead, random = Ahead.of(task.contract), np.random.default_rng(0)
    assert ahead is not None
    clean, noisy = (torch.from_numpy(task.observation.copy()) for _ in range(2))
    noisy[:, ahead.start :] += torch.from_numpy(random.normal(0.0, 0.001, (200, 3 * PAST))).float()
    off = ahead.target(noisy, LEAD, 1.0) - ahead.target(clean, LEAD, 1.0)
    assert float(off.std()) < 0.0045


def test_a_target_that_is_put_elsewhere_is_not_looked_ahead_of() -> None:
    task = arm_task("track", "koch-v1.1", 20)
    lens, observation = Lens(task), torch.from_numpy(task.observation.copy())
    expected = lens(observation)[:, lens.size : lens.size + 4]
    for sample in range(1, PAST):
        end = task.contract.observation_size - 3 * sample
        observation[:, end - 3 : end] += 0.2
        torch.testing.assert_close(lens(observation)[:, lens.size : lens.size + 4], expected)


def test_untaught_positions_follow_a_target_that_moves() -> None:
    task = arm_task("track", "koch-v1.1", 40)
    lens, late = Lens(task), []
    for _ in range(task.limit):
        task.step(first_action(task, lens))
        late.append(task.error.copy())
    assert np.median(late[task.limit // 2 :]) < 0.005
    assert task.success.mean() > 0.9


def test_a_walker_is_seen_as_it_is() -> None:
    task = make_task("walker2d", [0])
    task.reset()
    lens, observation = Lens(task), torch.from_numpy(task.observation)
    said = torch.full((1, 6), 3.0)
    assert lens(observation) is observation
    assert lens.action(observation, said) is said
