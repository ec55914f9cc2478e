"""Stops that keep the table and the arm itself at a distance."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_runtime.arm.kinematics import Kinematics
from robot_runtime.arm.state import JointState
from robot_runtime.safety.apart import pairs_to_watch
from robot_runtime.safety.clearance import KEPT, MARGIN, Box, Clearance
from robot_runtime.safety.envelope import Envelope, Why
from robot_runtime.safety.servo_stages import POSITION_SHARE
from robot_runtime.spec import ArmSpec, load_arm, shipped_arms

PERIOD = 0.005


@pytest.mark.parametrize("name", shipped_arms())
def test_gradients_and_levers_are_right(name: str) -> None:
    spec = load_arm(name)
    kinematics = Kinematics(spec)
    lower, upper = (np.array([getattr(j.limits, end) for j in spec.joints]) for end in ("lower", "upper"))
    levers = kinematics.levers()
    draw, step, compared = np.random.default_rng(1), 1e-5, 0
    for q in draw.uniform(lower, upper, (15, len(spec.joints))):
        for k, pair in enumerate(kinematics.pairs):
            kinematics.place(q)
            if not 1e-3 < kinematics.distance(pair, 0.4) < 0.4:
                continue
            (gradient,) = kinematics.gradients([pair])
            numeric = np.zeros(len(q))
            for i in range(len(q)):
                ends = []
                for sign in (1, -1):
                    moved = q.copy()
                    moved[i] += sign * step
                    kinematics.place(moved)
                    ends.append(kinematics.distance(pair, 0.4))
                numeric[i] = (ends[0] - ends[1]) / (2 * step)
            assert (np.abs(numeric) <= levers[k] + 1e-4).all()
            compared += 1
            if np.abs(numeric - gradient).max() > 1e-4:  # where the nearest points jump there is none
                assert np.median(np.abs(numeric - gradient)) < 1e-3
    assert compared > 10


def limits_of(spec: ArmSpec) -> tuple[list[float], list[float]]:
    return [j.limits.lower for j in spec.joints], [j.limits.upper for j in spec.joints]


def fly(
    spec: Any, kinematics: Kinematics, box: Box | None, cycles: int, hang: float = 0.0
) -> tuple[float, float, Envelope]:
    """An arm that follows at once, led astray; the least distance and how far the tip left the box.

    `hang` (rad): how far its shoulder hangs from its command, once it moves.
    """
    state, now = JointState(len(spec.joints)), 1.0
    state.q[:] = spec.poses["home"]
    state.fresh[:] = True
    state.stamp[:] = now
    envelope = Envelope(spec, kinematics, PERIOD, workspace=box)
    envelope.reset(state, now)
    draw = np.random.default_rng(2)
    lower, upper = (np.array([getattr(j.limits, end) for j in spec.joints]) for end in ("lower", "upper"))
    goal, nearest, outside = state.q.copy(), np.inf, -np.inf
    for k in range(cycles):
        now += PERIOD
        if k % 80 == 0:
            goal = draw.uniform(lower, upper)
        values = goal.copy()
        state.stamp[:] = now
        envelope.limit(values, state, now)
        state.q[:] = values
        state.q[1] += hang * min(k / 200, 1.0)
        found = kinematics.clearance(state.q, 0.2)
        nearest = min(nearest, found.distance if found else 0.2)
        tip = kinematics.tip_position(state.q)
        if box is not None:
            outside = max(outside, float(np.max([np.subtract(box.low, tip), np.subtract(tip, box.high)])))
    return nearest, outside, envelope


def test_commands_keep_away_from_the_table_and_the_arm() -> None:
    spec = load_arm("koch-v1.1")
    nearest, _, envelope = fly(spec, Kinematics(spec), None, 3000)
    assert nearest > 0.8 * MARGIN
    assert envelope.counts.sum(axis=0)[list(Why).index(Why.CLEARANCE)] > 0


def test_an_arm_that_hangs_from_its_commands_keeps_away_too() -> None:
    spec = load_arm("koch-v1.1")
    nearest, _, _ = fly(spec, Kinematics(spec), None, 3000, hang=0.15)
    assert nearest > 0.8 * MARGIN


def test_the_tip_stays_in_its_box() -> None:
    spec = load_arm("koch-v1.1")
    kinematics = Kinematics(spec)
    tip = kinematics.tip_position(np.array(spec.poses["home"]))
    box = Box(tuple(tip - 0.06), tuple(tip + 0.06))
    _, outside, envelope = fly(spec, kinematics, box, 3000)
    assert outside < 0.0
    assert envelope.counts.sum(axis=0)[list(Why).index(Why.WORKSPACE)] > 0


def test_inside_the_margin_a_joint_may_only_leave() -> None:
    spec = load_arm("koch-v1.1")
    kinematics = Kinematics(spec)
    q = np.array(spec.poses["home"])
    while True:  # down onto the table
        q[3] += 0.002
        found = kinematics.clearance(q, 0.2)
        if found is not None and found.distance < 0.003:
            break
    clearance = Clearance(kinematics, limits_of(spec), [1.0] * len(q), None)
    q, low, high = q.tolist(), [-3.0] * len(q), [3.0] * len(q)
    assert clearance.stops(q, q, q, q, low, high) == (True, False)
    assert high[3] == q[3]
    assert low[3] == -3.0


def test_what_is_far_is_not_looked_at() -> None:
    spec = load_arm("koch-v1.1")
    kinematics = Kinematics(spec)
    q = np.array(spec.poses["home"])
    clearance = Clearance(kinematics, limits_of(spec), [1.0] * len(q), None)
    q, low, high = q.tolist(), [-3.0] * len(q), [3.0] * len(q)
    clearance.stops(q, q, q, q, low, high)
    looked: list[object] = []
    kinematics.distance = lambda pair, within: looked.append(pair) or 1.0  # type: ignore[method-assign,func-returns-value]
    for _ in range(50):
        clearance.stops(q, q, q, q, low, high)
    assert not looked


@pytest.mark.parametrize("name", shipped_arms())
def test_pairs_that_are_not_watched_stay_apart(name: str) -> None:
    """In poses drawn at random, and at the ends of the joints, where arms fold."""
    spec = load_arm(name)
    kinematics, limits = Kinematics(spec), limits_of(spec)
    watched = pairs_to_watch(kinematics, kinematics.levers(), *limits, KEPT * MARGIN)
    others = [pair for index, pair in enumerate(kinematics.pairs) if index not in watched]
    assert others
    draw = np.random.default_rng(0)
    for k in range(2000):
        q = draw.uniform(*limits)
        if k % 2:
            q = np.where(draw.random(len(q)) < 0.5, *limits)
        kinematics.place(q.tolist())
        assert all(kinematics.distance(pair, 1.0) > KEPT * MARGIN for pair in others)


def test_whether_a_pair_is_watched_hangs_on_the_limits() -> None:
    """The Koch's upper arm would touch its base a tenth of a radian beyond its limit."""
    spec = load_arm("koch-v1.1")
    kinematics, (lower, upper) = Kinematics(spec), limits_of(spec)
    names = [(pair.first, pair.second) for pair in kinematics.pairs]
    index = names.index(("base", "upper_arm"))
    assert index not in pairs_to_watch(kinematics, kinematics.levers(), lower, upper, KEPT * MARGIN)
    upper[1] += 0.1
    assert index in pairs_to_watch(kinematics, kinematics.levers(), lower, upper, KEPT * MARGIN)


