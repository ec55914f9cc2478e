"""Stops on the twin: what moves comes to rest in every mode, what holds is lowered, and what cannot be done is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from robot_runtime.arm import Move
from robot_runtime.safety.faults import Fault, Stop
from robot_runtime.safety.stopping import Stopping
from tests.robot_runtime.arm.twins import TwinArm, start, variant

PERIOD = 0.01  # s
ARMS = ["open-manipulator-x", "koch-v1.1", "xl330-pendulum"]


@dataclass
class Flown:
    """An arm with torque on, and what would stop it."""

    rig: TwinArm
    hold_for: float = 10.0
    told: list[Fault] = field(default_factory=list)
    fastest: float = 0.0  # rad/s, of any joint, true
    strongest: float = 0.0  # N·m, of any joint, true
    held_back: int | None = None  # a joint that the envelope lets no further

    def __post_init__(self) -> None:
        arm = self.rig.arm
        arm.torque_on()
        self.stopping = Stopping(arm, PERIOD, self.told.append, hold_for=self.hold_for)
        self.everyone = np.ones(len(arm.spec.joints), dtype=bool)
        arm.capture_hold(self.everyone)
        self.values = np.zeros(len(arm.spec.joints))
        self.sent = np.full(len(arm.spec.joints), np.nan)

    def cycle(self) -> None:
        arm, port = self.rig.arm, self.rig.port
        due = port.now() + PERIOD
        arm.read(port.now() + 0.7 * PERIOD)
        if self.stopping.stop:
            self.stopping.intend(arm.state, port.now(), self.values, self.sent)
        else:
            arm.hold_into(self.values, self.everyone)
        if not self.stopping.done:
            stays = self.sent[self.held_back] if self.held_back is not None else 0.0
            np.copyto(self.sent, self.values)
            if self.held_back is not None:
                self.sent[self.held_back] = self.values[self.held_back] = stays
            arm.send(self.values.copy())
        port.sleep_until(due)
        self.fastest = max(self.fastest, float(np.abs(self.rig.drives.joint_velocity).max()))
        self.strongest = max(self.strongest, float(np.abs(self.rig.drives.motor_torque).max()))

    def go(self, pose: Sequence[float], share: float = 0.3, part: float = 1.0) -> None:
        """Move to a pose, or part of the way."""
        arm, begin = self.rig.arm, self.rig.port.now()
        move = Move.between(arm.spec, arm.hold_angle.copy(), np.array(pose), share)
        while self.rig.port.now() - begin < part * move.duration:
            move.at(self.rig.port.now() - begin, arm.hold_angle)
            self.cycle()

    def stop(self, stop: Stop) -> None:
        self.stopping.begin(stop, self.rig.arm.state, self.rig.port.now())

    def wait(self, seconds: float) -> float:
        """Until it is done, at most so long (s); returns how long it took."""
        begin = self.rig.port.now()
        while not self.stopping.done and self.rig.port.now() - begin < seconds:
            self.cycle()
        return self.rig.port.now() - begin

    def at(self, pose: str) -> Sequence[float]:
        return self.rig.arm.spec.poses[pose]


def at_home(name: str, hold_for: float = 10.0) -> Flown:
    flown = Flown(start(name), hold_for)
    flown.go(flown.at("home"))
    flown.fastest = 0.0
    return flown


@pytest.mark.parametrize("name", ARMS)
def test_lowering_ends_at_rest_and_nothing_drops(name: str) -> None:
    flown = at_home(name)
    flown.stop(Stop.LOWER)
    flown.wait(30.0)
    assert "lowered to rest" in flown.stopping.outcome
    assert flown.told == []
    limit = max(j.limits.velocity for j in flown.rig.arm.spec.joints)
    assert flown.fastest < 0.4 * limit
    np.testing.assert_allclose(flown.rig.truth, flown.at("rest"), atol=0.12)
    before = flown.rig.truth
    flown.rig.arm.torque_off()
    flown.rig.port.sleep_until(flown.rig.port.now() + 1.0)
    assert np.abs(flown.rig.truth - before).max() < 0.15


def in_motion(rig: TwinArm) -> Flown:
    """In the middle of a fast move, where it is fastest."""
    flown = Flown(rig)
    if rig.arm.spec.name == "xl330-pendulum":
        flown.go((2.0,), share=0.8, part=0.5)
    else:
        flown.go(flown.at("home"), share=0.8, part=0.5)
    return flown


@pytest.mark.parametrize("gap", [None, "random:3"])
@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("open-manipulator-x", "current"),
        ("koch-v1.1", "position"),
        ("koch-v1.1", "velocity"),
        ("xl330-pendulum", "pwm"),
    ],
)
@pytest.mark.parametrize("stop", [Stop.HOLD, Stop.BRAKE_HOLD])
def test_what_moves_comes_to_rest_where_it_was(
    name: str, mode: str, gap: str | None, stop: Stop, tmp_path: Path
) -> None:
    file = variant(tmp_path, name, ('mode = "position"', 'mode = "velocity"')) if mode == "velocity" else name
    flown = in_motion(start(file, gap=gap))
    assert flown.fastest > 0.5
    where = flown.rig.truth
    flown.stop(stop)
    flown.wait(1.5)
    assert np.abs(flown.rig.truth - where).max() < 0.45
    flown.fastest = 0.0
    stood = flown.rig.truth
    flown.wait(3.0)
    assert flown.fastest < 0.35
    assert np.abs(flown.rig.truth - stood).max() < 0.1
    assert not flown.stopping.done
    assert flown.told == []


def test_a_held_arm_lowers_itself_when_nobody_comes() -> None:
    flown = at_home("open-manipulator-x", hold_for=2.0)
    flown.stop(Stop.BRAKE_HOLD)
    held = flown.rig.truth
    assert flown.wait(2.0) >= 2.0
    np.testing.assert_allclose(flown.rig.truth, held, atol=0.02)
    flown.wait(30.0)
    assert flown.stopping.outcome == "braked, held for 2 s, lowered to rest, torque off"


def test_torque_off_is_at_once() -> None:
    flown = at_home("open-manipulator-x")
    flown.stop(Stop.TORQUE_OFF)
    assert flown.stopping.done
    assert flown.stopping.outcome == "let go in place"


def test_a_stop_only_gets_worse() -> None:
    flown = at_home("open-manipulator-x")
    flown.stop(Stop.LOWER)
    flown.wait(1.0)
    flown.stop(Stop.BRAKE_HOLD)
    lowering = flown.rig.truth
    flown.wait(1.0)
    assert flown.stopping.stop is Stop.LOWER
    assert np.abs(flown.rig.truth - lowering).max() > 0.1
    flown.stop(Stop.TORQUE_OFF)
    assert flown.stopping.done


def test_a_held_arm_is_lowered_when_asked() -> None:
    flown = at_home("open-manipulator-x")
    flown.stop(Stop.HOLD)
    flown.wait(0.5)
    flown.stop(Stop.LOWER)
    assert flown.wait(30.0) < 8.0
    assert "lowered to rest" in flown.stopping.outcome


@pytest.mark.parametrize("fault", ["servo-dead:servo=14", "brown-out:servo=14", "servo-silent:servo=14,for=100"])
def test_a_joint_that_does_not_listen_is_left_out(fault: str) -> None:
    flown = at_home("open-manipulator-x")
    flown.rig.twin.inject(fault)
    flown.wait(0.1)
    flown.stop(Stop.LOWER)
    flown.wait(30.0)
    assert flown.stopping.left_out == ("joint4",)
    np.testing.assert_allclose(flown.rig.truth[:3], flown.at("rest")[:3], atol=0.12)
    assert flown.stopping.outcome.endswith("torque off, without joint4")


def test_when_nobody_answers_it_waits_a_little_and_lets_go() -> None:
    flown = at_home("koch-v1.1")
    flown.rig.twin.inject("packet-lost")
    flown.wait(0.1)
    flown.stop(Stop.LOWER)
    assert 0.3 < flown.wait(10.0) < 0.5  # and a tenth before: half a second since the last answer
    assert "no servo takes commands" in flown.stopping.outcome


@pytest.mark.parametrize(("name", "servo"), [("open-manipulator-x", "joint2"), ("koch-v1.1", "elbow_flex")])
@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("packet-lost:for=0.06", 0.03),
        ("packet-lost:for=0.1", 0.03),
        ("packet-lost:for=0.3", 0.1),
        ("servo-silent:servo={},for=0.06", 0.03),  # shorter than its watchdog
        ("servo-silent:servo={},for=0.08", 0.055),
    ],
)
def test_who_answers_again_is_lowered_with_the_others(name: str, servo: str, fault: str, seen: float) -> None:
    flown = at_home(name)
    flown.rig.twin.inject(fault.format(servo))
    flown.wait(seen)
    flown.stop(Stop.LOWER)
    flown.wait(30.0)
    assert flown.stopping.outcome == "braked, lowered to rest, torque off"
    assert flown.told == []
    np.testing.assert_allclose(flown.rig.truth[:4], flown.at("rest")[:4], atol=0.15)


def test_who_falls_silent_on_the_way_to_rest_is_waited_for() -> None:
    flown = at_home("open-manipulator-x")
    flown.stop(Stop.LOWER)
    flown.wait(1.0)
    flown.rig.twin.inject("servo-silent:servo=12,for=0.09")
    flown.wait(30.0)
    assert flown.stopping.outcome == "braked, lowered to rest, torque off"
    np.testing.assert_allclose(flown.rig.truth[:4], flown.at("rest")[:4], atol=0.15)


def test_who_falls_silent_again_and_again_is_left_out() -> None:
    flown = at_home("open-manipulator-x")
    flown.stop(Stop.LOWER)
    for _ in range(4):
        flown.wait(0.4)
        flown.rig.twin.inject("servo-silent:servo=14,for=0.08")
    flown.wait(30.0)
    assert flown.stopping.outcome == "braked, lowered to rest, torque off, without joint4"
    np.testing.assert_allclose(flown.rig.truth[:3], flown.at("rest")[:3], atol=0.15)


def test_servos_that_braked_by_their_watchdog_go_on_holding_for_a_while() -> None:
    flown = at_home("koch-v1.1", hold_for=3.0)
    flown.rig.port.sleep_until(flown.rig.port.now() + 0.2)
    flown.wait(0.1)
    assert flown.rig.arm.state.watchdog_tripped.all()
    flown.stop(Stop.LOWER)
    assert flown.wait(10.0) >= 3.0
    assert "no servo takes commands" in flown.stopping.outcome


@pytest.mark.parametrize(("name", "joint"), [("open-manipulator-x", "joint2"), ("koch-v1.1", "elbow_flex")])
def test_a_blocked_joint_stops_the_lowering_without_pushing(name: str, joint: str) -> None:
    flown = at_home(name, hold_for=3.0)
    flown.rig.twin.inject(f"stuck-shaft:servo={joint}")
    flown.stop(Stop.LOWER)
    while not flown.told:
        flown.cycle()
    assert flown.told[0].kind.name == "lowering-blocked"
    assert flown.told[0].joints == (joint,)
    assert joint in flown.told[0].text
    flown.wait(1.0)
    flown.strongest = 0.0
    flown.wait(1.0)
    i = flown.rig.arm.spec.joint_names.index(joint)
    assert abs(flown.rig.arm.hold_angle[i] - flown.rig.truth[i]) < 0.05
    assert flown.strongest < 0.6 * flown.rig.arm.spec.joints[i].limits.torque
    flown.wait(10.0)
    assert flown.stopping.outcome.endswith("let go in place after 3 s")


def test_what_the_envelope_slows_down_on_the_way_to_rest_is_waited_for() -> None:
    """It is not blocked: nothing pushes. Left behind by its way it would end in a fall."""
    flown = at_home("koch-v1.1")
    flown.stop(Stop.LOWER)
    flown.wait(1.0)
    flown.held_back = 1
    assert flown.wait(3.0) == pytest.approx(3.0, abs=0.02)
    flown.held_back = None
    flown.wait(30.0)
    assert flown.stopping.done
    assert flown.stopping.outcome == "braked, lowered to rest, torque off"
    assert flown.told == []


def test_where_the_envelope_lets_no_joint_pass_the_lowering_ends_and_says_so() -> None:
    flown = at_home("koch-v1.1")
    flown.stop(Stop.LOWER)
    flown.wait(1.0)
    flown.held_back = 1
    assert flown.wait(60.0) < 25.0
    assert "blocked on the way to rest, let go in place after 10 s" in flown.stopping.outcome
    assert [f.kind.name for f in flown.told] == ["lowering-blocked"]
    assert "is held 0.3" in flown.told[0].text
    assert "behind by the limits on the way to rest" in flown.told[0].text


@pytest.mark.parametrize("name", ["open-manipulator-x", "koch-v1.1"])
def test_what_a_gripper_holds_does_not_keep_the_arm_up(name: str) -> None:
    flown = at_home(name)
    gripper = flown.rig.arm.spec.joint_names.index("gripper")
    open_wide = list(flown.at("home"))
    open_wide[gripper] += 0.6
    flown.go(open_wide)
    flown.rig.twin.inject("stuck-shaft:servo=gripper")
    flown.stop(Stop.LOWER)
    flown.wait(30.0)
    assert flown.told == []
    assert flown.stopping.outcome == "braked, lowered to rest (gripper not quite there), torque off"


def test_a_stop_that_drives_the_arm_lets_go() -> None:
    flown = Flown(start("open-manipulator-x"))
    flown.go((-2.8, *flown.at("rest")[1:]))
    flown.stop(Stop.BRAKE_HOLD)
    flown.wait(0.5)
    flown.rig.drives.push(0, 2.6)  # stronger than the joint may be: as if the stop itself pushed
    assert flown.wait(5.0) < 2.0
    assert [(f.kind.name, f.joints) for f in flown.told] == [("stop-failed", ("joint1",))]
    assert flown.stopping.done
    assert flown.stopping.outcome.endswith("the stop did not work")
