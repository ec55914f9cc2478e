"""Gravity, poses and distances from the arm's MJCF, against arithmetic that a reader can follow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from robot_runtime.arm import Kinematics
from robot_runtime.spec import ArmSpecError, load_arm, shipped_arms


@pytest.mark.parametrize("name", shipped_arms())
def test_gravity_is_the_slope_of_potential_energy(name: str) -> None:
    spec = load_arm(name)
    kinematics = Kinematics(spec)
    model = mujoco.MjModel.from_xml_path(str(spec.mjcf))
    data = mujoco.MjData(model)
    model.opt.enableflags |= mujoco.mjtEnableBit.mjENBL_ENERGY
    joints = [model.joint(n).qposadr[0] for n in spec.joint_names]

    def energy(q: np.ndarray) -> float:
        data.qpos[:] = model.qpos0
        data.qpos[joints] = q
        for i in range(model.neq):  # fingers follow their leader
            leader = float(data.qpos[model.jnt_qposadr[model.eq_obj2id[i]]])
            follower = model.jnt_qposadr[model.eq_obj1id[i]]
            data.qpos[follower] = sum(c * leader**k for k, c in enumerate(model.eq_data[i][:5]))
        mujoco.mj_forward(model, data)
        return float(data.energy[0])

    chance = np.random.default_rng(0)
    for _ in range(5):
        q = np.array([chance.uniform(j.limits.lower, j.limits.upper) for j in spec.joints])
        slope = np.zeros(len(q))
        for i in range(len(q)):
            step = np.zeros(len(q))
            step[i] = 1e-5
            slope[i] = (energy(q + step) - energy(q - step)) / 2e-5
        np.testing.assert_allclose(kinematics.gravity(q, np.zeros(len(q))), slope, atol=1e-6)


def test_pendulum_gravity_is_m_g_l_sine() -> None:
    spec = load_arm("xl330-pendulum")
    kinematics, out = Kinematics(spec), np.zeros(1)
    level = kinematics.gravity(np.array([np.pi / 2]), out).copy()[0]
    assert level > 0.05
    for angle in (0.0, 0.5, -0.7, 3.0):
        assert kinematics.gravity(np.array([angle]), out)[0] == pytest.approx(level * np.sin(angle), abs=1e-9)


@pytest.mark.parametrize("name", shipped_arms())
def test_a_load_pulls_at_the_tip(name: str) -> None:
    spec = load_arm(name)
    bare, loaded = Kinematics(spec), Kinematics(replace(spec, load=0.2))
    q = np.array(spec.poses["home"]) + 0.1
    zeros = np.zeros(len(q))
    more = loaded.gravity(q, zeros.copy()) - bare.gravity(q, zeros.copy())
    np.testing.assert_allclose(more, 0.2 * 9.81 * bare.tip_jacobian(q)[2], atol=1e-9)
    assert np.abs(more).max() > 0.01


@pytest.mark.parametrize("name", shipped_arms())
def test_jacobian_is_the_slope_of_the_tip(name: str) -> None:
    spec = load_arm(name)
    kinematics = Kinematics(spec)
    q = np.array(spec.poses["home"])
    numeric = np.zeros((3, len(q)))
    for i in range(len(q)):
        step = np.zeros(len(q))
        step[i] = 1e-6
        numeric[:, i] = (kinematics.tip_position(q + step) - kinematics.tip_position(q - step)) / 2e-6
    jacobian = kinematics.tip_jacobian(q)
    fingers = [i for i, joint in enumerate(spec.joints) if joint.name == "gripper"]
    np.testing.assert_allclose(np.delete(jacobian, fingers, 1), np.delete(numeric, fingers, 1), atol=1e-6)


def test_tip_of_the_stretched_open_manipulator() -> None:
    """Stretched forward, the tip is as far away as the links are long."""
    spec = load_arm("open-manipulator-x")
    kinematics = Kinematics(spec)
    forward = kinematics.tip_position(np.zeros(5))
    assert forward[1] == pytest.approx(0.0, abs=1e-9)
    turned = kinematics.tip_position(np.array([np.pi / 2, 0, 0, 0, 0]))
    base = 0.012  # m, the pan axis lies this far in front of the origin
    assert turned[1] == pytest.approx(forward[0] - base, abs=1e-9)


def test_clearance_sees_the_table_and_the_arm_itself() -> None:
    spec = load_arm("open-manipulator-x")
    kinematics = Kinematics(spec)
    home = kinematics.clearance(np.array(spec.poses["home"]))
    assert home is not None
    assert home.distance > 0.0
    down = kinematics.clearance(np.array([0.0, 1.4, 0.0, 0.5, 0.0]))
    assert down is not None
    assert down.distance < 0.0
    assert "table" in (down.first, down.second)
    assert kinematics.clearance(np.array(spec.poses["home"]), within=1e-6) is None


def test_an_mjcf_without_the_joint_or_the_tip_is_named(tmp_path: Path) -> None:
    spec = load_arm("xl330-pendulum")
    with pytest.raises(ArmSpecError, match=r"no site 'claw', which arm\.toml names"):
        Kinematics(replace(spec, tip="claw"))
    renamed = replace(spec, joints=(replace(spec.joints[0], name="swing"),))
    with pytest.raises(ArmSpecError, match="no joint 'swing'"):
        Kinematics(renamed)
    slides = tmp_path / "slides.xml"
    slides.write_text(spec.mjcf.read_text().replace('<joint name="pendulum"', '<joint name="pendulum" type="slide"'))
    with pytest.raises(ArmSpecError, match=r"joint 'pendulum', which arm\.toml names, does not turn"):
        Kinematics(replace(spec, mjcf=slides))
    broken = tmp_path / "arm.xml"
    broken.write_text("<mujoco><worldbody><body><joint/></body></worldbody></mujoco>")
    with pytest.raises(ArmSpecError, match=r"arm\.xml"):
        Kinematics(replace(spec, mjcf=broken))


@pytest.mark.parametrize("name", shipped_arms())
def test_straight_couplings_at_once_are_as_one_by_one(name: str) -> None:
    spec = load_arm(name)
    at_once, one_by_one = Kinematics(spec), Kinematics(spec)
    assert at_once._straight
    one_by_one._straight = False
    q = np.array([0.3 * j.limits.lower + 0.7 * j.limits.upper for j in spec.joints])
    for kinematics in (at_once, one_by_one):
        kinematics.place(q)
    assert np.abs(at_once._angles - one_by_one._angles).max() < 1e-15