def test_a_base_turns_at_full_speed_beside_its_own_arm() -> None:
    """As it did not when the upper arm, two centimetres above the base, was feared to come down on it."""
    spec = load_arm("koch-v1.1")
    envelope, state = Envelope(spec, Kinematics(spec), PERIOD), JointState(len(spec.joints))
    state.q[:] = spec.poses["home"]
    state.fresh[:] = True
    now = 1.0
    state.stamp[:] = now
    envelope.reset(state, now)
    goal, fastest = state.q.copy(), 0.0
    for _ in range(200):
        now += PERIOD
        goal[0] = state.q[0] + 0.5  # always ahead
        values = goal.copy()
        state.stamp[:] = now
        envelope.limit(values, state, now)
        fastest = max(fastest, (values[0] - state.q[0]) / PERIOD)
        state.q[:] = values
        if state.q[0] > 0.8:
            break
    assert fastest > 0.95 * POSITION_SHARE * spec.joints[0].limits.velocity
    assert envelope.counts[0, list(Why).index(Why.CLEARANCE)] == 0


TWO_JOINTS_IN_A_BODY = """
<mujoco><compiler angle="radian"/><worldbody><geom name="table" type="plane" size="1 1 .1"/>
<body name="b" pos="0 0 .1"><joint name="a" axis="1 0 0"/><joint name="c" axis="0 0 1"/>
<geom name="g" type="capsule" size=".01" fromto="0 0 0 .3 0 0" mass=".1"/><site name="tip" pos="0 0 0"/></body>
</worldbody></mujoco>"""
A_FINGER_THAT_FOLLOWS = """
<mujoco><compiler angle="radian"/><default><geom type="capsule" size=".01" mass=".1"/></default><worldbody>
<body name="p" pos="0 0 .5"><joint name="a" axis="1 0 0"/><geom name="palm" type="sphere" size=".01"/>
<body name="f1" pos=".05 .03 0"><joint name="c" axis="0 0 1"/><geom name="f1" fromto="0 0 0 .06 0 0"/></body>
<body name="f2" pos=".05 -.03 0"><joint name="j2" axis="0 0 -1"/><geom name="f2" fromto="0 0 0 .06 0 0"/></body>
<site name="tip" pos="0 0 0"/></body></worldbody>
<equality><joint joint1="j2" joint2="c" polycoef="0 1 0 0 0"/></equality></mujoco>"""
AN_ANCHOR_ASIDE = """
<mujoco><compiler angle="radian"/><worldbody><geom name="table" type="plane" size="1 1 .1"/>
<body name="b" pos="0 0 .5"><joint name="a" axis="0 1 0"/><joint name="c" pos=".2 0 0" axis="0 1 0"/>
<geom name="g" type="sphere" size=".02" mass=".1"/><site name="tip" pos="0 0 0"/></body></worldbody></mujoco>"""


