"""Charts as inline SVG: lines, histograms, rasters. Colours are the page's, so they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_runtime.arrays import Floats

WIDTH, HEIGHT = 460, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 20, 20
_COLUMNS = WIDTH - _LEFT - _RIGHT
"""Pixels of time: more than that many samples are drawn as the range that they cover in each."""


@dataclass(frozen=True, slots=True)
class Line:
    """One curve."""

    name: str
    values: Floats
    style: str  # class of the page's style


@dataclass(frozen=True, slots=True)
class Frame:
    """From numbers to pixels."""

    x: tuple[float, float]
    y: tuple[float, float]
    height: int = HEIGHT

    def across(self, value: Any) -> Any:
        """Pixel of an x."""
        return _LEFT + (value - self.x[0]) / ((self.x[1] - self.x[0]) or 1.0) * _COLUMNS

    def down(self, value: Any) -> Any:
        """Pixel of a y."""
        room = self.height - _TOP - _BOTTOM
        return _TOP + (self.y[1] - value) / ((self.y[1] - self.y[0]) or 1.0) * room


def lines(
    title: str,
    unit: str,
    time: Floats,
    curves: Sequence[Line],
    *,
    limits: tuple[float, float] | None = None,
    marks: Sequence[tuple[float, str]] = (),
    legend: bool = True,
) -> str:
    """Curves over time (s). `limits` are shaded beyond (one may be infinite), `marks` are times with a name."""
    curves = [c for c in curves if np.isfinite(c.values).any()]
    if not len(time) or not curves:
        return _empty(title)
    frame = Frame((float(time[0]), float(time[-1])), _range(curves, limits))
    parts = [_axes(frame, title, unit if limits is None else f"{unit}, {_told(limits)}", "s")]
    if limits is not None:
        parts += _shade(frame, limits)
    for at, _ in marks:
        x = frame.across(at)
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{frame.height - _BOTTOM}"/>')
    for curve in curves:
        d = path(frame, time, curve.values)
        parts.append(f'<path class="line {curve.style}" d="{d}"><title>{escape(curve.name)}</title></path>')
    for at, name in marks:  # readable where a curve or a limit passes
        x = frame.across(at)
        parts.append(f'<text class="note over" x="{x + 2:.1f}" y="{_TOP + 8}">{escape(name)}</text>')
    if legend:
        parts.append(legend_of(curves))
    return _svg(parts, frame.height, title)


def histogram(title: str, seconds: Floats, marks: Sequence[tuple[str, float]]) -> str:
    """How often which duration, on a logarithmic axis in µs."""
    found = np.maximum(seconds[np.isfinite(seconds)] * 1e6, 0.01)
    if not len(found):
        return _empty(title)
    low, high = math.floor(np.log10(found.min())), math.ceil(np.log10(found.max()) + 1e-9)
    high = max(high, low + 1)
    counts, edges = np.histogram(np.log10(found), bins=96, range=(low, high))
    frame = Frame((low, high), (0.0, float(counts.max())))
    parts = [_axes(frame, title, "cycles", "", x_ticks=[(k, _power(k)) for k in range(low, high + 1)])]
    base = frame.down(0.0)
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        if count:
            x, y = frame.across(left), frame.down(count)
            width = frame.across(right) - x - 0.5
            parts.append(f'<rect class="bar" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{base - y:.1f}"/>')
    for _, value in marks:
        x = frame.across(math.log10(max(value * 1e6, 0.01)))
        parts.append(f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{base:.1f}"/>')
    told = " · ".join(f"{escape(name)} {micro(value)}" for name, value in marks)
    parts.append(f'<text class="note" x="{WIDTH - _RIGHT}" y="12" text-anchor="end">{told}</text>')
    return _svg(parts, frame.height, title)


def raster(title: str, time: Floats, rows: Sequence[tuple[str, NDArray[np.bool_]]]) -> str:
    """When something was so: one row each, the darker the more of the time."""
    if not rows or not len(time):
        return _empty(title)
    step, left, width = 14, 170, 900
    height = _TOP + step * len(rows) + _BOTTOM
    low, high = float(time[0]), float(time[-1])
    scale = (width - left - _RIGHT) / ((high - low) or 1.0)
    parts = [f'<text class="title" x="4" y="12">{escape(title)}</text>']
    starts = _bins(len(time))
    edges = [*starts.tolist(), len(time)]
    for k, (name, active) in enumerate(rows):
        y = _TOP + k * step
        shares = np.add.reduceat(active.astype(float), starts) / np.diff(edges)
        parts.append(f'<text class="note" x="{left - 4}" y="{y + 10}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<line class="grid" x1="{left}" x2="{width - _RIGHT}" y1="{y + step}" y2="{y + step}"/>')
        for i in np.flatnonzero(shares):
            x = left + (time[edges[i]] - low) * scale
            end = left + (time[min(edges[i + 1], len(time) - 1)] - low) * scale
            parts.append(
                f'<rect class="bar" x="{x:.1f}" y="{y + 2}" width="{max(end - x, 0.8):.1f}" height="{step - 3}" '
                f'opacity="{0.3 + 0.7 * shares[i]:.2f}"/>'
            )
    for value, text in ticks(low, high, 8):
        parts.append(under(left + (value - low) * scale, height - 6, f"{text} s", width))
    return _svg(parts, height, title, width)


def path(frame: Frame, time: Floats, values: Floats) -> str:
    """A curve; where samples are denser than pixels, the range of each pixel's samples: no peak gets lost."""
    starts = _bins(len(time))
    finite = np.isfinite(values)
    if len(starts) == len(time):
        points = np.column_stack([time, values])
    else:
        low = np.minimum.reduceat(np.where(finite, values, np.inf), starts)
        high = np.maximum.reduceat(np.where(finite, values, -np.inf), starts)
        first = np.repeat(time[starts], 2)
        points = np.column_stack([first, np.column_stack([low, high]).ravel()])
    parts, pen = [], "M"
    for x, y in points.tolist():
        if not math.isfinite(y):
            pen = "M"
            continue
        parts.append(f"{pen}{frame.across(x):.1f} {frame.down(y):.1f}")
        pen = "L"
    return "".join(parts)


