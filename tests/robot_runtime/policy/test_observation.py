from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robot_runtime.arm import Kinematics
from robot_runtime.policy import Action, Contract, Target, Term
from robot_runtime.policy.observation import Observation
from robot_runtime.spec import load_arm

ARM = load_arm("open-manipulator-x")
KINEMATICS = Kinematics(ARM)
Q = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
DQ = 10 * Q
TAU = 100 * Q


def built(
    *terms: Term, target: Target | None = None, goal: Any = (), steps: int = 1, stacked: bool = False, now: float = 5.0
) -> list[float]:
    """The observation after `steps` samples, the k-th at k times the joint angles, from time 5 on."""
    contract = Contract(terms, Action("torque", ("joint1", "joint2")), 50.0, target=target, stacked=stacked)
    observation = Observation(contract, ARM, KINEMATICS)
    observation.reset(5.0)
    observation.last_action[:] = 7, 8
    out = np.zeros(contract.observation_size, np.float32)
    for k in range(1, steps + 1):
        observation.build(k * Q, DQ, TAU, np.array(goal, float), now, out)
    return [float(v) for v in out]


def test_joints_in_the_order_of_the_term() -> None:
    terms = Term("joint_velocity", 2, ("joint3", "joint1")), Term("joint_torque", 1, ("gripper",))
    assert built(*terms) == pytest.approx([3, 1, 50])


def test_offset_then_scale_then_clip() -> None:
    term = Term("joint_velocity", 3, ("joint1", "joint2", "joint3"), (2.0,), (0.0, 1.5, 0.0), (-4.0, 4.0))
    assert built(term) == pytest.approx([2, 1, 4])


def test_last_action_constant_and_phase() -> None:
    terms = Term("last_action", 2), Term("constant", 2, offset=(0.25, -3.0))
    assert built(*terms) == pytest.approx([7, 8, 0.25, -3])
    fast, slow = Term("phase", 2, period=1.0), Term("phase", 2, period=2.0)
    assert built(slow, fast, now=5.5) == pytest.approx([1, 0, 0, -1], abs=1e-6)


def test_targets_and_errors() -> None:
    tip = KINEMATICS.tip_position(Q)
    goal = tip + np.array([0.1, 0.2, 0.3])
    there = Target("tip_position", 3)
    assert built(Term("tip_position", 3), target=there, goal=goal) == pytest.approx(list(tip), abs=1e-6)
    assert built(Term("target", 3), Term("target_error", 3), target=there, goal=goal) == pytest.approx(
        [*goal, 0.1, 0.2, 0.3], abs=1e-6
    )
    angles = Target("joint_position", 2, ("joint2", "joint1"))
    assert built(Term("target_error", 2), target=angles, goal=(1.0, 1.0)) == pytest.approx([0.8, 0.9])


def test_history_term_by_term_is_oldest_first_and_begins_with_the_first_sample() -> None:
    terms = Term("joint_position", 1, ("joint1",), history=3), Term("joint_position", 1, ("joint2",))
    assert built(*terms, steps=1) == pytest.approx([0.1, 0.1, 0.1, 0.2])
    assert built(*terms, steps=2) == pytest.approx([0.1, 0.1, 0.2, 0.4])
    assert built(*terms, steps=5) == pytest.approx([0.3, 0.4, 0.5, 1.0])


def test_stacked_history_is_the_whole_observation() -> None:
    terms = [Term("joint_position", 1, (name,), history=2) for name in ("joint1", "joint2")]
    assert built(*terms, steps=3, stacked=True) == pytest.approx([0.2, 0.4, 0.3, 0.6])
    assert built(*terms, steps=3) == pytest.approx([0.2, 0.3, 0.4, 0.6])


def test_reset_forgets() -> None:
    term = Term("joint_position", 1, ("joint1",), history=2)
    observation = Observation(Contract((term,), Action("torque", ("joint1",)), 50.0), ARM, KINEMATICS)
    out = np.zeros(2, np.float32)
    for q in (Q, 2 * Q):
        observation.build(q, DQ, TAU, np.zeros(0), 0.0, out)
    observation.last_action[:] = 1
    observation.reset(1.0)
    observation.build(3 * Q, DQ, TAU, np.zeros(0), 1.0, out)
    assert list(out) == pytest.approx([0.3, 0.3])
    assert not observation.last_action.any()
