"""What a target's table does to the world."""

import numpy as np
import pytest

from sim.tasks import Task
from sim.tasks.walker2d import Walker2dTask
from sim.transfer.other_arm import OtherArmTask
from sim.transfer.targets import TargetError, check_target, make_target
from sim.twin.gap import load_gap
from sim.worlds.walker2d import BASE, FAMILY

HARSH = load_gap("harsh")


def walker(**table: str | float) -> Task:
    return make_target("walker2d", table, [0])


def arm(**table: str | float) -> OtherArmTask:
    task = make_target("reach", table, [0, 1])
    assert isinstance(task, OtherArmTask)
    task.reset()
    return task


def test_legs_change_by_their_factor_and_the_body_stands_on_the_floor() -> None:
    long = walker(legs=1.2).model
    assert long.body("leg").pos[2] == pytest.approx(-1.2 * BASE.thigh)
    for factor in (0.7, 1.0, 1.3):
        assert walker(legs=factor).model.body("torso").pos[2] - BASE.torso / 2 - factor * (
            BASE.thigh + BASE.leg
        ) == pytest.approx(0.1)
    assert BASE.with_legs(1.0).height == pytest.approx(BASE.height)


def test_a_share_of_friction_is_the_familys() -> None:
    assert np.allclose(walker(friction=0.6).model.geom_friction, walker(body="friction_60").model.geom_friction)
    assert FAMILY["friction_60"].floor == 0.1


def test_an_empty_table_is_the_body_or_the_arm_as_it_is() -> None:
    task = walker()
    assert isinstance(task, Walker2dTask)
    assert task.model.body("torso").pos[2] == BASE.height
    same = make_target("reach", {}, [0], source={})
    assert same.contract == make_target("reach", {}, [0]).contract


def test_an_arm_carries_its_payload() -> None:
    task = arm(payload=0.1)
    assert task._masses[0, task.world.payload] == 0.1


def test_motors_and_gears_differ_by_their_factors() -> None:
    nominal, task = arm(), arm(torque_constant=0.7, coulomb=2.5, viscous=2.0, load_friction=1.5)
    for name in ("constant", "load_friction"):
        factor = 0.7 if name == "constant" else 1.5
        assert getattr(task._drives, name) == pytest.approx(factor * getattr(nominal._drives, name))
    assert task._dry == pytest.approx(2.5 * nominal._dry)


def test_longer_links_reach_farther_with_the_same_meaning_of_an_action() -> None:
    nominal = make_target("reach", {}, [0])
    task = make_target("reach", {"links": 1.2}, [0], source={})
    assert isinstance(task, OtherArmTask)
    assert isinstance(nominal, OtherArmTask)
    pose = np.zeros((1, task.action_size))
    axis = nominal.model.body("link1").pos  # stands where it stood: the base does not grow
    far, near = (np.linalg.norm(t.chain.tip(pose)[0] - axis) for t in (task, nominal))
    assert far / near == pytest.approx(1.2, rel=0.02)
    assert task.contract.action == nominal.contract.action
    assert task._scale == pytest.approx(nominal._scale)


def test_a_gap_is_in_the_physics_and_its_askew_encoders_too() -> None:
    nominal, task = arm(), arm(gap="harsh")
    harsh = HARSH.every
    assert task._drives.voltage == pytest.approx(HARSH.supply.voltage_factor * nominal._drives.voltage)
    assert task._drives.constant == pytest.approx(harsh.torque_constant * nominal._drives.constant)
    assert task._masses[0, task.world.payload] == HARSH.payload
    angles = task._observer.values[:, : task.action_size]
    askew = task._qpos - angles
    assert askew.mean() == pytest.approx(harsh.offset, abs=0.002)  # noise and ticks aside


def test_another_arm_with_as_many_joints_keeps_its_own_commands() -> None:
    task = make_target("reach", {"arm": "koch-v1.1"}, [0], source={})
    assert task.contract is not None
    assert task.contract.action.meaning == "position_delta"


@pytest.mark.parametrize(
    ("task", "table", "why"),
    [
        ("walker2d", {"payload": 1.0}, "no key 'payload'"),
        ("reach", {"arm": 3}, "not 3"),
        ("reach", {"gap": "wild"}, "wild"),
        ("reach", {"arm": "no-such-arm"}, "no-such-arm"),
        ("swim", {}, "no task 'swim'"),
    ],
)
def test_targets_that_cannot_be_are_told(task: str, table: dict[str, object], why: str) -> None:
    with pytest.raises(TargetError, match=why):
        check_target(task, "wrong", table)
