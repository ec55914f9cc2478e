"""What every command that flies an arm says of it: the preflight's checks before, the verdict after."""

from __future__ import annotations

from collections.abc import Sequence

from robot_runtime.aim import in_a_word
from robot_runtime.cli.common import Screen
from robot_runtime.preflight.table import Check, as_data, table
from robot_runtime.verdict import Verdict


def show_checks(checks: Sequence[Check], screen: Screen, *, briefly: bool) -> None:
    """What the preflight found; `briefly`: what is worth a word, where all else is well."""
    if screen.as_json:
        screen.line({"preflight": as_data(checks)})
        return
    if not briefly:
        screen.out.print(table(checks))
        return
    doubts = [check for check in checks if check.ok is None]
    screen.say(f"preflight: {len(checks) - len(doubts)} checks passed")
    for check in doubts:
        screen.say(f"  {check.name}: {check.found}. {check.advice}")


def tell_verdict(verdict: Verdict, screen: Screen) -> None:
    """How a flight ended, for people; machines get `verdict.as_json()` with what else the command knows."""
    screen.say(verdict.headline)
    if verdict.outcome:
        screen.say(f"the arm: {verdict.outcome}")
    if targets := in_a_word(verdict.figures.get("targets", ())):
        screen.say(targets)
    for fault in verdict.faults:
        if fault.text != verdict.text:
            screen.say(f"also: {fault.text}")
