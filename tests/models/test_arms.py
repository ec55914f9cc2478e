"""Every arm that ships: its MJCF compiles, is physical, and agrees with its arm.toml and the servo data files."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
ARMS = sorted(folder.name for folder in (ROOT / "models" / "arms").iterdir() if (folder / "arm.toml").is_file())


@dataclass(frozen=True)
class Shipped:
    name: str
    spec: dict[str, Any]
    model: Any
    data: Any

    @property
    def joints(self) -> list[dict[str, Any]]:
        return list(self.spec["joint"])

    def dof(self, joint: str) -> int:
        return int(self.model.joint(joint).dofadr[0])

    def place(self, pose: str) -> None:
        mujoco.mj_resetData(self.model, self.data)
        for joint, angle in self.spec["poses"][pose].items():
            self.data.qpos[self.model.joint(joint).qposadr[0]] = angle
        for k in range(self.model.neq):
            follower, leader = self.model.eq_obj1id[k], self.model.eq_obj2id[k]
            value = np.polyval(self.model.eq_data[k][4::-1], self.data.qpos[self.model.jnt_qposadr[leader]])
            self.data.qpos[self.model.jnt_qposadr[follower]] = value
        mujoco.mj_forward(self.model, self.data)

    def angles(self) -> np.ndarray:
        return np.array([self.data.joint(joint["name"]).qpos[0] for joint in self.joints])

    def clearance(self) -> tuple[float, str]:
        """The smallest distance between two geoms that may collide, and their names."""
        model, closest = self.model, (1.0, "")
        excluded = {(int(s) >> 16, int(s) & 0xFFFF) for s in model.exclude_signature}
        for a in range(model.ngeom):
            for b in range(a + 1, model.ngeom):
                bodies = model.geom_bodyid[a], model.geom_bodyid[b]
                fixed = [model.body_weldid[body] == 0 for body in bodies]
                related = model.body_parentid[bodies[0]] == bodies[1] or model.body_parentid[bodies[1]] == bodies[0]
                if bodies[0] == bodies[1] or all(fixed) or (related and not any(fixed)) or tuple(bodies) in excluded:
                    continue
                distance = mujoco.mj_geomDistance(model, self.data, a, b, 1.0, None)
                closest = min(closest, (distance, f"{model.geom(a).name} - {model.geom(b).name}"))
        return closest


def motor(model: str) -> dict[str, Any]:
    file = ROOT / "robot_runtime" / "servos" / "data" / f"{model.lower()}.toml"
    figures: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))["motor"]
    return figures


def servos(joint: dict[str, Any]) -> int:
    """How many turn the joint."""
    return 2 if "second" in joint else 1


@pytest.fixture(params=ARMS)
def arm(request: pytest.FixtureRequest) -> Shipped:
    folder = ROOT / "models" / "arms" / request.param
    spec = tomllib.loads((folder / "arm.toml").read_text(encoding="utf-8"))
    model = mujoco.MjModel.from_xml_path(str(folder / spec["arm"]["mjcf"]))
    return Shipped(request.param, spec, model, mujoco.MjData(model))


def test_each_arm_has_the_servos_it_is_known_for() -> None:
    expected = {
        "koch-v1.1": ["XL430-W250"] * 2 + ["XL330-M288"] * 4,
        "open-manipulator-x": ["XM430-W350"] * 5,
        "widowx-250s": ["XM430-W350"] * 5 + ["XL430-W250"] * 2,
        "xl330-pendulum": ["XL330-M288"],
    }
    assert sorted(expected) == ARMS
    for name, models in expected.items():
        spec = tomllib.loads((ROOT / "models" / "arms" / name / "arm.toml").read_text(encoding="utf-8"))
        assert [joint["servo"]["model"] for joint in spec["joint"]] == models
        assert spec["arm"]["name"] == name
        doubled = [joint["name"] for joint in spec["joint"] if "second" in joint]
        assert doubled == (["shoulder", "elbow"] if name == "widowx-250s" else [])


def test_the_mjcf_has_every_joint_with_the_same_range(arm: Shipped) -> None:
    for joint in arm.joints:
        named = arm.model.joint(joint["name"])
        assert named.type[0] == mujoco.mjtJoint.mjJNT_HINGE
        assert named.limited[0]
        assert named.range == pytest.approx(joint["limits"]["position"])


def test_tip_and_table_are_there(arm: Shipped) -> None:
    assert arm.model.site(arm.spec["arm"]["tip"]).name == arm.spec["arm"]["tip"]
    assert arm.model.geom("table").type[0] == mujoco.mjtGeom.mjGEOM_PLANE
    assert all(arm.model.geom(k).name for k in range(arm.model.ngeom)), "distances are reported by name"


def test_armature_and_friction_are_the_servo_data_files(arm: Shipped) -> None:
    for joint in arm.joints:
        figures, gear, dof = motor(joint["servo"]["model"]), joint["gear"], arm.dof(joint["name"])
        n = servos(joint)
        assert arm.model.dof_armature[dof] == pytest.approx(n * figures["armature"] * gear**2, rel=1e-3), joint["name"]
        assert arm.model.dof_damping[dof] == pytest.approx(n * figures["viscous_friction"] * gear**2, rel=1e-3)
        assert arm.model.dof_frictionloss[dof] == pytest.approx(n * figures["coulomb_friction"] * gear, rel=1e-3)


def test_every_moving_body_has_mass_and_a_possible_inertia(arm: Shipped) -> None:
    for k in range(1, arm.model.nbody):
        body = arm.model.body(k)
        inertia = np.sort(body.inertia)
        assert 0.001 <= body.mass[0] <= 0.6, body.name
        assert inertia[0] > 0
        assert inertia[2] <= inertia[0] + inertia[1] + 1e-12, f"{body.name}: no body has this inertia"
        gyration = np.sqrt(inertia / body.mass[0])
        assert gyration.max() < 0.1, f"{body.name}: the mass would sit outside the link"


@pytest.mark.parametrize("pose", ["home", "rest"])
def test_home_and_rest_are_inside_the_limits_and_touch_nothing(arm: Shipped, pose: str) -> None:
    for joint in arm.joints:
        low, high = joint["limits"]["position"]
        assert low < arm.spec["poses"][pose][joint["name"]] < high, joint["name"]
    arm.place(pose)
    assert arm.data.ncon == 0
    distance, pair = arm.clearance()
    assert distance > 0.005, pair


def test_home_is_clear_of_the_table(arm: Shipped) -> None:
    arm.place("home")
    assert arm.clearance()[0] > 0.02
    assert arm.data.site("tip").xpos[2] > 0.04


def test_at_rest_the_arm_stays_with_torque_off(arm: Shipped) -> None:
    arm.place("rest")
    start = arm.angles()
    mujoco.mj_step(arm.model, arm.data, 5000)
    assert np.abs(arm.angles() - start).max() < 0.06
    assert np.abs(arm.data.qvel).max() < 1e-3


STRONGEST = {("widowx-250s", "shoulder"): 0.67}
"""Share of the stall torque: outstretched, that arm's own weight takes half of it. Any other joint has half at most."""


