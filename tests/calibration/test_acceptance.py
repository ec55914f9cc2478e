"""What acceptance must not be blind to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import mujoco
import numpy as np
import pytest

from calibration.judging.acceptance import UNTOLD, Rollouts, accepted, advice, judge
from calibration.judging.closed_loop import Flown
from calibration.logs.windows import Windows, cut
from calibration.maps.stage import weights
from calibration.physics.fit import Fitted, Problem, error_scale, uncertainty
from calibration.physics.identify import Delays, heavier, mean_error
from calibration.physics.numbers import Physics
from calibration.physics.rollout import Rig, rollout
from robot_runtime.arrays import Floats
from robot_runtime.calibrated.file import Row
from robot_runtime.spec import load_arm
from tests.calibration.recordings import record

GAP = """
name = "play"
command_delay = 0.010
[all]
backlash = 0.002
[supply]
internal_resistance = 0.1
"""
PERIOD = 0.005  # s, of the bus
JOINTS = ("joint2", "joint3", "joint4")
KINDS = ("torque_constant", "coulomb", "offset", "link_mass", "payload")
KNOWN = {"delay": np.array([0.013]), "supply_resistance": np.array([0.1])}


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Rig, Windows]:
    gap = tmp_path_factory.mktemp("gap") / "gap.toml"
    gap.write_text(GAP)
    rig = Rig.of(load_arm("open-manipulator-x"), JOINTS)
    log, _ = record("open-manipulator-x", str(gap), JOINTS, 10.0)
    return rig, cut([log.select(rig.world.names)], 0.5, lead=0.5)


@pytest.fixture(scope="module")
def true(arm: tuple[Rig, Windows]) -> Fitted:
    """The arm's own numbers, with what the windows say of them."""
    rig, windows = arm
    physics = Physics(rig.world, KINDS, KNOWN)
    z = np.zeros(len(physics))
    problem = Problem(rig, physics, windows, np.full(len(JOINTS), 0.01), threads=1)
    problem = Problem(rig, physics, windows, error_scale(problem.errors(z)[0], windows.weight[:, 1:]), threads=1)
    known = uncertainty(problem, z)
    return Fitted(physics, z, known.covariance, problem.scale, known.condition, 0, (0.0, 0.0), ())


def runaway(found: Fitted) -> Fitted:
    """What a fit once came to, where a payload could weigh less than nothing."""
    ran = {"payload": -0.0162, "joint2.link_mass": 1.108, "joint3.link_mass": 0.757, "joint4.link_mass": 1.303}
    ran |= {"joint4.offset": 0.036, "joint2.offset": 0.0015, "joint3.offset": -0.0006}
    ran |= {"joint2.torque_constant": 2.367 * 1.0287, "joint3.torque_constant": 2.367 * 1.0207}
    return replace(found, z=found.physics.z(np.array([ran.get(k, v) for k, v in found.values.items()])))


def errors(arm: tuple[Rig, Windows], found: Fitted) -> Floats:
    rig, windows = arm
    q, _ = rollout(rig, found.physics, found.z, windows, threads=1)
    return mean_error((q[0] - windows.q)[:, 1:])


def holding(rig: Rig, numbers: Mapping[str, Floats], poses: Floats) -> Floats:
    """N·m to ask of the arm for it to stand there, if the numbers are right."""
    weight = weights(heavier(rig, numbers).world.model, poses + numbers["offset"])
    return np.asarray(weight * rig.laws.constant / numbers["torque_constant"])


def tips(rig: Rig, numbers: Mapping[str, Floats], poses: Floats) -> Floats:
    model, found = rig.world.model, []
    data = mujoco.MjData(model)
    for q in poses + numbers["offset"]:
        data.qpos[:] = q
        mujoco.mj_kinematics(model, data)
        found.append(data.site_xpos[rig.world.tip].copy())
    return np.array(found)


