from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from robot_runtime.arm import JointState, Kinematics
from robot_runtime.calibrated.errors import UnfitMapError
from robot_runtime.calibrated.file import Number
from robot_runtime.calibrated.maps import ResidualMaps
from robot_runtime.calibrated.supply import Supply
from robot_runtime.calibrated.weight import ExtraWeight
from robot_runtime.flying import SourceFlag
from robot_runtime.policy.maps import NominalMaps
from robot_runtime.spec import ArmSpec, load_arm
from tests.robot_runtime.calibrated.made import (
    PERIOD,
    calibration,
    goal_map,
    healthy,
    mapped,
    nervous,
    observation_map,
    torque_map,
)

ARMS = ("open-manipulator-x", "koch-v1.1", "xl330-pendulum")


def states(spec: ArmSpec, count: int = 30) -> list[JointState]:
    """An arm that moves."""
    random, found = np.random.default_rng(3), []
    for k in range(count):
        state = JointState(len(spec.joints))
        state.q[:] = 0.5 * np.sin(0.1 * k + np.arange(state.count))
        state.dq[:] = random.normal(0.0, 1.0, state.count)
        state.voltage[:] = [j.servo.motor.nominal_voltage for j in spec.joints]
        state.health_stamp[:] = k * PERIOD
        found.append(state)
    return found


@pytest.mark.parametrize("name", ARMS)
def test_a_healthy_arms_maps_change_nothing(name: str) -> None:
    spec = load_arm(name)
    given = healthy(spec)
    maps, nominal = ResidualMaps(spec, given, PERIOD), NominalMaps(spec)
    everyone = np.ones(len(spec.joints), dtype=bool)
    sent = np.zeros(len(spec.joints))
    maps.follow(sent, everyone & ~nominal.carries)
    first = states(spec)[0]
    maps.reset(first, 0.0)
    for k, state in enumerate(states(spec)):
        q, dq, same_q, same_dq, values, same = np.zeros((6, len(spec.joints)))
        assert maps.observe(state, k * PERIOD, q, dq) == 0
        nominal.observe(state, k * PERIOD, same_q, same_dq)
        np.testing.assert_allclose(q, same_q, atol=3e-7)
        np.testing.assert_allclose(dq, same_dq, atol=3e-7)
        torque = 0.1 * np.cos(k + np.arange(len(spec.joints)))
        driven = everyone & nominal.carries
        values[:] = same[:] = q + 0.05
        maps.command(torque, driven, state, k * PERIOD, values)
        nominal.command(torque, driven, state, k * PERIOD, same)
        np.testing.assert_allclose(values, same, atol=3e-6)
        sent[:] = values
    assert all(seen["outside"] == 0 for seen in maps.summary().values())


def test_joints_that_no_map_names_stay_as_they_are() -> None:
    spec = load_arm("koch-v1.1")
    maps = ResidualMaps(spec, healthy(spec, offset=0.1), PERIOD)
    q, dq = np.zeros((2, len(spec.joints)))
    state = states(spec)[3]
    maps.reset(state, 0.0)
    maps.observe(state, 0.0, q, dq)
    gripper = spec.joint_names.index("gripper")
    assert q[gripper] == state.q[gripper]
    np.testing.assert_allclose(np.delete(q - state.q, gripper), 0.1, atol=1e-6)


def test_what_stands_in_the_maps_is_what_torch_computes() -> None:
    """Histories, order of joints and of quantities, from the state of the arm to the command."""
    spec = load_arm("open-manipulator-x")
    joints = mapped(spec, "torque")
    n = len(joints)
    sense, drive = observation_map(joints, 0.02), torque_map(joints, coulomb=0.05, load=0.2, viscous=0.01)
    random = torch.Generator().manual_seed(0)
    for module in (sense, drive):
        residual = module.residual
        with torch.no_grad():
            residual.scale.copy_(torch.rand(residual.scale.shape, generator=random) * 0.2)
            residual.linear.copy_(torch.randn(residual.linear.shape, generator=random) * 0.1)
            residual.most.fill_(2.0)
            residual.clip.fill_(0.5)
            residual.ensemble.w2.copy_(torch.randn(residual.ensemble.w2.shape, generator=random) * 0.1)
    maps = ResidualMaps(spec, calibration(spec, sense, drive), PERIOD)
    sent = np.zeros(len(spec.joints))
    maps.follow(sent, np.zeros(len(spec.joints), dtype=bool))
    run, rows = states(spec, 40), []
    torques = 0.3 * np.random.default_rng(5).normal(size=(40, len(spec.joints)))
    maps.reset(run[0], 0.0)
    everyone = np.array([j in joints for j in spec.joints])
    for k, state in enumerate(run):
        q, dq, values = np.zeros((3, len(spec.joints)))
        maps.observe(state, k * PERIOD, q, dq)
        maps.command(torques[k], everyone, state, k * PERIOD, values)
        rows.append((state.q[:n].copy(), state.dq[:n].copy(), sent[:n].copy(), dq[:n].copy(), values[:n].copy()))
        sent[:] = torques[k] + 0.01
        volts, weight = maps._supply.volts[:n].copy(), maps._weight.own[:n].copy()
    measured, register, commands, speeds, values = (np.array(column) for column in zip(*rows, strict=True))
    last = len(run) - 1
    lags = np.arange(10)
    given = np.stack([measured[last - lags].T, register[last - lags].T, commands[last - lags].T], axis=1)
    with torch.no_grad():
        wanted = sense(torch.tensor(given.reshape(1, -1), dtype=torch.float32)).numpy()[0]
    np.testing.assert_allclose(speeds[-1], wanted[n : 2 * n], atol=1e-5)
    lags = np.array([0, 2, 4, 6, 8, 10, 13, 16, 20, 24])
    pair = np.concatenate(
        [torques[last - lags, :n].T, speeds[last - lags].T, volts[:, None], np.zeros((n, 1)), weight[:, None]], axis=1
    )
    with torch.no_grad():
        command = drive(torch.tensor(pair.reshape(1, -1), dtype=torch.float32)).numpy()[0, :n]
    np.testing.assert_allclose(values[-1], command, atol=1e-5)


