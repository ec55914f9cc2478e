"""How far the tip may be off for offsets that joint data do not tell."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.judging.tip_doubt import tip_doubt
from calibration.physics.fit import TWO_SIGMA, Fitted
from calibration.physics.numbers import Physics
from calibration.physics.rollout import Rig
from robot_runtime.arm import Kinematics
from robot_runtime.spec import load_arm

ARM = load_arm("koch-v1.1")
RIG = Rig.of(ARM)


def fitted(**known: float) -> Fitted:
    """Every offset exactly known but these (rad, standard deviation)."""
    physics = Physics(RIG.world, ("delay", "offset"))
    sigma = np.array(
        [
            known.get(label.split(".")[0], 0.0) / e.spread
            for label, e in zip(physics.labels, physics.entries, strict=True)
        ]
    )
    z = np.zeros(len(physics))
    return Fitted(physics, z, np.diag(sigma**2), np.zeros(len(RIG.world.names)), 1.0, 0, (0.0, 0.0), ())


def test_one_joint_moves_the_tip_by_its_lever() -> None:
    found = tip_doubt(fitted(shoulder_pan=0.04), RIG)
    lever = np.linalg.norm(Kinematics(ARM).tip_jacobian(np.array(ARM.poses["home"]))[:, 0])
    assert found.reach == pytest.approx(TWO_SIGMA * 0.04 * lever)
    assert found.joints == ("shoulder_pan",)
    assert "within" in found.text
    assert "zeros of shoulder_pan with robot-setup zero" in found.text


def test_the_worst_joint_is_named_first_and_what_moves_no_tip_is_not() -> None:
    found = tip_doubt(fitted(shoulder_pan=0.03, shoulder_lift=0.04, gripper=0.04), RIG)
    assert found.joints == ("shoulder_lift", "shoulder_pan")


def test_nothing_is_said_of_an_arm_whose_zeros_are_known() -> None:
    assert tip_doubt(fitted(shoulder_pan=0.002, elbow_flex=0.002), RIG).text == ""


def test_an_arm_whose_offsets_were_not_fitted() -> None:
    physics = Physics(RIG.world, ("delay",))
    nothing = Fitted(physics, np.zeros(1), np.zeros((1, 1)), np.zeros(6), 1.0, 0, (0.0, 0.0), ())
    assert tip_doubt(nothing, RIG).reach == 0.0
