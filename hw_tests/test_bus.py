"""Is the bus healthy? Nothing here puts torque on the arm."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import pytest

from hw_tests.conftest import Bench
from robot_runtime.spec import ArmSpec

READS = 400
LOSS = 0.01
"""Share of reads that may lack a servo, retries included: a healthy bus loses one packet in thousands."""

SLOWEST_DELAY = 20e-6
"""s: a Return Delay Time above this eats the cycle (fresh servos wait 500 µs each)."""

USB_PATIENCE = 0.004
"""s that a real read may take beyond its time on the wire: USB frames both ways, and an ordinary scheduler."""


def test_every_servo_is_well(bench: Bench, spec: ArmSpec) -> None:
    arm = bench.arm
    arm.prepare()
    assert arm.read(arm.bus.port.now() + 0.5) == 0
    for i, joint in enumerate(spec.joints):
        rated = joint.servo.motor.voltage_range
        low, high = max(spec.supply[0], rated[0]), min(spec.supply[1], rated[1])
        assert low <= arm.state.voltage[i] <= high, f"{joint.name}: {arm.state.voltage[i]} V, expected {low} to {high}"
        assert arm.state.temperature[i] < joint.limits.temperature, joint.name
        assert not arm.state.alert[i], f"{joint.name}: hardware error {arm.state.hardware_error[i]:#x}"


def test_packet_loss_and_cycle_rate(bench: Bench, record_property: Callable[[str, object], None]) -> None:
    arm = bench.arm
    arm.prepare()
    took, incomplete = [], 0
    for _ in range(READS):
        begin = arm.bus.port.now()
        incomplete += arm.read(begin + 0.05) != 0
        took.append(arm.bus.port.now() - begin)
    median = statistics.median(took)
    record_property("median_read_ms", round(median * 1e3, 3))
    record_property("retries", arm.bus.statistics.retries)
    assert incomplete <= LOSS * READS, f"{incomplete} of {READS} reads lacked a servo; lost: {arm.bus.statistics.lost}"
    if bench.real:  # a twin shares its computer with whatever else runs there: its times say nothing
        assert median < arm.cycle_time + USB_PATIENCE, f"a read takes {median * 1e3:.1f} ms; latency timer, slow baud?"


def test_servos_answer_at_once(bench: Bench) -> None:
    for servo in bench.arm.servos:
        register = servo.model.register("return_delay_time")
        assert register.unit is not None
        delay = bench.arm.bus.read(servo.joint.servo_id, register) * register.unit.scale
        assert delay <= SLOWEST_DELAY, f"servo {servo.joint.servo_id} waits {delay * 1e6:.0f} µs: run 'robot-setup arm'"


def test_no_joint_is_near_its_encoders_wrap(bench: Bench, spec: ArmSpec) -> None:
    arm = bench.arm
    assert arm.read(arm.bus.port.now() + 0.5) == 0
    for i, joint in enumerate(spec.joints):
        low, high = joint.position_ticks
        ticks = joint.ticks(float(arm.state.q[i]))
        turn = joint.servo.ticks_per_turn
        assert 0 < low < high < turn or joint.mode == "extended_position", joint.name
        assert low - turn // 16 <= ticks <= high + turn // 16, f"{joint.name} reads {ticks}, expected {low} to {high}"


@pytest.mark.parametrize("register", ["max_position_limit", "min_position_limit"])
def test_eeprom_can_be_written_while_torque_is_off(bench: Bench, register: str) -> None:
    """Writing what is there already changes nothing. That torque locks EEPROM is in test_torque.py."""
    servo = bench.arm.servos[0]
    line = servo.model.register(register)
    bench.arm.bus.write_verified(servo.joint.servo_id, line, bench.arm.bus.read(servo.joint.servo_id, line))
