"""Excitation: what is planned keeps limits and distances, and says something of the numbers looked for."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.errors import CalibrationError
from calibration.excitation import CHECK, Excitation, plan, shapes
from calibration.excitation.information import Information, Judge
from calibration.excitation.rehearsal import Rehearsal
from calibration.excitation.replay import replay
from calibration.excitation.stage import Stage, find_stage, movable
from calibration.excitation.tracking import feedforward, with_gains
from calibration.physics.joints import fitted_joints
from robot_runtime.arm import Kinematics
from robot_runtime.spec import ArmSpec, load_arm
from tests.robot_runtime.arm.twins import variant
from tests.robot_runtime.flights import swing

PERIOD = 0.005
RIG = "xl330-pendulum"
ARMS = ["open-manipulator-x", "koch-v1.1", RIG]


@pytest.fixture(scope="module", params=ARMS)
def arm(request: pytest.FixtureRequest) -> tuple[ArmSpec, Kinematics, Stage]:
    spec = load_arm(request.param)
    kinematics = Kinematics(spec)
    return spec, kinematics, find_stage(spec, kinematics)


def drawn(stage: Stage, kind: str, seconds: float = 8.0) -> np.ndarray:
    if kind == "fourier":
        return shapes.fourier(stage, stage.moved, seconds, PERIOD, np.random.default_rng(3))
    return getattr(shapes, kind)(stage, stage.moved, seconds, PERIOD)  # type: ignore[no-any-return]


def test_a_stage_is_inside_the_limits_and_free_everywhere(arm: tuple[ArmSpec, Kinematics, Stage]) -> None:
    spec, kinematics, stage = arm
    random = np.random.default_rng(1)
    for i in stage.moved:
        limits = spec.joints[i].limits
        assert limits.lower < stage.low[i] < stage.start[i] < stage.high[i] < limits.upper
        assert stage.high[i] - stage.low[i] > 0.4
    for _ in range(100):
        pose = stage.low + random.random(len(stage.low)) * (stage.high - stage.low)
        found = kinematics.clearance(pose, 0.015)
        assert found is None, found


@pytest.mark.parametrize("kind", ["sweep", "cruise", "fourier", "chirp"])
def test_shapes_begin_and_end_at_rest_and_keep_their_limits(arm: tuple[ArmSpec, Kinematics, Stage], kind: str) -> None:
    _, _, stage = arm
    q = drawn(stage, kind)
    assert np.array_equal(q[[0, -1]], [stage.start] * 2)
    assert np.all(q >= stage.low - 1e-9)
    assert np.all(q <= stage.high + 1e-9)
    i = stage.moved
    speed = np.diff(q[:, i], axis=0) / PERIOD
    assert np.all(np.abs(speed).max(axis=0) > 0.05)  # every joint moves
    assert np.all(np.abs(speed[[0, -1]]) < 1e-6)
    for rate, bound in ((speed, stage.velocity), (np.diff(speed, axis=0) / PERIOD, stage.acceleration)):
        assert np.all(np.abs(rate).max(axis=0) <= 1.6 * bound[i])  # what eases a wave in and out comes on top


def test_the_envelope_leaves_calm_motion_alone_and_not_wild_motion() -> None:
    spec = load_arm(RIG)
    kinematics = Kinematics(spec)
    rehearsal = Rehearsal(spec, kinematics, PERIOD)
    stage = find_stage(spec, kinematics)
    assert rehearsal.of(drawn(stage, "chirp", 5.0)).changed.max() == 0.0
    time = np.arange(0, 2, PERIOD)[:, None]
    assert rehearsal.of(1.0 - np.cos(9.0 * time)).changed.max() > 0.1


def test_feedforward_is_gravity_where_nothing_moves(arm: tuple[ArmSpec, Kinematics, Stage]) -> None:
    spec, kinematics, stage = arm
    torque = feedforward(spec, kinematics, np.tile(stage.start, (3, 1)), PERIOD)
    assert torque[1] == pytest.approx(kinematics.gravity(stage.start, np.empty(len(stage.start))), abs=1e-9)


def test_motion_tells_more_than_rest_and_two_kinds_more_than_one() -> None:
    spec = load_arm(RIG)
    kinematics = Kinematics(spec)
    stage = find_stage(spec, kinematics)
    judge = Judge(spec, kinematics, ["pendulum"], PERIOD)
    still = judge.of(np.tile(stage.start, (400, 1)), 1.0)
    sweep, wave = judge.of(drawn(stage, "sweep"), 1.0), judge.of(drawn(stage, "fourier"), 1.0)
    assert still.gain < 0.5 * sweep.gain
    assert (sweep + wave).gain > max(sweep.gain, wave.gain) + 1.0
    assert (sweep + wave).seen >= sweep.seen


def test_a_known_weight_tells_torques_from_masses_and_an_offset_from_a_payload() -> None:
    """The same minute, all of it bare or half of it loaded, and what is known of three numbers then."""
    spec = load_arm("open-manipulator-x")
    loaded = replace(spec, load=0.1)
    stage = find_stage(loaded, Kinematics(loaded))
    names = [spec.joints[i].name for i in stage.moved]
    first, second = drawn(stage, "fourier"), drawn(stage, "sweep")
    judges = [Judge(arm, Kinematics(arm), names, PERIOD) for arm in (spec, loaded)]
    bare = judges[0].of(first, 1.0) + judges[0].of(second, 1.0)
    mixed = judges[0].of(first, 1.0) + judges[1].of(second, 1.0)

    def sigma(told: Information, label: str) -> float:
        at = told.labels.index(label)
        return float(np.sqrt(np.linalg.inv(told.matrix + np.eye(len(told.matrix)))[at, at]))

    for label, share in (("joint2.torque_constant", 0.6), ("joint4.offset", 0.8)):
        assert sigma(mixed, label) < share * sigma(bare, label), label


def test_a_plan_with_a_weight_has_a_part_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["calibration.excitation.plan"]
    quick = module._WITH_LOAD["quick"]
    assert 50.0 < sum(seconds for part in quick for _, seconds in part) <= 60.0
    monkeypatch.setitem(module._WITH_LOAD, "quick", tuple(tuple((n, 5.0) for n, _ in part[:2]) for part in quick))
    made = plan(load_arm(RIG), "quick", payload=0.02, drawn=1)
    assert made.by_load == [(0.0, [""]), (0.02, ["loaded"])]
    assert [s.part for s in made.segments] == ["", "", "loaded", "loaded"]


def test_a_plan_has_its_segments_its_check_and_comes_back_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = load_arm(RIG)
    times = sys.modules["calibration.excitation.plan"]._TIMES
    assert 50.0 < sum(seconds for _, seconds in times["quick", False][0]) < 65.0
    short = tuple((name, 5.0) for name, _ in times["quick", False][0])
    monkeypatch.setitem(times, ("quick", False), (short, ()))
    made = plan(spec, "quick", drawn=2)
    assert {s.kind for s in made.segments} == {"sweep", "cruise", "fourier", "chirp"}
    assert sum(s.name.endswith(CHECK) for s in made.segments) == 1
    assert all(np.array_equal(s.q[[0, -1]], [made.start] * 2) for s in made.segments)  # no jump between them
    made.save(tmp_path)
    back = Excitation.load(tmp_path)
    back.check(spec)
    assert [s.name for s in back.segments] == [s.name for s in made.segments]
    assert all(np.array_equal(a.q, b.q) for a, b in zip(back.segments, made.segments, strict=True))
    with pytest.raises(CalibrationError, match="was made for xl330-pendulum"):
        back.check(load_arm("koch-v1.1"))


def test_one_by_one_moves_one_joint_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules["calibration.excitation.plan"]._TIMES, ("quick", False), ((("sweep-1", 6.0),), ()))
    spec = load_arm("koch-v1.1")
    made = plan(spec, "quick", joints=("wrist_flex", "gripper"), one_by_one=True, drawn=1)
    assert [s.name for s in made.segments] == ["sweep-1-wrist_flex", "sweep-1-gripper"]
    for segment in made.segments:
        moving = [spec.joint_names[i] for i in np.flatnonzero(np.ptp(segment.q, axis=0))]
        assert moving == list(segment.joints)
        assert len(moving) == 1


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"joints": ("nose",)}, "no joint nose"),
        ({"joints": ("gripper",)}, "gripper .current_position."),
        ({"level": "endless"}, "no level 'endless'"),
        ({"gains": True}, "no joint has a position P gain"),
        ({"payload": 3.0}, "with 3000 g at the tip: .*; or take a lighter weight"),
    ],
)
def test_what_cannot_be_planned_is_said(wanted: dict[str, object], words: str) -> None:
    with pytest.raises(CalibrationError, match=words):
        plan(load_arm("open-manipulator-x"), **wanted)  # type: ignore[arg-type]


def test_an_arm_without_room_is_refused(tmp_path: Path) -> None:
    file = variant(tmp_path, RIG, (r"position = \[-1.15, 4.3\]", "position = [-0.05, 0.05]"), (r"upright = .*\n", ""))
    with pytest.raises(CalibrationError, match="pendulum cannot turn"):
        plan(load_arm(file))


def test_gains_of_a_part_are_the_arms_with_some_changed() -> None:
    spec = load_arm("koch-v1.1")
    changed = with_gains(spec, {"elbow_flex": {"position_p_gain": 900}})
    before, after = spec.joints[2].gains, changed.joints[2].gains
    assert after == {**before, "position_p_gain": 900}
    assert changed.joints[1] == spec.joints[1]


def test_gains_of_a_part_are_those_of_both_servos_of_a_joint() -> None:
    """The second one kept the arm file's: what was fitted to such a recording was 37 mrad off."""
    changed = with_gains(load_arm("widowx-250s"), {"shoulder": {"position_p_gain": 500}})
    assert [j.gains["position_p_gain"] for j in changed.servos if j.name == "shoulder"] == [500, 500]


