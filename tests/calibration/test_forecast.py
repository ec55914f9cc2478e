"""What a policy will do before it flies: three times the same policy, in three worlds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.cli.calibrate import main
from calibration.identified import forecast as forecasting
from calibration.identified.episodes import Episodes, StoppedError
from calibration.identified.forecast import OPEN, AsItIs, Flown, Forecast, forecast, untold
from calibration.identified.spread import Spread, over_arms
from calibration.identified.together import NotTogetherError, require_together
from calibration.identified.world import IdentifiedArm
from robot_runtime.arm import Kinematics
from robot_runtime.calibrated.file import Calibration, Number, Refined
from robot_runtime.policy.load import load_policy
from robot_runtime.spec import load_arm
from sim.tasks.arm_task import ArmTask
from sim.tasks.goals import GOALS
from sim.training.evaluate import Figure, mean
from tests.robot_runtime.calibrated.made import healthy

POLICIES = Path(__file__).parents[2] / "models" / "policies"
HOLD, REACH = POLICIES / "hold-xl330-pendulum.onnx", POLICIES / "reach-open-manipulator-x.onnx"
SPEC = load_arm("xl330-pendulum")


def crooked(offset: float) -> Calibration:
    """Of an arm whose encoder sits askew, and whose maps know it."""
    known = {"pendulum.offset": Number(offset, offset, offset, seen=True)}
    return replace(healthy(SPEC, offset), physics=known, alike=((offset,),))


def test_a_crooked_encoder_costs_what_the_maps_give_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GOALS, "hold", replace(GOALS["hold"], episode=2.5))
    found = forecast(crooked(0.1), HOLD, SPEC, count=6, threads=1)
    assert (found.task, found.unit) == ("hold", "mrad")
    assert found.simulated.error.mean < 0.01
    assert found.as_it_is.error.mean == pytest.approx(0.1, abs=0.02)
    assert found.calibrated.error.mean < 0.02
    assert found.calibrated.success.mean > found.as_it_is.success.mean == 0.0
    assert not found.worse


@pytest.mark.parametrize(("task", "arm"), [("hold", "xl330-pendulum"), ("reach", "open-manipulator-x")])
def test_without_maps_what_is_read_is_seen_and_what_is_wanted_is_sent(task: str, arm: str) -> None:
    spec = load_arm(arm)
    world = AsItIs(task, spec, range(3), healthy(spec), trial=True)
    world.reset()
    random = np.random.default_rng(0)
    for _ in range(5):
        world.step(random.uniform(-1.0, 1.0, (3, world.action_size)).astype(np.float32))
        n = world.action_size
        np.testing.assert_array_equal(world.mapped[:, :n], world._senses.q)
        np.testing.assert_array_equal(world.mapped[:, n:], world._senses.dq)
        np.testing.assert_allclose(world._sent, world._command, rtol=1e-12)


def test_zeros_that_the_data_did_not_tell_are_named_where_they_matter() -> None:
    spec = load_arm("open-manipulator-x")
    wide, narrow = Number(0.0, -0.08, 0.08, seen=False), Number(0.0, -0.001, 0.001, seen=False)
    seen = Number(0.0, -0.08, 0.08, seen=True)
    known = {"joint1.offset": wide, "joint2.offset": narrow, "joint3.offset": seen}
    found = untold(replace(healthy(spec), physics=known), spec, by_tip=True)
    assert found.keys() == {"joint1"}
    tip = Kinematics(spec).tip_position(np.array(spec.poses["home"]))
    assert found["joint1"] == pytest.approx(0.08 * float(np.hypot(tip[0], tip[1])), rel=0.1)
    assert untold(replace(healthy(spec), physics=known), spec, by_tip=False) == {"joint1": 0.08}


def figure(mean: float, apart: float = 0.0) -> Flown:
    return Flown(Figure(mean, mean - 0.05, mean + 0.05), Figure(0.01, 0.009, 0.011), apart)


def told(without: float, calibrated: float, *gain: float, apart: float = 0.0, blamed: str = "") -> Forecast:
    ways = figure(1.0), figure(without), figure(calibrated, apart)
    return Forecast("hold", "mrad", *ways, gain, blamed, {"pendulum": 0.04})


@pytest.mark.parametrize(("without", "calibrated", "worse"), [(0.5, 0.9, False), (0.9, 0.82, False), (0.9, 0.5, True)])
def test_worse_is_what_surely_costs_successes(without: float, calibrated: float, worse: bool) -> None:
    assert told(without, calibrated, calibrated - without).worse is worse


def test_of_several_arms_the_same_arms_are_compared() -> None:
    """Arms differ by more than the calibration costs: only arm by arm is it seen."""
    costs = [-0.05, -0.06, -0.04, -0.05] * 4
    assert told(0.5, 0.45, *costs).worse
    assert not told(0.5, 0.45, *costs[:8]).worse  # of four pairs nothing is sure
    mixed = told(0.5, 0.45, *[-0.3, 0.1, 0.0, 0.15] * 4)
    assert not mixed.worse
    assert (mixed.better, mixed.fewer) == (8, 4)


def test_a_handful_of_targets_is_not_called_worse() -> None:
    few = [0.0] * 32
    few[::8] = [-1 / 15] * 4
    assert not told(1.0, 0.99, *few).worse


def test_mirror_images_that_do_alike_are_no_two_witnesses() -> None:
    random, alarms = np.random.default_rng(0), 0
    for _ in range(1000):
        pairs = random.normal(0.0, 0.2, 16)  # on average the calibration changes nothing
        alarms += told(0.5, 0.5, *np.repeat(pairs, 2)).worse
    assert alarms < 0.05 * 1000


@pytest.mark.parametrize(("a", "b", "least"), [(2.0, 2.0, 0.92), (3.0, 0.3, 0.86), (30.0, 6.0, 0.92)])
def test_an_interval_holds_the_next_arm(a: float, b: float, least: float) -> None:
    """Shares of targets of 32 arms in pairs that do alike; some that miss much, and arms that hardly differ."""
    random, which, inside = np.random.default_rng(0), np.arange(480) % 32, []
    for _ in range(300):
        shares = np.repeat(random.beta(a, b, 16), 2)
        flown = Flown.of(Episodes(random.random(480) < shares[which], np.zeros(480), np.zeros(480)), which)
        inside.append(flown.success.low <= random.beta(a, b) <= flown.success.high)
    assert np.mean(inside) > least


def test_chance_alone_is_no_difference_between_arms() -> None:
    random, which = np.random.default_rng(0), np.arange(480) % 32
    apart = [Spread.of((random.random(480) < 0.8).astype(float), which).apart for _ in range(200)]
    assert np.mean(2.0 * 1.96 * np.array(apart) > OPEN) < 0.05
    assert over_arms(np.arange(10.0), np.zeros(10, dtype=np.intp)) == mean(np.arange(10.0))


def test_an_arm_that_the_data_allow_is_one_of_those_that_are_flown() -> None:
    known = {"pendulum.offset": Number(0.0, -0.1, 0.1, seen=False)}
    given = replace(healthy(SPEC), physics=known, alike=((0.1,), (-0.1,)))
    world = AsItIs("hold", SPEC, range(4), given, trial=True, which=np.array([0, 1, 1, 0]))
    world.reset()
    np.testing.assert_array_equal(world._offset[:, 0], [0.1, -0.1, -0.1, 0.1])
    drawn = AsItIs("hold", SPEC, range(40), given, trial=True)
    drawn.reset()
    assert set(drawn._offset[:, 0]) == {0.1, -0.1}


def test_arms_are_told_apart_and_what_makes_them_miss_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every second pair stands askew by more than the tolerance, which maps that know of nothing cannot mend."""
    monkeypatch.setitem(GOALS, "hold", replace(GOALS["hold"], episode=2.5))
    known = {
        "pendulum.offset": Number(0.0, -0.1, 0.1, seen=False, unit="rad"),
        "delay": Number(0.006, 0.004, 0.008, seen=True, unit="s"),
    }
    alike = ((0.1, 0.007), (-0.1, 0.005), (0.0, 0.005), (0.0, 0.007))
    found = forecast(replace(healthy(SPEC), physics=known, alike=alike), HOLD, SPEC, count=8, threads=1)
    assert found.calibrated.success.mean == found.as_it_is.success.mean == 0.5
    assert found.gain == (0.0, 0.0, 0.0, 0.0)
    assert found.blamed == "pendulum.offset"
    assert found.open
    knows = replace(healthy(SPEC, 0.1), physics=known, alike=alike)  # of the first arm's askew zero
    assert forecast(knows, HOLD, SPEC, count=8, threads=1).gain == (1.0, 0.0, -1.0, -1.0)


