"""Pictures of a calibration as inline SVG: intervals, and maps as curves."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from calibration.report.story import Curve
from robot_runtime.flight.charts import Frame, Line, legend_of, path, ticks, under

ROW, LEFT, WIDTH = 15, 190, 760
"""Pixels: of a row of the intervals, of its name, of the picture."""


def intervals(rows: Sequence[tuple[str, float, float, float, bool]]) -> str:
    """Label; value, low and high as factors of the data file's; whether the data told it apart. A logarithmic axis."""
    if not rows:
        return "<p class='soft'>none</p>"
    low = min(0.5, *(max(r[2], 0.05) for r in rows))
    high = max(2.0, *(min(r[3], 20.0) for r in rows))
    height = ROW * len(rows) + 34

    def across(value: float) -> float:
        share = (np.log(np.clip(value, low, high)) - np.log(low)) / (np.log(high) - np.log(low))
        return float(LEFT + share * (WIDTH - LEFT - 12))

    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="intervals" class="wide">']
    for value in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0):
        if low <= value <= high:
            x = across(value)
            style = "one" if value == 1.0 else "grid"
            parts.append(f'<line class="{style}" x1="{x:.1f}" x2="{x:.1f}" y1="14" y2="{height - 18}"/>')
            parts.append(f'<text class="tick" x="{x:.1f}" y="{height - 5}" text-anchor="middle">{value:g}</text>')
    for k, (label, value, least, most, seen) in enumerate(rows):
        y = 22 + ROW * k
        style = "c0" if seen else "c7"
        parts.append(f'<text class="note" x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{escape(label)}</text>')
        parts.append(f'<line class="line {style}" x1="{across(least):.1f}" x2="{across(most):.1f}" y1="{y}" y2="{y}"/>')
        parts.append(f'<circle class="dot {style}" cx="{across(value):.1f}" cy="{y}" r="3"/>')
    return "".join(parts) + "</svg>"


def curve(drawn: Curve, x_unit: str, y_unit: str) -> str:
    """A map: torque across, command up."""
    lines = [
        ("without", drawn.nominal, "c7"),
        ("backwards", drawn.mapped[0], "c4"),
        ("at rest", drawn.mapped[1], "c0"),
        ("forwards", drawn.mapped[2], "c1"),
    ]
    every = np.concatenate([values for _, values, _ in lines])
    frame = Frame((float(drawn.x[0]), float(drawn.x[-1])), (float(every.min()), float(every.max())))
    parts = ['<svg viewBox="0 0 460 170" role="img" aria-label="map">']
    told = f"{escape(drawn.joint)} <tspan class='note'>{y_unit}</tspan>"
    parts += [f'<text class="title" x="4" y="12">{told}</text>', legend_of([Line(*line) for line in lines])]
    for value, text in ticks(*frame.y, 4):
        y = frame.down(value)
        parts.append(f'<line class="grid" x1="46" x2="452" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="42" y="{y + 3:.1f}" text-anchor="end">{text}</text>')
    for value, text in ticks(*frame.x, 6):
        parts.append(under(frame.across(value), 164, f"{text} {x_unit}"))
    for name, values, style in lines:
        d = path(frame, drawn.x, values)
        parts.append(f'<path class="line {style}" d="{d}"><title>{escape(name)}</title></path>')
    return "".join(parts) + "</svg>"