def test_a_replay_is_what_the_policy_does_between_two_soft_ways(tmp_path: Path) -> None:
    spec = load_arm(RIG)
    swing(tmp_path, spec)  # 0.15 rad about home, every 1.5 s
    start = np.array([0.4])
    q = replay(spec, Kinematics(spec), tmp_path / "swing.onnx", start, 2.0, PERIOD)
    assert q[0] == pytest.approx(start)
    assert q[-1] == pytest.approx(start)
    middle = q[len(q) // 3 : 2 * len(q) // 3]
    assert 0.1 < np.ptp(middle) < 0.5
    assert np.abs(np.diff(q, axis=0)).max() / PERIOD < spec.joints[0].limits.velocity


def test_what_a_fit_would_refuse_is_not_planned(tmp_path: Path) -> None:
    """As its servo starts, which `prepare` writes, the XL330-M077 has an I gain, and a fit knows none."""
    edits = ("XL330-M288", "XL330-M077"), ('mode = "pwm"', 'mode = "position"')
    spec = load_arm(variant(tmp_path, RIG, *edits))
    with pytest.raises(CalibrationError, match=r"pendulum has position_i_gain 400: gains = { position_i_gain = 0 }"):
        plan(spec)
    without = variant(tmp_path, RIG, *edits, (r"\ngear = ", "\ngains = { position_i_gain = 0 }\ngear = "))
    assert movable(load_arm(without)).tolist() == [0]
    by_duty = load_arm(variant(tmp_path, RIG, edits[0]))
    assert movable(by_duty).tolist() == [0], "its position loop is open"


def test_a_joint_that_drives_fingers_is_held_and_not_asked_for() -> None:
    spec = load_arm("widowx-250s")
    assert [spec.joints[i].name for i in movable(spec)] == list(spec.joint_names[:-1])
    assert fitted_joints(load_arm("koch-v1.1")) == load_arm("koch-v1.1").joint_names  # one finger, which is the joint's
    with pytest.raises(CalibrationError, match="gripper: other joints of arm.xml follow it; leave it out"):
        movable(spec, ["waist", "gripper"])
