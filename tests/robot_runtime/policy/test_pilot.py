from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from robot_runtime.arm import JointCommand
from robot_runtime.flying import SourceFlag
from robot_runtime.policy import Action, Contract, ModeError, Term
from robot_runtime.policy.load import load_policy
from robot_runtime.policy.maps import NominalMaps
from robot_runtime.policy.pilot import PolicyPilot, steps_between
from tests.robot_runtime.arm import twins
from tests.robot_runtime.policy.networks import JOINTS, carrying, contract, linear, save

BUS = 0.005
NO_TARGET = np.zeros(0)


def gains(stiffness: float, damping: float) -> np.ndarray:
    return np.vstack([-stiffness * np.eye(4), -damping * np.eye(4)])


class Flying:
    """A pilot in a loop of its own, without envelope and monitor."""

    def __init__(self, network: Path, contract_path: Path | None = None, maps: Any = None, **twin: Any) -> None:
        self.twin = twins.start(**twin)
        arm = self.twin.arm
        self.pilot = PolicyPilot(load_policy(network, arm.spec, contract_path), arm, BUS, maps)
        arm.prepare()
        arm.torque_on()
        self.pilot.reset(arm.state, arm.bus.port.now())
        self.values = np.zeros(len(arm.spec.joints))
        self.sent: list[list[float]] = []
        self.flags: list[int] = []

    def fly(self, cycles: int, *, act: bool = True) -> None:
        arm, command = self.twin.arm, JointCommand(len(self.values))
        command.held[:] = False
        every = round(self.pilot.period / BUS)
        begin = arm.bus.port.now()
        for k in range(cycles):
            arm.read(begin + (k + 1) * BUS)
            acts = act and k % every == 0
            self.flags.append(self.pilot.intend(arm.state, NO_TARGET, arm.bus.port.now(), acts, self.values))
            self.sent.append(self.values.tolist())
            command.values[:] = self.values
            arm.write(command)
            arm.bus.port.sleep_until(begin + (k + 1) * BUS)


def test_a_torque_policy_flies(tmp_path: Path) -> None:
    terms = Term("joint_position", 4, JOINTS, offset=(0.0, -1.48, 1.37, 0.4)), Term("joint_velocity", 4, JOINTS)
    metadata = carrying(contract(observation=terms))
    flying = Flying(linear(tmp_path / "p.onnx", gains(12, 0.6), metadata=metadata))
    flying.fly(200)
    q = flying.twin.arm.state.q
    assert not any(flying.flags)
    assert np.abs(q[:4] - [0.0, -1.48, 1.37, 0.4]).max() < 0.15  # sags under its weight, no further
    assert flying.sent[0][:4] == flying.sent[3][:4] != flying.sent[4][:4]  # held between actions at 50 Hz
    assert flying.sent[-1][4] == pytest.approx(flying.twin.arm.hold_angle[4])  # the gripper is held
    assert flying.pilot.by_torque.tolist() == [True] * 4 + [False]


def test_arrays_are_live(tmp_path: Path) -> None:
    flying = Flying(linear(tmp_path / "p.onnx", gains(1, 0), metadata=carrying(contract())))
    pilot = flying.pilot
    arrays = pilot.observation, pilot.action, pilot.mapped, pilot.intent
    flying.fly(1)
    q, dq = flying.twin.arm.state.q, flying.twin.arm.state.dq
    assert arrays[0] == pytest.approx([*q[:4], *dq[:4]])
    assert arrays[1] == pytest.approx(-q[:4])
    assert arrays[2].tolist() == [q.tolist(), dq.tolist()]
    assert arrays[3][:4] == pytest.approx(-q[:4])
    assert pilot.period == pytest.approx(0.02)
    assert pilot.start_pose.tolist() == list(flying.twin.arm.spec.poses["home"])


def test_before_the_first_action_everything_is_held(tmp_path: Path) -> None:
    flying = Flying(linear(tmp_path / "p.onnx", gains(100, 0), metadata=carrying(contract())))
    before = flying.twin.truth
    flying.fly(100, act=False)
    assert flying.twin.truth == pytest.approx(before, abs=0.02)


def test_a_position_policy_on_a_torque_arm(tmp_path: Path) -> None:
    action = Action("position", JOINTS, offset=(0.2, -1.3, 1.2, 0.4), stiffness=(15.0,), damping=(0.8,))
    file = linear(tmp_path / "p.onnx", np.zeros((8, 4)), metadata=carrying(contract(action=action)))
    flying = Flying(file)
    flying.fly(300)
    assert flying.twin.arm.state.q[0] == pytest.approx(0.2, abs=0.03)


def test_a_position_policy_on_a_position_arm(tmp_path: Path) -> None:
    joints = ("shoulder_pan",)
    moving = Contract((Term("joint_position", 1, joints),), Action("position", joints, offset=(0.3,)), 50.0)
    flying = Flying(linear(tmp_path / "p.onnx", np.zeros((1, 1)), metadata=carrying(moving)), name="koch-v1.1")
    flying.fly(200)
    assert flying.sent[3][0] == pytest.approx(0.3)
    assert flying.sent[0][0] < 0.3
    assert flying.twin.arm.state.q[0] == pytest.approx(0.3, abs=0.1)  # a servo without integral gain, with friction


