"""An MJCF that comes out of an environment brings its motors along; on this arm servos do that work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robot_runtime.spec import load_arm
from sim.tasks.arm_task import moved_joints
from sim.twin import Twin
from sim.worlds.arm import arm_world
from tests.robot_runtime.arm.twins import variant

MOTORS = """
  <actuator>
    <position name="motor2" joint="joint2" kp="25"/>
    <position name="motor_gripper" joint="gripper" kp="300"/>
  </actuator>
  <sensor><actuatorfrc actuator="motor2"/></sensor>
  <keyframe><key name="home" ctrl="0.5 0"/></keyframe>
</mujoco>"""


@pytest.fixture
def driven(tmp_path: Path) -> Path:
    file = variant(tmp_path, "open-manipulator-x")
    mjcf = file.with_name("arm.xml")
    text = mjcf.read_text().replace("</mujoco>", MOTORS)
    assert '<body name="link3"' in text
    mjcf.write_text(text.replace('<body name="link3"', '<body name="link3" gravcomp="1"'))
    return file


def test_the_twin_is_moved_by_its_servos_alone(driven: Path) -> None:
    ends = []
    for arm in ("open-manipulator-x", str(driven)):
        twin = Twin.load(arm, pose="home")
        twin.advance(0.3)
        ends.append(np.array(twin.drives.joint_position))
    assert np.abs(ends[0] - load_arm("open-manipulator-x").poses["home"]).max() > 0.1  # it falls
    assert np.array_equal(ends[0], ends[1])


def test_a_world_without_the_gripper_needs_none_of_its_motors(driven: Path) -> None:
    spec = load_arm(driven)
    world = arm_world(spec, moved_joints(spec), 0.002)
    assert world.model.nu == world.model.nsensor == world.model.nkey == 0
    assert not world.model.body_gravcomp.any()
