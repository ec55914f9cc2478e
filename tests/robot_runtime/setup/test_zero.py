"""Signs and offsets from how joints were moved; what cannot be right is refused, and says why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_runtime.setup.errors import CannotBeRightError
from robot_runtime.setup.track import JointTrack
from robot_runtime.setup.zero import (
    BY_POSE,
    BY_STOPS,
    Zeroing,
    offset_by_pose,
    offset_by_stops,
    require_clear_of_wrap,
    sign_by_movement,
)
from robot_runtime.spec import ASSEMBLED_WITHIN, ArmSpec, Facing, JointSpec, load_arm

KOCH = load_arm("koch-v1.1")
LIFT = KOCH.joints[1]
ROLL = KOCH.joints[4]


def track(*ticks: int, rest: bool = True) -> JointTrack:
    """Through these positions in small steps, then at rest."""
    found, time, last = JointTrack(4096), 0.0, ticks[0]
    for goal in ticks:
        steps = max(1, abs(goal - last) // 20)
        for k in range(1, steps + 1):
            found.add(time := time + 0.04, last + (goal - last) * k // steps)
        last = goal
    for _ in range(20 if rest else 0):
        found.add(time := time + 0.04, last)
    return found


# -- signs -------------------------------------------------------------------------------------------------------------


def test_the_sign_is_the_way_the_ticks_went() -> None:
    assert sign_by_movement(LIFT, track(2000, 2400)) == 1
    assert sign_by_movement(LIFT, track(2000, 1600)) == -1


def test_back_to_the_start_counts_as_having_gone_there() -> None:
    assert sign_by_movement(LIFT, track(2000, 2400, 2000)) == 1


def test_a_joint_that_did_not_move() -> None:
    with pytest.raises(CannotBeRightError, match="'shoulder_lift' did not move: servo 2 saw 4 degrees, 11 are needed"):
        sign_by_movement(LIFT, track(2000, 2050))


def test_a_joint_that_moved_both_ways() -> None:
    with pytest.raises(CannotBeRightError, match="moved both ways, 35 and 26 degrees"):
        sign_by_movement(LIFT, track(2000, 2400, 1700))


def test_a_joint_that_was_turned_around() -> None:
    with pytest.raises(CannotBeRightError, match=r"turned 1\.2 times around"):
        sign_by_movement(LIFT, track(0, 5000))
    assert sign_by_movement(replace(LIFT, mode="extended_position"), track(0, 5000)) == 1


def test_a_geared_joint_needs_more_ticks() -> None:
    with pytest.raises(CannotBeRightError, match="did not move"):
        sign_by_movement(replace(LIFT, gear=3.0), track(2000, 2300))


# -- offsets -----------------------------------------------------------------------------------------------------------


@given(
    sign=st.sampled_from((1, -1)),
    gear=st.sampled_from((1.0, 2.0, 0.5)),
    ticks=st.integers(0, 4095),
    angle=st.floats(-0.6, 1.57),
)
def test_the_pose_reads_its_angle_afterwards(sign: int, gear: float, ticks: int, angle: float) -> None:
    joint = replace(LIFT, gear=gear)
    offset = offset_by_pose(joint, sign, track(ticks), angle)
    assert replace(joint, sign=sign, offset=offset).angle(ticks) == pytest.approx(angle)


def test_a_pose_must_be_held_still() -> None:
    with pytest.raises(CannotBeRightError, match="not held still"):
        offset_by_pose(LIFT, 1, track(2000, 2400, rest=False), 0.0)


def test_a_pose_outside_the_limits() -> None:
    with pytest.raises(CannotBeRightError, match="outside the limits -0.6 to 1.57"):
        offset_by_pose(LIFT, 1, track(2000), 2.0)


def test_a_power_up_on_another_turn_does_not_matter() -> None:
    """The encoder tells a turn's fraction only; readings that counted on past the wrap mean the same place."""
    wrapped = JointTrack(4096)
    for i in range(30):
        wrapped.add(0.04 * i, 2000 + 4096)
    assert offset_by_pose(LIFT, 1, wrapped, 0.3) == offset_by_pose(LIFT, 1, track(2000), 0.3)


