"""Bad data is refused with its reason: each fault is put into a log of the twin that is fine otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration import pipeline
from calibration.judging.examine import RefusedLogError, _speeds, _too_short, examine, pushed
from calibration.judging.sizes import wrong_sizes
from calibration.logs.clean import clean
from calibration.logs.load import Loaded
from calibration.logs.log import Log, make_log
from calibration.physics.law import POSITION_MODES
from calibration.physics.rollout import Rig
from robot_runtime.calibrated.identity import Identity
from robot_runtime.spec import load_arm
from tests.calibration.recordings import record
from tests.robot_runtime.arm.twins import variant
from tests.robot_runtime.calibrated.made import of_joint

ARMS = {
    "open-manipulator-x": ("joint1", "joint2", "joint3", "joint4"),
    "koch-v1.1": ("shoulder_lift", "elbow_flex", "wrist_flex"),
}


@pytest.fixture(scope="module")
def logs() -> dict[str, Log]:
    return {name: record(name, "mild", joints, 8.0, size=0.5)[0] for name, joints in ARMS.items()}


@pytest.fixture(scope="module")
def rigs() -> dict[str, Rig]:
    return {name: Rig.of(load_arm(name), joints) for name, joints in ARMS.items()}


def loaded(log: Log, rig: Rig, identity: Identity | None = None) -> Loaded:
    return Loaded(clean(log.select(rig.world.names), rig.world.joints), None, "", identity)


def turned(log: Log, i: int) -> Log:
    """The encoder of joint i counts the other way."""
    q, dq = log.q.copy(), log.dq.copy()
    q[:, i], dq[:, i] = 2 * q[0, i] - q[:, i], -dq[:, i]
    return replace(log, q=q, dq=dq)


def swapped(log: Log, i: int, j: int) -> Log:
    """The columns, or the servos, of two joints are exchanged."""
    order = list(range(len(log.joints)))
    order[i], order[j] = j, i
    shift = log.q[0] - log.q[0, order]
    return replace(log, q=log.q[:, order] + shift, dq=log.dq[:, order])


def stuck(log: Log, i: int) -> Log:
    """Joint i hardly moves, whatever it is told."""
    q = log.q.copy()
    q[:, i] = q[0, i] + 0.002 * (np.arange(len(q)) % 2)
    return replace(log, q=q, dq=log.dq * (np.arange(len(log.joints)) != i))


def half(log: Log) -> Log:
    return log.cut(slice(0, len(log) // 2))


@pytest.mark.parametrize("name", list(ARMS))
def test_a_good_log_passes(name: str, logs: dict[str, Log], rigs: dict[str, Rig]) -> None:
    assert examine([loaded(logs[name], rigs[name])], rigs[name], shortest=5.0) == ()


@pytest.mark.parametrize("name", list(ARMS))
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda log: turned(log, 1), "against its command"),
        (lambda log: swapped(log, 1, 2), "swapped"),
        (lambda log: stuck(log, 1), "blocked"),
        (half, "half a log"),
    ],
)
def test_what_is_wrong_is_named(
    name: str, spoil: Callable[[Log], Log], reason: str, logs: dict[str, Log], rigs: dict[str, Rig]
) -> None:
    with pytest.raises(RefusedLogError, match=reason):
        examine([loaded(spoil(logs[name]), rigs[name])], rigs[name], shortest=5.0)


def test_too_little_motion_is_said_to_be_less_than_is_enough() -> None:
    time = 0.01 * np.arange(1496)
    log = make_log("log", ["base"], ["pwm"], time, np.sin(time)[:, None], np.sin(time)[:, None])
    (said,) = _too_short([log], ["base"], 15.0)
    assert said.startswith("base moved for 14.9 s, which is too little to fit it (at least 15 s)")


def test_the_motors_explain_the_motion_of_their_own_joints(logs: dict[str, Log], rigs: dict[str, Rig]) -> None:
    rig = rigs["open-manipulator-x"]
    for found in pushed(logs["open-manipulator-x"].select(rig.world.names), rig):
        assert found.correlation > 0.5
        assert found.best == found.joint


def test_logs_of_another_arm_are_refused(logs: dict[str, Log], rigs: dict[str, Rig]) -> None:
    rig, log = rigs["koch-v1.1"], logs["koch-v1.1"]
    other = Identity.of_spec(load_arm("open-manipulator-x"))
    with pytest.raises(RefusedLogError, match="log is of a 'open-manipulator-x'"):
        examine([loaded(log, rig, other)], rig, shortest=5.0)
    left, right = (Identity.of_spec(rig.world.spec, name=name) for name in ("left", "right"))
    with pytest.raises(RefusedLogError, match="logs of two arms, 'left' and 'right'"):
        examine([loaded(log, rig, left), loaded(log, rig, right)], rig, shortest=5.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda i: of_joint(i, "elbow_flex", homing_offset=300), "elbow_flex: homing offset 300, not 0"),
        (lambda i: of_joint(i, "elbow_flex", servo_id=9), "elbow_flex: servo id 9, not 3"),
        (lambda i: of_joint(i, "elbow_flex", firmware=44), "elbow_flex: firmware 44, not 43"),
        (lambda i: replace(i, mjcf_digest="0" * 64), "MJCF has changed since third was recorded"),
        (lambda i: replace(i, spec="another"), "log is of a 'another'"),
    ],
)
def test_an_arm_that_was_changed_between_two_recordings_is_no_longer_the_same(
    change: Callable[[Identity], Identity], said: str, logs: dict[str, Log], rigs: dict[str, Rig]
) -> None:
    """Numbers would be fitted that are of neither day."""
    rig, log = rigs["koch-v1.1"], logs["koch-v1.1"]
    first = of_joint(Identity.of_spec(rig.world.spec), "elbow_flex", firmware=43)
    stiffer = of_joint(first, "elbow_flex", gains={"position_p_gain": 1280}, firmware=None)  # as --gains records
    days = [loaded(replace(log, name=name), rig, i) for name, i in (("first", first), ("second", stiffer))]
    assert examine(days, rig, shortest=5.0) == ()
    third = loaded(replace(log, name="third"), rig, change(first))
    with pytest.raises(RefusedLogError, match=said) as refused:
        examine([*days, third], rig, shortest=5.0)
    assert "second" not in str(refused.value)


@pytest.mark.parametrize(("joint", "factor"), [(0, -1.0), (1, 60 / (2 * np.pi)), (2, 0.0)])
def test_a_speed_that_is_not_of_the_angle_is_refused(
    logs: dict[str, Log], rigs: dict[str, Rig], joint: int, factor: float
) -> None:
    rig, log = rigs["open-manipulator-x"], logs["open-manipulator-x"]
    other = replace(log, dq=log.dq * np.where(np.arange(len(log.joints)) == joint, factor, 1.0))
    with pytest.raises(RefusedLogError, match=rf"joint{joint + 1}: its speed is .* times what its angles say"):
        examine([loaded(other, rig)], rig, shortest=0.0)


@pytest.mark.parametrize("pause", [2.0, 60.0, 3600.0])
def test_a_speed_says_nothing_of_the_angle_over_a_pause(
    logs: dict[str, Log], rigs: dict[str, Rig], pause: float
) -> None:
    rig, log = rigs["open-manipulator-x"], logs["open-manipulator-x"]
    at = int(np.argmax(np.abs(log.dq[:, 1])))  # in the middle of a motion
    later = pause * (np.arange(len(log)) > at)
    paused = replace(log, time=log.time + later, sent=log.sent + later)
    assert _speeds(clean(paused.select(rig.world.names), rig.world.joints)) == []


def test_a_fit_without_a_speed_register_is_refused_and_names_the_joints(
    logs: dict[str, Log], rigs: dict[str, Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "examine", lambda *_: ())  # the log is short
    rig, log = rigs["open-manipulator-x"], logs["open-manipulator-x"]
    silent = replace(log, dq=np.where(np.arange(len(log.joints)) == 1, np.nan, log.dq))
    with pytest.raises(RefusedLogError, match="no speed of joint2,"):
        pipeline.findings_of([loaded(silent, rig)], rig)
    assert not any("speed" in found for found in pipeline.findings_of([loaded(silent, rig), loaded(log, rig)], rig))


def test_a_joint_that_a_log_lacks_is_named_beside_what_it_keeps(
    logs: dict[str, Log], rigs: dict[str, Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "examine", lambda *_: ())  # the log is short
    rig, log = rigs["open-manipulator-x"], logs["open-manipulator-x"].select(rigs["open-manipulator-x"].world.names)
    (found,) = pipeline.findings_of([loaded(log, rig)], rig)
    assert found.startswith(
        "gripper keeps its data file's numbers, and is taken to stand at 0.000 rad: twin has no col"
    )


def in_degrees(log: Log) -> Log:
    scale = np.degrees(1.0)
    goals = [mode in POSITION_MODES for mode in log.modes]
    return replace(log, q=log.q * scale, dq=log.dq * scale, command=np.where(goals, log.command * scale, log.command))


@pytest.mark.parametrize(
    ("name", "spoil", "reasons"),
    [
        ("koch-v1.1", in_degrees, ("shoulder_lift: its angles go from .* rad: are they in deg", "its goals .* in deg")),
        ("open-manipulator-x", in_degrees, ("joint2: its angles go from .* rad: are they in deg",)),
        (
            "open-manipulator-x",
            lambda log: replace(log, command=log.command * 1e3),
            ("joint2: its commands go up to .* N·m, and it takes 4 at most: are they in mNm",),
        ),
        (
            "koch-v1.1",
            lambda log: replace(log, q=log.q + 100.0, command=log.command + 100.0),
            (r"elbow_flex: its angles go .*is its zero elsewhere, by about 1\d\d rad .*in rad: 90 degrees are 1.571",),
        ),
    ],
)
def test_sizes_that_the_arm_cannot_have_name_the_unit_that_would_fit(
    name: str, spoil: Callable[[Log], Log], reasons: tuple[str, ...], logs: dict[str, Log], rigs: dict[str, Rig]
) -> None:
    for reason in reasons:
        with pytest.raises(RefusedLogError, match=reason):
            examine([loaded(spoil(logs[name]), rigs[name])], rigs[name], shortest=5.0)


def test_a_zero_that_is_a_little_off_is_told_nothing_of_degrees() -> None:
    spec = load_arm("xl330-pendulum")
    time = np.arange(0.0, 5.0, 0.005)
    log = make_log("log", ["pendulum"], ["pwm"], time, np.sin(time)[:, None] + 6.0, 0.4 * np.sin(time)[:, None])
    (found,) = wrong_sizes(log, spec.joints)
    assert "is its zero elsewhere" in found
    assert "degrees" not in found


@pytest.mark.parametrize(
    ("amps", "said"), [(5.0, "go up to 5 A, and it takes 2.94 at most"), (250.0, "are they in mA")]
)
def test_currents_that_no_motor_draws_are_refused(amps: float, said: str) -> None:
    spec = load_arm("xl330-pendulum")
    time = np.arange(0.0, 5.0, 0.005)
    angle, drawn = np.sin(time)[:, None], np.full((len(time), 1), amps)
    log = make_log("log", ["pendulum"], ["pwm"], time, angle, 0.4 * angle, current=drawn)
    (found,) = wrong_sizes(log, spec.joints)
    assert "its currents" in found
    assert said in found
    stalled = make_log("log", ["pendulum"], ["pwm"], time, angle, 0.4 * angle, current=drawn * 1.47 / amps)
    assert wrong_sizes(stalled, spec.joints) == []


def test_duties_in_percent_are_named() -> None:
    spec = load_arm("xl330-pendulum")
    time = np.arange(0.0, 5.0, 0.005)
    log = make_log("log", ["pendulum"], ["pwm"], time, np.sin(time)[:, None], 40.0 * np.sin(time)[:, None])
    (found,) = wrong_sizes(log, spec.joints)
    assert "its commands go up to 39.9 of full duty, and it takes 1.05 at most: are they in % or pwm, or" in found


@pytest.mark.parametrize("gain", ["position_i_gain", "feedforward_1st_gain", "feedforward_2nd_gain"])
def test_a_position_loop_of_more_than_p_and_d_is_refused(gain: str, logs: dict[str, Log], rigs: dict[str, Rig]) -> None:
    """A pendulum with an I gain of 400 was fitted with 45 % too much torque constant, far outside of its interval."""
    rig, log = rigs["koch-v1.1"], logs["koch-v1.1"]

    def held(value: float) -> Log:
        return replace(log, gains=tuple({gain: value} if name == "elbow_flex" else {} for name in log.joints))

    with pytest.raises(RefusedLogError, match=rf"elbow_flex had {gain} 400, .*position_d_gain = 600, {gain} = 0 }}"):
        examine([loaded(held(400.0), rig)], rig, shortest=5.0)
    examine([loaded(held(0.0), rig)], rig, shortest=5.0)


def test_the_gains_that_a_servo_starts_with_count_unless_the_log_says_others(
    logs: dict[str, Log], tmp_path: Path
) -> None:
    rig = Rig.of(load_arm(variant(tmp_path, "koch-v1.1", ("XL330-M288", "XL330-M077"))), ARMS["koch-v1.1"])
    log = logs["koch-v1.1"]
    with pytest.raises(RefusedLogError, match="wrist_flex had position_i_gain 400") as refused:
        examine([loaded(log, rig)], rig, shortest=5.0)
    assert "shoulder_lift had" not in str(refused.value)
    said = replace(log, gains=tuple({"position_i_gain": 0.0} for _ in log.joints))
    examine([loaded(said, rig)], rig, shortest=5.0)


@pytest.mark.parametrize("factor", [1e-6, 1e-3, 1e3, 1e6])
@pytest.mark.parametrize(("name", "joint"), [("open-manipulator-x", "joint2"), ("koch-v1.1", "elbow_flex")])
def test_a_clock_in_another_unit_is_refused_for_that_alone(
    name: str, joint: str, factor: float, logs: dict[str, Log], rigs: dict[str, Rig]
) -> None:
    rig, log = rigs[name], logs[name]
    other = replace(log, time=log.time * factor, sent=log.sent * factor)
    with pytest.raises(RefusedLogError, match=f"{joint}: its speed is .* times what its angles say") as refused:
        examine([loaded(other, rig)], rig, shortest=0.0)
    assert all("its speed is" in line for line in str(refused.value).splitlines()[1:])
