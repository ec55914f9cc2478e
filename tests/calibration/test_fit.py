"""Fits of logs from the twin, whose hidden numbers are known."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.judging.acceptance import _bounds_row
from calibration.logs.windows import Windows, cut
from calibration.physics.fit import (
    LOOP_ERROR,
    MODEL_ERROR,
    OUTLIER,
    Fitted,
    Problem,
    PseudoHuber,
    along,
    fit,
    known_at_best,
    uncertainty,
)
from calibration.physics.numbers import KINDS, MOST_LOAD_FRICTION, Physics
from calibration.physics.rollout import Rig, rollout
from robot_runtime.spec import ASSEMBLED_WITHIN, load_arm
from tests.calibration.recordings import record

CLEAN = """
name = "clean"
command_delay = 0.010
[all]
backlash = 0.0
current_noise = 0.0
{changes}
[supply]
internal_resistance = 0.1
"""


def gap(folder: Path, **changes: float) -> str:
    lines = "\n".join(f"{key} = {value}" for key, value in changes.items())
    path = folder / "gap.toml"
    path.write_text(CLEAN.format(changes=lines))
    return str(path)


def windows_of(
    name: str, gap_file: str, joints: tuple[str, ...], seconds: float, size: float = 0.5
) -> tuple[Rig, Windows]:
    rig = Rig.of(load_arm(name), joints)
    log, _ = record(name, gap_file, joints, seconds, size=size)
    return rig, cut([log.select(rig.world.names)], 0.5, lead=0.5)


def error(rig: Rig, physics: Physics, z: np.ndarray, windows: Windows) -> float:
    q, _ = rollout(rig, physics, z, windows, threads=1)
    return float(np.abs(q[0] - windows.q).mean())


def test_the_simulation_is_the_twins_where_nothing_is_hidden(tmp_path: Path) -> None:
    """Four torque joints with all couplings; 13 ms: the gap's delay, the wire, and the age of what was read."""
    rig, windows = windows_of("open-manipulator-x", gap(tmp_path), ("joint1", "joint2", "joint3", "joint4"), 4.0)
    nothing = np.zeros(0)
    known = Physics(rig.world, (), {"delay": np.array([0.013]), "supply_resistance": np.array([0.1])})
    assert error(rig, known, nothing, windows) < 0.0015
    late = Physics(rig.world, (), {"delay": np.array([0.0]), "supply_resistance": np.array([0.1])})
    assert error(rig, late, nothing, windows) > 1.5 * error(rig, known, nothing, windows)


def test_a_known_load_is_simulated_where_a_log_had_it(tmp_path: Path) -> None:
    rig, windows = windows_of("xl330-pendulum", gap(tmp_path), ("pendulum",), 4.0)
    loads = np.where(np.arange(len(windows)) % 2, 0.02, 0.0)
    mixed = replace(windows, load=loads)
    nothing, physics = np.zeros(0), Physics(rig.world, ())
    bare, _ = rollout(rig, physics, nothing, windows, threads=1)
    loaded, _ = rollout(rig.loaded(0.02), Physics(rig.loaded(0.02).world, ()), nothing, windows, threads=1)
    both, _ = rollout(rig, physics, nothing, mixed, threads=1)
    np.testing.assert_allclose(both[0][0::2], bare[0][0::2], atol=1e-12)
    np.testing.assert_allclose(both[0][1::2], loaded[0][1::2], atol=1e-9)
    assert np.abs(loaded - bare).max() > 0.02


@pytest.fixture(scope="module")
def pendulum(tmp_path_factory: pytest.TempPathFactory) -> tuple[Rig, Windows, Fitted]:
    hidden = gap(tmp_path_factory.mktemp("gap"), armature=1.3, coulomb=1.8, offset=0.03, load_friction=2.0)
    rig, windows = windows_of("xl330-pendulum", hidden, ("pendulum",), 12.0)
    kinds = ("torque_constant", "resistance", "armature", "coulomb", "viscous", "load_friction", "offset", "delay")
    return rig, windows, fit(rig, windows, kinds, threads=1)