def test_a_place_that_the_data_did_not_have_is_flagged_and_counted() -> None:
    spec = load_arm("open-manipulator-x")
    joints = mapped(spec, "torque")
    for module in (nervous(observation_map(joints), 100.0), nervous(torque_map(joints), 100.0)):
        maps = ResidualMaps(spec, calibration(spec, module), PERIOD)
        flags = []
        for k, state in enumerate(states(spec, 10)):
            q, dq, values = np.zeros((3, len(spec.joints)))
            strange = maps.observe(state, k * PERIOD, q, dq)
            flags.append(strange | maps.command(np.ones(len(spec.joints)), maps.carries, state, k * PERIOD, values))
        assert flags == [SourceFlag.OUT_OF_DISTRIBUTION] * 10
        (seen,) = maps.summary().values()
        assert seen["outside"] == seen["cycles"] == 10
        assert seen["furthest"]["joint1"] > 6.0


def test_with_torque_off_it_is_only_counted() -> None:
    spec = load_arm("koch-v1.1")
    given = calibration(spec, nervous(observation_map(mapped(spec, "observation")), 100.0))
    maps, (q, dq) = ResidualMaps(spec, given, PERIOD, guarded=False), np.zeros((2, len(spec.joints)))
    assert maps.observe(states(spec)[2], 0.0, q, dq) == 0
    assert maps.summary()["observation"]["outside"] == 1


def test_joints_that_the_policy_does_not_drive_cannot_be_outside() -> None:
    spec = load_arm("open-manipulator-x")
    maps = ResidualMaps(spec, calibration(spec, nervous(torque_map(mapped(spec, "torque")), 100.0)), PERIOD)
    state, values = states(spec)[0], np.zeros(len(spec.joints))
    maps.command(np.ones(len(spec.joints)), np.zeros(len(spec.joints), dtype=bool), state, 0.0, values)
    assert not values.any()
    assert maps.summary()["torque"]["outside"] == 0


def test_a_weaker_motor_holds_a_weight_with_a_goal_further_ahead() -> None:
    spec = load_arm("koch-v1.1")
    joints = mapped(spec, "goal")
    weak = goal_map(joints)
    weak.constant *= 0.8
    maps = ResidualMaps(spec, calibration(spec, weak), PERIOD)
    maps.follow(np.zeros(len(spec.joints)), np.ones(len(spec.joints), dtype=bool))
    state, q, weight = JointState(len(spec.joints)), np.array(spec.poses["home"]), np.zeros(len(spec.joints))
    state.voltage[:] = volts = np.array([j.servo.motor.nominal_voltage for j in spec.joints])
    state.q[:] = q
    maps.reset(state, 0.0)
    maps.observe(state, 0.0, q.copy(), np.zeros(len(spec.joints)))
    values = q.copy()
    maps.command(np.zeros(len(spec.joints)), maps.carries, state, 0.0, values)
    Kinematics(spec).gravity(q, weight)
    motors = [j.servo.motor for j in spec.joints]
    ohms = [m.resistance / (j.gear * m.torque_constant) for j, m in zip(spec.joints, motors, strict=True)]
    duty = weight * np.array(ohms) / volts
    gain = float(weak.gain[0, 0, 0])
    further = (values - q)[: len(joints)]
    np.testing.assert_allclose(further, (duty * (1 / 0.8 - 1) / gain)[: len(joints)], atol=1e-6)
    assert np.abs(further).max() > 0.005


