"""Joints that two servos turn: both are found, read, told and watched, and seen as one strong servo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robot_runtime.arm import Arm, JointCommand
from robot_runtime.arm.errors import FollowerError, ServosDisagreeError, ServoSettingError, TorqueIsOnError
from robot_runtime.arm.trouble import troubles
from robot_runtime.bus import Bus, MissingServosError
from robot_runtime.setup.unboxed import set_up_unboxed
from robot_runtime.spec import SPLIT, load_arm
from sim.twin import LockstepPort, Twin
from tests.robot_runtime.arm.twins import PAIRS, PERIOD, TwinArm, paired, start, variant

OMX, KOCH = "open-manipulator-x", "koch-v1.1"
JOINT = 1
"""Place of the joint that has two, in both arms."""
TICK = 2 * np.pi / 4096  # rad


def rig(tmp_path: Path, name: str = OMX, **options: object) -> TwinArm:
    return start(paired(tmp_path, name), pose="home", **options)  # type: ignore[arg-type]


def register(found: TwinArm, which: int, name: str) -> int:
    servo = [s for s in found.arm.servos if s.joint.name == found.arm.spec.joints[JOINT].name][which]
    return found.arm.bus.read(servo.joint.servo_id, servo.model.register(name))


@pytest.mark.parametrize("name", [OMX, KOCH])
def test_both_are_found_and_read_and_agree(tmp_path: Path, name: str) -> None:
    found = rig(tmp_path, name)
    arm = found.arm
    assert [s.joint.servo_id for s in arm.servos] == [*load_arm(name).servo_ids, PAIRS[name][2]]
    assert arm.read() == 0
    assert arm.state.q == pytest.approx(found.truth, abs=0.01)
    assert arm.apart == {JOINT: pytest.approx(0.0, abs=0.004)}
    assert troubles(arm) == ()


OUT = {
    OMX: "out = { joint1 = 0.0, joint2 = 0.5, joint3 = -0.5, joint4 = 0.0, gripper = 0.0 }",
    KOCH: "out = { shoulder_pan = 0.0, shoulder_lift = 0.9, elbow_flex = -0.7, wrist_flex = 0.0, wrist_roll = 0.0, "
    "gripper = 0.0 }",
}
"""The arm held out before its base: a weight on the shoulder."""


@pytest.mark.parametrize("name", [OMX, KOCH])
def test_torque_on_moves_nothing_and_both_carry_half(tmp_path: Path, name: str) -> None:
    found = start(paired(tmp_path, name, ("rest = ", f"{OUT[name]}\nrest = ")), pose="out")
    gravity = found.drives.model.opt.gravity
    weight, gravity[:] = gravity.copy(), 0.0  # somebody holds it
    found.arm.torque_on()
    gravity[:] = weight
    assert found.run(1.0) < 0.08
    assert troubles(found.arm) == ()
    first, second = register(found, 0, "torque_enable"), register(found, 1, "torque_enable")
    assert (first, second) == (1, 1)
    current = "present_current" if name == OMX else "present_load"
    one, other = register(found, 0, current), register(found, 1, current)
    assert abs(one) > 5
    assert one == pytest.approx(-other, rel=0.5)  # they face one another
    torque = np.array(found.drives.motor_torque)
    both = torque[JOINT] + torque[len(found.arm.spec.joints)]
    assert found.arm.state.tau[JOINT] == pytest.approx(both, rel=0.35, abs=0.1)


def test_a_torque_is_what_both_make_together(tmp_path: Path) -> None:
    found = rig(tmp_path)
    found.arm.torque_on()
    command = JointCommand(len(found.arm.spec.joints))
    command.held[JOINT], command.values[JOINT] = False, -1.2
    found.run(0.03, command)
    torque = np.array(found.drives.motor_torque)
    assert torque[JOINT] + torque[-1] == pytest.approx(-1.2, rel=0.05)
    assert torque[JOINT] == pytest.approx(torque[-1], rel=0.05)
    limit = found.arm.spec.joints[JOINT].limits.torque
    command.values[JOINT] = -100.0
    found.run(0.03, command)
    torque = np.array(found.drives.motor_torque)
    assert abs(torque[JOINT] + torque[-1]) <= limit


@pytest.mark.parametrize("name", [OMX, KOCH])
@pytest.mark.parametrize("mode", ["position", "velocity", "pwm"])
def test_every_mode_holds_and_neither_pushes_against_the_other(tmp_path: Path, name: str, mode: str) -> None:
    joint, *_ = PAIRS[name]
    was = load_arm(name).joints[JOINT].mode
    edit = (rf'(name = "{joint}"[\s\S]*?)mode = "{was}"', rf'\1mode = "{mode}"')
    (tmp_path / "believed").mkdir()
    spec = load_arm(paired(tmp_path / "believed", name, edit, second=", offset = 0.02"))  # 13 ticks that nobody settled
    found = start(paired(tmp_path, name, edit), spec=spec, pose="home")
    found.arm.read()
    assert found.arm.apart[JOINT] == pytest.approx(0.02, abs=0.004)
    found.arm.torque_on()
    assert found.run(1.5) < 0.1
    torque = np.array(found.drives.motor_torque)
    assert torque[JOINT] * torque[-1] > 0  # both lift
    assert not found.arm.state.split.any()


def test_a_move_in_position_mode_is_followed_by_both(tmp_path: Path) -> None:
    found = rig(tmp_path, KOCH)
    found.arm.torque_on()
    command = JointCommand(len(found.arm.spec.joints))
    command.held[JOINT] = False
    begin = found.arm.state.q[JOINT]
    for k in range(200):
        command.values[JOINT] = begin + 0.4 * min(1.0, k / 150)
        found.run(PERIOD, command)
    assert found.truth[JOINT] == pytest.approx(begin + 0.4, abs=0.08)
    assert abs(found.arm.apart[JOINT]) < SPLIT / 2
    assert troubles(found.arm) == ()


def test_under_torque_the_joints_angle_is_the_mean_of_both(tmp_path: Path) -> None:
    """Both pull it to where the mean of their angles is the goal: by the first one's alone it would stand off its goal
    by half of what the second reads wrong, as if something weighed on it.
    """
    found = start(paired(tmp_path, KOCH), pose="home")
    found.arm.torque_on()
    found.run(0.5)
    assert found.arm.state.q[JOINT] == pytest.approx(found.truth[JOINT], abs=1.1 * TICK)
    found.twin.inject(f"encoder-jump:servo={PAIRS[KOCH][2]},ticks=-16")  # it turns the other way
    found.run(0.5)
    mean = pytest.approx(8 * TICK, abs=1.1 * TICK)
    assert found.arm.state.q[JOINT] - found.truth[JOINT] == mean
    assert not found.arm.state.split.any()
    for second in (True, False):  # where one of them is silent, the other knows the joint's angle
        found.twin.inject(f"servo-silent:servo={PAIRS[KOCH][2 if second else 1]},for=0.05")
        found.run(0.03)
        assert found.arm.state.q[JOINT] - found.truth[JOINT] == mean
        found.run(0.2)


# -- what can be wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [OMX, KOCH])
def test_a_second_servo_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    joint, _, second = PAIRS[name]
    file = paired(tmp_path, name)
    with pytest.raises(MissingServosError, match=rf"no answer from {joint} \(servo {second}\)"):
        start(name, spec=load_arm(file))


def test_a_second_servo_that_still_obeys_the_first_or_is_reversed_is_refused(tmp_path: Path) -> None:
    file = paired(tmp_path, OMX)
    for register_name, value, told in (("secondary_id", 12, "Secondary ID is 12"), ("drive_mode", 1, "reversed")):
        found = start(file)
        found.twin.servos[-1].set_eeprom(**{register_name: value})
        with pytest.raises(ServoSettingError, match=rf"joint 'joint2' \(servo 22\): .*{told}.*robot-setup arm"):
            Arm.open(found.arm.spec, found.port)


def test_a_follower_that_the_file_does_not_name_is_refused_with_the_line_to_write(tmp_path: Path) -> None:
    file = paired(tmp_path, KOCH)
    file.write_text(file.read_text().replace("second = { id = 12 }", "second = { id = 7 }"))
    found = start(file)
    found.twin.servos[-1].set_eeprom(secondary_id=2)
    with pytest.raises(FollowerError, match=r"second = \{ id = 7 \}, and run 'robot-setup arm'"):
        Arm.open(load_arm(KOCH), found.port)


@pytest.mark.parametrize("horn", [-0.045, 0.0, 0.045])
def test_at_its_limits_neither_pushes_against_the_other(tmp_path: Path, horn: float) -> None:
    (tmp_path / "believed").mkdir()
    spec = load_arm(paired(tmp_path / "believed", KOCH, second=f", offset = {horn}"))
    found = start(paired(tmp_path, KOCH), spec=spec, pose="home")
    found.arm.torque_on()
    command = JointCommand(len(spec.joints))
    command.held[JOINT], command.values[JOINT] = False, -9.0
    found.run(2.0, command)
    assert found.truth[JOINT] == pytest.approx(spec.joints[JOINT].limits.lower, abs=0.05)
    torque = np.array(found.drives.motor_torque)
    assert torque[JOINT] == pytest.approx(torque[-1], abs=0.1)
    found.arm.torque_off()
    found.arm.torque_on()  # and once more: nothing adds up
    found.run(0.5, command)
    torque = np.array(found.drives.motor_torque)
    assert torque[JOINT] == pytest.approx(torque[-1], abs=0.1)


@pytest.mark.parametrize("horn", [-0.04, 0.04])
def test_where_a_joint_may_stand_outside_its_limits_its_second_servo_may_be_told_to_stay(
    tmp_path: Path, horn: float
) -> None:
    narrow = (r"position = \[-0.6, 1.57\]", "position = [-0.6, 1.54]")
    places = [tmp_path / name for name in ("true", "believed")]
    for place in places:
        place.mkdir()
    twin = Twin.load(str(paired(places[0], KOCH)), pose="rest")  # lying on its stop, at 1.57
    spec = load_arm(
        paired(
            places[1], KOCH, narrow, ("shoulder_lift = 1.5[0-9]*", "shoulder_lift = 1.53"), second=f", offset = {horn}"
        )
    )
    port = LockstepPort(twin)
    set_up_unboxed(Bus(port), spec)
    arm = Arm.open(spec, port)
    port.sleep_until(1.0)
    arm.torque_on()
    assert arm.state.q[JOINT] > 1.56
    assert arm.state.torque_on.all()


@pytest.mark.parametrize("name", [OMX, KOCH])
def test_horns_that_sit_too_far_apart_keep_torque_off(tmp_path: Path, name: str) -> None:
    (tmp_path / "other").mkdir()
    spec = load_arm(paired(tmp_path / "other", name, second=", offset = 0.1"))
    found = start(paired(tmp_path, name), spec=spec, pose="home")
    with pytest.raises(ServosDisagreeError, match=r"servos \d+ and \d+ read 0\.\d+ rad apart.*robot-setup zero"):
        found.arm.torque_on()
    assert not np.array(found.twin.plant.torque_on).any()


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("name", [OMX, KOCH])
def test_when_either_lets_go_the_joint_has_lost_its_torque(tmp_path: Path, name: str, second: bool) -> None:
    found = rig(tmp_path, name)
    found.arm.torque_on()
    servo = found.arm.servos[-1 if second else JOINT]
    found.arm.bus.write(servo.joint.servo_id, servo.model.register("torque_enable"), 0)
    found.run(0.1)
    assert found.arm.state.torque_on.tolist() == [i != JOINT for i in range(len(found.arm.spec.joints))]


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("name", [OMX, KOCH])
def test_when_either_is_silent_the_joint_is_missing_and_its_state_goes_on(
    tmp_path: Path, name: str, second: bool
) -> None:
    found = rig(tmp_path, name)
    found.arm.torque_on()
    found.twin.inject(f"servo-silent:servo={PAIRS[name][2 if second else 1]},for=0.3")
    missing = [found.arm.read(found.port.now() + PERIOD) for _ in range(5)]
    assert missing[1:] == [1 << JOINT] * 4  # at first it keeps those behind it from answering, too
    assert found.arm.state.fresh.all()
    assert found.arm.state.q[JOINT] == pytest.approx(found.truth[JOINT], abs=0.01)
    found.run(0.12)
    silent = PAIRS[name][2 if second else 1]
    assert troubles(found.arm) == (
        f"joint '{PAIRS[name][0]}' (servo {silent}, one of two) does not answer: check its cable and power",
    )
    found.run(0.3)
    assert troubles(found.arm) == (
        f"joint '{PAIRS[name][0]}' (servo {silent}, one of two) heard nothing for 0.1 s and stopped by itself",
    )


@pytest.mark.parametrize("name", [OMX, KOCH])
def test_when_both_are_silent_the_joint_keeps_its_last_values(tmp_path: Path, name: str) -> None:
    found = rig(tmp_path, name)
    found.arm.torque_on()
    for servo in PAIRS[name][1:]:
        found.twin.inject(f"servo-silent:servo={servo},for=0.3")
    found.run(0.15)
    assert found.arm.state.fresh.tolist() == [i != JOINT for i in range(len(found.arm.spec.joints))]
    assert [text.partition(")")[0] for text in troubles(found.arm)] == [
        f"joint '{PAIRS[name][0]}' (servos {PAIRS[name][1]} and {PAIRS[name][2]}"
    ]


@pytest.mark.parametrize("period", [0.01, 0.02])
def test_a_second_servo_that_was_asked_again_has_lost_nothing(tmp_path: Path, period: float) -> None:
    """Its position comes a few milliseconds after its first's, while the joint turns fast."""
    servo = r'(servo = { id = 5, model = "XL330-M288" }\n)'
    file = variant(
        tmp_path, KOCH, (servo, r"\1second = { id = 15 }\n"), ("acceleration = 60.0", "acceleration = 200.0")
    )
    found = start(file, pose="home", faults=["packet-lost:servo=15,p=0.2", "packet-lost:servo=5,p=0.1"])
    found.arm.torque_on()
    command, joint = JointCommand(len(found.arm.spec.joints)), 4
    command.held[joint] = False
    for k in range(round(3.0 / period)):
        due = found.port.now() + period
        command.values[joint] = 1.8 * np.sin(3.4 * k * period)
        found.arm.read(due)
        found.arm.write(command)
        found.port.sleep_until(due)
    assert not found.arm.state.split.any()
    assert found.arm.bus.statistics.retries > 10


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("name", [OMX, KOCH])
def test_when_either_restarts_it_is_noticed(tmp_path: Path, name: str, second: bool) -> None:
    found = rig(tmp_path, name)
    found.arm.torque_on()
    found.run(0.2)
    found.twin.inject(f"brown-out:servo={PAIRS[name][2 if second else 1]}")
    found.run(1.0)
    assert np.flatnonzero(found.arm.state.restarted).tolist() == [JOINT]
    assert any("lost its power" in told for told in troubles(found.arm))


