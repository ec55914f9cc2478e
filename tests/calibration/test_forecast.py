"""What a policy will do before it flies: three times the same policy, in three worlds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.cli.calibrate import main
from calibration.refine import forecast as forecasting
from calibration.refine.forecast import AsItIs, Flown, Forecast, forecast, over_arms, untold
from calibration.refine.pipeline import RefineError, StoppedError
from robot_runtime.arm import Kinematics
from robot_runtime.calibrated.file import Calibration, Number, Refined
from robot_runtime.spec import load_arm
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


def figure(mean: float, half: float = 0.05) -> Flown:
    return Flown(Figure(mean, mean - half, mean + half), Figure(0.01, 0.009, 0.011))


def told(without: float, calibrated: float, *gain: float) -> Forecast:
    return Forecast("hold", "mrad", figure(1.0), figure(without), figure(calibrated), gain, {"pendulum": 0.04})


@pytest.mark.parametrize(("without", "calibrated", "worse"), [(0.5, 0.9, False), (0.9, 0.82, False), (0.9, 0.5, True)])
def test_worse_is_what_surely_costs_successes(without: float, calibrated: float, worse: bool) -> None:
    assert told(without, calibrated, calibrated - without).worse is worse


def test_of_several_arms_the_same_arms_are_compared() -> None:
    """Arms differ by more than the calibration costs: only arm by arm is it seen."""
    assert told(0.5, 0.45, -0.05, -0.06, -0.04, -0.05).worse
    mixed = told(0.5, 0.45, -0.3, 0.1, 0.0, -0.1)
    assert not mixed.worse
    assert (mixed.better, mixed.fewer) == (1, 2)


def test_an_interval_is_as_wide_as_the_arms_differ_without_chance() -> None:
    random, which = np.random.default_rng(0), np.arange(2000) % 20
    alike = [over_arms((random.random(2000) < 0.7).astype(float), which) for _ in range(30)]
    wide = np.array([figure.high - figure.low for figure in alike])
    assert wide.mean() < 0.11  # by chance alone 20 arms with 100 targets each lie 0.18 apart
    assert np.mean([figure.low < 0.7 < figure.high for figure in alike]) >= 0.9
    shares = np.where(np.arange(20) % 2, 0.9, 0.5)
    apart = over_arms((random.random(2000) < shares[which]).astype(float), which)
    assert apart.low < 0.5
    assert apart.high > 0.9
    one = over_arms(np.arange(10.0), np.zeros(10, dtype=np.intp))
    assert one == mean(np.arange(10.0))


def test_an_arm_that_the_data_allow_is_one_of_those_that_are_flown() -> None:
    known = {"pendulum.offset": Number(0.0, -0.1, 0.1, seen=False)}
    given = replace(healthy(SPEC), physics=known, alike=((0.1,), (-0.1,)))
    world = AsItIs("hold", SPEC, range(4), given, trial=True, which=np.array([0, 1, 1, 0]))
    world.reset()
    np.testing.assert_array_equal(world._offset[:, 0], [0.1, -0.1, -0.1, 0.1])
    drawn = AsItIs("hold", SPEC, range(40), given, trial=True)
    drawn.reset()
    assert set(drawn._offset[:, 0]) == {0.1, -0.1}


def test_a_calibration_from_before_files_told_which_arms_are_allowed_is_refused() -> None:
    with pytest.raises(RefineError, match="fit it again"):
        forecast(replace(crooked(0.1), alike=()), HOLD, SPEC, count=2, threads=1)


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
    with pytest.raises(RefineError, match="its observation is"):
        forecast(healthy(SPEC), HOLD, SPEC, task="track", count=2, threads=1)


def test_a_calibration_that_was_not_accepted_may_be_asked() -> None:
    with pytest.raises(StoppedError):
        forecast(replace(healthy(SPEC), accepted=False), HOLD, SPEC, count=2, threads=1, stop=lambda: True)


def test_data_that_leave_much_open_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    healthy(SPEC).write(tmp_path / "arm.cal")
    for half, said in ((0.05, False), (0.2, True)):
        found = replace(told(0.5, 0.7, 0.3, 0.2), calibrated=figure(0.7, half))
        monkeypatch.setattr(forecasting, "forecast", lambda *_, found=found, **__: found)
        assert main(["forecast", str(tmp_path / "arm.cal"), "--policy", str(HOLD)]) == 0
        assert ("leave much of this arm open" in capsys.readouterr().out) is said


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
    monkeypatch.setattr(forecasting, "forecast", lambda *_, **__: told(0.5, calibrated, gain, gain, gain))
    assert main(["forecast", str(cal), "--policy", str(HOLD)]) == code
    said = capsys.readouterr().out
    assert "on this arm, as it is" in said
    assert f"{calibrated:.0%}" in said
    assert ("WORSE" in said) is (code == 6)
    assert "pendulum's zero, which may be 40 mrad off" in said
    assert main(["forecast", str(cal), "--policy", str(HOLD), "--json"]) == code
    facts = json.loads(capsys.readouterr().out)
    assert facts["calibrated"]["success"]["mean"] == calibrated
    assert facts["worse"] is (code == 6)
    assert (facts["better"], facts["fewer"]) == ((0, 3) if code else (3, 0))


def test_the_command_says_what_is_wrong_with_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forecast", str(tmp_path / "none.cal"), "--policy", str(HOLD)]) == 2
    assert "none.cal" in capsys.readouterr().err
