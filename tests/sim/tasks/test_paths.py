"""Which ways of a target that moves are asked for."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest
import torch

from robot_runtime.spec import ArmSpecError, load_arm
from sim.tasks.arm_task import ArmTask
from sim.tasks.goals import goal_of
from sim.tasks.paths import Follower, Paths
from sim.training.body import Body
from sim.worlds.domain import Uniform

ARMS = ("open-manipulator-x", "koch-v1.1", "xl330-pendulum")


@pytest.fixture(scope="module")
def tasks() -> dict[str, ArmTask]:
    made = {}
    for arm in ARMS:
        spec = load_arm(arm)
        made[arm] = ArmTask("track", spec, range(30), goal=goal_of("track", spec))
        made[arm].reset()
    return made


def way(centre: np.ndarray, amplitude: tuple[float, ...] = (0.0, 0.0, 0.0), hertz: float = 0.2) -> Paths:
    """One sine an entry around a point."""
    size = np.array(amplitude)[None, :, None] * [1.0, 0.0]
    return Paths(centre, size, np.full(size.shape, 2 * np.pi * hertz), np.zeros(size.shape))


def follower(task: ArmTask) -> Follower:
    return Follower(task.world, task.chain)


@pytest.mark.parametrize("arm", ARMS[:2])
def test_the_tip_can_go_along_every_way(tasks: dict[str, ArmTask], arm: str) -> None:
    """Step by step, as a policy's lens would, from a pose at its middle: inside the limits, touching nothing."""
    task = tasks[arm]
    body, data = Body(task.world), mujoco.MjData(task.model)
    tips = task.chain.tip(task.poses)
    q = task.poses[np.linalg.norm(tips[None] - task._targets.centre[:, None], axis=2).argmin(1)]
    speed = np.array([joint.limits.velocity for joint in task.world.joints])
    for time in np.arange(0.0, task.goal.episode, task.period):
        before, target = q, task._targets.at(np.full(30, time))
        for _ in range(4):
            here, there = (torch.tensor(x, dtype=torch.float32) for x in (q, target))
            q = np.clip(q + body.way(here, there, around=True).numpy(), task._lower, task._upper)
        assert np.linalg.norm(task.chain.tip(q) - target, axis=1).max() < 0.005
        assert time == 0.0 or (np.abs(q - before) / task.period <= speed).all()
        for data.qpos[:] in q:
            mujoco.mj_fwdPosition(task.model, data)
            assert data.ncon == 0


def test_an_angle_stays_between_its_limits(tasks: dict[str, ArmTask]) -> None:
    task = tasks["xl330-pendulum"]
    points = np.concatenate(task._aims.sampled(task.goal.episode))  # type: ignore[union-attr]
    assert (points > task._lower).all()
    assert (points < task._upper).all()


def test_what_no_arm_can_follow_is_not_asked_for(tasks: dict[str, ArmTask]) -> None:
    task = tasks["koch-v1.1"]
    arm, home = follower(task), task.world.home[None]
    tip = task.chain.tip(home)

    def follows(path: Paths) -> bool:
        return bool(arm.follows(path, home, 5.0)[0])

    assert follows(way(tip))
    assert follows(way(tip, (0.02, 0.03, 0.02)))
    assert not follows(way(tip, (1.0, 0.0, 0.0)))  # out of reach
    assert not follows(way(tip, (0.0, 0.0, float(tip[0, 2]))))  # down to the table
    assert not follows(way(tip, (0.0, 0.1, 0.0), hertz=4.0))  # faster than its joints
    assert not follows(way(tip, (float(tip[0, 0]), 0.0, 0.0)))  # over its own base


def test_the_ways_follow_from_the_seed(tasks: dict[str, ArmTask]) -> None:
    task = tasks["koch-v1.1"]
    motion = task.goal.motion
    assert motion is not None
    first, again, other = (follower(task).paths(task.poses, motion, 5.0, 20, seed) for seed in (1, 1, 2))
    assert all(map(np.array_equal, first, again))
    assert not np.array_equal(first.centre, other.centre)


@pytest.mark.parametrize("arm", ARMS)
def test_a_flight_is_let_follow_every_target(tasks: dict[str, ArmTask], arm: str) -> None:
    task = tasks[arm]
    assert task.contract.target is not None
    points = np.concatenate(task.new_targets(50, 3)._aims.sampled(task.goal.episode))  # type: ignore[union-attr]
    assert (points >= task.contract.target.low).all()
    assert (points <= task.contract.target.high).all()


def test_an_arm_that_can_follow_nothing_is_said(tasks: dict[str, ArmTask]) -> None:
    task = tasks["xl330-pendulum"]
    assert task.goal.motion is not None
    wild = replace(task.goal.motion, amplitude=Uniform(50.0, 60.0))
    with pytest.raises(ArmSpecError, match=r"xl330-pendulum can follow 0 of \d+ moving targets"):
        follower(task).paths(task.poses, wild, 5.0, 10, 0)
