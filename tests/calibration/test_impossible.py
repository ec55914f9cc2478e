"""Logs and arms that no physics can be fitted to are refused in words that somebody can act on."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.logs.log import Log, make_log
from calibration.logs.windows import NoWindowError
from calibration.physics.fit import Fitted
from calibration.physics.identify import delays, identify
from calibration.physics.numbers import KINDS, Physics
from calibration.physics.rollout import Rig
from robot_runtime.spec import ArmSpec, ArmSpecError, load_arm

NAME = "xl330-pendulum"


def swing(seconds: float = 6.0, period: float = 0.005, late: float = 0.0) -> Log:
    time = late + np.arange(0.0, seconds, period)
    q = np.sin(2 * time)[:, None]
    return make_log("swing", ["pendulum"], ["pwm"], time, q, 0.3 * q, dq=2 * np.cos(2 * time)[:, None])


def changed(folder: Path, *attributes: str) -> ArmSpec:
    """The pendulum, whose MJCF says nothing of these."""
    shutil.copytree(load_arm(NAME).path.parent, folder / "arm")
    text = (folder / "arm" / "arm.xml").read_text()
    for name in attributes:
        text = re.sub(rf' {name}="[^"]*"', "", text)
    (folder / "arm" / "arm.xml").write_text(text)
    return load_arm(folder / "arm")


@pytest.mark.parametrize("period", [0.04, 0.1])
def test_logs_without_a_window_are_refused(period: float) -> None:
    rig = Rig.of(load_arm(NAME))
    with pytest.raises(NoWindowError, match="pendulum has no good sample within 30 ms.*log at 34 Hz or faster"):
        identify(rig, [swing(period=period)], threads=1)


def test_a_torn_piece_says_nothing_of_the_delay_and_is_no_reason_to_stop() -> None:
    rig = Rig.of(load_arm(NAME))
    physics, n = Physics(rig.world, KINDS), len(Physics(rig.world, KINDS))
    found = Fitted(physics, np.zeros(n), np.eye(n), np.full(1, 0.01), 1.0, 0, (0.0, 0.0), ())
    torn = swing(period=0.04)
    assert len(delays(rig, [swing(2.0), torn, swing(2.0, late=3.0)], found, threads=1).values) == 2
    assert delays(rig, [torn], found, threads=1).values == ()


@pytest.mark.parametrize(
    ("attribute", "advice"),
    [("frictionloss", '"0.0128"'), ("armature", '"0.00181"'), ("damping", '"0.00366"')],
)
def test_a_model_without_friction_or_rotors_is_refused_by_the_joints_name(
    tmp_path: Path, attribute: str, advice: str
) -> None:
    rig = Rig.of(changed(tmp_path, attribute))
    with pytest.raises(ArmSpecError, match=rf"arm\.xml: joint 'pendulum' has no {attribute}.*{attribute}={advice}"):
        identify(rig, [swing()], threads=1)


def test_all_that_a_model_lacks_is_named_at_once(tmp_path: Path) -> None:
    rig = Rig.of(changed(tmp_path, "frictionloss", "armature"))
    with pytest.raises(ArmSpecError, match=r"no armature.*no frictionloss"):
        Physics(rig.world, KINDS)
    Physics(rig.world, ())  # as it is, it can be simulated


def test_a_servo_file_without_a_figure_is_named(tmp_path: Path) -> None:
    world = Rig.of(load_arm(NAME)).world
    (joint,) = world.joints
    servo = replace(joint.servo, motor=replace(joint.servo.motor, load_friction=0.0))
    with pytest.raises(ArmSpecError, match=r"joint 'pendulum'.*XL330.*load_friction"):
        Physics(replace(world, joints=(replace(joint, servo=servo),)), KINDS)