def test_a_refined_calibration_is_flown_on_arms_that_it_was_not_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the others it does better than on the next one."""
    known = {"pendulum.offset": Number(0.0, -0.1, 0.1, seen=False)}
    alike = tuple((0.001 * arm,) for arm in range(32))
    given = replace(healthy(SPEC), physics=known, alike=alike)
    digest = load_policy(HOLD, SPEC).digest
    refined = replace(given, refined=Refined(digest, "hold", 1, 1, 1, (0, 1), (1, 0)))
    flown = []

    def over(task: ArmTask, *_: object) -> Episodes:
        task.reset()
        if isinstance(task, IdentifiedArm):
            flown.append(np.unique(np.round(task._offset[:, 0] / 0.001).astype(int)))
        return Episodes(np.arange(task.count) % 3 == 0, np.zeros(task.count), np.zeros(task.count))

    monkeypatch.setattr(forecasting, "episodes", over)
    assert len(forecast(refined, HOLD, SPEC, count=16, threads=1).gain) == 8
    forecast(given, HOLD, SPEC, count=64, threads=1)
    as_it_is, calibrated, *every = flown
    np.testing.assert_array_equal(as_it_is, range(24, 32))
    np.testing.assert_array_equal(calibrated, range(24, 32))
    assert all(len(arms) == 32 for arms in every)


def test_too_few_targets_for_so_many_arms_are_refused() -> None:
    known = {"pendulum.offset": Number(0.0, -0.1, 0.1, seen=False)}
    given = replace(healthy(SPEC), physics=known, alike=((0.1,), (-0.1,)) * 8)
    with pytest.raises(NotTogetherError, match="fly 32 or more"):
        forecast(given, HOLD, SPEC, count=31, threads=1)


def test_a_calibration_from_before_files_told_which_arms_are_allowed_is_refused() -> None:
    old = replace(crooked(0.1), alike=())
    with pytest.raises(NotTogetherError, match="fit it again"):
        forecast(old, HOLD, SPEC, count=2, threads=1)
    with pytest.raises(ValueError, match="without arms"):  # nobody flies the data files' arm instead
        AsItIs("hold", SPEC, range(1), old)


@pytest.mark.parametrize(
    ("change", "policy", "says"),
    [
        (lambda c: replace(c, identity=replace(c.identity, mjcf_digest="0" * 64)), HOLD, "the calibration is of"),
        (lambda c: replace(c, maps={"observation": c.maps["observation"]}), HOLD, "torque map"),
        (lambda c: replace(c, refined=Refined("other", "hold", 1, 1, 1, (0, 1), (1, 0))), HOLD, "another policy"),
        (lambda c: c, REACH, "open-manipulator-x"),
    ],
)
def test_what_does_not_go_together_is_refused(
    change: Callable[[Calibration], Calibration], policy: Path, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        forecast(change(healthy(SPEC)), policy, SPEC, count=2, threads=1)
    with pytest.raises(NotTogetherError, match="its observation is"):
        forecast(healthy(SPEC), HOLD, SPEC, task="track", count=2, threads=1)


@pytest.mark.parametrize("meaning", ["position", "velocity"])
def test_actions_that_the_identified_arm_does_not_take_are_named_with_those_that_it_takes(meaning: str) -> None:
    policy = load_policy(HOLD, SPEC)
    action = replace(policy.contract.action, meaning=meaning)
    other = replace(policy, contract=replace(policy.contract, action=action))
    with pytest.raises(NotTogetherError, match=f"of meaning '{meaning}'.*by torque, position_delta, duty.*robot-run"):
        require_together(healthy(SPEC), other, SPEC, "hold")


def test_a_calibration_that_was_not_accepted_may_be_asked() -> None:
    with pytest.raises(StoppedError):
        forecast(replace(healthy(SPEC), accepted=False), HOLD, SPEC, count=2, threads=1, stop=lambda: True)


def test_data_that_leave_much_open_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"pendulum.offset": Number(0.0, -0.1, 0.1, seen=False, unit="rad")}
    replace(healthy(SPEC), physics=known, alike=((0.1,), (-0.1,))).write(tmp_path / "arm.cal")
    for apart, blames, said in ((0.2, "", ""), (0.5, "pendulum.offset", "pendulum.offset (-0.1 to 0.1 rad) most")):
        found = told(0.5, 0.7, 0.3, 0.1, apart=apart, blamed=blames)
        monkeypatch.setattr(forecasting, "forecast", lambda *_, found=found, **__: found)
        assert main(["forecast", str(tmp_path / "arm.cal"), "--policy", str(HOLD)]) == 0
        out = capsys.readouterr().out
        assert ("leave much of this arm open" in out) is bool(said)
        assert said in out
        assert "on 2 of 2 arms" in out


@pytest.mark.parametrize(("calibrated", "code"), [(0.9, 0), (0.2, 6)])
def test_the_command_tells_three_figures_and_whether_it_is_worth_it(
    calibrated: float,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cal = tmp_path / "arm.cal"
    healthy(SPEC).write(cal)
    gain = calibrated - 0.5
    monkeypatch.setattr(forecasting, "forecast", lambda *_, **__: told(0.5, calibrated, *[gain] * 16))
    assert main(["forecast", str(cal), "--policy", str(HOLD)]) == code
    said = capsys.readouterr().out
    assert "on this arm, as it is" in said
    assert f"{calibrated:.0%}" in said
    assert ("WORSE" in said) is (code == 6)
    assert "pendulum's zero, which may be 40 mrad off" in said
    assert main(["forecast", str(cal), "--policy", str(HOLD), "--json"]) == code
    (line,) = capsys.readouterr().out.splitlines()
    facts = json.loads(line)
    assert facts["calibrated"]["success"]["mean"] == calibrated
    assert facts["worse"] is (code == 6)
    assert (facts["better"], facts["fewer"]) == ((0, 16) if code else (16, 0))


def test_the_command_says_what_is_wrong_with_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forecast", str(tmp_path / "none.cal"), "--policy", str(HOLD)]) == 2
    assert "none.cal" in capsys.readouterr().err
