"""The WidowX-250 6DOF: its MJCF against what the maker publishes besides the URDF that it was made from."""

import tomllib
from pathlib import Path

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

FOLDER = Path(__file__).resolve().parents[2] / "models" / "arms" / "widowx-250s"
CHAIN = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate")

TIP_AT_ZERO = np.array([0.458325, 0.0, 0.36065])
SCREWS = np.array(
    [
        [0, 0, 1, 0, 0, 0],
        [0, 1, 0, -0.11065, 0, 0],
        [0, 1, 0, -0.36065, 0, 0.04975],
        [1, 0, 0, 0, 0.36065, 0],
        [0, 1, 0, -0.36065, 0, 0.29975],
        [1, 0, 0, 0, 0.36065, 0],
    ]
)
"""M and Slist of the product of exponentials: TrossenRobotics/interbotix_xsarms_docs, docs/specifications/wx250s.rst"""

Floats = NDArray[np.float64]


@pytest.fixture
def model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_path(str(FOLDER / "arm.xml"))


def exponential(screw: Floats, angle: float) -> Floats:
    """4 x 4, of a turn by so many rad about a screw (axis, moment)."""
    (x, y, z), moment = screw[:3], screw[3:]
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    s, c = np.sin(angle), np.cos(angle)
    moved = np.eye(4)
    moved[:3, :3] = np.eye(3) + s * cross + (1 - c) * cross @ cross
    moved[:3, 3] = (angle * np.eye(3) + (1 - c) * cross + (angle - s) * cross @ cross) @ moment
    return moved


def test_the_tip_is_where_the_makers_product_of_exponentials_has_it(model: mujoco.MjModel) -> None:
    data, draw = mujoco.MjData(model), np.random.default_rng(0)
    address = [int(model.joint(name).qposadr[0]) for name in CHAIN]
    for q in [np.zeros(6), *draw.uniform(-1.5, 1.5, (50, 6))]:
        data.qpos[address] = q
        mujoco.mj_kinematics(model, data)
        pose = np.eye(4)
        pose[:3, 3] = TIP_AT_ZERO
        for screw, angle in reversed(list(zip(SCREWS, q, strict=True))):
            pose = exponential(screw, angle) @ pose
        assert data.site("tip").xpos == pytest.approx(pose[:3, 3], abs=1e-9)
        assert data.site("tip").xmat.reshape(3, 3) == pytest.approx(pose[:3, :3], abs=1e-9)


def test_the_fingers_are_where_the_makers_crank_puts_them(model: mujoco.MjModel) -> None:
    """horn_radius and arm_length: interbotix_ros_manipulators, interbotix_xsarm_control/config/wx250s.yaml."""
    radius, rod = 0.014, 0.024
    low, high = model.joint("gripper").range
    angle = np.linspace(low, high, 100)
    way = radius * np.sin(angle) + np.sqrt(rod**2 - (radius * np.cos(angle)) ** 2)
    ours = model.body("finger_left").pos[1] + np.polyval(model.eq_data[0][4::-1], angle)
    assert np.abs(ours - way).max() < 0.0014


def test_shoulder_and_elbow_have_two_servos_and_all_ids_are_the_makers() -> None:
    joints = tomllib.loads((FOLDER / "arm.toml").read_text(encoding="utf-8"))["joint"]
    assert [joint["name"] for joint in joints] == [*CHAIN, "gripper"]
    assert [joint["servo"]["id"] for joint in joints] == [1, 2, 4, 6, 7, 8, 9]
    seconds = {joint["name"]: joint["second"]["id"] for joint in joints if "second" in joint}
    assert seconds == {"shoulder": 3, "elbow": 5}
    limits = [joint["limits"]["position"] for joint in joints[:6]]
    published = np.deg2rad([(-180, 180), (-108, 114), (-123, 92), (-180, 180), (-100, 123), (-180, 180)])
    assert (np.array(limits)[:, 0] >= published[:, 0]).all()
    assert (np.array(limits)[:, 1] <= published[:, 1]).all()


def test_it_can_hold_itself_outstretched(model: mujoco.MjModel) -> None:
    """Level and straight, forwards or backwards: a quarter of the torque limit is left for moving."""
    joints = tomllib.loads((FOLDER / "arm.toml").read_text(encoding="utf-8"))["joint"]
    data, worst = mujoco.MjData(model), np.zeros(model.nv)
    for shoulder in np.linspace(-1.88, 1.98, 60):
        for elbow in np.linspace(-2.14, 1.6, 60):
            data.joint("shoulder").qpos[0], data.joint("elbow").qpos[0] = shoulder, elbow
            mujoco.mj_forward(model, data)
            worst = np.maximum(worst, np.abs(data.qfrc_bias))
    for joint in joints:
        assert worst[model.joint(joint["name"]).dofadr[0]] <= 0.75 * joint["limits"]["torque"], joint["name"]
    assert worst[model.joint("shoulder").dofadr[0]] == pytest.approx(3.97, abs=0.05)
