from dataclasses import replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from sim.twin.arm_file import ArmFileError, TwinArm
from sim.twin.gap import Gap, JointGap
from sim.twin.physics import Physics
from sim.twin.servo_data import load_servo
from tests.sim.twin.rigs import NO_PLAY, SMOOTH, bench_arm

PERIOD = 0.001


def build(arm: TwinArm, gap: Gap = NO_PLAY, pose: str = "rest") -> Physics:
    physics = Physics(arm, gap, PERIOD)
    physics.place(arm.pose(pose))
    return physics


def settle(physics: Physics, seconds: float, torque: float | list[float] = 0.0) -> None:
    torques = np.zeros(len(physics.positions())) + torque
    for _ in range(round(seconds / PERIOD)):
        physics.step(torques)


def tighter(**joint: Any) -> Gap:
    return replace(NO_PLAY, every=replace(NO_PLAY.every, **joint))


def test_a_frictionless_pendulum_swings_with_its_period(tmp_path: Path) -> None:
    arm = bench_arm(tmp_path, "XL330-M288", "pwm", mass=0.3, length=0.1, start=0.05)
    physics = build(arm, SMOOTH)
    inertia = 0.3 * 0.1**2 + 1e-6 + load_servo("XL330-M288").motor["armature"]
    period = 2 * np.pi * np.sqrt(inertia / (0.3 * 9.81 * 0.1))
    settle(physics, period)
    assert physics.positions()[0] == pytest.approx(0.05, rel=0.01)
    settle(physics, period / 2)
    assert physics.positions()[0] == pytest.approx(-0.05, rel=0.01)


def test_dry_friction_holds_what_it_can_and_no_more(tmp_path: Path) -> None:
    arm = bench_arm(tmp_path, "XM430-W350", "pwm", start=0.3)
    holding = load_servo("XM430-W350").motor["coulomb_friction"]
    physics = build(arm)
    physics.push(0, 0.97 * holding)
    settle(physics, 2.0)
    assert physics.positions()[0] == pytest.approx(0.3, abs=1e-3), "it does not creep"
    physics.push(0, 1.05 * holding)
    settle(physics, 0.5)
    assert physics.positions()[0] > 0.31


def test_the_gears_eat_their_share_of_the_torque(tmp_path: Path) -> None:
    figures = load_servo("XM430-W350").motor
    physics = build(bench_arm(tmp_path, "XM430-W350", "pwm"))
    through = 2.0 * (1 - figures["load_friction"]) - figures["coulomb_friction"]
    physics.push(0, -through - 0.02)
    settle(physics, 0.3, 2.0)
    assert physics.positions()[0] == pytest.approx(0.0, abs=2e-3)
    physics.push(0, -through + 0.02)
    settle(physics, 0.3, 2.0)
    assert physics.positions()[0] > 0.005
    assert physics.model.dof_frictionloss[0] == pytest.approx(
        figures["coulomb_friction"] + 2.0 * figures["load_friction"]
    )


def test_play_lets_the_link_move_before_the_gears_do(tmp_path: Path) -> None:
    play = 0.016
    physics = build(bench_arm(tmp_path, "XL330-M288", "pwm"), tighter(backlash=play))
    for torque, side in ((0.005, 1), (-0.005, -1)):  # less than the dry friction of the gears
        physics.push(0, torque)
        settle(physics, 1.0)
        assert physics.positions()[0] == pytest.approx(side * play / 2, rel=0.06)
        assert physics.qpos[0] == pytest.approx(0.0, abs=1e-4), "the motor stands"
    assert build(bench_arm(tmp_path, "XL330-M288", "pwm")).model.nv == 1, "no play, no second hinge"


def test_play_is_the_servo_data_files_unless_the_gap_says_otherwise(tmp_path: Path) -> None:
    physics = build(bench_arm(tmp_path, "XL330-M288", "pwm"), tighter(backlash=None))
    low, high = physics.model.joint("joint_play").range
    assert high - low == pytest.approx(load_servo("XL330-M288").motor["backlash"])


def test_a_push_acts_on_the_link_through_the_play(tmp_path: Path) -> None:
    physics = build(bench_arm(tmp_path, "XL330-M288", "pwm", mass=0.1, length=0.1), tighter(backlash=0.016))
    physics.push(0, 0.08)
    settle(physics, 3.0)
    holds = load_servo("XL330-M288").motor["coulomb_friction"] / (0.1 * 9.81 * 0.1)
    assert abs(np.sin(physics.positions()[0]) - 0.08 / (0.1 * 9.81 * 0.1)) < holds