@pytest.mark.parametrize("sign", [1, -1])
def test_stops_put_the_limits_in_the_middle(sign: int) -> None:
    offset = offset_by_stops(LIFT, sign, track(2000, 1500, 3000))
    centre = (LIFT.limits.lower + LIFT.limits.upper) / 2
    assert replace(LIFT, sign=sign, offset=offset).angle(2250) == pytest.approx(centre)


def test_stops_that_were_not_reached_or_lie_inside_the_limits() -> None:
    with pytest.raises(CannotBeRightError, match="either not both stops"):
        offset_by_stops(LIFT, 1, track(2000, 2500, 1500))


def test_stops_that_do_not_belong_to_these_limits() -> None:
    with pytest.raises(CannotBeRightError, match="cannot be told; zero this joint with a pose"):
        offset_by_stops(LIFT, 1, track(2000, 500, 3500))


# -- the wrap ----------------------------------------------------------------------------------------------------------


def test_a_range_clear_of_the_wrap() -> None:
    assert require_clear_of_wrap(LIFT, "home", 0.0) == ()


def test_a_range_close_to_the_wrap_is_noted() -> None:
    (note,) = require_clear_of_wrap(replace(ROLL, offset=0.06), "home", 0.0)
    assert "wraps only 0.03" in note


def test_a_wrap_inside_the_range_is_refused_with_the_way_out() -> None:
    with pytest.raises(CannotBeRightError) as refused:
        require_clear_of_wrap(replace(LIFT, offset=3.0), "home", -0.3)
    text = str(refused.value)
    assert "'shoulder_lift': the encoder wraps at -0.14 rad, inside its limits (-0.6 to 1.57)" in text
    assert "Was it really at -0.3 rad?" in text
    assert "turn the servo until it reads 1536 ticks in the pose 'home' (144 degrees from here)" in text


@given(sign=st.sampled_from((1, -1)), offset=st.floats(-3.1, 3.1))
def test_turning_the_horn_as_told_makes_it_right(sign: int, offset: float) -> None:
    joint = replace(LIFT, sign=sign, offset=offset)
    try:
        require_clear_of_wrap(joint, "home", -0.3)
    except CannotBeRightError as error:
        ticks = int(str(error).split("until it reads ")[1].split()[0])
        again = replace(joint, offset=offset_by_pose(joint, sign, track(ticks), -0.3))
        assert require_clear_of_wrap(again, "home", -0.3) == ()


def test_extended_position_may_cross_the_wrap_and_is_told_what_that_means() -> None:
    (note,) = require_clear_of_wrap(replace(LIFT, mode="extended_position", offset=3.0), "home", 0.0)
    assert "torque-on is refused" in note
    wide = replace(LIFT, mode="extended_position", limits=replace(LIFT.limits, lower=-4.0, upper=4.0))
    (note,) = require_clear_of_wrap(wide, "home", 0.0)
    assert "it is a turn off" in note


def test_limits_wider_than_a_turn() -> None:
    wide = replace(LIFT, limits=replace(LIFT.limits, lower=-4.0, upper=4.0))
    with pytest.raises(CannotBeRightError, match="more than a turn"):
        require_clear_of_wrap(wide, "home", 0.0)


# -- a whole run -------------------------------------------------------------------------------------------------------


class Bench:
    """An arm whose true signs and offsets differ from its file's."""

    def __init__(self, spec: ArmSpec, truth: Mapping[str, JointSpec], homing: int = 0) -> None:
        self.joints = [truth.get(j.servo_label, j) for j in spec.servos]
        self.homing = homing
        self.angles = dict(zip(spec.joint_names, spec.poses["rest"], strict=True))
        self.time = 0.0

    def hold(self, zeroing: Zeroing, seconds: float, **goals: float) -> None:
        start, steps = dict(self.angles), round(seconds / 0.04)
        for k in range(1, steps + 1):
            for name, goal in goals.items():
                self.angles[name] = start[name] + (goal - start[name]) * min(1.0, 2 * k / steps)
            self.time += 0.04
            zeroing.feed(self.time, [j.ticks(self.angles[j.name]) + self.homing for j in self.joints])