def test_maps_of_another_arm_or_of_unknown_inputs_are_refused() -> None:
    spec, other = load_arm("koch-v1.1"), load_arm("open-manipulator-x")
    with pytest.raises(UnfitMapError, match="names joint1"):
        ResidualMaps(spec, healthy(other), PERIOD)
    given = healthy(spec)
    file = given.maps["observation"]
    strange = replace(given, maps={"observation": replace(file, taps={"q": (0.0,), "tau": (0.0,)})})
    with pytest.raises(UnfitMapError, match="looks at q, tau"):
        ResidualMaps(spec, strange, PERIOD)


def test_the_supply_is_followed_slowly_and_only_where_the_register_shows_it() -> None:
    spec = load_arm("xl330-pendulum")  # PWM: under load the register shows ripple
    supply, state, sent = Supply(spec), JointState(1), np.zeros(1)
    assert supply.volts[0] == spec.joints[0].servo.motor.nominal_voltage
    state.voltage[:], state.health_stamp[:] = 7.4, 0.0
    supply.reset(state)
    assert supply.volts[0] == 7.4
    state.voltage[:] = 6.4
    for k in range(1, 51):
        state.health_stamp[:] = 0.04 * k
        supply.look(state, sent)
    assert 6.4 < supply.volts[0] < 6.9  # after 2 s
    before = supply.volts[0]
    sent[:] = 0.8
    state.voltage[:], state.health_stamp[:] = 9.0, 3.0
    supply.look(state, sent)
    assert supply.volts[0] == before


def test_heavier_links_and_a_payload_add_their_gravity() -> None:
    spec = load_arm("open-manipulator-x")
    kinematics, q = Kinematics(spec), np.array([0.3, -0.5, 0.8, 0.4, 0.0])
    labels = {f"{name}.link_mass": Number(1.2, 1.1, 1.3, seen=True) for name in spec.joint_names}
    extra = ExtraWeight(spec, labels)
    extra.at(q)
    np.testing.assert_allclose(extra.torque, 0.2 * kinematics.gravity(q, np.zeros(5)), atol=1e-9)
    load = ExtraWeight(spec, {"payload": Number(0.1, 0.09, 0.11, seen=True)})
    load.at(q)
    lift = [(kinematics.tip_position(q + d)[2] - kinematics.tip_position(q - d)[2]) / 2e-5 for d in 1e-5 * np.eye(5)]
    np.testing.assert_allclose(load.torque, 0.1 * 9.81 * np.array(lift), atol=1e-6)
    assert not ExtraWeight(spec, {"delay": Number(0.01, 0.0, 0.02, seen=True)}).any


def test_a_joint_that_sticks_comes_loose_where_the_simulators_would() -> None:
    """Twice the simulator's friction: at rest what pushes beyond the weight is doubled, and no more once it moves."""
    spec = load_arm("open-manipulator-x")
    joints, n = mapped(spec, "torque"), len(spec.joints)
    stiff = torque_map(joints, sim_coulomb=0.1, coulomb=0.2)
    maps, state, q = ResidualMaps(spec, calibration(spec, stiff), PERIOD), JointState(n), np.zeros(n)
    state.q[:] = (0.0, 0.3, 0.2, 0.1, 0.0)
    state.voltage[:] = [j.servo.motor.nominal_voltage for j in spec.joints]
    weight = Kinematics(spec).gravity(state.q, np.zeros(n))
    covered = np.array([j in joints for j in spec.joints])

    def sent(push: float, speed: float = 0.0) -> np.ndarray:
        values = np.zeros(n)
        state.dq[:] = speed
        maps.reset(state, 0.0)
        maps.observe(state, 0.0, q, np.zeros(n))
        maps.command(weight + push, covered, state, 0.0, values)
        return np.asarray((values - weight)[covered])

    np.testing.assert_allclose(sent(0.0), 0.0, atol=1e-6)
    np.testing.assert_allclose(sent(0.06), 0.12, atol=1e-6)
    np.testing.assert_allclose(sent(-0.1), -0.2, atol=1e-6)
    np.testing.assert_allclose(sent(0.15), 0.25, atol=1e-6)
    np.testing.assert_allclose(sent(0.06, speed=1.0), 0.16, atol=1e-6)


def test_a_duty_is_the_torque_that_the_simulators_motor_makes_of_it() -> None:
    spec = load_arm("xl330-pendulum")
    weak = torque_map(mapped(spec, "torque"))
    weak.constant *= 0.8
    maps, state, motor = ResidualMaps(spec, calibration(spec, weak), PERIOD), JointState(1), spec.joints[0].servo.motor
    state.voltage[:] = 0.9 * motor.nominal_voltage
    nobody, duty = np.zeros(1, dtype=bool), 0.2
    for directly, wanted in ((True, duty / 0.8 / 0.9), (False, duty)):
        maps.follow(np.zeros(1), np.array([directly]))
        maps.reset(state, 0.0)
        maps.observe(state, 0.0, np.zeros(1), np.zeros(1))
        values = np.array([duty])
        maps.command(np.zeros(1), nobody, state, 0.0, values)
        assert values[0] == pytest.approx(wanted, rel=1e-5)
