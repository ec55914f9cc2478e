"""`robot-calibrate` without a subcommand: which steps it takes, with which arguments."""

from __future__ import annotations

import pytest

from calibration.cli.calibrate import main
from calibration.cli.whole import asks_for_all, run_all

GIVEN = [
    "--arm",
    "koch-v1.1",
    "--out",
    "a.cal",
    "--recording",
    "here",
    "--gap",
    "mild",
    "--fault",
    "f",
    "--yes",
    "--json",
]


def test_it_records_and_then_fits_what_was_recorded() -> None:
    steps: list[list[str]] = []
    assert run_all([*GIVEN, "--name", "left"], lambda one: steps.append(one) or 0) == 0  # type: ignore[func-returns-value]
    record, fit = steps
    assert record[:5] == ["record", "--arm", "koch-v1.1", "--out", "here"]
    assert record[-7:] == ["--gap", "mild", "--fault", "f", "--yes", "--name", "left"]
    assert fit == ["fit", "here", "--out", "a.cal", "--name", "left", "--json"]


def test_a_recording_that_did_not_end_well_is_not_fitted() -> None:
    steps: list[list[str]] = []

    def refused(one: list[str]) -> int:
        steps.append(one)
        return 5

    assert run_all(GIVEN, refused) == 5
    assert [one[0] for one in steps] == ["record"]


@pytest.mark.parametrize("arguments", [[], ["record", "--arm", "x"], ["--help"], ["-h"]])
def test_subcommands_and_help_are_left_alone(arguments: list[str]) -> None:
    assert not asks_for_all(arguments)


def test_without_an_arm_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", "a.cal"]) == 2
    assert "--arm" in capsys.readouterr().err
