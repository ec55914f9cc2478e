"""Whether a calibration still holds, of an arm whose numbers are known: nothing is fitted but what drifts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibration.judging import drift
from calibration.judging.acceptance import GOOD
from calibration.judging.drift import Change, Checked, OtherModelError, Verdict, check
from calibration.logs.clean import clean
from calibration.logs.load import Loaded
from calibration.logs.log import Log, make_log
from calibration.physics.identify import fine_rig
from calibration.physics.numbers import Physics
from calibration.physics.rollout import Arms, Rig
from robot_runtime.calibrated.file import Calibration, Number, Row
from robot_runtime.calibrated.identity import Identity
from robot_runtime.spec import load_arm
from tests.robot_runtime.calibrated.made import calibration, of_joint

SPEC = load_arm("widowx-250s")
JOINTS = ("elbow",)
PERIOD = 0.005


def flown(slipped: float, seconds: float = 5.0) -> Log:
    """What the encoders say of an arm that is as its data files say, but for the elbow's horn."""
    rig = fine_rig(Rig.of(SPEC, JOINTS))
    numbers = Physics(rig.world, ()).expand(np.zeros((1, 0)))
    offset = np.array([slipped])
    numbers |= {"delay": np.zeros((1, 1)), "offset": offset[None]}
    arm = Arms(rig, numbers, np.full((1, 1), np.nan), (np.full((1, 1), np.nan),) * 2, np.zeros(1))
    step, tick = float(rig.world.model.opt.timestep), rig.laws.tick
    arm.q[:], arm.dq[:] = rig.world.home + offset, 0.0
    random, rows = np.random.default_rng(0), []
    rate, phase = random.uniform(0.1, 0.5, (5, 1)), random.uniform(0.0, 2 * np.pi, (5, 1))
    for k in range(round(seconds / step)):
        if k % round(PERIOD / step) == 0:
            swing = np.sin(2 * np.pi * rate * k * step + phase) - np.sin(phase)
            goal = rig.world.home + 0.1 * swing.sum(axis=0)
            rows.append((np.rint((arm.q[0] - offset) / tick) * tick, arm.dq[0].copy(), goal))
        arm.step(goal[None], np.ones((1, 1), dtype=bool), arm.q - offset)
    q, dq, goals = np.array(rows).transpose(1, 0, 2)
    log = make_log("today", JOINTS, ["position"], PERIOD * np.arange(len(q)), q, goals, dq=dq)
    return clean(log, rig.world.joints)


def still() -> Log:
    """Half a second and more, in which nothing is told to move."""
    time, home = PERIOD * np.arange(300), np.full((300, 1), Rig.of(SPEC, JOINTS).world.home)
    return make_log("still", JOINTS, ["position"], time, home, home, dq=np.zeros((300, 1)))


def known(*, seen: bool = True) -> Calibration:
    """Of the arm as its data files say."""
    physics = {f"{joint}.offset": Number(0.0, -0.01, 0.01, seen, "rad") for joint in JOINTS}
    physics |= {"delay": Number(0.0, -0.001, 0.001, seen=True, unit="s")}
    rows = tuple(Row(f"error of {joint}", "", 0.0004, 0.004, passed=True) for joint in JOINTS)
    return replace(calibration(SPEC), physics=physics, acceptance=rows)


def found(log: Log, given: Calibration, identity: Identity | None = None) -> Checked:
    return check(given, [Loaded(log, None, "", identity)], SPEC, threads=1)


@pytest.fixture(autouse=True)
def _few_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "ENOUGH", 8)


def test_a_horn_that_slipped_behind_its_own_position_loop_is_drift() -> None:
    """Its rollouts are as good as they were: it follows its goals, to another place."""
    told = found(flown(0.15), known())
    assert (told.calibrated < GOOD).all()
    (change,) = told.changes
    assert change.label == "elbow.offset"
    assert change.now == pytest.approx(0.15, abs=0.04)
    assert told.verdict is Verdict.DRIFTED
    assert told.untold == ()


def test_an_arm_that_is_as_it_was_holds_and_a_zero_that_was_not_told_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for steps in ("FIRST_STEPS", "LAST_STEPS"):
        monkeypatch.setattr(f"calibration.physics.fit.{steps}", 2)  # there is nowhere to go
    told = found(flown(0.0), known(seen=False))
    assert told.verdict is Verdict.HOLDS
    assert (told.changes, told.differences) == ((), ())
    assert told.untold == JOINTS


@pytest.mark.parametrize(
    ("label", "times", "verdict"),
    [
        ("elbow.coulomb", 1.3, Verdict.HOLDS),
        ("elbow.viscous", 0.7, Verdict.HOLDS),
        ("elbow.coulomb", 1.8, Verdict.DRIFTED),
        ("elbow.load_friction", 0.5, Verdict.DRIFTED),
        ("elbow.torque_constant", 0.85, Verdict.DRIFTED),
        ("delay", 1.5, Verdict.DRIFTED),
    ],
)
def test_what_warmth_does_to_friction_is_no_drift(label: str, times: float, verdict: Verdict) -> None:
    error = np.array([0.002])
    change = Change(label, 0.01, 0.01 * times, 5.0, "")
    assert drift._verdict(5 * error, error, error, [change]) is verdict


def test_what_robot_run_would_refuse_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """However well its numbers do: nothing is fitted here."""
    ours = known()
    moved = of_joint(ours.identity, "elbow", homing_offset=300)
    monkeypatch.setattr(drift, "examine", lambda *_, **__: ())
    told = found(still(), ours, moved)
    assert told.verdict is Verdict.FOREIGN
    assert told.differences == ("elbow: homing offset 300, calibrated with 0",)
    by_file = drift._differences(replace(ours, identity=moved), [Loaded(still(), None, "", None)], SPEC)
    assert by_file == ("elbow: homing offset 0, calibrated with 300",)


def test_gains_of_a_part_are_no_other_arm() -> None:
    ours = known()
    stiffer = of_joint(ours.identity, "elbow", gains={"position_p_gain": 1280})
    both = [Loaded(still(), None, "", identity) for identity in (ours.identity, stiffer)]
    assert drift._differences(ours, both, SPEC) == ()
    (told,) = drift._differences(ours, both[1:], SPEC)
    assert told.startswith("elbow: gains ")


def test_numbers_of_another_mjcf_are_no_numbers_of_this_one() -> None:
    ours = known()
    other = replace(ours.identity, mjcf_digest="1" * 64)
    for given, identity in ((ours, other), (replace(ours, identity=other), None)):
        with pytest.raises(OtherModelError, match=r"another MJCF.*give the arm's files of that day"):
            found(still(), given, identity)
