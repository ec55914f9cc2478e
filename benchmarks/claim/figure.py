"""The figure: success and true error over seconds of motion, an arm a row, as one SVG that stands alone."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from benchmarks.claim.runs import CALIBRATION, MAPS, TUNING, ZERO_SHOT, Line
from benchmarks.claim.table import over_trials
from sim.transfer.charts import Curve, curves

COLOURS = {ZERO_SHOT: 0, CALIBRATION: 1, MAPS: 2, TUNING: 3}
"""Classes of the charts."""
STAYS = (ZERO_SHOT, CALIBRATION)
"""Need no more motion: drawn on to the end."""
_INKS = ("#7a8794", "#0072b2", "#d55e00", "#009e73")
_GAP = 12
_STYLE = """text { font:10px system-ui,sans-serif; fill:#5d6b7c }
.title { font-size:12px; font-weight:600; fill:#1c2430 }
.grid { stroke:#dde3ea; stroke-width:.6 } .whisker { stroke:#1c2430; stroke-width:1.2; fill:none }
.line { fill:none; stroke-width:2; stroke-linejoin:round; stroke-linecap:round }
""" + "".join(f".line.c{k} {{ stroke:{ink} }} .fill.c{k} {{ fill:{ink} }}\n" for k, ink in enumerate(_INKS))


def draw(lines: Sequence[Line]) -> str:
    """All arms that moved for something."""
    arms = dict.fromkeys(x["arm"] for x in lines if "motion" in x)
    rows = [[_chart(arm, lines, key) for key in ("success", "error")] for arm in arms]
    rows = [row for row in rows if all(row)]
    parts, y, width = [], float(_GAP), 0.0
    for row in rows:
        x, tallest = float(_GAP), 0.0
        for chart in row:
            size = re.match(r'<svg viewBox="0 0 ([\d.]+) ([\d.]+)"', chart)
            assert size is not None
            wide, high = float(size[1]), float(size[2])
            parts.append(chart.replace("<svg ", f'<svg x="{x:g}" y="{y:g}" width="{wide:g}" height="{high:g}" ', 1))
            x, tallest = x + wide + _GAP, max(tallest, high)
        y, width = y + tallest + _GAP, max(width, x)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {y:g}" role="img" aria-label="{_TITLE}">'
    paper = '<rect width="100%" height="100%" fill="#fff"/>'
    return f"{head}<style>{_STYLE}</style>{paper}{''.join(parts)}</svg>\n"


_TITLE = "Success and error over seconds of motion, by arm"


def _chart(arm: str, lines: Sequence[Line], key: str) -> str:
    figures = {k: o for k, o in over_trials(lines, key).items() if k[0] == arm}
    end = max((motion for _, _, motion in figures), default=0.0)
    first = min((motion for _, _, motion in figures if motion), default=1.0)
    scale = 100.0 if key == "success" else 1e3
    drawn = []
    for method, colour in COLOURS.items():
        found = sorted((motion, o) for (_, m, motion), o in figures.items() if m == method)
        if method == ZERO_SHOT and found:
            found = [(first, found[0][1])]
        halves = [scale * o.half for _, o in found]
        x, y = [s for s, _ in found], [scale * o.mean for _, o in found]
        if method in STAYS and found:
            x, y, halves = [*x, end], [*y, y[-1]], [*halves, math.nan]
        drawn.append(Curve(method, x, y, colour, halves))
    told = "success, %" if key == "success" else "true error, mm"
    tops = [
        y + (half if math.isfinite(half) else 0.0) for line in drawn for y, half in zip(line.y, line.half, strict=True)
    ]
    high = 100.0 if key == "success" else max(tops, default=1.0)
    return curves(f"{arm}: {told}", "seconds of motion", drawn, log_x=True, y_range=(0.0, high))