def test_hidden_numbers_are_found_within_their_intervals(pendulum: tuple[Rig, Windows, Fitted]) -> None:
    _, windows, found = pendulum
    nominal = found.physics.nominal
    truth = {
        "pendulum.armature": 1.3 * nominal["armature"][0],
        "pendulum.offset": 0.03,
    }
    for label, true in truth.items():
        low, high = found.interval[label]
        assert low < true < high, label
        assert found.seen[label]
    assert found.values["delay"] == pytest.approx(0.013, abs=0.004)
    # Dry, viscous and load-dependent friction trade places; what counts is their sum at the torque that the weight asks
    # for and at the speed that the joint has.
    torque, values = 0.1, found.values
    speed = float(np.sqrt(np.mean(np.square(np.diff(windows.q, axis=1) / (windows.step * windows.every)))))
    friction = values["pendulum.coulomb"] + values["pendulum.load_friction"] * torque
    friction += values["pendulum.viscous"] * speed
    true = 1.8 * nominal["coulomb"][0] + 2.0 * nominal["load_friction"][0] * torque + nominal["viscous"][0] * speed
    assert friction == pytest.approx(true, rel=0.2)


def test_the_fit_simulates_far_better_than_the_data_file(pendulum: tuple[Rig, Windows, Fitted]) -> None:
    rig, windows, found = pendulum
    nominal = Physics(rig.world, ())
    assert error(rig, found.physics, found.z, windows) < 0.2 * error(rig, nominal, np.zeros(0), windows)


def test_what_duty_cannot_tell_apart_is_said(pendulum: tuple[Rig, Windows, Fitted]) -> None:
    """With duty in and motion out, torque constant and resistance show as their ratio, not one by one."""
    _, _, found = pendulum
    i, j = (found.physics.labels.index(f"pendulum.{name}") for name in ("torque_constant", "resistance"))
    both = found.covariance[np.ix_([i, j], [i, j])]
    spread = np.array([KINDS["torque_constant"].spread, KINDS["resistance"].spread])
    logs = both * np.outer(spread, spread)
    ratio = np.array([1.0, -1.0])
    assert np.sqrt(ratio @ logs @ ratio) < 0.6 * np.sqrt(logs[1, 1])


def test_arms_alike_differ_in_what_is_not_told_apart_and_agree_in_what_is(
    pendulum: tuple[Rig, Windows, Fitted],
) -> None:
    _, _, found = pendulum
    arms = found.alike(200)
    constant, resistance = (
        arms[:, found.physics.labels.index(f"pendulum.{n}")] for n in ("torque_constant", "resistance")
    )
    assert np.std(np.log(constant / resistance)) < 0.6 * np.std(np.log(resistance))
    offset = arms[:, found.physics.labels.index("pendulum.offset")]
    low, high = found.interval["pendulum.offset"]
    assert np.std(offset) == pytest.approx((high - low) / 3.92, rel=0.15)
    assert np.mean(offset) == pytest.approx(found.values["pendulum.offset"], abs=1e-4)  # pairs, one either way
    np.testing.assert_array_equal(arms, found.alike(200))


def test_what_hangs_together_with_a_number_on_its_bound_moves_with_it(pendulum: tuple[Rig, Windows, Fitted]) -> None:
    """Two numbers of which the data know the sum: where one may not go on, nor does the other."""
    _, _, found = pendulum
    n = len(found.z)
    low, high = found.physics.bounds
    both = np.zeros(n)
    both[:2] = 1.0, -1.0
    covariance = 1e-6 * np.eye(n) + 4.0 * (high[0] - low[0]) ** 2 * np.outer(both, both)
    z = found.physics.z(replace(found, covariance=covariance).alike(50))
    assert np.any(np.abs(z[:, 0] - high[0]) < 1e-6)
    free = (z[:, 1] > low[1] + 1e-6) & (z[:, 1] < high[1] - 1e-6)
    assert free.any()
    np.testing.assert_allclose((z[:, 0] + z[:, 1])[free], found.z[0] + found.z[1], atol=0.02)


def test_arms_alike_do_not_hang_on_rounding(pendulum: tuple[Rig, Windows, Fitted]) -> None:
    """Where nothing but the prior is known, all directions are alike, and none is the first by nature."""
    _, _, found = pendulum
    n = len(found.z)
    noise = 1e-9 * np.random.default_rng(1).normal(size=(n, n))
    one, other = (replace(found, covariance=0.01 * np.eye(n) + more).alike(8) for more in (0.0, noise + noise.T))
    np.testing.assert_allclose(found.physics.z(one), found.physics.z(other), atol=1e-5)