def ticks(low: float, high: float, most: int = 5) -> list[tuple[float, str]]:
    """Round numbers between two."""
    span = high - low
    if not span > 0:
        return [(low, f"{low:g}")]
    step = 10.0 ** math.floor(math.log10(span / most))
    step = next(step * m for m in (1, 2, 5, 10) if span / (step * m) <= most)
    first = math.ceil(low / step - 1e-9)
    return [(k * step, f"{k * step:.6g}") for k in range(first, math.floor(high / step + 1e-9) + 1)]


def micro(seconds: float) -> str:
    """A duration as people read it."""
    if abs(seconds) >= 1e-3:
        return f"{seconds * 1e3:.2f} ms"
    return f"{seconds * 1e6:.1f} µs"


def _bins(count: int) -> NDArray[np.int64]:
    """First sample of each pixel."""
    if count <= 2 * _COLUMNS:
        return np.arange(count)
    return np.unique(np.arange(_COLUMNS) * count // _COLUMNS)


def _range(curves: Sequence[Line], limits: tuple[float, float] | None) -> tuple[float, float]:
    finite = [c.values[np.isfinite(c.values)] for c in curves]
    low, high = min(float(v.min()) for v in finite), max(float(v.max()) for v in finite)
    if limits is not None:  # shown where something comes near them, so that small motions stay visible
        span = limits[1] - limits[0]
        reach = 0.5 * (high - low) + (0.05 * span if math.isfinite(span) else 0.0)
        low = limits[0] if low - limits[0] < reach else low
        high = limits[1] if limits[1] - high < reach else high
    room = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
    return low - room, high + room


def _told(limits: tuple[float, float]) -> str:
    if math.isfinite(limits[0]):
        return f"limits {limits[0]:.3g} to {limits[1]:.3g}"
    return f"limit {limits[1]:.3g}"


def _shade(frame: Frame, limits: tuple[float, float]) -> list[str]:
    parts, bottom = [], frame.height - _BOTTOM
    for value, above in ((limits[1], True), (limits[0], False)):
        y = frame.down(value)
        if not _TOP <= y <= bottom:
            continue
        top, height = (_TOP, y - _TOP) if above else (y, bottom - y)
        parts.append(f'<rect class="beyond" x="{_LEFT}" y="{top:.1f}" width="{_COLUMNS}" height="{height:.1f}"/>')
        parts.append(f'<line class="limit" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
    return parts


def _axes(
    frame: Frame, title: str, y_unit: str, x_unit: str, x_ticks: Sequence[tuple[float, str]] | None = None
) -> str:
    parts = [f'<text class="title" x="4" y="12">{escape(title)} <tspan class="note">{escape(y_unit)}</tspan></text>']
    for value, text in ticks(*frame.y, 4):
        y = frame.down(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 4}" y="{y + 3:.1f}" text-anchor="end">{text}</text>')
    for value, text in ticks(*frame.x, 6) if x_ticks is None else x_ticks:
        label = f"{text} {x_unit}".rstrip()
        parts.append(under(frame.across(value), frame.height - 6, label))
    return "".join(parts)


def under(x: float, y: float, text: str, width: int = WIDTH) -> str:
    """The label of a tick; the last one ends where the chart does."""
    at, anchor = (width - 2, "end") if x + 2.6 * len(text) > width else (x, "middle")
    return f'<text class="tick" x="{at:.1f}" y="{y}" text-anchor="{anchor}">{text}</text>'


def legend_of(curves: Sequence[Line]) -> str:
    """Their names, on the right above a chart; nothing for a single one."""
    if len(curves) < 2:
        return ""
    parts: list[str] = []
    x = float(WIDTH - _RIGHT)
    for curve in reversed(curves):
        x -= 5.8 * len(curve.name) + 28
        parts.append(f'<line class="line {curve.style}" x1="{x:.0f}" x2="{x + 14:.0f}" y1="9" y2="9"/>')
        parts.append(f'<text class="note" x="{x + 17:.0f}" y="12">{escape(curve.name)}</text>')
    return "".join(parts)


def _power(exponent: int) -> str:
    scale = 3 * (exponent // 3)
    return f"{10 ** (exponent - scale)} {({-3: 'ns', 0: 'µs', 3: 'ms', 6: 's'}).get(scale, f'e{scale} µs')}"


def _empty(title: str) -> str:
    head = f'<text class="title" x="4" y="12">{escape(title)}</text>'
    return _svg([head, '<text class="note" x="4" y="32">nothing recorded</text>'], 44, title)


def _svg(parts: Sequence[str], height: int, title: str, width: int = WIDTH) -> str:
    wide = ' class="wide"' if width > WIDTH else ""
    head = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}"{wide}>'
    return head + "".join(parts) + "</svg>"
