"""What robot-run and robot-calibrate record say alike: checks before a flight, its verdict after."""

from __future__ import annotations

import json
from typing import Any

import pytest

from robot_runtime.cli.common import Screen
from robot_runtime.cli.telling import show_checks, tell_verdict
from robot_runtime.preflight.table import Check
from robot_runtime.safety import faults
from robot_runtime.safety.fault_kind import Ending, Fault
from robot_runtime.verdict import Verdict, refused

CHECKS = [
    Check("voltage", ok=True, found="12.0 V"),
    Check("real time", ok=None, found="memory: not locked", advice="add a line"),
]


def test_notes_are_shown_where_all_else_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    show_checks(CHECKS, Screen(), briefly=True)
    assert capsys.readouterr().out == (
        "preflight: 1 checks passed, 1 to note\n  note: real time: memory: not locked. add a line\n"
    )
    show_checks(CHECKS, Screen(), briefly=False)
    assert "12.0 V" in capsys.readouterr().out


def test_machines_get_every_check(capsys: pytest.CaptureFixture[str]) -> None:
    show_checks(CHECKS, Screen(as_json=True), briefly=True)
    assert [c["ok"] for c in json.loads(capsys.readouterr().out)["preflight"]] == [True, None]


def test_that_no_more_targets_came_is_a_good_end(capsys: pytest.CaptureFixture[str]) -> None:
    tell_verdict(Verdict(Ending.COMPLETED, "no more targets", seconds=7.5), Screen())
    tell_verdict(Verdict(Ending.COMPLETED, "7.5 s", seconds=7.5), Screen())
    tell_verdict(Verdict(Ending.COMPLETED, "nothing stands against a flight"), Screen())
    assert capsys.readouterr().out.splitlines() == [
        "completed: no more targets",
        "completed: 7.5 s",
        "nothing stands against a flight",
    ]


def test_a_verdict_with_its_outcome_its_targets_and_what_else_was_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    hot = Fault(faults.TARGETS_ENDED, (), 0.0, 1.0, "no more targets")
    figures: dict[str, Any] = {"targets": [{"distance": 0.0018}], "cycles": 100}
    figures["interventions"] = {"joint1": {"position": 20, "jerk": 90}, "joint2": {"position": 80}}
    tell_verdict(Verdict(Ending.SERVO, "joint1 is hot", "lowered", (hot,), 1.0, figures), Screen())
    assert capsys.readouterr().out.splitlines() == [
        "joint1 is hot",
        "the arm: lowered",
        "the limits held back joint2 in 80% of the cycles: what is asked of it, or where it is held, lies beyond",
        "the tip ended 1.8 mm from its target",
        "also: no more targets",
    ]


def test_why_a_flight_did_not_start() -> None:
    hot, low = Check("heat", ok=False, found="71 °C", advice="wait"), Check("voltage", ok=False, found="9 V")
    assert refused(CHECKS) is None
    assert refused([*CHECKS, hot]) == Verdict(Ending.PREFLIGHT, "not started: heat: 71 °C")
    assert refused([hot, low, low]) == Verdict(Ending.PREFLIGHT, "not started: 3 checks failed: heat, voltage")
