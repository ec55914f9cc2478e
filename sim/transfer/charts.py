"""Charts of a study as inline SVG: bars with intervals, and curves. Colours are the page's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from robot_runtime.flight.charts import ticks
from sim.transfer.results import OverSeeds

WIDTH, HEIGHT = 560, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 10, 26, 34
COLOURS = 10
"""Classes c0 to c9 of the page's style."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Points in order; `half`: of the interval at each, where there is one."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int
    half: Sequence[float] = ()
    faint: bool = False  # one seed of several


@dataclass(frozen=True, slots=True)
class Axis:
    """From numbers to pixels."""

    low: float
    high: float
    start: float  # pixel of the low end
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Pixel of a value; what lies beyond is drawn at the end."""
        low, high, v = self.low, self.high, value
        if self.log:
            low, high, v = (math.log10(max(x, 1e-9)) for x in (low, high, v))
        share = (v - low) / ((high - low) or 1.0)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def marks(self) -> list[tuple[float, str]]:
        """Where a number stands."""
        if not self.log:
            return [(v, _short(v)) for v, _ in ticks(self.low, self.high, 5)]
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        steps = (1, 2, 5) if last - first <= 2 else (1,)
        values = [m * 10.0**k for k in range(first, last + 1) for m in steps]
        return [(v, _short(v)) for v in values if self.low <= v <= self.high]


def bars(title: str, groups: Sequence[str], series: Mapping[str, Mapping[str, OverSeeds]]) -> str:
    """A group of bars for each target: `series` is strategy -> target -> figure; who has none keeps its colour."""
    colours = {name: k for k, name in enumerate(series)}
    series = {name: row for name, row in series.items() if row}
    shown = [o for row in series.values() for o in row.values()]
    if not shown:
        return ""
    tops = [o.mean + (o.half if math.isfinite(o.half) else 0.0) for o in shown]
    y = Axis(min(0.0, *(o.mean for o in shown)), max(tops) * 1.05 or 1.0, HEIGHT - _BOTTOM, _TOP)
    parts = _frame(title, y)
    room = (WIDTH - _LEFT - _RIGHT) / len(groups)
    wide = room * 0.86 / len(series)
    for g, group in enumerate(groups):
        left = _LEFT + g * room + room * 0.07
        middle = left + room * 0.43
        parts.append(
            f'<text class="note" x="{middle:.1f}" y="{HEIGHT - 18}" text-anchor="middle">{escape(group)}</text>'
        )
        for k, (name, row) in enumerate(series.items()):
            if group not in row:
                continue
            figure, x, colour = row[group], left + k * wide, colours[name] % COLOURS
            top, zero = y.at(figure.mean), y.at(0.0)
            parts.append(
                f'<rect class="fill c{colour}" x="{x:.1f}" y="{min(top, zero):.1f}" width="{wide * 0.88:.1f}" '
                f'height="{abs(zero - top):.1f}"><title>{escape(f"{name}, {group}: {figure}")}</title></rect>'
            )
            if math.isfinite(figure.half):
                middle = x + wide * 0.44
                low, high = y.at(figure.mean - figure.half), y.at(figure.mean + figure.half)
                parts.append(f'<path class="whisker" d="M{middle:.1f} {low:.1f}V{high:.1f}"/>')
    return _svg(title, parts, [(name, colours[name]) for name in series])


def curves(
    title: str,
    x_name: str,
    lines: Sequence[Curve],
    *,
    log_x: bool = False,
    log_y: bool = False,
    y_range: tuple[float, float] | None = None,
) -> str:
    """Lines, thin for single seeds. `y_range`: what the axis shows; None: where the points are."""
    points = [(a, b) for line in lines for a, b in zip(line.x, line.y, strict=True) if math.isfinite(b)]
    if not points:
        return ""
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    if log_x or log_y:
        ys = [max(v, 1.0) for v in ys] if log_y else ys
        xs = [max(v, 1e-6) for v in xs] if log_x else xs
    x = Axis(min(xs), max(xs), _LEFT, WIDTH - _RIGHT, log_x)
    low, high = y_range or (min(ys) * (0.8 if log_y else 1.0), max(ys) * 1.05)
    y = Axis(low, high, HEIGHT - _BOTTOM, _TOP, log_y)
    parts = _frame(title, y)
    for value, text in x.marks():
        parts.append(f'<text class="tick" x="{x.at(value):.1f}" y="{HEIGHT - 21}" text-anchor="middle">{text}</text>')
    parts.append(f'<text class="tick" x="{WIDTH - _RIGHT}" y="{_TOP - 4}" text-anchor="end">{escape(x_name)}</text>')
    for line in lines:
        kept = [(a, b, i) for i, (a, b) in enumerate(zip(line.x, line.y, strict=True)) if math.isfinite(b)]
        path = "L".join(f"{x.at(a):.1f} {y.at(b):.1f}" for a, b, _ in kept)
        faint = " faint" if line.faint else ""
        if path:
            told = f"<title>{escape(line.name)}</title>"
            parts.append(f'<path class="line{faint} c{line.colour % COLOURS}" d="M{path}">{told}</path>')
        for a, b, i in kept:
            if line.half and math.isfinite(line.half[i]):
                low, high = y.at(b - line.half[i]), y.at(b + line.half[i])
                parts.append(f'<path class="whisker" d="M{x.at(a):.1f} {low:.1f}V{high:.1f}"/>')
    return _svg(title, parts, list(dict.fromkeys((line.name, line.colour) for line in lines)))


def _frame(title: str, y: Axis) -> list[str]:
    parts = [f'<text class="title" x="4" y="14">{escape(title)}</text>']
    for value, text in y.marks():
        at = y.at(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 4}" y="{at + 3:.1f}" text-anchor="end">{text}</text>')
    return parts


def _svg(title: str, parts: Sequence[str], legend: Sequence[tuple[str, int]]) -> str:
    """With the legend below, in as many lines as it takes."""
    rows, x, y = [], float(_LEFT), HEIGHT - 4
    for name, colour in legend:
        width = 6.2 * len(name) + 26
        if x + width > WIDTH and x > _LEFT:
            x, y = float(_LEFT), y + 14
        rows.append(f'<rect class="fill c{colour % COLOURS}" x="{x:.0f}" y="{y - 8}" width="12" height="8"/>')
        rows.append(f'<text class="note" x="{x + 16:.0f}" y="{y}">{escape(name)}</text>')
        x += width
    head = f'<svg viewBox="0 0 {WIDTH} {y + 8}" role="img" aria-label="{escape(title)}">'
    return head + "".join([*parts, *rows]) + "</svg>"


def _short(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:.4g}"