def verdict(arm: tuple[Rig, Windows], found: Fitted) -> tuple[Row, ...]:
    nominal = np.full(len(JOINTS), 0.03)  # of a simulator as it comes, on an arm with a gap
    return judge(
        "held out", JOINTS, Rollouts(nominal, errors(arm, found)), found, 0.0, {}, {}, {}, np.zeros(len(JOINTS)), PERIOD
    )


def test_the_arms_own_numbers_are_accepted(arm: tuple[Rig, Windows], true: Fitted) -> None:
    assert accepted(verdict(arm, true))


def test_numbers_that_make_up_for_each_other_are_refused(arm: tuple[Rig, Windows], true: Fitted) -> None:
    """No pose gives them away: the arm is held as it must be wherever it stands, and half a second is simulated to a
    few milliradians. Only the tip is not where they say.
    """
    rig, _ = arm
    bad = runaway(true)
    low, high = (np.array([getattr(j.limits, end) for j in rig.world.joints]) for end in ("lower", "upper"))
    poses = np.random.default_rng(0).uniform(low, high, (200, len(JOINTS)))
    held, wrong = (holding(rig, found.numbers(), poses) for found in (true, bad))
    assert (np.abs(wrong - held).max(axis=0) < 0.05 * np.sqrt((held**2).mean(axis=0))).all()
    assert (errors(arm, bad) < 0.007).all()
    away = tips(rig, bad.numbers(), poses) - tips(rig, true.numbers(), poses)
    assert np.linalg.norm(away, axis=1).mean() > 0.004
    rows = verdict(arm, bad)
    (failed,) = [row for row in rows if not row.passed]
    assert failed.name == "untold"
    assert failed.value > failed.bound >= UNTOLD
    (line,) = advice(rows)
    assert "joint3.link_mass" in line


def test_a_speed_is_known_no_better_than_the_encoder_shows_it(arm: tuple[Rig, Windows], true: Fitted) -> None:
    """15 % of the spread is too much of a velocity, unless a line through the flickering angles is off by 8 %."""
    nominal = np.full(len(JOINTS), 0.03)
    velocity = np.array((0.05, 0.15, 0.05))

    def row(flicker: tuple[float, float, float]) -> Row:
        told = Rollouts(nominal, errors(arm, true))
        left_over = {"observation": velocity}
        rows = judge("held out", JOINTS, told, true, 0.0, {}, left_over, {}, np.array(flicker), PERIOD)
        return next(row for row in rows if row.name == "velocity")

    assert not row((0.0, 0.0, 0.0)).passed
    assert not row((0.08, 0.02, 0.08)).passed  # the flicker of others
    assert row((0.0, 0.08, 0.0)).passed


def test_masses_that_make_up_for_each_other_are_fine_as_long_as_no_offset_does(true: Fitted) -> None:
    """On a rig with one joint, a heavier rod and a lighter weight are the same arm: no tip is elsewhere."""
    labels = true.physics.labels
    heavier, lighter, turned = (labels.index(k) for k in ("joint4.link_mass", "payload", "joint4.offset"))

    def row(*directions: tuple[int, float]) -> Row:
        way = np.zeros(len(labels))
        for column, share in directions:
            way[column] = share
        way /= np.linalg.norm(way)
        covariance = 1e-4 * np.eye(len(labels)) + np.outer(way, way)
        found = replace(true, z=3.0 * way, covariance=covariance)
        fine = Rollouts(np.full(3, 0.03), np.full(3, 0.002))
        rows = judge("held out", JOINTS, fine, found, 0.0, {}, {}, {}, np.zeros(3), PERIOD)
        return next(row for row in rows if row.name == "untold")

    assert row((heavier, 1.0), (lighter, -1.0)).passed
    assert not row((heavier, 1.0), (lighter, -1.0), (turned, 0.4)).passed


def untold(found: Fitted) -> Row:
    fine = Rollouts(np.full(3, 0.03), np.full(3, 0.002))
    rows = judge("held out", JOINTS, fine, found, 0.0, {}, {}, {}, np.zeros(3), PERIOD)
    return next(row for row in rows if row.name == "untold")


def rotation(size: int, seed: int) -> Floats:
    q: Floats = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]
    return q