def run(zeroing: Zeroing, bench: Bench, *, pose: str = "home", backward: str = "") -> None:
    for capture in zeroing.captures:
        zeroing.begin()
        if capture.joint is not None:
            name = zeroing.spec.joints[capture.joint].name
            bench.hold(zeroing, 3.0, **{name: bench.angles[name] + (-0.4 if name == backward else 0.4)})
        else:
            bench.hold(zeroing, 3.0, **dict(zip(zeroing.spec.joint_names, zeroing.spec.poses[pose], strict=True)))
        zeroing.finish(capture)


NO_HOMING = dict.fromkeys(KOCH.joint_names, 0)
TRUTH = {
    "shoulder_lift": replace(LIFT, sign=-1, offset=0.2),
    "gripper": replace(KOCH.joints[5], offset=-0.4),
}


@pytest.mark.parametrize("homing", [0, 700, -300])
def test_a_run_finds_the_truth(homing: int) -> None:
    zeroing = Zeroing(KOCH, dict.fromkeys(KOCH.joint_names, homing))
    run(zeroing, Bench(KOCH, TRUTH, homing))
    for zero in zeroing.results():
        true = TRUTH.get(zero.after.name, zero.before)
        assert zero.after.sign == true.sign
        assert zero.after.offset == pytest.approx(true.offset, abs=0.001)
        assert zero.after.homing_offset == 0


def test_what_was_right_stays_as_it_is_written() -> None:
    zeroing = Zeroing(KOCH, NO_HOMING)
    run(zeroing, Bench(KOCH, TRUTH))
    same = [(z.after.sign, z.after.offset) == (z.before.sign, z.before.offset) for z in zeroing.results()]
    assert same == [True, False, True, True, True, False]


def test_it_says_how_well_the_zero_is_known_now() -> None:
    assert {joint.zero_within for joint in KOCH.joints} == {ASSEMBLED_WITHIN}
    zeroing = Zeroing(KOCH, NO_HOMING, joints=["gripper"])
    run(zeroing, Bench(KOCH, TRUTH))
    assert [z.after.zero_within for z in zeroing.results()] == [BY_POSE]
    assert BY_STOPS < BY_POSE < ASSEMBLED_WITHIN


def test_some_joints_only() -> None:
    zeroing = Zeroing(KOCH, NO_HOMING, joints=["gripper"])
    assert [c.label(KOCH) for c in zeroing.captures] == ["sign gripper", "pose"]
    run(zeroing, Bench(KOCH, TRUTH))
    assert [z.after.name for z in zeroing.results()] == ["gripper"]


def test_signs_that_are_to_be_kept_refuse_a_movement_the_wrong_way() -> None:
    with pytest.raises(CannotBeRightError, match="moved the wrong way for its sign, 1: the servo's ticks fell"):
        run(Zeroing(KOCH, NO_HOMING, keep_signs=True), Bench(KOCH, TRUTH))


def test_who_moved_a_joint_the_wrong_way_is_asked_before_anything_is_taken_apart() -> None:
    with pytest.raises(CannotBeRightError, match=r"'wrist_flex' moved the wrong way for its sign, 1: .*If.*horn off"):
        run(Zeroing(KOCH, NO_HOMING), Bench(KOCH, {}), backward="wrist_flex")


def test_swapped_ids_are_guessed_when_another_joint_moves() -> None:
    zeroing = Zeroing(KOCH, NO_HOMING)
    zeroing.begin()
    Bench(KOCH, {}).hold(zeroing, 2.0, shoulder_lift=1.0)
    with pytest.raises(CannotBeRightError, match="'shoulder_pan' did not move, but shoulder_lift did"):
        zeroing.finish(zeroing.captures[0])


