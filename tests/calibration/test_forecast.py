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
from calibration.refine.forecast import AsItIs, Flown, Forecast, forecast, untold
from calibration.refine.pipeline import RefineError, StoppedError
from robot_runtime.arm import Kinematics
from robot_runtime.calibrated.file import Calibration, Number, Refined
from robot_runtime.spec import load_arm
from sim.tasks.goals import GOALS
from sim.training.evaluate import Figure
from tests.robot_runtime.calibrated.made import healthy

POLICIES = Path(__file__).parents[2] / "models" / "policies"
HOLD, REACH = POLICIES / "hold-xl330-pendulum.onnx", POLICIES / "reach-open-manipulator-x.onnx"
SPEC = load_arm("xl330-pendulum")


def crooked(offset: float) -> Calibration:
    """Of an arm whose encoder sits askew, and whose maps know it."""
    known = {"pendulum.offset": Number(offset, offset, offset, seen=True)}
    return replace(healthy(SPEC, offset), physics=known)


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


def figure(mean: float) -> Flown:
    return Flown(Figure(mean, mean - 0.05, mean + 0.05), Figure(0.01, 0.009, 0.011))


@pytest.mark.parametrize(("without", "calibrated", "worse"), [(0.5, 0.9, False), (0.9, 0.82, False), (0.9, 0.5, True)])
def test_worse_is_what_surely_costs_successes(without: float, calibrated: float, worse: bool) -> None:
    assert Forecast("reach", "mm", figure(1.0), figure(without), figure(calibrated), {}).worse is worse


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
    told = Forecast("hold", "mrad", figure(1.0), figure(0.5), figure(calibrated), {"pendulum": 0.04})
    monkeypatch.setattr(forecasting, "forecast", lambda *_, **__: told)
    assert main(["forecast", str(cal), "--policy", str(HOLD)]) == code
    said = capsys.readouterr().out
    assert "on this arm, as it is" in said
    assert f"{calibrated:.0%}" in said
    assert ("WORSE" in said) is (code == 6)
    assert "pendulum's zero, which may be 40 mrad" in said
    assert main(["forecast", str(cal), "--policy", str(HOLD), "--json"]) == code
    facts = json.loads(capsys.readouterr().out)
    assert facts["calibrated"]["success"]["mean"] == calibrated
    assert facts["worse"] is (code == 6)


def test_the_command_says_what_is_wrong_with_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forecast", str(tmp_path / "none.cal"), "--policy", str(HOLD)]) == 2
    assert "none.cal" in capsys.readouterr().err