@pytest.mark.parametrize("second", [False, True])
def test_of_their_health_the_worse_counts(tmp_path: Path, second: bool) -> None:
    found = rig(tmp_path)
    found.arm.torque_on()
    found.twin.inject(f"hot:servo={22 if second else 12},celsius=65")
    found.run(0.2)
    assert found.arm.state.temperature[JOINT] >= 60
    assert found.arm.state.temperature[0] < 40
    found.twin.inject(f"overload:servo={22 if second else 12}")
    found.run(0.2)
    assert found.arm.state.alert[JOINT]
    named = f"(servo {22 if second else 12}, one of two)"
    assert any(named in told and "overload" in told for told in troubles(found.arm))


def test_a_second_servo_that_loses_its_place_is_seen_at_the_next_reading(tmp_path: Path) -> None:
    found = rig(tmp_path)
    found.arm.torque_on()
    found.run(0.5)
    assert not found.arm.state.split.any()
    found.twin.inject("encoder-jump:servo=22,ticks=60")
    found.run(2 * PERIOD)
    assert np.flatnonzero(found.arm.state.split).tolist() == [JOINT]
    assert any("disagree about where it is" in told for told in troubles(found.arm))


@pytest.mark.parametrize("second", [False, True])
def test_one_odd_reading_of_either_servo_is_left_aside(second: bool, tmp_path: Path) -> None:
    found = rig(tmp_path)
    found.arm.torque_on()
    found.run(0.5)
    stood = found.arm.state.q[JOINT]
    for ticks in (60, -600):
        found.twin.inject(f"encoder-glitch:servo={22 if second else 12},ticks={ticks}")
        for _ in range(4):
            found.run(PERIOD)
            state = found.arm.state
            assert not state.split.any()
            assert not state.jumped.any()
            assert state.fresh[JOINT]  # the other one stands in
            assert state.q[JOINT] == pytest.approx(stood, abs=3 * TICK)
        found.run(0.1)


def test_torque_that_one_of_them_holds_is_found_and_let_go(tmp_path: Path) -> None:
    found = rig(tmp_path)
    second = found.arm.servos[-1]
    found.arm.bus.write(22, second.model.register("torque_enable"), 1)
    with pytest.raises(TorqueIsOnError, match=r"servos \[22\]"):
        found.arm.torque_on()
    found.arm.torque_off()
    assert not np.array(found.twin.plant.torque_on).any()
