"""Joints that are not fitted stand still in the model: what they moved in is not used, and that is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibration import pipeline
from calibration.excitation.spans import Span
from calibration.judging.examine import RefusedLogError
from calibration.logs.load import LeftOut, Loaded
from calibration.logs.log import make_log
from calibration.logs.modelled import AROUND, NotModelledError, as_modelled
from calibration.logs.splits import splits
from calibration.logs.windows import cut
from calibration.recording.gentler import MOVED
from robot_runtime.arrays import Floats
from robot_runtime.spec import load_arm

SPEC = load_arm("open-manipulator-x")
FITTED = ("joint1", "joint2", "joint4")
TIME = np.arange(0.0, 20.0, 0.01)
STOOD = 0.8
SPANS = (Span("sweep-1", "sweep", 1.0, 8.0, whole=True), Span("chirp-2-check", "chirp", 9.0, 19.0, whole=True))


def recorded(joint3: Floats, spans: tuple[Span, ...] = SPANS, gripper: float = 0.0) -> Loaded:
    """Everything moves, joint3 like this; in the end it is left out where it stands."""
    q = np.tile(np.sin(TIME)[:, None], (1, len(SPEC.joints)))
    q[:, 2], q[:, 4] = joint3, gripper * np.sin(TIME)
    modes = [joint.mode for joint in SPEC.joints]
    log = make_log("flight-01", SPEC.joint_names, modes, TIME, q, 0.0 * q, dq=np.gradient(q, 0.01, axis=0))
    return Loaded(log, None, "", None, spans, {"joint3": LeftOut(STOOD, "joint3 did not move")})


def moved(begin: float, end: float) -> Floats:
    """It stands where it is left out, but for this time."""
    within = (begin < TIME) & (end > TIME)
    return STOOD + 0.5 * np.sin(np.pi * (TIME - begin) / (end - begin)) * within


def test_segments_in_which_it_moved_are_neither_fitted_to_nor_judged_by() -> None:
    one = recorded(moved(2.0, 6.0))
    arm, (kept,), (said,) = as_modelled([one], SPEC, FITTED)
    assert arm.poses["home"][:3] == (0.0, -1.0, STOOD)
    assert [span.name for span in kept.spans] == ["chirp-2-check"]
    assert not ((kept.log.time >= 1.0) & (kept.log.time <= 8.0)).any()
    assert [unit.name for split in splits([kept]) for unit in (*split.train, *split.test)] == ["chirp-2-check"]
    assert said == (
        "flight-01: 7 s (sweep-1) of 20 s are not used: joint3 was up to 0.50 rad from 0.800 rad, where the model has "
        "it stand"
    )


@pytest.mark.parametrize("spans", [(), SPANS[1:]])
def test_outside_of_segments_no_rollout_goes_through_what_it_moved_in(spans: tuple[Span, ...]) -> None:
    one = recorded(moved(2.0, 6.0), spans)
    _, (kept,), _ = as_modelled([one], SPEC, FITTED)
    assert kept.spans == spans
    windows = cut([kept.log], 0.5)
    at = windows.begin[:, None] + np.arange(windows.q.shape[1]) * windows.step * windows.every
    used = at[windows.weight.all(axis=2) > 0]
    assert ((used < 2.2) | (used > 5.8)).all()
    assert used.min() < 2.0 - 2 * AROUND
    assert used.max() > 6.0 + 2 * AROUND
    off = np.abs(kept.log.q[:, 2] - STOOD)
    assert off.max() <= MOVED


def test_what_stood_where_the_model_has_it_is_used_whole() -> None:
    one = recorded(np.full_like(TIME, STOOD + 0.9 * MOVED), gripper=0.5)
    _, kept, said = as_modelled([one], SPEC, FITTED)
    assert kept == [one], "no law is known for the gripper: it is never fitted, and may move"
    assert said == ()


def test_a_joint_that_is_fitted_may_be_anywhere() -> None:
    one = recorded(moved(2.0, 6.0))
    assert as_modelled([replace(one, left_out={})], SPEC, (*FITTED, "joint3"))[2] == ()


def test_a_recording_that_has_it_stand_elsewhere_throughout_is_not_used() -> None:
    good, other = recorded(np.full_like(TIME, STOOD)), recorded(np.full_like(TIME, 0.2))
    _, kept, (said,) = as_modelled([good, other], SPEC, FITTED)
    assert kept == [good]
    assert "up to 0.60 rad from 0.800 rad" in said
    with pytest.raises(NotModelledError, match="nothing of these logs can be used:\n  flight-01: 20 s .sweep-1, chirp"):
        as_modelled([other], SPEC, FITTED)


def test_a_joint_that_was_not_calibrated_stands_where_the_logs_mostly_have_it() -> None:
    """Torque joints are held by a soft spring, and sag by more than they may move."""
    one = replace(recorded(moved(2.0, 6.0)), left_out={})
    arm, (kept,), _ = as_modelled([one], SPEC, FITTED)
    assert arm.poses["home"][2] == pytest.approx(STOOD)
    assert [span.name for span in kept.spans] == ["chirp-2-check"]
    nobody_knows = replace(one, log=one.log.select([*FITTED, "gripper"]))
    arm, kept_whole, said = as_modelled([nobody_knows], SPEC, FITTED)
    assert (arm, kept_whole, said) == (SPEC, [nobody_knows], ())


def test_a_fit_that_has_too_little_left_says_why() -> None:
    one = recorded(moved(2.0, 6.0))
    with pytest.raises(RefusedLogError, match=r"(?s)these logs cannot be fitted.*flight-01: 7 s \(sweep-1\) of 20 s"):
        pipeline.calibrate([replace(one, log=replace(one.log, command=one.log.q * np.nan))], SPEC)


def test_judging_alone_is_no_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "examine", lambda *_: ())
    with pytest.raises(RefusedLogError, match=r"(?s)only segments that are for judging are left.*7 s \(sweep-1\)"):
        pipeline.calibrate([recorded(moved(2.0, 6.0))], SPEC)