def test_a_stuck_shaft_does_not_turn_until_it_is_let_go(tmp_path: Path) -> None:
    physics = build(bench_arm(tmp_path, "XM430-W350", "pwm"))
    physics.stick(0, stuck=True)
    settle(physics, 0.5, 4.0)
    assert abs(physics.positions()[0]) < 1e-3
    physics.stick(0, stuck=False)
    settle(physics, 0.2, 4.0)
    assert physics.positions()[0] > 0.1


def test_the_gap_changes_masses_armature_and_friction() -> None:
    arm = TwinArm.load("open-manipulator-x")
    plain = build(arm).model
    gap = replace(
        NO_PLAY,
        joints={"joint3": replace(NO_PLAY.every, link_mass=1.2, armature=1.5, coulomb=2.0, viscous=3.0)},
    )
    model = build(arm, gap).model
    for body in ("link1", "link2", "link4", "finger_left"):
        assert model.body(body).mass == pytest.approx(plain.body(body).mass), body
    assert model.body("link3").mass == pytest.approx(1.2 * plain.body("link3").mass)
    assert model.body("link3").inertia == pytest.approx(1.2 * plain.body("link3").inertia)
    for name, factor in (("joint3", (1.5, 2.0, 3.0)), ("joint2", (1.0, 1.0, 1.0))):
        ratio = [
            float(
                getattr(model, field)[model.joint(name).dofadr[0]] / getattr(plain, field)[plain.joint(name).dofadr[0]]
            )
            for field in ("dof_armature", "dof_frictionloss", "dof_damping")
        ]
        assert ratio == pytest.approx(factor)


def test_bodies_that_no_servo_turns_belong_to_the_joint_before_them() -> None:
    arm = TwinArm.load("open-manipulator-x")
    plain, model = build(arm).model, build(arm, tighter(link_mass=1.1)).model
    assert model.body_mass[2:] == pytest.approx(1.1 * plain.body_mass[2:])
    pendulum = TwinArm.load("xl330-pendulum")  # its masses are those of its geoms
    heavy, light = build(pendulum, tighter(link_mass=1.1)).model, build(pendulum).model
    assert heavy.body("pendulum").mass == pytest.approx(1.1 * light.body("pendulum").mass)
    assert heavy.body("post").mass == pytest.approx(light.body("post").mass)


def test_a_payload_hangs_at_the_tip() -> None:
    arm = TwinArm.load("open-manipulator-x")
    plain, loaded = build(arm, pose="home"), build(arm, replace(NO_PLAY, payload=0.1), pose="home")
    assert loaded.model.body_mass.sum() - plain.model.body_mass.sum() == pytest.approx(0.1)
    reach = plain.data.site("tip").xpos[0] - plain.data.joint("joint2").xanchor[0]
    extra = plain.data.joint("joint2").qfrc_bias[0] - loaded.data.joint("joint2").qfrc_bias[0]
    assert extra == pytest.approx(0.1 * 9.81 * reach)


def test_fingers_follow_the_gripper() -> None:
    arm = TwinArm.load("open-manipulator-x")
    physics = build(arm, tighter(backlash=None), pose="home")
    physics.place((*arm.pose("home")[:4], -0.8))
    fingers = [float(physics.data.joint(f"finger_{side}").qpos[0]) for side in ("left", "right")]
    assert fingers == pytest.approx([0.012, 0.012])


def test_an_arm_toml_that_does_not_fit_its_mjcf_is_refused(tmp_path: Path) -> None:
    arm = bench_arm(tmp_path, "XL330-M288", "pwm")
    with pytest.raises(ArmFileError, match="no joint 'elbow'"):
        build(replace(arm, joints=(replace(arm.joints[0], name="elbow"),)))
    with pytest.raises(ArmFileError, match="no site 'nose'"):
        build(replace(arm, tip="nose"))


def test_the_step_is_a_millisecond_whatever_the_file_says(tmp_path: Path) -> None:
    physics = build(bench_arm(tmp_path, "XL330-M288", "pwm"), Gap(every=JointGap(backlash=0.0)))
    assert physics.model.opt.timestep == PERIOD
    assert mujoco.mj_versionString() >= "3.3"  # MjSpec as used here