def test_no_arm_alike_is_one_that_the_fit_would_not_have_taken(pendulum: tuple[Rig, Windows, Fitted]) -> None:
    _, _, found = pendulum
    low, high = found.physics.bounds
    wide = replace(found, covariance=25.0 * np.eye(len(found.z)))
    z = found.physics.z(wide.alike(50))
    assert (z >= low - 1e-9).all()
    assert (z <= high + 1e-9).all()
    assert len(np.unique(z[:, 0])) > 50  # not all on a bound


def test_stretches_that_disagree_are_believed_less(pendulum: tuple[Rig, Windows, Fitted]) -> None:
    """A horn that sits elsewhere in every two seconds: the offset is hardly known, and the prior holds it."""
    rig, windows, found = pendulum
    start = {kind: value for kind, value in found.numbers().items() if kind != "offset"}
    moved = np.random.default_rng(0).normal(0.0, 0.03, windows.cluster.max() + 1)
    slipped = replace(windows, q=windows.q + moved[windows.cluster, None, None])
    honest, believed = (fit(rig, of, ("offset",), start=start, threads=1) for of in (windows, slipped))
    low, high = believed.interval["pendulum.offset"]
    assert believed.doubt > 2.0 * honest.doubt
    assert believed.doubt > 3.0
    assert low < 0.03 - moved.mean() < high
    assert (high - low) / 2 > 1.5 * moved.std() / np.sqrt(len(moved))


@pytest.mark.parametrize("every", [1, 5])
def test_what_is_an_outlier_does_not_hang_on_how_many_samples_there_are(
    pendulum: tuple[Rig, Windows, Fitted], every: int
) -> None:
    """An error of so many usual errors counts 1 / sqrt(2): its residual is the smaller, the more samples there are."""
    rig, windows, found = pendulum
    fewer = replace(
        windows, every=windows.every * every, **{k: getattr(windows, k)[:, ::every] for k in ("q", "dq", "weight")}
    )
    problem = Problem(rig, found.physics, fewer, found.scale, threads=1)
    residual = OUTLIER * found.scale * problem.weight[problem.weight > 0]
    np.testing.assert_allclose(problem.trust(residual), np.sqrt(0.5))
    bend = PseudoHuber(problem.outlier, 1).grad_hess(np.append(residual, 100.0), np.eye(len(residual) + 1))[0]
    np.testing.assert_allclose(bend[:-1], residual * np.sqrt(0.5))
    assert bend[-1] == 100.0  # a prior is no error


def test_windows_without_motion_say_nothing_but_the_prior(pendulum: tuple[Rig, Windows, Fitted]) -> None:
    rig, windows, _ = pendulum
    still = replace(
        windows.take(slice(0, 4)),
        q=np.zeros_like(windows.q[:4]),
        dq=np.zeros_like(windows.dq[:4]),
        commanded=np.zeros_like(windows.commanded[:4]),
    )
    found = fit(rig, still, ("armature", "viscous"), threads=1)
    assert not any(found.seen.values())
    assert found.values["pendulum.armature"] == pytest.approx(found.physics.nominal["armature"][0], rel=0.02)


def test_nothing_at_the_tip_weighs_less_than_nothing(tmp_path: Path) -> None:
    """An arm that is lighter than its model; that the payload ends at its lower bound says nothing against the arm."""
    rig, windows = windows_of("open-manipulator-x", gap(tmp_path, link_mass=0.8), ("joint2", "joint4"), 4.0)
    found = fit(rig, windows, ("payload", "coulomb", "offset"), iterations=20)
    assert found.values["payload"] == pytest.approx(KINDS["payload"].low, abs=1e-5)
    assert found.at_bound == ()
    assert found.at_natural_bound == ("payload",)
    row = _bounds_row(found)
    assert (row.passed, row.value) == (True, 0)
    assert row.note == "no other number on a bound; payload at its lower bound, as good as nothing"
    inside = replace(found, z=np.zeros(len(found.z)))
    assert _bounds_row(inside).note == "no number on a bound"
    both = replace(found, at_bound=("joint2.coulomb",))
    assert _bounds_row(both).note.startswith("joint2.coulomb; payload at")
    assert not _bounds_row(both).passed
    low, high = found.interval["payload"]
    assert low < 0.0 < high


def test_a_settled_zero_starts_nearer() -> None:
    """What the arm file says of a joint's zero is where the fit starts from; of the others, what assembly leaves."""
    arm = load_arm("koch-v1.1")
    settled = replace(arm, joints=(replace(arm.joints[0], zero_within=0.01), *arm.joints[1:]))
    physics = Physics(Rig.of(settled, arm.joint_names[:2]).world, ("offset",))
    np.testing.assert_allclose(physics.values(np.ones(2)), [0.01, ASSEMBLED_WITHIN])