def test_torque_on_a_pwm_joint_is_a_duty(tmp_path: Path) -> None:
    joints = ("pendulum",)
    pushing = Contract((Term("joint_position", 1, joints),), Action("torque", joints, offset=(0.05,)), 50.0)
    flying = Flying(linear(tmp_path / "p.onnx", np.zeros((1, 1)), metadata=carrying(pushing)), name="xl330-pendulum")
    flying.fly(1)
    motor = flying.twin.arm.spec.joints[0].servo.motor
    volts = 0.05 * motor.resistance / motor.torque_constant
    assert flying.sent[0][0] == pytest.approx(volts / flying.twin.arm.state.voltage[0], rel=0.05)
    assert flying.pilot.intent[0] == 0.05


def not_finite_from(path: Path, run: int) -> Path:
    """Network whose action is 0.1, and not a number from this run on (time_step counts)."""
    nodes = [
        helper.make_node("Less", ["time_step", "limit"], ["fine"]),
        helper.make_node("Where", ["fine", "tenth", "nan"], ["one"]),
        helper.make_node("Expand", ["one", "shape"], ["actions"]),
    ]
    constants = {
        "limit": np.float32(run),
        "tenth": np.float32(0.1),
        "nan": np.float32(np.nan),
        "shape": np.array([1, 4]),
    }
    shapes = {"obs": (1, 8), "time_step": (1, 1)}, {"actions": (1, 4)}
    return save(path, nodes, *shapes, constants, carrying(contract()))


def test_an_output_that_is_not_finite_is_told_and_not_used(tmp_path: Path) -> None:
    flying = Flying(not_finite_from(tmp_path / "p.onnx", 2))
    flying.fly(12)
    assert flying.flags == [0] * 8 + [SourceFlag.NOT_FINITE] * 4
    assert flying.sent[-1][:4] == pytest.approx([0.1] * 4)
    flying.pilot.reset(flying.twin.arm.state, 0.0)
    flying.fly(1)
    assert flying.flags[-1] == 0


def test_the_same_output_for_long_while_the_arm_moves_is_told(tmp_path: Path) -> None:
    push = Action("torque", JOINTS, offset=(0.3, 0.0, 0.0, 0.0))
    flying = Flying(linear(tmp_path / "p.onnx", np.zeros((8, 4)), metadata=carrying(contract(action=push))))
    flying.fly(250)
    first = flying.flags.index(SourceFlag.FROZEN)
    assert 200 <= first <= 204  # a second after the first action


def test_the_same_output_at_rest_is_fine(tmp_path: Path) -> None:
    still = Action("position", JOINTS, offset=(0.0, -1.48, 1.37, 0.4), stiffness=(40.0,), damping=(2.0,))
    flying = Flying(linear(tmp_path / "p.onnx", np.zeros((8, 4)), metadata=carrying(contract(action=still))))
    flying.fly(250)
    assert not any(flying.flags)


class Shifted(NominalMaps):
    """A calibration that saw an offset of half a radian and a torque that comes out half."""

    def observe(self, state: Any, now: float, q: Any, dq: Any) -> int:
        q[:] = state.q + 0.5
        dq[:] = 2 * state.dq
        return SourceFlag.OUT_OF_DISTRIBUTION

    def command(self, torque: Any, joints: Any, state: Any, now: float, values: Any) -> int:
        np.copyto(values, 2 * torque, where=joints)
        return 0


def test_maps_stand_on_both_sides(tmp_path: Path) -> None:
    file = linear(tmp_path / "p.onnx", gains(0.1, 0), metadata=carrying(contract()))
    arm = twins.start().arm
    flying = Flying(file, maps=Shifted(arm.spec))
    flying.fly(1)
    q = flying.twin.arm.state.q[:4]
    assert flying.pilot.observation[:4] == pytest.approx(q + 0.5)
    assert flying.pilot.intent[:4] == pytest.approx(-0.1 * (q + 0.5))
    assert flying.sent[0][:4] == pytest.approx(-0.2 * (q + 0.5))
    assert flying.flags == [SourceFlag.OUT_OF_DISTRIBUTION]


def test_the_same_flight_gives_the_same_commands(tmp_path: Path) -> None:
    file = linear(tmp_path / "p.onnx", gains(3, 0.2), metadata=carrying(contract()))
    flights = [Flying(file) for _ in range(2)]
    for flying in flights:
        flying.fly(40)
    assert flights[0].sent == flights[1].sent


def test_rates_that_do_not_divide() -> None:
    assert steps_between(60.0, 1 / 240) == 4
    assert steps_between(200.0, BUS) == 1
    with pytest.raises(ModeError, match="30 times a second.*200 Hz; use --rate 180 or --rate 210"):
        steps_between(30.0, BUS)
    with pytest.raises(ModeError, match="use --rate 400"):
        steps_between(400.0, BUS)


def test_what_the_arm_cannot_do_is_refused_before_it_flies(tmp_path: Path) -> None:
    joints = ("shoulder_pan",)
    push = Contract((Term("joint_position", 1, joints),), Action("torque", joints), 50.0)
    with pytest.raises(ModeError, match="torque map"):
        Flying(linear(tmp_path / "p.onnx", np.zeros((1, 1)), metadata=carrying(push)), name="koch-v1.1")
