from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from robot_runtime.policy import Action, ModeError
from robot_runtime.policy.action import Actuation, Route, routes
from robot_runtime.policy.maps import NominalMaps
from robot_runtime.safety.servo_stages import WINDUP
from robot_runtime.spec import ArmSpec, load_arm

OMX = load_arm("open-manipulator-x")
KOCH = load_arm("koch-v1.1")
PENDULUM = load_arm("xl330-pendulum")
STEPS, BUS = 4, 0.005
Q, DQ = np.array([0.1, -0.2, 0.3, 0.0, 0.0]), np.array([1.0, 0.0, 0.0, 0.0, 0.0])


def in_mode(spec: ArmSpec, mode: str) -> ArmSpec:
    return replace(spec, joints=tuple(replace(joint, mode=mode) for joint in spec.joints))


def actuation(action: Action, spec: ArmSpec = OMX, q: np.ndarray = Q) -> Actuation:
    made = Actuation(action, spec, NominalMaps(spec).carries, STEPS, BUS)
    made.reset(q, q)
    return made


def cycles(made: Actuation, output: list[float], count: int = STEPS, q: np.ndarray = Q) -> list[list[float]]:
    """What the action's first joint should do in each of the bus cycles after an action."""
    intent = np.zeros(len(q))
    made.act(np.array(output, np.float32), q)
    rows = []
    for _ in range(count):
        made.fill(q, DQ, intent)
        rows.append(intent.tolist())
    return rows


@pytest.mark.parametrize(
    ("meaning", "mode", "route"),
    [
        ("torque", "current", Route.TORQUE),
        ("torque", "pwm", Route.TORQUE),
        ("position", "position", Route.GOAL),
        ("position", "extended_position", Route.GOAL),
        ("position_delta", "current_position", Route.GOAL),
        ("position", "current", Route.SPRING),
        ("position_delta", "pwm", Route.SPRING),
        ("velocity", "velocity", Route.SPEED),
        ("velocity", "position", Route.GOAL),
        ("duty", "pwm", Route.DUTY),
    ],
)
def test_how_each_meaning_goes_in_each_mode(meaning: str, mode: str, route: Route) -> None:
    spec = in_mode(PENDULUM, mode)
    action = Action(meaning, ("pendulum",), stiffness=(1.0,), damping=(0.1,))
    assert routes(action, spec, NominalMaps(spec).carries) == (route,)


@pytest.mark.parametrize(
    ("meaning", "mode", "message"),
    [
        ("torque", "position", "needs the torque map of a calibration"),
        ("torque", "velocity", "needs the torque map of a calibration"),
        ("position", "current", "needs action.stiffness and action.damping"),
        ("position", "velocity", "expected one of position"),
        ("velocity", "current", "expected velocity or one of position"),
        ("duty", "current", "a duty needs mode 'pwm'"),
    ],
)
def test_what_cannot_be_done_is_refused(meaning: str, mode: str, message: str) -> None:
    spec = in_mode(PENDULUM, mode)
    with pytest.raises(
        ModeError, match=f"joint 'pendulum' is in mode '{mode}' and the policy says {meaning}.*{message}"
    ):
        routes(Action(meaning, ("pendulum",)), spec, NominalMaps(spec).carries)


def test_a_torque_map_lets_a_position_arm_take_torque() -> None:
    assert set(routes(Action("torque", KOCH.joint_names), KOCH, np.ones(6, bool))) == {Route.TORQUE}


def test_value_is_clip_then_scale_then_offset_and_holds() -> None:
    action = Action("torque", ("joint2", "joint1"), (2.0, 3.0), (0.5, 0.0), (-1.0, 1.0))
    rows = cycles(actuation(action), [9.0, -0.5])
    assert rows == [[-1.5, 2.5, 0, 0, 0]] * STEPS


def test_ends_of_the_value() -> None:
    action = Action("torque", ("joint1", "joint2"), offset=(1.0, 0.0), low=(-0.5,), high=(0.5, 2.0))
    assert cycles(actuation(action), [3.0, 3.0])[0][:2] == [0.5, 2.0]
    assert cycles(actuation(action), [-3.0, 0.0])[0][:2] == [-0.5, 0.0]


