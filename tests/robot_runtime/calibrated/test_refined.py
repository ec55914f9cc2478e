"""A calibration that was refined for one policy flies no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from robot_runtime.calibrated.check import checks_of
from robot_runtime.calibrated.file import Refined
from robot_runtime.calibrated.identity import Identity
from robot_runtime.preflight.table import Check
from robot_runtime.spec import load_arm
from tests.robot_runtime.arm.twins import PERIOD, start
from tests.robot_runtime.calibrated.made import healthy

ARM, OURS = "xl330-pendulum", "a" * 64


@pytest.fixture(scope="module")
def rows_for() -> object:
    twin = start(ARM)
    twin.arm.prepare()
    twin.arm.read()
    facts = Refined(OURS, "hold", 1000, 1, 300, (0.5, 0.9), (0.01, 0.005))
    given = replace(healthy(load_arm(ARM)), identity=Identity.of_arm(twin.arm), refined=facts)

    def rows(policy: str | None, *, force: bool = False) -> list[Check]:
        return list(checks_of(given, PERIOD, force=force, policy=policy)(twin.arm))

    return rows


def test_its_own_policy_passes(rows_for) -> None:  # type: ignore[no-untyped-def]
    (row,) = rows_for(OURS)
    assert row.ok is True
    assert "refined" in row.found


@pytest.mark.parametrize("policy", ["b" * 64, None])
def test_another_policy_or_none_is_refused_unless_forced(rows_for, policy: str | None) -> None:  # type: ignore[no-untyped-def]
    (row,) = rows_for(policy)
    assert (row.name, row.ok) == ("calibration: policy", False)
    assert "--force" in row.advice
    (row,) = rows_for(policy, force=True)
    assert row.ok is None
