"""What arm tasks ask for, and what they show."""

from dataclasses import replace

import numpy as np
import pytest

from robot_runtime.safety.servo_stages import WINDUP
from robot_runtime.spec import load_arm
from sim.tasks.arm_task import ArmTask, moved_joints
from sim.tasks.goals import GOALS
from sim.worlds.domain import Domain


def task(name: str, arm: str, count: int = 1, *, domain: Domain | None = None, **goal: object) -> ArmTask:
    made = ArmTask(name, load_arm(arm), range(count), goal=replace(GOALS[name], **goal), domain=domain)  # type: ignore[arg-type]
    made.reset()
    return made


def test_what_a_policy_moves() -> None:
    assert moved_joints(load_arm("open-manipulator-x")) == ("joint1", "joint2", "joint3", "joint4")
    assert moved_joints(load_arm("koch-v1.1")) == ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex")


@pytest.mark.parametrize(
    ("name", "arm", "meaning"),
    [
        ("reach", "open-manipulator-x", "torque"),
        ("reach", "koch-v1.1", "position_delta"),
        ("hold", "xl330-pendulum", "duty"),
    ],
)
def test_the_contract_says_what_the_arm_can(name: str, arm: str, meaning: str) -> None:
    made = task(name, arm)
    contract = made.contract
    assert contract is not None
    assert contract.action.meaning == meaning
    assert contract.observation_size == made.observation.shape[1]
    assert contract.action.clip == (-1.0, 1.0)
    assert contract.mjcf_digest == made.world.spec.mjcf_digest


def test_success_is_staying_not_passing() -> None:
    made = task("hold", "xl330-pendulum", payload=None, from_home=1.0, home_spread=0.0)
    made._targets.centre[:] = 0.0  # it hangs where it should be
    for k in range(made.limit):
        made.step([[0.0]])
        assert made.success[0] == (k + 1 >= round(made.goal.held_for / made.period))
    made.reset()
    made._targets.centre[:] = 0.5
    made.step([[0.0]])
    assert not made.success[0]


def test_touching_the_table_ends_the_episode_and_costs() -> None:
    made = task("reach", "open-manipulator-x", from_home=1.0)
    for _ in range(made.limit):
        made.step([[0.0, 1.0, 1.0, 0.0]])
        if made.terminated[0]:
            break
    assert made.terminated[0]
    assert made.reward[0] < -made.goal.crash / 2


def test_a_position_goal_moves_on_a_line_and_stays_inside_the_limits() -> None:
    made = task("reach", "koch-v1.1", from_home=1.0, home_spread=0.0)
    start = made._command.copy()
    made.step(np.full((1, 4), 2.0))  # beyond what an action is: counts as 1
    scale = np.array(made.contract.action.scale)
    assert made._command == pytest.approx(start + scale)
    middle = made._goal_at(made.substeps // 2 - 1)
    assert middle == pytest.approx(start + 0.5 * scale)
    assert made._goal_at(made.substeps - 1) == pytest.approx(start + scale)
    for _ in range(200):
        made.step(np.full((1, 4), 1.0))
    assert (made._command <= made._upper).all()


def test_a_goal_stays_near_a_joint_that_something_holds() -> None:
    made = task("reach", "koch-v1.1", from_home=1.0, home_spread=0.0)
    made._frictionloss[:] = made._dry[:] = 1e3
    held = made._qpos.copy()
    for _ in range(100):
        made.step([[-1.0, 1.0, -1.0, 1.0]])
    assert np.abs(made._qpos - held).max() < 0.05
    assert np.abs(made._command - made._qpos).max() <= WINDUP + 0.01
    made.step([[1.0, -1.0, 1.0, -1.0]])
    assert (np.abs(made._command - made._qpos) < WINDUP - 0.02).all()


def test_goals_begin_with_what_holds_the_arm() -> None:
    made = task("reach", "koch-v1.1", count=20, from_home=0.0)
    start = made._qpos.copy()
    for _ in range(10):
        made.step(np.zeros((20, 4)))
    assert np.abs(made._qpos - start).max() < np.deg2rad(0.5)


def test_a_late_command_leaves_the_old_one_in_force() -> None:
    made = task("reach", "open-manipulator-x", from_home=1.0)
    made._drives.delay[:] = 3
    made.step([[0.5] * 4])
    before = made._command.copy()
    made.step([[-0.5] * 4])
    assert made._goal_at(2) == pytest.approx(before)
    assert made._goal_at(3) == pytest.approx(made._command)


def test_a_drawn_arm_differs_and_the_next_episode_is_another() -> None:
    made = task("reach", "open-manipulator-x", count=3, domain=Domain())
    seen = [made._masses.copy(), made._armature.copy(), made._dry.copy(), made._drives.constant.copy()]
    assert all(not np.array_equal(values[0], values[1]) for values in seen)
    made.reset([1])
    now = [made._masses, made._armature, made._dry, made._drives.constant]
    for before, after in zip(seen, now, strict=True):
        assert np.array_equal(before[[0, 2]], after[[0, 2]])
        assert not np.array_equal(before[1], after[1])
    nominal = made.model.body_mass
    assert (np.abs(made._masses / np.where(nominal > 0, nominal, 1.0) - 1)[:, nominal > 0] <= 0.15 + 1e-9).all()


def test_a_moving_target_starts_from_rest_and_moves_as_far_as_it_says() -> None:
    made = task("track", "open-manipulator-x", count=50)
    motion = made.goal.motion
    assert motion is not None
    start = made._targets.at(np.zeros(50))
    assert np.array_equal(start, made._targets.centre)
    path = np.array([made._targets.at(np.full(50, t)) for t in np.arange(0, 5, 0.02)])
    assert np.abs(path - start).max() <= motion.amplitude.high
    assert np.abs(path - start).max() > motion.amplitude.low