def test_what_ran_away_is_seen_along_whatever_axes_the_unseen_directions_have(true: Fitted) -> None:
    """Variances that are capped at the prior's are all equal: noise in the last digit decides which axes they get."""
    labels, n = true.physics.labels, len(true.z)
    turning = [i for i, label in enumerate(labels) if label.endswith(("offset", "link_mass")) or label == "payload"]
    unseen = np.zeros((n, len(turning)))
    unseen[turning] = rotation(len(turning), 0)
    unseen = unseen[:, :5]
    known = 1e-4 * (np.eye(n) - unseen @ unseen.T)
    values = []
    for seed in range(8):
        axes = unseen @ rotation(5, seed)
        variances = 1.0 - 1e-12 * np.arange(5)
        found = replace(true, z=4.0 * unseen[:, 0], covariance=known + (axes * variances) @ axes.T)
        row = untold(found)
        assert not row.passed
        values.append(row.value)
        honest = replace(found, z=unseen @ np.full(5, 0.5))
        assert untold(honest).passed
    np.testing.assert_allclose(values, values[0], rtol=1e-6)


def test_arms_that_are_as_the_prior_says_pass_however_many_directions_are_half_told(true: Fitted) -> None:
    """Data that halve a variance rightly take z along: over many directions that is more than 2 standard deviations."""
    labels, n = true.physics.labels, len(true.z)
    half = [i for i, label in enumerate(labels) if label.endswith(("offset", "link_mass")) or label == "payload"]
    variances = np.full(n, 1e-4)
    variances[half] = 0.3
    random, passed, far = np.random.default_rng(0), 0, 0
    for _ in range(200):
        z = random.normal(0.0, np.sqrt(1.0 - variances))
        row = untold(replace(true, z=z, covariance=np.diag(variances)))
        passed += row.passed
        far += row.value > UNTOLD
    assert passed > 0.9 * 200
    assert far > 0.3 * 200
    lost = np.where(np.isin(np.arange(n), half), 4.0 / np.sqrt(len(half)), 0.0)
    assert not untold(replace(true, z=lost, covariance=np.diag(variances))).passed


def test_segments_may_disagree_about_the_delay_by_a_cycle_of_a_slow_bus(true: Fitted) -> None:
    fine = Rollouts(np.full(3, 0.03), np.full(3, 0.002))

    def passed(spread: float, period: float) -> bool:
        rows = judge("held out", JOINTS, fine, true, spread, {}, {}, {}, np.zeros(3), period)
        return next(row for row in rows if row.name == "delay").passed

    assert passed(0.0045, 0.005)
    assert not passed(0.0064, 0.005)
    assert passed(0.0064, 0.010)
    assert not passed(0.0110, 0.010)


def test_one_piece_is_no_proof_of_an_even_bus(true: Fitted) -> None:
    fine = Rollouts(np.full(3, 0.03), np.full(3, 0.002))

    def note(*delays: float) -> str:
        rows = judge("held out", JOINTS, fine, true, Delays(delays).spread, {}, {}, {}, np.zeros(3), PERIOD)
        row = next(row for row in rows if row.name == "delay")
        assert row.passed
        return row.note

    assert note(0.011).startswith("not judged: one piece tells nothing of it")
    assert note().startswith("not judged")
    assert note(0.011, 0.011) == "s"


def test_maps_that_swing_the_arm_are_refused(true: Fitted) -> None:
    fine, still = Rollouts(np.full(3, 0.03), np.full(3, 0.002)), np.full(3, 0.005)

    def rows(*swing: float) -> tuple[Row, ...]:
        flown = Flown(np.array(swing), still, 2.0 * still)
        return judge("held out", JOINTS, fine, true, 0.0, {}, {}, {}, np.zeros(3), PERIOD, flown)

    assert accepted(rows(0.001, 0.009, 0.0))
    (line,) = advice(rows(0.001, 0.3, 0.0))
    assert line.startswith("closed loop: 0.3, bound 0.01 (rad of swing at rest, worst joint3")
    assert "fly without --calibration" in line
