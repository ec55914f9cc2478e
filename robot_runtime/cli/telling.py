"""What every command that flies an arm says of it: the preflight's checks before, the verdict after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robot_runtime.aim import in_a_word
from robot_runtime.cli.common import Screen
from robot_runtime.preflight.table import Check, as_data, table
from robot_runtime.verdict import Verdict

_ENDS = ("position", "workspace")
"""Limits to where a joint may be; those to how it gets there interfere in many good flights."""
MOSTLY = 0.5
"""Of a flight."""


def show_checks(checks: Sequence[Check], screen: Screen, *, briefly: bool) -> None:
    """What the preflight found; `briefly`: what is worth a word, where all else is well."""
    if screen.as_json:
        screen.line({"preflight": as_data(checks)})
        return
    if not briefly:
        screen.out.print(table(checks))
        return
    doubts = [check for check in checks if check.ok is None]
    also = f", {len(doubts)} to note" if doubts else ""
    screen.say(f"preflight: {len(checks) - len(doubts)} checks passed{also}")
    for check in doubts:
        screen.say(f"  note: {check.name}: {check.found}. {check.advice}")


def tell_verdict(verdict: Verdict, screen: Screen) -> None:
    """How a flight ended, for people; machines get `verdict.as_json()` with what else the command knows."""
    screen.say(verdict.headline)
    if verdict.outcome:
        screen.say(f"the arm: {verdict.outcome}")
    if held := _held_back(verdict.figures):
        screen.say(f"the limits held back {held}")
    if targets := in_a_word(verdict.figures.get("targets", ())):
        screen.say(targets)
    for fault in verdict.faults:
        if fault.text != verdict.text:
            screen.say(f"also: {fault.text}")


def _held_back(figures: Mapping[str, Any]) -> str:
    """Joints that stood at the end of their room for most of the flight: the policy wants what it cannot have."""
    cycles = max(int(figures.get("cycles", 0)), 1)
    shares = {
        joint: max((n / cycles for why, n in reasons.items() if why in _ENDS), default=0.0)
        for joint, reasons in figures.get("interventions", {}).items()
    }
    told = [f"{joint} in {share:.0%} of the cycles" for joint, share in shares.items() if share > MOSTLY]
    if not told:
        return ""
    who = ("it", "it is") if len(told) == 1 else ("them", "they are")
    return f"{', '.join(told)}: what is asked of {who[0]}, or where {who[1]} held, lies beyond"
