"""What a policy knows of its arm is what MuJoCo knows of it."""

import numpy as np
import pytest
import torch

from sim.tasks import make_task
from sim.tasks.arm_task import ArmTask
from sim.training.body import Body
from sim.worlds.arm import gravity_torques
from sim.worlds.poses import free_poses

ARMS = ("open-manipulator-x", "koch-v1.1")


def reach(arm: str) -> ArmTask:
    task = make_task("reach", [0], arm=arm)
    assert isinstance(task, ArmTask)
    return task


def known(task: ArmTask, q: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with torch.inference_mode():
        angles, point = torch.tensor(q, dtype=torch.float32), torch.tensor(target, dtype=torch.float32)
        body = Body(task.world)
        return body.way(angles, point).numpy(), body.weight(angles).numpy()


@pytest.mark.parametrize("arm", ARMS)
def test_the_weight_is_what_holds_the_arm_still(arm: str) -> None:
    task = reach(arm)
    q = free_poses(task.world, 50)
    assert known(task, q, np.ones((len(q), 3)))[1] == pytest.approx(gravity_torques(task.world, q), abs=1e-5)


@pytest.mark.parametrize("arm", ARMS)
def test_near_the_target_the_way_leads_there(arm: str) -> None:
    task, random = reach(arm), np.random.default_rng(0)
    q = task.poses[:200]  # facing the tip
    tip = task.chain.tip(q)
    target = tip + random.normal(0.0, 0.003, tip.shape)
    left = np.linalg.norm(task.chain.tip(q + known(task, q, target)[0]) - target, axis=1)
    before = np.linalg.norm(tip - target, axis=1)
    assert np.median(left / before) < 0.2  # damped, so not all of it at once
    assert np.mean(left < before) > 0.99


def test_a_base_turns_away_from_its_stop_however_far_that_is() -> None:
    task = reach("open-manipulator-x")
    q = np.array([[2.8, -0.5, 0.3, 0.5]] * 2)
    opposite = task.chain.tip(np.array([[-2.8, -0.5, 0.3, 0.5]]))
    far, near = known(task, q, np.concatenate((opposite, task.chain.tip(q[1:]))))[0]
    assert far == pytest.approx([-5.6, 0.0, 0.0, 0.0], abs=1e-4)
    assert near == pytest.approx(np.zeros(4), abs=1e-4)


@pytest.mark.parametrize("arm", ARMS)
def test_going_homewards_too_leaves_the_way_of_the_tip_alone(arm: str) -> None:
    task, random = reach(arm), np.random.default_rng(1)
    inside = (task.poses > task._lower + 0.3).all(1) & (task.poses < task._upper - 0.3).all(1)
    q = task.poses[inside][:100]
    target = task.chain.tip(q) + random.uniform(-0.1, 0.1, (len(q), 3))
    with torch.inference_mode():
        body, angles, point = Body(task.world), torch.tensor(q).float(), torch.tensor(target).float()
        alone, both = (body.way(angles, point, homewards).numpy() for homewards in (0.0, 0.5))
    little = 0.01
    moved, moved_too = (task.chain.tip(q + little * way) - task.chain.tip(q) for way in (alone, both))
    assert np.median(np.linalg.norm(moved_too - moved, axis=1) / np.linalg.norm(moved, axis=1)) < 0.2
    before, after = (np.abs(q + way - task.world.home)[:, 1:].sum(1) for way in (alone, both))
    assert (after < before).mean() > 0.9


def test_the_way_home_leaves_the_tip_alone_where_the_arm_is_stretched_too() -> None:
    task, random = reach("koch-v1.1"), np.random.default_rng(2)
    body, inside = Body(task.world), (task.poses > task._lower + 0.3).all(1) & (task.poses < task._upper - 0.3).all(1)
    tips = task.chain.tip(task.poses[inside])
    far = np.argsort(-np.linalg.norm(tips, axis=1))[:100]
    q, tip = task.poses[inside][far], tips[far]
    error = random.normal(size=tip.shape)
    target = tip + 0.008 * error / np.linalg.norm(error, axis=1, keepdims=True)
    with torch.inference_mode():
        angles, point = torch.tensor(q).float(), torch.tensor(target).float()
        alone = body.way(angles, point).numpy()
        exactly, loosely = (body.way(angles, point, 0.3, exactly=exactly).numpy() for exactly in (True, False))
    little = 0.01
    to, exact, loose = (task.chain.tip(q + little * way) - tip for way in (alone, exactly, loosely))
    off = [np.linalg.norm(moved - to, axis=1) / np.linalg.norm(to, axis=1) for moved in (exact, loose)]
    assert np.quantile(off[0], 0.9) < 0.05
    assert np.quantile(off[1], 0.9) > 0.2


def test_what_a_joint_at_its_stop_cannot_do_the_others_do() -> None:
    task = reach("koch-v1.1")
    body, q = Body(task.world), np.array([[0.0, task._lower[1] + 0.04, -0.15, 1.1]])  # it hangs just above its stop
    target = task.chain.tip(q) + np.array([[-0.01, 0.0, 0.0]])
    angles, point = torch.tensor(q, dtype=torch.float32), torch.tensor(target, dtype=torch.float32)
    plainly, around = body.way(angles, point).numpy(), body.way(angles, point, around=True).numpy()
    assert plainly[0, 1] < -0.02
    assert abs(around[0, 1]) < 0.002

    def without_it(way: np.ndarray) -> float:
        reached = task.chain.tip(q + way * [1.0, 0.0, 1.0, 1.0])
        return float(np.linalg.norm(reached - target))

    assert without_it(around) < 0.5 * without_it(plainly)
