"""What of its friction an arm's envelope is told."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from robot_runtime.calibrated.file import Calibration, Number
from robot_runtime.calibrated.friction import KNOWN_SHARE, known_friction
from robot_runtime.safety.friction import Friction
from robot_runtime.spec import load_arm
from tests.robot_runtime.calibrated.made import calibration, of_joint

SPEC = load_arm("open-manipulator-x")
SURE = Friction.sure(SPEC)


def test_the_low_end_beyond_what_is_sure_anyway() -> None:
    known = known_friction(SPEC, calibration(SPEC, physics={"joint1.coulomb": 0.3, "joint2.viscous": 0.2}))
    assert known.dry[0] == pytest.approx(KNOWN_SHARE * 0.2 - SURE.dry[0])
    assert known.viscous[1] == pytest.approx(KNOWN_SHARE * 0.1 - SURE.viscous[1])
    assert sum(known.dry) == known.dry[0]
    assert sum(known.viscous) == known.viscous[1]


def test_less_than_is_sure_adds_nothing() -> None:
    known = known_friction(SPEC, calibration(SPEC, physics={"joint1.coulomb": 0.11}))
    assert known == Friction.none(SPEC)


def test_what_was_refused_or_not_seen_is_not_known() -> None:
    refused = calibration(SPEC, physics={"joint1.coulomb": 0.3}, accepted=False)
    assert known_friction(SPEC, refused) == Friction.none(SPEC)
    guessed = replace(refused, accepted=True, physics={"joint1.coulomb": Number(0.3, 0.2, 0.4, seen=False)})
    assert known_friction(SPEC, guessed) == Friction.none(SPEC)


@pytest.mark.parametrize(
    "foreign",
    [
        lambda c: replace(c, identity=replace(c.identity, mjcf_digest="0" * 64)),
        lambda c: replace(c, identity=of_joint(c.identity, "joint1", gear=2.0)),
        lambda c: replace(c, acceptance=tuple(replace(row, passed=False) for row in c.acceptance)),
        lambda c: replace(c, acceptance=()),
    ],
)
def test_what_flies_only_by_force_is_not_counted_on(foreign: Callable[[Calibration], Calibration]) -> None:
    known = calibration(SPEC, physics={"joint1.coulomb": 0.3})
    assert known_friction(SPEC, known) != Friction.none(SPEC)
    assert known_friction(SPEC, foreign(known)) == Friction.none(SPEC)


def test_another_adapter_changes_nothing_that_a_replay_could_not_repeat() -> None:
    known = calibration(SPEC, physics={"joint1.coulomb": 0.3})
    elsewhere = replace(known, identity=replace(known.identity, adapter="FT1234"))
    assert known_friction(SPEC, elsewhere) == known_friction(SPEC, known)