def test_gears_never_eat_all_that_a_motor_gives() -> None:
    """Twelve times what the data file says is more than all for servos whose gears eat a third."""
    koch = load_arm("koch-v1.1")
    world = Rig.of(koch, ("shoulder_lift", "wrist_flex")).world
    physics = Physics(world, ("load_friction",))
    np.testing.assert_allclose(physics.values(physics.bounds[1]), [MOST_LOAD_FRICTION, 12 * 0.05])


def test_what_a_servo_moves_by_itself_is_known_less(pendulum: tuple[Rig, Windows, Fitted]) -> None:
    """Its loop makes of ticks and play what the model does not know."""
    rig, windows, found = pendulum
    floors = []
    for laws_position in (False, True):
        problem = Problem(rig, found.physics, windows, found.scale, threads=1)
        problem.rig = replace(rig, laws=copy.copy(rig.laws))
        problem.rig.laws.position = np.array([laws_position])
        floors.append(known_at_best(problem))
    np.testing.assert_allclose(floors[1] / floors[0], LOOP_ERROR / MODEL_ERROR)


SCALED = ("torque_constant", "armature", "coulomb", "viscous", "link_mass")


@pytest.fixture(scope="module")
def sticky(tmp_path_factory: pytest.TempPathFactory) -> tuple[Rig, Windows]:
    """An arm whose torques and masses are all smaller by the same share, which moves as the data files' arm does; but
    for more friction: differences of one number at a time are full of kinks, that do not cancel.
    """
    changed = {**dict.fromkeys(SCALED, 0.92), "coulomb": 0.92 * 2.3}
    return windows_of(
        "open-manipulator-x", gap(tmp_path_factory.mktemp("gap"), **changed), ("joint2", "joint4"), 8.0, size=0.2
    )


def scale_of(physics: Physics) -> np.ndarray:
    """The step of z that makes all torques and masses larger by the same share."""
    return np.array([1.0 / e.spread if e.kind.name in SCALED else 0.0 for e in physics.entries])


def test_a_step_along_what_data_do_not_tell_changes_nothing(sticky: tuple[Rig, Windows]) -> None:
    """No weight is known, so no torque has a scale. Number by number the rollouts seem to tell it all the same."""
    rig, windows = sticky
    physics = Physics(rig.world, (*SCALED, "delay"))
    z = np.array([np.log(2.3) / e.spread if e.kind.name == "coulomb" else 0.0 for e in physics.entries])
    every = scale_of(physics)
    direction = every / np.linalg.norm(every)
    unknown = 1e-4 * np.eye(len(z)) + 0.1 * np.outer(direction, direction)

    def told(steps: np.ndarray | None) -> float:
        problem = Problem(rig, physics, windows, np.full(2, 0.002), threads=1, steps=steps)
        return float(np.sum((problem.jacobian(z)[: -len(z)] @ every) ** 2))

    prior = every @ every
    assert told(None) > 10.0 * prior
    assert told(along(unknown)) < 0.01 * prior


def test_without_a_known_weight_no_torque_has_a_scale_but_what_was_assumed(sticky: tuple[Rig, Windows]) -> None:
    rig, windows = sticky
    found = fit(rig, windows, (*SCALED, "delay"), threads=1)
    for joint in (0, 1):
        low, high = found.interval[f"{rig.world.names[joint]}.torque_constant"]
        assert low < 0.92 * found.physics.nominal["torque_constant"][joint] < high
    every = scale_of(found.physics)
    sigma = np.sqrt(np.diag(found.covariance)) * [e.spread for e in found.physics.entries]
    assert sigma[:2].min() > 0.8 / np.linalg.norm(every)  # as wide as the prior alone leaves the scale


def test_nothing_is_less_known_than_before(sticky: tuple[Rig, Windows]) -> None:
    """A few stretches of sticking joints: leaving one out may throw a linear step anywhere."""
    rig, windows = sticky
    few = windows.take(slice(0, None, 4))
    physics = Physics(rig.world, (*SCALED, "load_friction", "offset", "payload", "delay"))
    known = uncertainty(Problem(rig, physics, few, np.full(2, 0.002), threads=1), np.zeros(len(physics)))
    assert np.linalg.eigvalsh(known.covariance).max() <= 1.0 + 1e-9
