"""The monitor sees what happens to the twin, as soon as the table says, once, and sees nothing where nothing is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from robot_runtime.arm import Move
from robot_runtime.arm.errors import ArmError
from robot_runtime.bus import GroupWrite, PortVanishedError
from robot_runtime.flying import Inputs, Request, SourceFlag
from robot_runtime.safety.faults import FAULTS, Fault, Stop, worst
from robot_runtime.safety.monitor import Monitor, Settings, requested
from tests.robot_runtime.arm.twins import TwinArm, start, variant

PERIOD = 0.005  # s


class Watched:
    """A twin that holds its pose, or follows what `hold_angle` is made to do, and a monitor that looks on."""

    def __init__(self, rig: TwinArm, settings: Settings | None = None) -> None:
        self.rig = rig
        rig.arm.torque_on()
        count = len(rig.arm.spec.joints)
        self.everyone = np.ones(count, dtype=bool)
        rig.arm.capture_hold(self.everyone)
        self.values = np.full(count, np.nan)
        self.monitor = Monitor(rig.arm.spec, PERIOD, settings)
        self.inputs = Inputs(3)
        self.flags = 0
        self.late = 0.0
        self.skipped = 0
        self.stop = Stop.NONE

    @property
    def now(self) -> float:
        return self.rig.port.now()

    @property
    def kinds(self) -> list[str]:
        return [fault.kind.name for fault in self.monitor.seen]

    def cycle(self) -> None:
        arm = self.rig.arm
        due = self.now + PERIOD
        missing = arm.read(self.now + 0.7 * PERIOD)
        state, look = arm.state, self.monitor.look
        self.stop = look(state, missing, self.inputs, self.flags, self.late, self.skipped, self.values, self.now)
        arm.hold_into(self.values, self.everyone)
        arm.send(self.values.copy())
        self.rig.port.sleep_until(due)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.cycle()

    def until(self, kind: str, most: float) -> Fault:
        """Run until a fault of that kind is seen, at most so long (s)."""
        end = self.now + most
        while self.now < end:
            self.cycle()
            for fault in self.monitor.seen:
                if fault.kind.name == kind:
                    return fault
        raise AssertionError(f"{kind} was not seen in {most} s; seen: {self.kinds}")

    def go(self, pose: str, share: float = 0.3) -> None:
        move = Move.between(self.rig.arm.spec, self.rig.arm.hold_angle, np.array(self.rig.arm.spec.poses[pose]), share)
        begin = self.now
        while self.now < begin + move.duration:
            move.at(self.now - begin, self.rig.arm.hold_angle)
            self.cycle()


def bound(kind: str, rig: TwinArm) -> float:
    return FAULTS[kind].bound.at(PERIOD, rig.arm.spec.bus.watchdog)


@pytest.mark.parametrize("gap", [None, "mild", "random:1", "random:2", "random:3"])
@pytest.mark.parametrize("name", ["open-manipulator-x", "koch-v1.1", "xl330-pendulum"])
def test_a_healthy_arm_has_no_faults(name: str, gap: str | None) -> None:
    watched = Watched(start(name, gap=gap))
    watched.go("home", share=0.8)
    watched.run(0.5)
    watched.go("rest", share=0.8)
    assert [fault.text for fault in watched.monitor.seen] == []
    assert watched.stop is Stop.NONE


def test_one_lost_packet_in_a_hundred_is_normal() -> None:
    watched = Watched(start(faults=["packet-lost:p=0.01,way=both"]))
    watched.run(10.0)
    assert watched.rig.arm.bus.statistics.incomplete > 5
    assert watched.monitor.seen == []


TWIN_FAULTS = [
    ("open-manipulator-x", "servo-silent:servo=13,for=1", "lost-replies", "joint3"),
    ("open-manipulator-x", "servo-dead:servo=13", "lost-replies", "joint3"),
    ("open-manipulator-x", "packet-lost", "bus-silent", ""),
    ("xl330-pendulum", "packet-lost", "bus-silent", ""),
    ("open-manipulator-x", "overload:servo=12", "hardware-error", "joint2"),
    ("open-manipulator-x", "overload:servo=12", "torque-lost", "joint2"),
    ("open-manipulator-x", "hot:servo=12,celsius=76", "too-hot", "joint2"),
    ("koch-v1.1", "hot:servo=3,celsius=66", "too-hot", "elbow_flex"),
    ("koch-v1.1", "voltage-dip:volts=5.9,for=9", "under-voltage", "shoulder_pan"),
    ("open-manipulator-x", "voltage-dip:volts=14,for=9", "over-voltage", "joint1"),
    ("open-manipulator-x", "encoder-jump:servo=14", "encoder-jump", "joint4"),
    ("koch-v1.1", "hand:servo=1,rad=0.8,for=3", "following-error", "shoulder_pan"),
]


@pytest.mark.parametrize(("name", "fault", "kind", "joint"), TWIN_FAULTS)
def test_what_happens_to_the_arm_is_seen_in_time(name: str, fault: str, kind: str, joint: str) -> None:
    watched = Watched(start(name))
    watched.run(0.2)
    assert watched.monitor.seen == []
    watched.rig.twin.inject(fault)
    onset = watched.now
    gradual = 3.0 if fault.startswith("hand") else 0.0  # until the hand has come that far
    seen = watched.until(kind, bound(kind, watched.rig) + gradual)
    assert onset < seen.time <= onset + bound(kind, watched.rig) + gradual
    assert watched.stop >= FAULTS[kind].stop
    assert seen.joints == ((joint,) if joint else ())
    assert joint in seen.text
    watched.run(0.5)
    assert len(watched.kinds) == len({(f.kind.name, f.joints) for f in watched.monitor.seen})  # each is told once


@pytest.mark.parametrize("cycle", range(0, 16, 5))
def test_torque_that_went_is_seen_in_time_where_servos_have_no_indirect_block(cycle: int) -> None:
    watched = Watched(start("koch-v1.1", firmware=dict.fromkeys(range(3, 7), 52)))
    watched.run(0.2 + cycle * PERIOD)
    joint = watched.rig.arm.spec.joints[3]
    torque = joint.servo.register("torque_enable")
    watched.rig.arm.bus.write_group(GroupWrite([(joint.servo_id, torque)]), [0])
    onset = watched.now
    assert watched.until("torque-lost", 1.0).time <= onset + bound("torque-lost", watched.rig)


def test_the_name_of_a_hardware_error_is_told_once_it_is_known() -> None:
    watched = Watched(start())
    watched.run(0.1)
    watched.rig.twin.inject("overload:servo=12")
    watched.run(0.1)
    assert "overload" in next(f.text for f in watched.monitor.seen if f.kind.name == "hardware-error")


def test_a_restarted_servo_is_told_from_one_that_is_silent() -> None:
    watched = Watched(start("xl330-pendulum", faults=["brown-out:servo=1,at=0.3"]))
    watched.until("bus-silent", 1.0)
    while not watched.rig.arm.state.fresh.any():
        watched.cycle()
    back = watched.now - PERIOD  # s, no later than its first answer
    assert watched.until("servo-restarted", 1.0).time <= back + bound("servo-restarted", watched.rig)
    assert watched.kinds == ["bus-silent", "servo-restarted"]
    assert watched.stop is Stop.LOWER


@pytest.mark.parametrize("name", ["open-manipulator-x", "koch-v1.1"])
def test_a_watchdog_that_tripped_is_seen(name: str) -> None:
    watched = Watched(start(name))
    watched.run(0.1)
    watched.rig.port.sleep_until(watched.now + 0.15)
    back = watched.now
    assert watched.until("watchdog-tripped", 0.2).time <= back + bound("watchdog-tripped", watched.rig)


def test_many_losses_are_seen_though_no_servo_is_silent_for_long() -> None:
    watched = Watched(start())
    watched.run(0.1)
    state, look, onset = watched.rig.arm.state, watched.monitor.look, watched.now
    for k in range(400):
        now = onset + k * PERIOD
        state.stamp[:] = now - PERIOD * (k % 2)
        if look(state, 4 * (k % 2), watched.inputs, 0, 0.0, 0, watched.values, now):
            break
    assert watched.kinds == ["stale-state"]
    assert watched.monitor.seen[0].joints == ("joint3",)
    assert now - onset <= bound("stale-state", watched.rig)
    assert watched.monitor.worst is Stop.LOWER


def test_a_blocked_position_joint_is_seen() -> None:
    watched = Watched(start("koch-v1.1"))
    watched.rig.twin.inject("stuck-shaft:servo=shoulder_lift")
    watched.rig.arm.hold_angle[1] -= 0.8
    onset = watched.now
    seen = watched.until("following-error", 1.0)
    assert seen.joints == ("shoulder_lift",)
    assert seen.time <= onset + bound("following-error", watched.rig)


def test_a_blocked_torque_joint_is_seen() -> None:
    watched = Watched(start())
    watched.run(0.1)
    watched.rig.twin.inject("stuck-shaft:servo=joint1")
    watched.rig.arm.hold_angle[0] += 0.6
    onset = watched.now
    seen = watched.until("stalled", 2.0)
    assert seen.joints == ("joint1",)
    assert seen.time <= onset + bound("stalled", watched.rig) + 0.05  # the current has to rise first


def test_a_gripper_that_holds_something_is_no_fault() -> None:
    watched = Watched(start())
    watched.run(0.1)
    watched.rig.twin.inject("stuck-shaft:servo=gripper")
    watched.rig.arm.hold_angle[4] -= 0.5
    watched.run(3.0)
    assert watched.kinds == []


def test_a_joint_that_is_too_fast() -> None:
    watched = Watched(start())
    watched.run(0.1)
    state, look = watched.rig.arm.state, watched.monitor.look
    command = np.array(state.q)
    for k in range(10):
        state.stamp[:] = now = watched.now + k * PERIOD
        state.dq[2] = 4.0
        stop = look(state, 0, watched.inputs, 0, 0.0, 0, command, now)
        if stop:
            break
    assert k * PERIOD <= bound("over-speed", watched.rig)
    assert watched.kinds == ["over-speed"]
    assert "joint3" in watched.monitor.seen[0].text


def test_a_joint_that_answers_again_is_looked_at_again() -> None:
    watched = Watched(start())
    watched.run(0.1)
    watched.rig.twin.inject("servo-silent:servo=13,for=0.06")
    watched.until("lost-replies", 0.2)
    watched.run(0.2)
    arm = watched.rig.arm
    arm.read(watched.now + 0.7 * PERIOD)
    assert arm.state.fresh.all()
    for k in range(10):
        arm.state.dq[2], arm.state.q[1] = 20.0, 4.0
        watched.monitor.look(arm.state, 0, watched.inputs, 0, 0.0, 0, watched.values, watched.now + k * PERIOD)
    assert watched.kinds[1:] == ["over-speed", "outside-limits"]


def test_a_joint_that_is_limp_is_left_alone_though_it_answers() -> None:
    watched = Watched(start("koch-v1.1"))
    watched.go("home")
    watched.rig.twin.inject("overload:servo=shoulder_lift")
    watched.run(0.5)
    state = watched.rig.arm.state
    for k in range(100):
        state.dq[1] = 20.0
        watched.monitor.look(state, 0, watched.inputs, 0, 0.0, 0, watched.values, watched.now + k * PERIOD)
    assert "over-speed" not in watched.kinds


def test_what_was_asked_before_a_flight_is_told_as_what_it_was() -> None:
    (stop,) = requested(Request.SIGTERM, 1.0)
    assert (stop.kind.name, stop.text) == ("operator-stop", "asked to stop by SIGTERM")
    assert worst(requested(Request.CTRL_C | Request.ESTOP, 1.0)).kind.name == "e-stop"  # type: ignore[union-attr]
    assert requested(0, 1.0) == []


def test_one_fast_reading_is_not_too_fast() -> None:
    watched = Watched(start())
    watched.run(0.1)
    state = watched.rig.arm.state
    state.dq[2] = 4.0
    watched.monitor.look(state, 0, watched.inputs, 0, 0.0, 0, np.array(state.q), watched.now)
    watched.run(0.2)
    assert watched.monitor.seen == []


@pytest.mark.parametrize("q", [1.6, -1.7])
def test_a_joint_beyond_its_limits(q: float) -> None:
    watched = Watched(start())
    watched.run(0.1)
    state = watched.rig.arm.state
    state.q[2] = q
    for k in range(10):
        watched.monitor.look(state, 0, watched.inputs, 0, 0.0, 0, watched.values, watched.now + k * PERIOD)
    assert watched.kinds == ["outside-limits"]
    assert f"{q:.3f} rad" in watched.monitor.seen[0].text


def test_a_limp_joint_is_not_told_of_again_for_what_it_does() -> None:
    watched = Watched(start("koch-v1.1"))
    watched.go("home")
    watched.rig.twin.inject("overload:servo=shoulder_lift")
    watched.run(2.0)
    assert watched.kinds == ["hardware-error", "torque-lost"]


REQUESTS = [
    (Request.CTRL_C, "operator-stop", Stop.LOWER),
    (Request.SIGTERM, "operator-stop", Stop.LOWER),
    (Request.SIGHUP, "operator-stop", Stop.LOWER),
    (Request.SPACE, "operator-freeze", Stop.FREEZE),
    (Request.ESTOP, "e-stop", Stop.TORQUE_OFF),
    (Request.LET_GO, "let-go", Stop.TORQUE_OFF),
    (Request.PARENT_GONE, "parent-gone", Stop.LOWER),
    (Request.DISK_FULL, "disk-full", Stop.LOWER),
    (Request.RECORDER_FAILED, "recorder-failed", Stop.LOWER),
    (Request.RECORDER_BEHIND, "recorder-behind", Stop.LOWER),
    (Request.TARGETS_ENDED, "targets-ended", Stop.LOWER),
]


@pytest.mark.parametrize(("request_", "kind", "stop"), REQUESTS)
def test_requests_are_answered_in_the_same_cycle(request_: Request, kind: str, stop: Stop) -> None:
    watched = Watched(start("xl330-pendulum"))
    watched.inputs.request = int(request_)
    watched.cycle()
    assert (watched.kinds, watched.stop) == ([kind], stop)
    watched.run(0.1)
    assert watched.kinds == [kind]


def test_every_request_has_an_answer() -> None:
    assert {request for request, _, _ in REQUESTS} == set(Request)


def test_the_worst_wins_and_nothing_recovers() -> None:
    watched = Watched(start("xl330-pendulum"))
    for request, stop in ((Request.SPACE, Stop.FREEZE), (Request.ESTOP, Stop.TORQUE_OFF)):
        watched.inputs.request |= int(request)
        watched.cycle()
        assert watched.stop is stop
    watched.inputs.request = int(Request.CTRL_C)
    watched.cycle()
    assert watched.stop is Stop.TORQUE_OFF
    decisive = worst(watched.monitor.seen)
    assert decisive is not None
    assert decisive.kind.name == "e-stop"
    assert worst([]) is None


@pytest.mark.parametrize(
    ("flag", "kind"),
    [
        (SourceFlag.NOT_FINITE, "policy-not-finite"),
        (SourceFlag.FROZEN, "policy-frozen"),
        (SourceFlag.OBSERVATION_MAP, "map-not-finite"),
        (SourceFlag.TORQUE_MAP | SourceFlag.NOT_FINITE, "map-not-finite"),
    ],
)
def test_a_policy_that_says_nothing_usable(flag: SourceFlag, kind: str) -> None:
    watched = Watched(start("xl330-pendulum"))
    watched.flags = int(flag)
    watched.cycle()
    assert (watched.kinds, watched.stop) == ([kind], Stop.BRAKE_HOLD)


def test_leaving_the_calibrated_range_for_a_moment_is_no_fault_but_for_long_it_is() -> None:
    watched = Watched(start("xl330-pendulum"))
    watched.flags = int(SourceFlag.OUT_OF_DISTRIBUTION)
    watched.run(0.1)
    watched.flags = 0
    watched.run(0.5)
    assert watched.kinds == []
    begin = watched.now
    while not watched.kinds:  # only every fourth cycle the policy acts
        for flag in (SourceFlag.OUT_OF_DISTRIBUTION, 0, 0, 0):
            watched.flags = int(flag)
            watched.cycle()
    assert watched.kinds == ["out-of-distribution"]
    assert watched.monitor.seen[0].time <= begin + bound("out-of-distribution", watched.rig) + 4 * PERIOD


def test_targets_must_keep_coming_once_they_are_followed() -> None:
    watched = Watched(start("xl330-pendulum"), Settings(target_silence=0.2))
    watched.run(0.5)
    watched.monitor.follow_targets(watched.now)
    for _ in range(10):
        watched.run(0.1)
        watched.inputs.target_stamp = last = watched.now
    assert watched.kinds == []
    silent = watched.until("target-silent", 0.5)
    assert silent.time <= last + FAULTS["target-silent"].bound.at(PERIOD, 0.1, 0.2) + 1e-6
    assert watched.stop is Stop.HOLD


def test_a_late_cycle_and_too_many_skipped_ones() -> None:
    watched = Watched(start("xl330-pendulum"))
    watched.late, watched.skipped = 0.02, 3
    watched.cycle()
    watched.late, watched.skipped = 0.0, 0
    watched.run(1.0)
    assert watched.kinds == []
    watched.skipped = 1
    watched.until("overrun", bound("overrun", watched.rig))
    watched.late = 0.06
    watched.cycle()
    assert watched.kinds == ["overrun", "late-cycle"]


def test_a_vanished_port_and_failing_software_are_told() -> None:
    watched = Watched(start("xl330-pendulum"))
    stop = watched.monitor.software_failed(ArmError("no such thing"), watched.now)
    assert stop is Stop.LOWER
    error = PortVanishedError(5, "vanished; is the cable out?", "/dev/ttyUSB0")
    assert watched.monitor.port_gone(error, watched.now) is Stop.TORQUE_OFF
    assert watched.kinds == ["software-failed", "port-gone"]
    assert "/dev/ttyUSB0" in watched.monitor.seen[1].text


def test_without_torque_a_limp_arm_is_no_fault() -> None:
    watched = Watched(start("xl330-pendulum"), Settings(torque=False))
    watched.run(0.1)
    watched.rig.arm.torque_off()
    watched.run(0.2)
    assert watched.monitor.seen == []


def test_a_velocity_joint_that_does_not_do_what_it_is_told(tmp_path: Path) -> None:
    file = variant(tmp_path, "xl330-pendulum", ('mode = "pwm"', 'mode = "velocity"'))
    watched = Watched(start(file))
    watched.rig.twin.inject("stuck-shaft:servo=1")
    watched.rig.arm.hold_angle[0] += 2.0
    onset = watched.now
    seen = watched.until("following-error", 1.0)
    assert "rad/s" in seen.text
    assert seen.time <= onset + bound("following-error", watched.rig)


def test_a_healthy_look_takes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(start())
    watched.run(0.2)
    slow: list[str] = []
    names = ("_look_for_losses", "_look_at_flags", "_look_at_torque", "_look_at_requests", "_look_at_skips")

    def noted(name: str) -> Callable[..., None]:
        return lambda *_: slow.append(name)

    for name in names:
        monkeypatch.setattr(watched.monitor, name, noted(name))
    watched.run(0.2)
    assert slow == []
