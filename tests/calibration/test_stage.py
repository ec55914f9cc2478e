"""What the stage of maps fits to, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from calibration.logs.splits import Split, Unit
from calibration.maps.fit import Part, fit_observation_map, sense_scores
from calibration.maps.modules import ObservationMap
from calibration.maps.practice import ARMS
from calibration.maps.stage import UNSEEN, MapStage
from calibration.maps.targets import Track
from calibration.physics.fit import Fitted
from calibration.physics.numbers import Physics
from calibration.physics.rollout import Rig
from robot_runtime.arrays import Floats
from robot_runtime.spec import load_arm
from tests.calibration.test_practice import LEAD, PERIOD, VOLTS, a_log


def made(mode: str = "pwm") -> tuple[MapStage, Split]:
    """Of the pendulum with its data files' numbers, and a delay; the last fifth is held out."""
    spec = load_arm("xl330-pendulum")
    rig, log = Rig.of(replace(spec, joints=(replace(spec.joints[0], mode=mode),))), a_log()
    physics = Physics(rig.world, ("delay",))
    fitted = Fitted(physics, physics.z(np.array([LEAD])), np.eye(1), np.ones(1), 1.0, 1, (1.0, 1.0), ())
    last = np.arange(len(log)) >= 0.8 * len(log)
    split = Split("last", (Unit("train", 0, ~last),), (Unit("last", 0, last),))
    return MapStage(rig, [log], fitted, VOLTS, PERIOD), split


def test_what_is_chosen_by_its_score_is_not_fitted_again() -> None:
    stage, split = made()
    for fit in (stage.observation, stage.torque):
        first = fit(split.train, "physics")
        assert fit(split.train, "linear") is not first
        assert fit(split.train, "physics") is first
        assert fit(split.test, "physics") is not first


def test_practice_counts_as_much_as_the_recording_and_is_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, split = made()
    fitted: list[Track] = []
    scored: list[Sequence[Part]] = []

    def fit(*a: Any, practised: Sequence[Track], **k: Any) -> ObservationMap:
        fitted.extend(practised)
        return fit_observation_map(*a, practised=practised, **k)

    def scores(found: ObservationMap, parts: Sequence[Part]) -> dict[str, Floats]:
        scored.append(parts)
        return sense_scores(found, parts)

    monkeypatch.setattr("calibration.maps.stage.fit_observation_map", fit)
    monkeypatch.setattr("calibration.maps.stage.sense_scores", scores)
    score = stage.observation_score(split, "linear")
    (recorded,), unseen = scored[0], [track for track, _ in scored[1]]
    assert recorded[0].name == "smooth"
    assert len(fitted) == ARMS - UNSEEN
    assert len(unseen) == UNSEEN
    assert not {id(track) for track in fitted} & {id(track) for track in unseen}
    alone = stage.velocity_error(stage.observation(split.train, "linear"), split)
    spread = np.concatenate([track.wanted_dq for track in (*fitted, *unseen)]).std()
    practised = sense_scores(stage.observation(split.train, "linear"), scored[1])["map"] / spread
    assert score == pytest.approx(np.sqrt((alone**2 + practised**2) / 2.0))


def test_joints_that_follow_goals_do_not_practise() -> None:
    stage, split = made("position")
    alone = stage.velocity_error(stage.observation(split.train, "physics"), split)
    np.testing.assert_array_equal(stage.observation_score(split, "physics"), alone)