def test_positions_go_on_a_line_and_arrive_before_the_next_action() -> None:
    spec = in_mode(OMX, "position")
    made = actuation(Action("position", ("joint1",)), spec)
    assert [row[0] for row in cycles(made, [0.5], 6)] == pytest.approx([0.2, 0.3, 0.4, 0.5, 0.5, 0.5])
    assert [row[0] for row in cycles(made, [-0.5], 2)] == pytest.approx([0.25, 0.0])
    assert [row[0] for row in cycles(made, [1.0], 1)] == pytest.approx([0.25])  # from where the line was left


def test_a_delta_adds_to_the_goal_or_to_where_the_joint_is() -> None:
    spec = in_mode(OMX, "position")
    from_goal = actuation(Action("position_delta", ("joint1",)), spec)
    cycles(from_goal, [0.2])
    assert cycles(from_goal, [0.2])[-1][0] == pytest.approx(0.5)
    measured = actuation(Action("position_delta", ("joint1",), delta_from="measured"), spec)
    cycles(measured, [0.2])
    assert cycles(measured, [0.2])[-1][0] == pytest.approx(0.3)


def test_a_goal_does_not_wind_up_beyond_the_limits() -> None:
    high = np.array([0.0, 1.4, 0.0, 0.0, 0.0])
    made = actuation(Action("position_delta", ("joint2",)), in_mode(OMX, "position"), high)
    for _ in range(9):
        cycles(made, [1.0], q=high)
    assert cycles(made, [0.0], q=high)[-1][1] == 1.5
    assert cycles(made, [-0.1], q=high)[-1][1] == pytest.approx(1.4)


@pytest.mark.parametrize(("meaning", "size"), [("position_delta", 0.2), ("velocity", 5.0)])
def test_a_goal_does_not_run_away_from_a_joint_that_is_held_back(meaning: str, size: float) -> None:
    made = actuation(Action(meaning, ("joint1",)), in_mode(OMX, "position"))
    for _ in range(50):
        cycles(made, [size])
    assert cycles(made, [0.0])[-1][0] == pytest.approx(0.1 + WINDUP)
    assert cycles(made, [-size])[-1][0] < WINDUP


def test_how_far_a_spring_is_drawn_is_the_policys_affair() -> None:
    made = actuation(Action("position_delta", ("joint1",), stiffness=(1.0,), damping=(0.0,)))
    for _ in range(6):
        cycles(made, [0.2])
    assert cycles(made, [0.0])[-1][0] == pytest.approx(1.2)


def test_velocity_moves_the_goal_of_a_position_joint() -> None:
    made = actuation(Action("velocity", ("joint1",)), in_mode(OMX, "position"))
    assert [row[0] for row in cycles(made, [2.0])] == pytest.approx([0.11, 0.12, 0.13, 0.14])
    assert cycles(made, [0.0])[-1][0] == pytest.approx(0.14)
    assert cycles(actuation(Action("velocity", ("joint1",)), in_mode(OMX, "velocity")), [2.0])[-1][0] == 2.0


def test_a_spring_pulls_every_bus_cycle_towards_the_goal() -> None:
    action = Action("position", ("joint1", "joint3"), stiffness=(10.0,), damping=(0.5, 0.0))
    made = actuation(action)
    assert made.by_torque.tolist() == [True, False, True, False, False]
    assert cycles(made, [0.3, 0.3])[0] == pytest.approx([10 * 0.2 - 0.5, 0, 0, 0, 0], abs=1e-6)
    intent = np.zeros(5)
    made.fill(Q + 0.1, 0 * DQ, intent)
    assert intent[[0, 2]] == pytest.approx([1.0, -1.0])


def test_joints_in_several_modes() -> None:
    joints = tuple(replace(j, mode=m) for j, m in zip(OMX.joints[:2], ("velocity", "position"), strict=True))
    spec = replace(OMX, joints=(*joints, *OMX.joints[2:]))
    rows = cycles(actuation(Action("velocity", ("joint1", "joint2")), spec), [1.0, 1.0])
    assert rows[0][:2] == pytest.approx([1.0, -0.195])


def test_goals_begin_at_the_start_pose_where_the_joint_sags_from_it() -> None:
    made = actuation(Action("position_delta", ("joint1", "joint2")), in_mode(OMX, "position"))
    made.reset(Q, Q + np.array([0.05, 0.5, 0, 0, 0]))
    assert cycles(made, [0.0, 0.0])[0][:2] == pytest.approx([0.15, -0.2])
