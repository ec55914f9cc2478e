"""The arm's world is the arm of the MJCF, less what does not move."""

import mujoco
import numpy as np
import pytest

from robot_runtime.arm import Kinematics
from robot_runtime.spec import ArmSpecError, load_arm, shipped_arms
from sim.tasks.arm_task import moved_joints
from sim.worlds.arm import ArmWorld, arm_world, gravity_torques
from sim.worlds.chain import Chain
from sim.worlds.poses import CLEARANCE, free_poses


def world_of(name: str, payload: float = 0.0) -> ArmWorld:
    spec = load_arm(name)
    return arm_world(spec, moved_joints(spec), 0.002, payload)


@pytest.mark.parametrize("name", shipped_arms())
def test_the_tip_is_where_the_runtime_says(name: str) -> None:
    world = world_of(name)
    kinematics = Kinematics(world.spec)
    poses = free_poses(world, 20, seed=1)
    tips = Chain(world).tip(poses)
    pose = np.array(world.spec.poses["home"])
    data = mujoco.MjData(world.model)
    for q, tip in zip(poses, tips, strict=True):
        pose[world.index] = q
        data.qpos[:] = q
        mujoco.mj_kinematics(world.model, data)
        assert tip == pytest.approx(kinematics.tip_position(pose), abs=1e-9)
        assert tip == pytest.approx(data.site_xpos[world.tip], abs=1e-9)


@pytest.mark.parametrize("name", shipped_arms())
def test_weight_and_inertia_are_those_of_the_whole_arm(name: str) -> None:
    world = world_of(name)
    kinematics = Kinematics(world.spec)
    whole = mujoco.MjModel.from_xml_path(str(world.spec.mjcf))
    assert world.model.body_mass.sum() == pytest.approx(whole.body_mass.sum())
    pose = np.array(world.spec.poses["home"])
    gravity = kinematics.gravity(pose, np.zeros(len(pose)))[world.index]
    assert gravity_torques(world, world.home[None])[0] == pytest.approx(gravity, abs=1e-9)


def test_a_payload_weighs_at_the_tip() -> None:
    level = np.array([[np.pi / 2]])
    bare, loaded = (gravity_torques(world_of("xl330-pendulum", mass), level)[0, 0] for mass in (0.0, 0.05))
    assert loaded - bare == pytest.approx(0.05 * 9.81 * 0.1, rel=1e-6)


def test_a_joint_that_is_not_there_is_named() -> None:
    with pytest.raises(ArmSpecError, match="joint9"):
        arm_world(load_arm("open-manipulator-x"), ["joint1", "joint9"], 0.002)


def test_free_poses_touch_nothing() -> None:
    world = world_of("open-manipulator-x")
    poses = free_poses(world, 200, seed=3)
    assert np.array_equal(poses, free_poses(world, 200, seed=3))
    spec, kinematics = world.spec, Kinematics(world.spec)
    pose = np.array(spec.poses["home"])
    for q in poses[:40]:
        pose[world.index] = q
        clearance = kinematics.clearance(pose)
        assert clearance is None or clearance.distance > CLEARANCE - 1e-6
        assert all(j.limits.lower < a < j.limits.upper for j, a in zip(world.joints, q, strict=True))
