"""What contiguous health bytes betray: restarts, by the millisecond counter, and no false alarm."""

from __future__ import annotations

import numpy as np
import pytest

from robot_runtime.arm.read_plan import ReadPlan, plan_reads
from robot_runtime.arm.scaling import SenseScale
from robot_runtime.arm.sensing import Sensing
from robot_runtime.arm.state import JointState
from robot_runtime.spec import load_arm

SPEC = load_arm("koch-v1.1")
OLD = 52  # XL330 firmware whose indirect block lies elsewhere than the XL430's


def rig() -> tuple[Sensing, JointState, ReadPlan]:
    firmware = [45, 45, OLD, OLD, OLD, OLD]
    models = [j.servo.for_firmware(f) for j, f in zip(SPEC.joints, firmware, strict=True)]
    plan = plan_reads(SPEC.servo_ids, models, firmware, fast=True)
    assert plan.mapping is None
    state = JointState(6)
    return Sensing(SPEC, plan, state, SenseScale.of(SPEC)), state, plan


def health(plan: ReadPlan, ticks: list[int], sent: float, received: float) -> None:
    tick = plan.health.realtime_tick
    assert tick is not None
    tick[:] = ticks
    plan.health.voltage[:] = 50
    plan.full.motion.position[:] = 2048
    plan.full.group.sent_at, plan.full.group.received_at = sent, received


def test_a_counter_that_goes_on_is_no_restart_even_across_its_wrap() -> None:
    sensing, state, plan = rig()
    health(plan, [32760] * 6, 10.000, 10.001)
    sensing.take(0, plan.full)
    health(plan, [32] * 6, 10.040, 10.041)
    sensing.take(0, plan.full)
    assert not state.restarted.any()


def test_a_counter_that_starts_over_is_a_restart() -> None:
    sensing, state, plan = rig()
    health(plan, [5000] * 6, 10.0, 10.001)
    sensing.take(0, plan.full)
    health(plan, [5040, 5040, 5040, 12, 5040, 5040], 10.040, 10.041)
    sensing.take(0, plan.full)
    assert list(np.flatnonzero(state.restarted)) == [3]


@pytest.mark.parametrize("others", [0, 5])
def test_where_all_counters_ran_ahead_alike_the_computer_slept(others: int) -> None:
    sensing, state, plan = rig()
    health(plan, [100, 5000, 5000, 5000, 9000, 32000], 10.0, 10.001)
    sensing.take(0, plan.full)
    ran = [t + 40 + 7000 for t in (100, 5000, 5000, 5000, 9000, 32000 - others * 100)]  # ms
    health(plan, [t % 32768 for t in ran], 10.040, 10.041)
    sensing.take(0, plan.full)
    assert state.restarted.any() == bool(others)


@pytest.mark.parametrize("pause", [0.08, 1.0, 20.0])
def test_a_host_that_pauses_makes_no_servo_suspect(pause: float) -> None:
    sensing, state, plan = rig()
    health(plan, [5000] * 6, 10.0, 10.0 + pause)  # sampled at once, taken over late
    sensing.take(0, plan.full)
    health(plan, [int(5000 + 1e3 * pause + 40) % 32768] * 6, 10.04 + pause, 10.041 + pause)
    sensing.take(0, plan.full)
    assert not state.restarted.any()


def test_a_servo_that_missed_a_health_read_is_compared_with_its_own_last_one() -> None:
    sensing, state, plan = rig()
    health(plan, [100] * 6, 10.0, 10.001)
    sensing.take(0, plan.full)
    health(plan, [1100, 100, 1100, 1100, 1100, 1100], 11.0, 11.001)
    sensing.take(0b000010, plan.full)
    health(plan, [2100] * 6, 12.0, 12.001)
    sensing.take(0, plan.full)
    assert not state.restarted.any()