@pytest.mark.parametrize("mjcf", [TWO_JOINTS_IN_A_BODY, A_FINGER_THAT_FOLLOWS, AN_ANCHOR_ASIDE])
def test_levers_of_arms_that_are_built_otherwise(tmp_path: Path, mjcf: str) -> None:
    """No distance changes faster than levers say, and what no lever proves is watched."""
    file = tmp_path / "arm.xml"
    file.write_text(mjcf)
    spec = load_arm("koch-v1.1")
    kinematics = Kinematics(
        replace(
            spec,
            mjcf=file,
            tip="tip",
            joints=tuple(replace(joint, name=name) for joint, name in zip(spec.joints, "ac", strict=False)),
        )
    )
    levers = kinematics.levers()
    assert pairs_to_watch(kinematics, levers, [-1.5, -1.5], [1.5, 1.5], KEPT * MARGIN) == list(
        range(len(kinematics.pairs))
    )
    draw, step = np.random.default_rng(0), 1e-5
    for q in draw.uniform(-1.5, 1.5, (200, 2)):
        for pair, row in zip(kinematics.pairs, levers, strict=True):
            for i, lever in enumerate(row):
                ends = []
                for way in (-step, step):
                    there = q.copy()
                    there[i] += way
                    kinematics.place(there.tolist())
                    ends.append(kinematics.distance(pair, 5.0))
                assert abs(ends[1] - ends[0]) / (2 * step) < lever + 1e-3
