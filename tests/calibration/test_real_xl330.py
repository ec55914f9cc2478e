"""Sixteen logs of a real XL330: what docs/calibration.md claims, as far as it is quick."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from calibration.judging.align import check_law, follow
from calibration.logs.clean import clean, unusable
from calibration.logs.ingest import load_mapping, read_log
from calibration.logs.log import Log
from calibration.logs.windows import cut, open_volts
from calibration.maps.fit import fit_observation_map, fit_torque_map, sense_scores, torque_scores, whole
from calibration.maps.targets import Track, track
from calibration.physics.fit import fit
from calibration.physics.law import Laws
from calibration.physics.numbers import Physics
from calibration.physics.rollout import Rig, rollout

MAPPING = load_mapping(Path(__file__).parents[2] / "calibration/rigs/xl330-bench/mapping.toml")
RIG = Rig.of(MAPPING.spec)
SECONDS = 5.98
UNSEEN = "400"  # the gain that no fit sees


@pytest.fixture(scope="module")
def logs() -> list[Log]:
    root = Path(os.environ.get("ROBOT_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
    files = sorted((root / "xl330_pendulum").glob("*.json"))
    if not files:
        pytest.skip(f"no logs of a real XL330 in {root}; set ROBOT_DATA to the folder that holds xl330_pendulum")
    return [read_log(file, MAPPING) for file in files]


@pytest.fixture(scope="module")
def tracks(logs: list[Log]) -> dict[str, Track]:
    offset = np.array([0.0171])
    return {log.name: track(RIG, log, 0.005, offset, friction=False, until=SECONDS) for log in logs}


def test_they_obey_the_position_law_and_are_clean(logs: list[Log]) -> None:
    laws = Laws(MAPPING.spec.joints)
    for log in logs:
        assert not unusable(clean(log, MAPPING.spec.joints))
        assert not [f.problem for f in follow(log) if "swapped" in f.problem or "against" in f.problem]
        for law in check_law(log, laws):
            assert law.problem == ""
            assert law.slope == pytest.approx(1.0, abs=0.05)


@pytest.mark.slow
def test_physics_of_the_other_gains_simulates_the_unseen_one(logs: list[Log]) -> None:
    kinds = ["torque_constant", "resistance", "armature", "coulomb", "viscous", "load_friction", "offset"]
    seen = [log for log in logs if log.notes["gain"] != UNSEEN]
    unseen = [log for log in logs if log.notes["gain"] == UNSEEN]
    found = fit(RIG, cut(seen, 0.5, until=SECONDS), [*kinds, "delay", "supply_resistance"], threads=1)
    for length, most in ((np.inf, 0.0422), (0.5, 0.0242)):
        windows = cut(unseen, length, until=SECONDS)
        q, _ = rollout(RIG, found.physics, found.z, windows, threads=1)
        assert np.abs(q[0] - windows.q).mean() < most


def test_the_maps_of_the_other_gains_hold_on_the_unseen_one(logs: list[Log], tracks: dict[str, Track]) -> None:
    seen = [whole(tracks[log.name]) for log in logs if log.notes["gain"] != UNSEEN]
    unseen = [whole(tracks[log.name]) for log in logs if log.notes["gain"] == UNSEEN]
    volts = np.median([open_volts(log) for log in logs], axis=0)
    numbers = {k: v[0] for k, v in Physics(RIG.world, ()).expand(np.zeros(0)).items()}
    torque = fit_torque_map(RIG, numbers, seen, volts, friction=False, duty=True, network=False)
    score = torque_scores(torque, unseen, volts, duty=True)
    assert score["map"][0] < 0.020 < score["physics"][0]
    sense = sense_scores(fit_observation_map(RIG, numbers, seen, network=False), unseen)
    assert sense["map"][0] < 0.092 < sense["register"][0]
