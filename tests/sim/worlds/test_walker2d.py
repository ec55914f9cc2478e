"""The family's base is Gym's Walker2d, and the rest differs from it where it says."""

from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import pytest

from sim.worlds.walker2d import BASE, FAMILY, walker2d_model

GYM = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "walker2d.xml"
SAME = ("body_mass", "jnt_range", "jnt_axis", "actuator_gear", "actuator_ctrlrange", "dof_armature", "dof_damping",
        "geom_friction", "geom_size", "geom_contype", "geom_conaffinity", "qpos0")  # fmt: skip


def test_base_has_the_figures_of_gyms_file() -> None:
    ours, gyms = walker2d_model(), mujoco.MjModel.from_xml_path(str(GYM))
    for field in SAME:
        assert getattr(ours, field) == pytest.approx(getattr(gyms, field), abs=1e-12), field


def test_base_moves_as_gyms_does() -> None:
    models = walker2d_model(), mujoco.MjModel.from_xml_path(str(GYM))
    data = [mujoco.MjData(model) for model in models]
    random = np.random.default_rng(0)
    for _ in range(200):
        action = random.uniform(-1, 1, 6)
        for model, d in zip(models, data, strict=True):
            d.ctrl[:] = action
            mujoco.mj_step(model, d)
    assert data[0].qpos == pytest.approx(data[1].qpos, abs=1e-9)


@pytest.mark.parametrize("name", FAMILY)
def test_each_body_stands_on_its_feet_and_rubs_as_it_says(name: str) -> None:
    body, model = FAMILY[name], walker2d_model(FAMILY[name])
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    soles = [data.geom(f"foot{side}_geom").xpos[2] - 0.06 for side in ("", "_left")]
    legs = body.torso / 2 + body.thigh + body.leg
    assert soles == pytest.approx([body.height - legs - 0.06] * 2)
    frictions = [
        max(model.geom("floor").friction[0], model.geom(f"foot{side}_geom").friction[0]) for side in ("", "_left")
    ]
    assert frictions == pytest.approx([body.right_foot, body.left_foot])


def test_friction_bodies_lower_the_floor_too() -> None:
    assert BASE.floor == 0.7
    assert all((FAMILY[n].floor == 0.1) == ("friction" in n) for n in FAMILY)
