"""A load that a servo will not bear is seen in time, and what it bears is not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from robot_runtime.arm import JointState
from robot_runtime.flying import Inputs
from robot_runtime.safety.faults import FAULTS
from robot_runtime.safety.monitor import Monitor, Settings
from robot_runtime.spec import ArmSpec, load_arm

MOST = Settings().overload_share


def full(spec: ArmSpec) -> float:
    """N·m that the state shows of the first servo at full load."""
    joint, motor = spec.joints[0], spec.joints[0].servo.motor
    return joint.gear * (motor.torque_constant * motor.stall_current if joint.servo.has_current else motor.stall_torque)


def resting(spec: ArmSpec) -> JointState:
    state = JointState(len(spec.joints))
    state.q[:] = spec.poses["home"]
    state.torque_on[:], state.fresh[:] = True, True
    return state


def seen_after(
    spec: ArmSpec, share: float, seconds: float = 60.0, *, period: float = 0.005, dq: float = 0.0, torque: bool = True
) -> float:
    """s after which the first joint is said to carry too much; it carries this share from 0 s on. inf: never."""
    monitor, state, inputs = Monitor(spec, period, Settings(torque=torque)), resting(spec), Inputs(0)
    state.tau[0], state.dq[0] = share * full(spec), dq
    command = state.q.copy()
    for k in range(round(seconds / period)):
        now = k * period
        state.stamp[:] = now
        monitor.look(state, 0, inputs, 0, 0.0, 0, command, now)
        if found := [fault for fault in monitor.seen if fault.kind.name == "overloaded"]:
            assert found[0].joints == spec.joint_names[:1]
            return now
    return math.inf


@pytest.mark.parametrize("period", [0.002, 0.005, 0.02, 0.1])
@pytest.mark.parametrize("name", ["open-manipulator-x", "koch-v1.1", "xl330-pendulum"])
def test_twice_what_it_bears_is_seen_within_the_bound(name: str, period: float) -> None:
    spec = load_arm(name)
    for sign in (1.0, -1.0):
        seen = seen_after(spec, sign * 2.0 * MOST, period=period)
        assert seen <= FAULTS["overloaded"].bound.at(period, spec.bus.watchdog)
        assert seen > 0.5  # a start takes less


@pytest.mark.parametrize("share", [0.38, 0.41, 0.5, 1.0])
def test_it_is_seen_before_the_servo_lets_go(share: float) -> None:
    lets_go = -Settings().overload_time * math.log(1.0 - MOST / share)
    ahead = lets_go - seen_after(load_arm("koch-v1.1"), share)
    assert 0.5 < ahead < 1.1


def test_what_it_bears_is_no_fault() -> None:
    assert seen_after(load_arm("open-manipulator-x"), 0.95 * MOST) == math.inf


def test_what_turns_a_motor_against_its_own_voltage_is_no_load() -> None:
    spec = load_arm("koch-v1.1")
    assert not spec.joints[0].servo.has_current  # it shows its output instead
    fast = 0.5 * spec.joints[0].servo.motor.no_load_speed / spec.joints[0].gear
    assert seen_after(spec, 0.5, 10.0, dq=fast) == math.inf
    assert seen_after(spec, 0.5, 10.0) < 10.0


def test_who_only_looks_on_is_not_told() -> None:
    assert seen_after(load_arm("koch-v1.1"), 1.0, 5.0, torque=False) == math.inf


def test_a_pause_of_the_loop_is_not_counted_as_load() -> None:
    spec = load_arm("xl330-pendulum")
    monitor, state, inputs = Monitor(spec, 0.005), resting(spec), Inputs(0)
    state.tau[0] = full(spec)
    for now in (0.0, 5.0, 5.005):  # nobody knows what was carried in between
        state.stamp[:] = now
        monitor.look(state, 0, inputs, 0, 0.0, 0, np.zeros(1), now)
    assert "overloaded" not in [fault.kind.name for fault in monitor.seen]