def test_limits_leave_a_margin_to_what_the_servo_can(arm: Shipped) -> None:
    for joint in arm.joints:
        figures, limits, gear = motor(joint["servo"]["model"]), joint["limits"], joint["gear"]
        assert 0.3 < limits["velocity"] * gear / figures["no_load_speed"] <= 0.8, joint["name"]
        share = limits["torque"] / gear / figures["stall_torque"] / servos(joint)
        assert 0 < share <= STRONGEST.get((arm.name, joint["name"]), 0.5), joint["name"]
        assert 0.05 < limits["velocity"] / limits["acceleration"] < 0.5, "s to full speed"
        assert 0.01 <= limits["acceleration"] / limits["jerk"] <= 0.05, "s to full acceleration"


@pytest.mark.parametrize("arm", ["xl330-pendulum"], indirect=True)
def test_the_pendulum_servo_lifts_its_weight_straight_up(arm: Shipped) -> None:
    """Level is the hardest: at most half of the stall torque, with the supply sagged by a tenth and gears that rub."""
    figures = motor("XL330-M288")
    arm.place("home")
    arm.data.joint("pendulum").qpos[0] = np.pi / 2
    mujoco.mj_forward(arm.model, arm.data)
    level = float(arm.data.qfrc_bias[0])
    assert level == pytest.approx(0.155, rel=0.01)
    volts = 0.9 * arm.spec["supply"]["voltage"][0]
    stall = figures["torque_constant"] * volts / figures["resistance"]
    lift = stall * (1 - figures["load_friction"]) - figures["coulomb_friction"]
    assert level <= 0.5 * lift
    assert level < 0.75 * arm.joints[0]["limits"]["torque"]


@pytest.mark.parametrize("arm", ["xl330-pendulum"], indirect=True)
def test_the_pendulums_encoder_wraps_outside_its_limits(arm: Shipped) -> None:
    joint = arm.joints[0]
    low, high = (angle - joint["offset"] for angle in joint["limits"]["position"])
    assert -np.pi + 0.3 < low < high < np.pi - 0.3


def test_no_joints_encoder_wraps_inside_its_limits(arm: Shipped) -> None:
    for joint in arm.joints:
        turns = [(angle - joint["offset"]) * joint["gear"] for angle in joint["limits"]["position"]]
        assert max(np.abs(turns)) < np.pi, joint["name"]