def test_a_refused_capture_can_be_repeated() -> None:
    zeroing, bench = Zeroing(KOCH, NO_HOMING, joints=["gripper"]), Bench(KOCH, TRUTH)
    zeroing.begin()
    bench.hold(zeroing, 1.0)
    with pytest.raises(CannotBeRightError):
        zeroing.finish(zeroing.captures[0])
    run(zeroing, bench)
    assert zeroing.results()[0].after.offset == pytest.approx(-0.4, abs=0.001)


def test_the_wrong_pose_shows_when_a_joint_was_seen_far_beyond_its_limits() -> None:
    zeroing, bench = Zeroing(KOCH, NO_HOMING, joints=["shoulder_lift"]), Bench(KOCH, {})
    bench.hold(zeroing, 3.0)
    bench.hold(zeroing, 3.0, shoulder_lift=-0.6)
    zeroing.begin()
    bench.hold(zeroing, 3.0, shoulder_lift=-0.2)
    zeroing.finish(zeroing.captures[0])
    zeroing.begin()
    bench.hold(zeroing, 3.0, shoulder_lift=0.5)  # home is -0.3
    zeroing.finish(zeroing.captures[1])
    (zero,) = zeroing.results()
    assert zero.after.offset == pytest.approx(-0.8, abs=0.01)
    assert any("from -1.40 to 0.74 rad" in note and "was the pose the right one?" in note for note in zero.notes)


def test_a_servo_that_never_answered() -> None:
    zeroing = Zeroing(KOCH, NO_HOMING)
    zeroing.begin()
    zeroing.feed(0.0, [None, 2000, 2000, 2000, 2000, 2000])
    with pytest.raises(CannotBeRightError, match="servo 1 gave no reading"):
        zeroing.finish(zeroing.captures[0])


def test_a_wrap_inside_the_range_ends_the_run() -> None:
    truth = {"wrist_roll": replace(ROLL, offset=1.0)}
    with pytest.raises(CannotBeRightError, match=r"'wrist_roll': the encoder wraps at -2\.14 rad, inside its limits"):
        run(Zeroing(KOCH, NO_HOMING), Bench(KOCH, truth))


# -- two servos at one joint -------------------------------------------------------------------------------------------

PAIRED = replace(
    KOCH,
    joints=tuple(
        replace(j, facing=Facing(12, -j.sign, j.offset, j.homing_offset)) if j is LIFT else j for j in KOCH.joints
    ),
)
SECOND = PAIRED.servos[-1]
NO_HOMING_PAIRED = dict.fromkeys((j.servo_label for j in PAIRED.servos), 0)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_second_servo_is_settled_by_the_same_movements(sign: int) -> None:
    truth = {"shoulder_lift/2": replace(SECOND, sign=sign, offset=-0.3), **TRUTH}
    zeroing = Zeroing(PAIRED, NO_HOMING_PAIRED, joints=["shoulder_lift", "gripper"])
    assert [c.label(PAIRED) for c in zeroing.captures] == ["sign shoulder_lift", "sign gripper", "pose"]
    run(zeroing, Bench(PAIRED, truth))
    first, second, gripper = zeroing.results()
    assert first.after.sign == -1
    assert first.after.offset == pytest.approx(0.2, abs=0.001)
    assert (second.after.servo_id, second.after.sign, second.after.is_second) == (12, sign, True)
    assert second.after.offset == pytest.approx(-0.3, abs=0.001)
    assert gripper.after.offset == pytest.approx(-0.4, abs=0.001)


def test_a_second_servo_that_stands_still_while_the_first_one_turns() -> None:
    zeroing = Zeroing(PAIRED, NO_HOMING_PAIRED, joints=["shoulder_lift"])
    zeroing.begin()
    for k in range(60):
        zeroing.feed(0.04 * k, [2048, 2048 + 10 * k, 2048, 2048, 2048, 2048, 2048])
    with pytest.raises(CannotBeRightError, match=r"'shoulder_lift/2' did not move, but shoulder_lift did.*horn slip"):
        zeroing.finish(zeroing.captures[0])
