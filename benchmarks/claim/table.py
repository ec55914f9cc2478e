"""The table, and the figures that it and the drawing share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.claim.runs import Line
from sim.transfer.results import OverSeeds

Key = tuple[str, str, float]
"""Arm, method, seconds of motion."""


def over_trials(lines: Sequence[Line], key: str) -> dict[Key, OverSeeds]:
    """`success`, `error` or `own_success`, of the three trials, each by another seed where there are seeds."""
    found: dict[Key, list[float]] = {}
    for line in lines:
        if "skipped" not in line:
            where = found.setdefault((line["arm"], line["method"], round(line.get("motion", 0.0))), [])
            where += [trial[key] for trial in line["trials"] if key in trial]
    return {where: OverSeeds(tuple(values)) for where, values in found.items() if values}


def table(lines: Sequence[Line]) -> str:
    """As Markdown; intervals are 95 % of the mean over trials."""
    success, error, own = (over_trials(lines, key) for key in ("success", "error", "own_success"))
    rows = ["| arm | method | motion, s | success, % | true error, mm | own physics, % |", "|---|---|---|---|---|---|"]
    for key in success:
        arm, method, motion = key
        figures = ((success, 100.0), (error, 1e3), (own, 100.0))
        told = [_scaled(o[key], factor) if key in o else "-" for o, factor in figures]
        rows.append(f"| {arm} | {method} | {motion:g} | {' | '.join(told)} |")
    rows += [f"\n{x['arm']}, {x['method']}: skipped: {x['skipped']}" for x in lines if "skipped" in x]
    judged = [x["accepted"] for x in lines if "accepted" in x]
    rows += [f"\n{judged.count(False)} of {len(judged)} calibrations were not accepted (flown all the same)"]
    hours = sum(x.get("whole_cpu", 0.0) for x in lines) / 3600
    return "\n".join([*rows, f"\n{len(lines)} runs, {hours:.1f} processor hours"])


def _scaled(figure: OverSeeds, factor: float) -> str:
    of = OverSeeds(tuple(factor * v for v in figure.values))
    digits = 0 if factor == 100.0 else 1
    half = f" ± {of.half:.{digits}f}" if math.isfinite(of.half) else ""
    return f"{of.mean:.{digits}f}{half}"
