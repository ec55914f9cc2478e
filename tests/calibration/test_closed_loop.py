"""Arms that stand with their maps, and arms that swing: nothing here is fitted, the maps are made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibration import pipeline
from calibration.judging import closed_loop
from calibration.judging.acceptance import SWING
from calibration.judging.closed_loop import Flown, back_and_forth, fly
from calibration.logs.log import make_log
from calibration.maps.graph import Graph
from calibration.physics.numbers import Physics
from calibration.physics.rollout import Rig
from robot_runtime.arrays import Floats
from robot_runtime.calibrated.file import MapFile
from robot_runtime.spec import ArmSpec, JointSpec, load_arm
from tests.robot_runtime.calibrated.made import PERIOD, map_file, observation_map, torque_map

PENDULUM, OPEN_MANIPULATOR = load_arm("xl330-pendulum"), load_arm("open-manipulator-x")
DELAY = 0.012


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed_loop, "ARMS", 2)
    monkeypatch.setattr(closed_loop, "LEGS", 1)


def flown(spec: ArmSpec, made: MapFile, **numbers: Floats) -> Flown:
    """The arm of the data files but for these numbers, which hears late, with this map of goals or torques."""
    rig = Rig.of(spec, made.joints)
    found = {**Physics(rig.world, ()).nominal, "delay": np.array([DELAY]), "supply_resistance": np.zeros(1), **numbers}
    kind = "goal" if rig.laws.position.all() else "torque"
    maps = {"observation": map_file(observation_map(rig.world.joints), rig.world.joints), kind: made}
    time = np.arange(0.0, 8.0, PERIOD)
    q = rig.world.home + 0.5 * np.sin(np.outer(time, 1.0 + 0.2 * np.arange(len(made.joints))))
    log = make_log("made", made.joints, [joint.mode for joint in rig.world.joints], time, q, q)
    return fly(rig, found, rig.laws.nominal_volts, maps, [log])


def torques(*joints: JointSpec, **physics: float) -> MapFile:
    return map_file(torque_map(joints, **physics), joints)


def goals(joint: JointSpec, share: float) -> MapFile:
    """Moves a goal by this share of the measured error."""
    graph = Graph(6)  # goal, q, dq, volts, extra, weight
    graph.linear("history", np.array([[1.0 + share, -share, 0.0, 0.0, 0.0, 0.0]]), np.zeros(1), "mapped")
    graph.linear("history", np.zeros((1, 6)), np.zeros(1), "novelty")
    onnx = graph.model({"mapped": 1, "novelty": 1}, {}).SerializeToString()
    return MapFile(onnx, (joint.name,), PERIOD, dict.fromkeys(("goal", "q", "dq"), (0.0,)), bound=6.0)


def by_position(spec: ArmSpec) -> ArmSpec:
    return replace(spec, joints=tuple(replace(joint, mode="position") for joint in spec.joints))


def constant(joint: JointSpec) -> float:
    """N·m/A, of the data file."""
    return joint.gear * joint.servo.motor.torque_constant


def test_a_torque_map_that_takes_the_motor_for_a_fifth_swings_the_arm() -> None:
    (joint,) = PENDULUM.joints
    assert flown(PENDULUM, torques(joint)).swing.max() < 0.1 * SWING
    assert flown(PENDULUM, torques(joint, constant=constant(joint) / 5.0)).swing.max() > 5.0 * SWING


def test_a_goal_map_that_feeds_much_of_the_error_back_swings_the_arm() -> None:
    spec = by_position(PENDULUM)
    (joint,) = spec.joints
    assert flown(spec, goals(joint, 0.1)).swing.max() < 0.1 * SWING
    assert flown(spec, goals(joint, 1.5)).swing.max() > 5.0 * SWING


def test_maps_of_an_arm_that_is_only_late_change_nothing() -> None:
    by_goal = by_position(PENDULUM)
    for spec, made in ((PENDULUM, torques(*PENDULUM.joints)), (by_goal, goals(by_goal.joints[0], 0.0))):
        found = flown(spec, made)
        np.testing.assert_allclose(found.apart, found.without, atol=1e-5)
        assert (found.without > 0.001).all()


def test_a_map_that_knows_the_motor_brings_the_arm_to_the_simulator() -> None:
    (joint,) = PENDULUM.joints
    weak = 0.7 * constant(joint)
    found = flown(PENDULUM, torques(joint, constant=weak), torque_constant=np.array([weak]))
    assert found.apart.max() < 0.5 * found.without.max()


def test_joints_that_are_not_calibrated_stand() -> None:
    found = flown(OPEN_MANIPULATOR, torques(*OPEN_MANIPULATOR.joints[1:3]))
    assert found.swing.shape == (2,)
    assert found.swing.max() < SWING


def test_goals_and_torques_together_have_no_loop_to_judge_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "examine", lambda *_: ())
    assert pipeline.findings_of([], Rig.of(OPEN_MANIPULATOR)) == ()
    first, *others = OPEN_MANIPULATOR.joints
    mixed = replace(OPEN_MANIPULATOR, joints=(replace(first, mode="position"), *others))
    (said,) = pipeline.findings_of([], Rig.of(mixed))
    assert "no closed loop is judged" in said


def test_what_creeps_one_way_does_not_swing() -> None:
    time = np.linspace(0.0, 1.5, 300)
    creeps, swings = 0.03 * time, 0.02 * np.sin(2 * np.pi * 2.0 * time)
    assert back_and_forth(creeps[None, :, None]).max() == 0.0
    assert back_and_forth((creeps + swings)[None, :, None]).max() == pytest.approx(0.04, abs=0.01)
