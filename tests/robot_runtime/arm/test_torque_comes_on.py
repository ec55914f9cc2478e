"""What happens while torque comes on: a joint moves, a servo restarts, a reply is lost. It stays off, or goes off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from examples import first_motion
from robot_runtime.arm import ArmError, CommandError
from robot_runtime.arm import prepare as preparing
from robot_runtime.arm.errors import TorqueOnError
from robot_runtime.bus import BusError, MissingServosError
from sim.twin import Twin
from sim.twin.adapter import AdapterTiming
from tests.robot_runtime.arm.twins import TwinArm, start, variant

KOCH = "koch-v1.1"
OLD = dict.fromkeys((3, 4, 5, 6), 52)
"""Firmware of XL330 that cannot map registers: health is not read in one packet, a restart shows in flags alone."""


def after(inner: Callable[..., object], act: Callable[[], object]) -> Callable[..., object]:
    def both(*args: object) -> object:
        result = inner(*args)
        act()
        return result

    return both


def push(found: TwinArm, servo: int, rad: float, seconds: float) -> None:
    found.twin.inject(f"hand:servo={servo},rad={rad},for={seconds}")
    found.port.sleep_until(found.port.now() + seconds / 2)


def test_a_joint_that_moves_meanwhile_would_be_driven_back_so_torque_stays_off() -> None:
    found = start(KOCH)
    with pytest.raises(TorqueOnError, match=r"'shoulder_pan' moved from -?0\.\d+ to 0\.\d+ rad.*hold it still"):
        found.arm.torque_on(lambda: push(found, 1, 0.8, 0.9))
    assert not found.drives.torque_on.any()


def test_where_a_joint_stands_is_heard_after_the_switch_or_torque_goes_off_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By what was read before it would go back, at full speed, and nobody would notice."""
    found = start(KOCH)
    hold = found.arm._hold_here

    def unheard() -> list[float]:
        found.twin.inject("packet-lost:for=0.05")
        return hold()

    monkeypatch.setattr(found.arm, "_hold_here", unheard)
    before = found.truth
    with pytest.raises(MissingServosError, match=r"as torque came on"):
        found.arm.torque_on()
    assert not found.drives.torque_on.any()
    assert np.abs(found.truth - before).max() < 0.1


@pytest.mark.parametrize("firmware", [None, OLD])
@pytest.mark.parametrize("when", ["prepared", "ready"])
def test_a_servo_that_restarts_meanwhile_does_not_fly_with_its_factorys_gains(
    monkeypatch: pytest.MonkeyPatch, firmware: dict[int, int] | None, when: str
) -> None:
    found = start(KOCH, firmware=firmware)

    def restart() -> None:
        found.twin.inject("brown-out:servo=3")
        found.port.sleep_until(found.port.now() + 1.0)

    if when == "prepared":
        monkeypatch.setattr("robot_runtime.arm.arm.prepare", after(preparing.prepare, restart))
    with pytest.raises((TorqueOnError, MissingServosError)) as caught:
        found.arm.torque_on(restart if when == "ready" else lambda: None)
    assert not found.drives.torque_on.any()
    if firmware:
        assert "elbow_flex" in str(caught.value)
        assert "restarted" in str(caught.value)


def test_motion_is_not_taken_for_what_two_servos_stand_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept apart by it, they would push against one another for the whole flight."""
    servo = r'(servo = { id = 5, model = "XL330-M288" }\n)'
    found = start(variant(tmp_path, KOCH, (servo, r"\1second = { id = 15 }\n")), pose="home")

    def turned() -> None:
        push(found, 5, 0.6, 0.4)
        found.twin.inject("packet-lost:servo=15,for=0.004")

    monkeypatch.setattr("robot_runtime.arm.arm.prepare", after(preparing.prepare, turned))
    with pytest.raises(TorqueOnError, match=r"'wrist_roll' turns at .* hold it still"):
        found.arm.torque_on()
    assert not found.drives.torque_on.any()
    assert found.arm._sensing.trim == [0.0]


def test_what_two_servos_read_apart_in_motion_shifts_no_angle_once_one_is_silent(tmp_path: Path) -> None:
    servo = r'(servo = { id = 5, model = "XL330-M288" }\n)'
    found = start(variant(tmp_path, KOCH, (servo, r"\1second = { id = 15 }\n")), pose="home")
    arm = found.arm
    arm.torque_on()
    joint = 4
    arm.state.q[joint] = 0.0
    sensing = arm._sensing
    sensing.apart[0] = sensing.trim[0] + 0.02  # one of them was asked again while the joint turned
    found.twin.inject("servo-silent:servo=15,for=0.1")
    found.run(0.05)
    assert arm.state.q[joint] == pytest.approx(found.truth[joint], abs=0.003)


@pytest.mark.parametrize("jitter", [0.006, 0.012])
def test_a_late_reply_is_not_taken_for_the_next_registers(jitter: float) -> None:
    """Drive mode, secondary ID and startup configuration are one byte each, of the same servos, one after the other."""
    failed = []
    for seed in range(12):
        twin = Twin.load(KOCH, seed=seed, adapter=AdapterTiming(0.001, 0.001, 0.0, jitter))
        try:
            start(KOCH, twin=twin)
        except (BusError, ArmError) as error:
            failed.append(str(error))
    assert failed == []


def test_orders_of_asking_again_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robot_runtime.bus.bus._PLAIN_GROUPS", 8)
    found = start(KOCH, faults=["packet-lost:p=0.1"])
    most = 0
    for _ in range(300):
        found.arm.read(found.port.now() + 0.01)
        most = max(most, len(found.arm.bus._plain_groups))
    assert most == 8


@pytest.mark.parametrize("error", [KeyboardInterrupt, CommandError])
def test_the_first_program_lets_go_whatever_ends_it(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """Ctrl-C, and again while it counts down; and an error that it does not expect."""
    found = start(KOCH)
    write, count = found.arm.write, 0

    def interrupted(command: object) -> None:
        nonlocal count
        count += 1
        if count in (60, 90):
            raise error
        write(command)  # type: ignore[arg-type]

    monkeypatch.setattr(found.arm, "write", interrupted)
    with pytest.raises(error):
        first_motion._run(found.arm, Console(quiet=True))
    assert not found.drives.torque_on.any()


def test_the_first_program_blames_no_servo_for_a_pause_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the system makes them on a busy computer; longer ones the watchdogs of the servos do not forgive."""
    found = start(KOCH)
    write, port, count = found.arm.write, found.arm.bus.port, 0

    def paused(command: object) -> None:
        nonlocal count
        count += 1
        if count % 200 == 0:
            port.sleep_until(port.now() + 0.8 * found.arm.spec.bus.watchdog)
        write(command)  # type: ignore[arg-type]

    monkeypatch.setattr(found.arm, "write", paused)
    assert first_motion._run(found.arm, Console(quiet=True)) == 0
    assert count > 1000
    assert found.arm.bus.statistics.incomplete == 0
