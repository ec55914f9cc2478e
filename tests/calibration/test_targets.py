"""Targets of maps are motion that was measured: none is made up across holes of a log."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibration.logs.log import Log, make_log
from calibration.logs.windows import LONGEST_HOLE
from calibration.maps.fit import SENSE_HISTORY, TORQUE_HISTORY, goal_inputs, torque_inputs
from calibration.maps.targets import BEND_REACH, LEAD, TAIL, Track, track
from calibration.physics.rollout import Rig
from robot_runtime.spec import load_arm

JOINTS = ("shoulder_lift", "elbow_flex")
PERIOD = 0.005


@pytest.fixture(scope="module")
def rig() -> Rig:
    return Rig.of(load_arm("koch-v1.1"), JOINTS)


def swing(seconds: float = 12.0) -> Log:
    time = np.arange(0.0, seconds, PERIOD)
    q = np.stack([np.sin(2 * time), np.cos(2 * time)], axis=1)
    dq = np.stack([2 * np.cos(2 * time), -2 * np.sin(2 * time)], axis=1)
    return make_log("swing", JOINTS, ["position"] * 2, time, q, q, dq=dq, duty=np.zeros_like(q))


def made(rig: Rig, log: Log) -> Track:
    return track(rig, log, PERIOD, np.zeros(2), ahead=0.01)


def around(hole: tuple[float, float], seconds: float = 12.0) -> np.ndarray:
    """Which samples' histories or polynomials look into it."""
    at = np.arange(0.0, seconds, PERIOD)[:-1]
    reach = max(*SENSE_HISTORY, *TORQUE_HISTORY) + BEND_REACH
    return np.asarray((at > hole[0] - BEND_REACH) & (at < hole[1] + reach))


def test_motion_across_a_pause_of_the_log_is_no_target(rig: Rig) -> None:
    log, holes = swing(), [(1.5 + k, 2.1 + k) for k in range(8)]
    lost = np.any([(log.time > a) & (log.time < b) for a, b in holes], axis=0)
    found, whole = made(rig, log.cut(np.flatnonzero(~lost))), made(rig, log)
    for hole in holes:
        assert not found.usable[around(hole)].any()
    left = found.usable[:, 0]
    assert left.sum() == pytest.approx(whole.usable[:, 0].sum() - 8 * (0.6 + LEAD + TAIL) / PERIOD, rel=0.05)
    np.testing.assert_allclose(found.true_dq[left], whole.true_dq[left], atol=1e-6)
    np.testing.assert_allclose(found.torque[left], whole.torque[left], atol=1e-4)


def test_a_hole_of_one_joint_tells_nothing_of_torques_of_the_others(rig: Rig) -> None:
    log, hole = swing(), (4.0, 4.6)
    bad = np.zeros_like(log.valid)
    bad[(log.time > hole[0]) & (log.time < hole[1]), 0] = True
    found = made(rig, log.without(bad, "lost"))
    assert not found.usable[around(hole), 0].any()
    assert found.usable[around(hole), 1].all()
    assert not found.moving[around(hole)].any()


def test_what_is_not_seen_at_the_ends_is_a_hole_too(rig: Rig) -> None:
    log = swing()
    bad = np.zeros_like(log.valid)
    bad[(log.time < 1.0) | (log.time > 11.0), 0] = True
    found = made(rig, log.without(bad, "lost"))
    assert not found.usable[around((-1.0, 1.0)) | around((11.0, 13.0)), 0].any()


def test_single_lost_samples_cost_no_more_than_themselves(rig: Rig) -> None:
    log = swing()
    bad = np.zeros_like(log.valid)
    bad[500::200] = True
    assert 2 * PERIOD < LONGEST_HOLE
    found, whole = made(rig, log.without(bad, "lost")), made(rig, log)
    np.testing.assert_array_equal(found.usable, whole.usable & ~bad[:-1])


def test_speeds_of_bad_samples_are_in_no_history(rig: Rig) -> None:
    """A spike's neighbours are good, and look back over it."""
    log = swing()
    dq, bad = log.dq.copy(), np.zeros_like(log.valid)
    bad[500::200] = True
    dq[bad] = 24.0
    found = made(rig, replace(log, dq=dq).without(bad, "spikes"))
    np.testing.assert_allclose(found.dq, made(rig, log).dq, atol=1e-3)


def test_a_log_without_speeds_stays_without(rig: Rig) -> None:
    log = swing()
    assert np.isnan(made(rig, replace(log, dq=np.full_like(log.dq, np.nan))).dq).all()


def test_a_log_that_knows_its_supply_is_judged_by_that(rig: Rig) -> None:
    """By the median of all logs a right map looks wrong on that of a day when the supply was lower."""
    usual = np.array([12.0, 5.0])
    for volts, own in (((np.nan, np.nan), usual), ((11.1, np.nan), (11.1, 5.0)), ((11.1, 4.4), (11.1, 4.4))):
        found = made(rig, replace(swing(), volts=np.tile(volts, (len(swing()), 1))))
        for inputs in (torque_inputs(found, (0, 1), usual), goal_inputs(found, (0, 1), usual)):
            np.testing.assert_allclose(inputs[..., -3], np.tile(own, (len(found), 1)))
