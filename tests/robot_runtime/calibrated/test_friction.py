"""What of its friction an arm's envelope is told."""

from dataclasses import replace

import pytest

from robot_runtime.calibrated.file import Number
from robot_runtime.calibrated.friction import KNOWN_SHARE, known_friction
from robot_runtime.safety.friction import Friction
from robot_runtime.spec import load_arm
from tests.robot_runtime.calibrated.made import calibration

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
