"""The limits in the servos are the last wall: they hold whatever a program writes. Torque stays off here."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw_tests.conftest import Bench
from robot_runtime.arm.identify import ServoOnBus
from robot_runtime.bus import Bus, ServoRefusedError
from robot_runtime.bus.scan import read_registers
from robot_runtime.setup.apply import UndoLog, apply
from robot_runtime.setup.plan import Change, changes, wanted
from robot_runtime.spec import ArmSpec


def differences(bus: Bus, servo: ServoOnBus, spec: ArmSpec) -> tuple[Change, ...]:
    """What the servo's EEPROM has other than the arm file wants."""
    values = read_registers(bus, servo.joint.servo_id, servo.model)
    want = wanted(servo.joint, spec.bus, servo.model)
    return changes(servo.joint.servo_id, bus.port.baudrate, servo.model, values, want)


@pytest.fixture
def set_up(bench: Bench, spec: ArmSpec, tmp_path: Path) -> Bench:
    """The twin comes as from the box: it gets its settings as `robot-setup arm` gives them. A real arm has its own."""
    if not bench.real:
        bus = bench.arm.bus
        log = UndoLog(tmp_path / "undo.json", "hw_tests")
        for servo in bench.arm.servos:
            apply(bus, differences(bus, servo, spec), log)
    return bench


def test_settings_are_those_of_the_arm_file(set_up: Bench, spec: ArmSpec) -> None:
    for servo in set_up.arm.servos:
        found = [
            f"{c.register.name} is {c.before}, should be {c.after} ({c.why})"
            for c in differences(set_up.arm.bus, servo, spec)
        ]
        assert not found, f"servo {servo.joint.servo_id}: {'; '.join(found)}: run 'robot-setup arm'"


@pytest.mark.parametrize(
    ("goal", "limit"), [("goal_position", "max_position_limit"), ("goal_velocity", "velocity_limit")]
)
def test_a_goal_beyond_the_servos_own_limit_is_refused(set_up: Bench, goal: str, limit: str) -> None:
    bus = set_up.arm.bus
    for servo in set_up.arm.servos:
        if goal == "goal_position" and servo.joint.mode != "position":
            continue  # only position mode looks at the position limits
        bound = bus.read(servo.joint.servo_id, servo.model.register(limit))
        with pytest.raises(ServoRefusedError):
            bus.write(servo.joint.servo_id, servo.model.register(goal), bound + 1)
