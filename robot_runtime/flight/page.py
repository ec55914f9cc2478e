"""One HTML page about one flight: no scripts, nothing loaded from anywhere."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

import numpy as np

from robot_runtime.flight.charts import Line, histogram, lines, micro, raster
from robot_runtime.flight.reader import Flight
from robot_runtime.flight.summary import MEASURED, durations, ending, phases
from robot_runtime.spec import ArmSpec

_LEVELS = {1: "debug", 2: "info", 3: "warning", 4: "error", 5: "fatal"}
_COLOURS = 8  # classes c0 to c7 of the style

_STYLE = """
:root { --ink:#1c2430; --soft:#5d6b7c; --paper:#ffffff; --card:#f6f8fa; --edge:#dde3ea; --good:#1a7f4b; --bad:#b3261e;
  --c0:#0072b2; --c1:#d55e00; --c2:#009e73; --c3:#b5559a; --c4:#b58900; --c5:#3aa0d8; --c6:#7d5fb2; --c7:#7a8794; }
@media (prefers-color-scheme: dark) { :root { --ink:#e3e8ee; --soft:#96a3b3; --paper:#12161c; --card:#1a2029;
  --edge:#2c3542; --good:#4cc38a; --bad:#ff7b72; --c0:#4da3e0; --c1:#f08a4b; --c2:#35c299; --c3:#d98cc4; --c4:#e0b53c;
  --c5:#7cc7ee; --c6:#ab94dc; --c7:#a3adb8; } }
body { font:15px/1.5 system-ui,sans-serif; color:var(--ink); background:var(--paper); margin:0 auto; max-width:1420px;
  padding:1.5rem; }
h1 { font-size:1.5rem; margin:0 } h2 { font-size:1.1rem; margin:2rem 0 .6rem }
h3 { font-size:.95rem; margin:1rem 0 .3rem }
.verdict { border-left:6px solid var(--soft); background:var(--card); padding:.8rem 1rem; margin:1rem 0 }
.verdict.good { border-color:var(--good) } .verdict.bad { border-color:var(--bad) }
.verdict b { font-size:1.15rem } .soft { color:var(--soft) } .bad { color:var(--bad) }
.facts { display:flex; flex-wrap:wrap; gap:.4rem 2rem; margin:.5rem 0; font-variant-numeric:tabular-nums }
.grid { display:grid; grid-template-columns:repeat(auto-fill,minmax(400px,1fr)); gap:.8rem }
svg { width:100%; height:auto; background:var(--card); border:1px solid var(--edge); border-radius:6px }
svg text { font:10px system-ui,sans-serif; fill:var(--soft) }
svg .title { font-size:11px; font-weight:600; fill:var(--ink) } svg .note { font-weight:400; fill:var(--soft) }
svg .tick { font-size:9px } svg .grid { stroke:var(--edge); stroke-width:.6 }
svg .line { fill:none; stroke-width:1.2; stroke-linejoin:round } svg .bar { fill:var(--c0) }
svg .limit { stroke:var(--bad); stroke-width:.8; stroke-dasharray:4 3 } svg .beyond { fill:var(--bad); opacity:.1 }
svg .mark { stroke:var(--soft); stroke-width:.6; stroke-dasharray:2 3 }
.measured { stroke:var(--c0) } .commanded { stroke:var(--c1) } .wanted { stroke:var(--c7); stroke-dasharray:3 2 }
.c0 { stroke:var(--c0) } .c1 { stroke:var(--c1) } .c2 { stroke:var(--c2) } .c3 { stroke:var(--c3) }
.c4 { stroke:var(--c4) } .c5 { stroke:var(--c5) } .c6 { stroke:var(--c6) } .c7 { stroke:var(--c7) }
table { border-collapse:collapse; font-size:.87rem; font-variant-numeric:tabular-nums }
td,th { text-align:left; padding:.18rem .9rem .18rem 0; border-bottom:1px solid var(--edge); vertical-align:top }
td pre { margin:0; white-space:pre-wrap; word-break:break-word; max-width:60rem; font-size:.8rem }
img { max-width:100%; border-radius:6px } details summary { cursor:pointer; color:var(--soft) }
"""


def page(flight: Flight, arm: ArmSpec | None, numbers: Mapping[str, Any], clip: bytes | str) -> str:
    """The whole page. `clip`: an animated PNG, or in words why there is none."""
    title = f"Flight {flight.path.stem}"
    body = [
        f"<h1>{escape(title)}</h1>",
        _when(flight),
        _verdict(flight, numbers),
        _section("Joints", _joint_table(numbers)),
        _section("Tracking", _joints(flight, arm)),
        _section("Interventions of the envelope", _interventions(flight)),
        _section("Timing", _timing(flight, numbers)),
        _section("Heat and voltage", _health(flight, arm)),
        _section("The arm", _clip(clip)),
        _section("Events", _events(flight)),
        _section("Provenance", _provenance(flight)),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    head += f"<style>{_STYLE}</style>"
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{''.join(body)}</body></html>"


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _when(flight: Flight) -> str:
    if not len(flight):
        return "<p class='soft'>no cycles</p>"
    start = flight.epoch_ns * 1e-9 + float(flight["begin"][0])
    return f"<p class='soft'>{datetime.fromtimestamp(start, UTC):%Y-%m-%d %H:%M:%S} UTC</p>"


def _verdict(flight: Flight, numbers: Mapping[str, Any]) -> str:
    verdict, (name, text) = numbers["verdict"], ending(flight)
    mood = "good" if verdict is not None and verdict.get("exit_code") == 0 and not numbers["damage"] else "bad"
    parts = [f"<div class='verdict {mood}'><b>{escape(name)}</b> {escape(text)}"]
    if verdict is not None and verdict.get("outcome"):
        parts.append(f"<br>{escape(str(verdict['outcome']))}")
    parts += [f"<br><span class='bad'>{escape(text)}</span>" for text in numbers["damage"]]
    rate = numbers["rate"]
    facts = [("cycles", numbers["cycles"]), ("seconds", f"{numbers['seconds']:.2f}")]
    facts += [("Hz", f"{rate:.1f}" if rate else "-"), ("cycles skipped", numbers["skipped"])]
    facts += [("replies lost", numbers["lost_replies"])]
    facts += [(f"s {p['phase']}", f"{p['seconds']:.2f}") for p in numbers["phases"]]
    listed = "".join(f"<span><b>{escape(str(value))}</b> {escape(name)}</span>" for name, value in facts)
    return "".join(parts) + f"<div class='facts'>{listed}</div></div>"


def _joint_table(numbers: Mapping[str, Any]) -> str:
    heads = ("joint", "mode", "tracking rms", "tracking worst", "torque", "speed", "beyond limits", "°C", "V", "lost")
    rows = [
        (
            joint["joint"],
            joint["mode"],
            _number(joint.get("tracking_rms"), ".4f"),
            _number(joint.get("tracking_most"), ".4f"),
            _number(joint["most_torque"], ".3f") + _share(joint.get("torque_share")),
            _number(joint["most_speed"], ".2f") + _share(joint.get("speed_share")),
            _number(joint.get("beyond_limits"), ".4f"),
            _number(joint["most_temperature"], ".0f"),
            _number(joint["least_voltage"], ".1f"),
            str(joint["lost_replies"]),
        )
        for joint in numbers["joints"]
    ]
    note = (
        "Tracking (command against what follows it) in the unit of the joint's mode; the most of torque (N·m), speed "
        "(rad/s) and heat, the least of voltage; in brackets the share of the limit; beyond limits in rad."
    )
    return _table(heads, rows) + f"<p class='soft'>{note}</p>"


def _joints(flight: Flight, arm: ArmSpec | None) -> str:
    if not len(flight):
        return "<p class='soft'>nothing recorded</p>"
    time = flight["begin"] - flight["begin"][0]
    marks = [(float(time[s.first]), s.phase.name.lower()) for s in phases(flight)]
    parts = [] if arm else ["<p class='bad'>The recording lacks its arm file: limits are not shown.</p>"]
    for i, name in enumerate(flight.layout.joints):
        limits = arm.joints[i].limits if arm else None
        follows = MEASURED.get(flight.layout.modes[i])
        charts = []
        for quantity, title, unit, bound in (
            ("q", "position", "rad", (limits.lower, limits.upper) if limits else None),
            ("tau", "torque", "N·m", (-limits.torque, limits.torque) if limits else None),
            ("dq", "speed", "rad/s", (-limits.velocity, limits.velocity) if limits else None),
        ):
            curves = [Line("measured", flight[quantity][:, i], "measured")]
            if quantity == follows:
                curves = [*curves, *_commands(flight, i)]
            charts.append(lines(title, unit, time, curves, limits=bound, marks=marks))
        if follows is None:
            charts.append(lines("duty", "of the supply voltage", time, _commands(flight, i), marks=marks))
        head = f"<h3>{escape(name)} <span class='soft'>{escape(flight.layout.modes[i])}</span></h3>"
        parts.append(f"{head}<div class='grid'>{''.join(charts)}</div>")
    return "".join(parts)


def _commands(flight: Flight, i: int) -> list[Line]:
    intent, command = flight["intent"][:, i], flight["command"][:, i]
    return [Line("wanted", intent, "wanted"), Line("commanded", command, "commanded")]


def _interventions(flight: Flight) -> str:
    bits = flight["interventions"]
    rows = []
    for i, joint in enumerate(flight.layout.joints):
        for b in range(16):
            active = (bits[:, i] >> np.uint16(b) & 1).astype(bool)
            if active.any():
                reason = flight.layout.reasons[b] if b < len(flight.layout.reasons) else f"bit {b}"
                rows.append((f"{joint} · {reason} · {int(active.sum())}", active))
    if not rows:
        return "<p>None: every command was let through as it was wanted.</p>"
    chart = raster("joint · reason · cycles", flight["begin"] - flight["begin"][0], rows)
    return f"<div style='max-width:900px'>{chart}</div>"


def _timing(flight: Flight, numbers: Mapping[str, Any]) -> str:
    charts = []
    for name, seconds in durations(flight).items():
        marks = [(q, v) for q, v in numbers["timing"][name].items() if v is not None]
        charts.append(histogram(name, seconds, marks))
    rows = [
        (name, *(micro(v) if v is not None else "-" for v in quantiles.values()))
        for name, quantiles in numbers["timing"].items()
    ]
    return f"<div class='grid'>{''.join(charts)}</div>" + _table(("", "median", "99 %", "99.9 %", "worst"), rows)


def _health(flight: Flight, arm: ArmSpec | None) -> str:
    if not len(flight):
        return "<p class='soft'>nothing recorded</p>"
    time = flight["begin"] - flight["begin"][0]
    unread = ~(flight["health_stamp"] > -math.inf)
    charts = []
    for quantity, title, unit in (("temperature", "temperature", "°C"), ("voltage", "voltage", "V")):
        curves = [
            Line(name, np.where(unread[:, i], np.nan, flight[quantity][:, i]), f"c{i % _COLOURS}")
            for i, name in enumerate(flight.layout.joints)
        ]
        limits = None
        if arm is not None:
            heat = (-math.inf, min(j.limits.temperature for j in arm.joints))
            limits = arm.supply if quantity == "voltage" else heat
        charts.append(lines(title, unit, time, curves, limits=limits, legend=False))
    key = "".join(
        f"<span style='color:var(--c{i % _COLOURS})'>━</span> {escape(name)} &ensp;"
        for i, name in enumerate(flight.layout.joints)
    )
    return f"<p class='soft'>{key}</p><div class='grid'>{''.join(charts)}</div>"


def _clip(clip: bytes | str) -> str:
    if isinstance(clip, str):
        return f"<p class='soft'>{escape(clip)}</p>"
    return f"<img alt='the arm during the flight' src='data:image/png;base64,{base64.b64encode(clip).decode()}'>"


def _events(flight: Flight) -> str:
    start = float(flight["begin"][0]) if len(flight) else 0.0
    rows = [(f"{e.time - start:.3f}", _LEVELS.get(e.level, str(e.level)), e.name, e.text) for e in flight.events]
    return _table(("s", "level", "who", "what"), rows) if rows else "<p class='soft'>none</p>"


def _provenance(flight: Flight) -> str:
    parts = []
    for name, data in flight.metadata.items():
        rows = "".join(
            f"<tr><td>{escape(k)}</td><td><pre>{escape(_pretty(v))}</pre></td></tr>" for k, v in data.items()
        )
        parts.append(f"<details><summary>{escape(name)}</summary><table>{rows}</table></details>")
    files = [(name, f"{len(data)}") for name, data in flight.attachments.items()]
    return "".join(parts) + _table(("attached file", "bytes"), files)


def _pretty(text: str) -> str:
    try:
        data = json.loads(text)
    except json.JSONDecodeError:
        return text
    return json.dumps(data, indent=1, ensure_ascii=False) if isinstance(data, dict | list) else text


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(h)}</th>" for h in heads)
    lines_ = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines_)}</table>"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _share(value: float | None) -> str:
    return "" if value is None else f" ({value:.0%})"
