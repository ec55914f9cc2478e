"""One HTML page about one flight: no scripts, nothing loaded from anywhere."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

import numpy as np

from robot_runtime.flight.charts import Line, histogram, lines, micro, raster
from robot_runtime.flight.html import document, grid, moving, section, table
from robot_runtime.flight.reader import Flight
from robot_runtime.flight.recorder import Level
from robot_runtime.flight.summary import MEASURED, durations, ending, phases, tip_distance
from robot_runtime.spec import ArmSpec

_LEVELS = {level.value: level.name.lower() for level in Level}
_COLOURS = 8  # classes c0 to c7 of the style
_UNITS = {"q": "rad", "dq": "rad/s", "tau": "N·m"}  # of what is measured


def page(flight: Flight, arm: ArmSpec | None, numbers: Mapping[str, Any], clip: bytes | str) -> str:
    """The whole page. `clip`: an animated PNG, or in words why there is none."""
    title = f"Flight {flight.path.stem}"
    body = [
        f"<h1>{escape(title)}</h1>",
        _when(flight),
        _verdict(flight, numbers),
        section("Joints", _joint_table(numbers)),
        section("The arm", moving(clip, "the arm during the flight")),
        *_targets(flight, numbers),
        section("Tracking", _joints(flight, arm)),
        section("Interventions of the envelope", _interventions(flight)),
        section("Timing", _timing(flight, numbers)),
        section("Heat and voltage", _health(flight, arm)),
        section("Events", _events(flight)),
        section("Provenance", _provenance(flight)),
    ]
    return document(title, body)


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
    heads = ("joint", "mode", "tracking rms", "worst", "torque N·m", "speed rad/s", "beyond limits rad", "°C", "V")
    rows = [
        (
            joint["joint"],
            joint["mode"],
            _number(joint.get("tracking_rms"), ".4f") + _unit(joint["mode"]),
            _number(joint.get("tracking_most"), ".4f") + _unit(joint["mode"]),
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
        "Tracking: the command against what follows it. The most of torque, speed and heat, in brackets as a share of "
        "the limit; the least of voltage."
    )
    return table((*heads, "replies lost"), rows) + f"<p class='soft'>{note}</p>"


def _unit(mode: str) -> str:
    return f" {_UNITS[MEASURED[mode]]}" if mode in MEASURED else ""


def _targets(flight: Flight, numbers: Mapping[str, Any]) -> list[str]:
    """How near the tip came, where targets are places of it."""
    far = tip_distance(flight)
    if far is None or np.isnan(far).all():
        return []
    time = flight["begin"] - flight["begin"][0]
    chart = lines("tip to target", "mm", time, [Line("distance", 1e3 * far, "measured")])
    rows = [
        (" ".join(f"{x:+.3f}" for x in r["target"]), f"{r['seconds']:.1f}", f"{1e3 * r['distance']:.1f}")
        for r in (numbers["verdict"] or {}).get("targets", ())
    ]
    told = table(("target, m", "for s", "tip at its end, mm from it"), rows) if rows else ""
    return [section("Targets", f"{grid([chart])}{told}")]


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
        parts.append(head + grid(charts))
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
    return raster("joint · reason · cycles", flight["begin"] - flight["begin"][0], rows)


def _timing(flight: Flight, numbers: Mapping[str, Any]) -> str:
    charts = []
    for name, seconds in durations(flight).items():
        marks = [(q, v) for q, v in numbers["timing"][name].items() if v is not None]
        charts.append(histogram(name, seconds, marks))
    rows = [
        (name, *(micro(v) if v is not None else "-" for v in quantiles.values()))
        for name, quantiles in numbers["timing"].items()
    ]
    return grid(charts) + table(("", "median", "99 %", "99.9 %", "worst"), rows)


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
    return f"<p class='soft'>{key}</p>{grid(charts)}"


def _events(flight: Flight) -> str:
    start = float(flight["begin"][0]) if len(flight) else 0.0
    rows = [(f"{e.time - start:.3f}", _LEVELS.get(e.level, str(e.level)), e.name, e.text) for e in flight.events]
    return table(("s", "level", "who", "what"), rows) if rows else "<p class='soft'>none</p>"


def _provenance(flight: Flight) -> str:
    parts = []
    for name, data in flight.metadata.items():
        rows = "".join(
            f"<tr><td>{escape(k)}</td><td><pre>{escape(_pretty(v))}</pre></td></tr>" for k, v in data.items()
        )
        parts.append(f"<details><summary>{escape(name)}</summary><table>{rows}</table></details>")
    files = [(name, f"{len(data)}") for name, data in flight.attachments.items()]
    return "".join(parts) + table(("attached file", "bytes"), files)


def _pretty(text: str) -> str:
    try:
        data = json.loads(text)
    except json.JSONDecodeError:
        return text
    return json.dumps(data, indent=1, ensure_ascii=False) if isinstance(data, dict | list) else text


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _share(value: float | None) -> str:
    return "" if value is None else f" ({value:.0%})"
