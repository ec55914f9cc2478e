"""The arm under test: the twin unless `--port` names a real one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from robot_runtime.arm import Arm
from robot_runtime.arm.identify import ServoOnBus
from robot_runtime.bus import BusError
from robot_runtime.spec import ArmSpec, load_arm
from robot_runtime.twin_process import TwinProcess

PATIENT_WATCHDOG = 0.5
"""s: a busy computer may keep a test waiting longer than a robot's would."""


@dataclass(frozen=True)
class Bench:
    """What stands on the bench, and whether it is real."""

    arm: Arm
    real: bool


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options for real hardware."""
    group = parser.getgroup("hardware")
    group.addoption("--port", help="serial port of a real arm; without it a twin is started")
    group.addoption("--arm", default="open-manipulator-x", help="shipped name or path of an arm.toml")
    group.addoption(
        "--allow-motion",
        action="store_true",
        help="run the tests that put torque on a real arm or move it: keep a hand on its power switch",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without --allow-motion nothing energises a real arm."""
    if config.getoption("--port") is None or config.getoption("--allow-motion"):
        return
    skip = pytest.mark.skip(reason="puts torque on the arm; add --allow-motion and keep a hand on the power switch")
    for item in items:
        if "moves_arm" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def spec(request: pytest.FixtureRequest) -> ArmSpec:
    """The arm's file; on the twin, which shares its computer with whatever else runs there, a patient watchdog."""
    spec = load_arm(request.config.getoption("--arm"))
    if request.config.getoption("--port") is None:
        return replace(spec, bus=replace(spec.bus, watchdog=PATIENT_WATCHDOG))
    return spec


@pytest.fixture
def bench(request: pytest.FixtureRequest, spec: ArmSpec) -> Iterator[Bench]:
    """A freshly opened arm with torque off; torque is off again afterwards, whatever happened.

    An arm that somebody else is holding is left alone, before and after.
    """
    port = request.config.getoption("--port")
    twin = None if port else TwinProcess(str(spec.path))
    try:
        with Arm.open(spec, port or twin.port) as arm:  # type: ignore[union-attr]
            held = [s.joint.servo_id for s in arm.servos if _holds(arm, s)]
            if held:
                pytest.fail(f"servos {held} hold torque already: another program, or 'robot-setup release' is due")
            try:
                yield Bench(arm, real=twin is None)
            finally:
                _let_go(arm)
    finally:
        if twin is not None:
            twin.stop()


def _holds(arm: Arm, servo: ServoOnBus) -> bool:
    return bool(arm.bus.read(servo.joint.servo_id, servo.model.register("torque_enable")))


def _let_go(arm: Arm) -> None:
    try:
        arm.torque_off()
    except BusError as error:
        pytest.fail(f"torque could not be switched off everywhere: {error}")
