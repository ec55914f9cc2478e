"""One HTML page about one calibration: no scripts, nothing loaded from anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from calibration.acceptance import advice
from calibration.log import Floats
from calibration.physics import KINDS, Physics
from calibration.report.figures import curve, intervals
from calibration.report.story import Story
from robot_runtime.calibrated.file import Calibration
from robot_runtime.flight.charts import Line, lines

_STYLE = """
:root { --ink:#1c2430; --soft:#5d6b7c; --paper:#ffffff; --card:#f6f8fa; --edge:#dde3ea; --good:#1a7f4b; --bad:#b3261e;
  --c0:#0072b2; --c1:#d55e00; --c4:#b58900; --c7:#7a8794; }
@media (prefers-color-scheme: dark) { :root { --ink:#e3e8ee; --soft:#96a3b3; --paper:#12161c; --card:#1a2029;
  --edge:#2c3542; --good:#4cc38a; --bad:#ff7b72; --c0:#4da3e0; --c1:#f08a4b; --c4:#e0b53c; --c7:#a3adb8; } }
body { font:15px/1.5 system-ui,sans-serif; color:var(--ink); background:var(--paper); margin:0 auto; max-width:1420px;
  padding:1.5rem }
h1 { font-size:1.5rem; margin:0 } h2 { font-size:1.1rem; margin:2rem 0 .6rem }
.verdict { border-left:6px solid var(--soft); background:var(--card); padding:.8rem 1rem; margin:1rem 0 }
.verdict.good { border-color:var(--good) } .verdict.bad { border-color:var(--bad) }
.verdict b { font-size:1.15rem } .soft { color:var(--soft) } .bad { color:var(--bad) } .good { color:var(--good) }
.pictures { display:grid; grid-template-columns:repeat(auto-fill,minmax(400px,1fr)); gap:.8rem }
svg { width:100%; height:auto; background:var(--card); border:1px solid var(--edge); border-radius:6px }
svg.wide { max-width:900px } svg text { font:10px system-ui,sans-serif; fill:var(--soft) }
svg .title { font-size:11px; font-weight:600; fill:var(--ink) } svg .note { font-weight:400; fill:var(--soft) }
svg .tick { font-size:9px } svg .grid { stroke:var(--edge); stroke-width:.6 }
svg .line { fill:none; stroke-width:1.3; stroke-linejoin:round } svg .limit { stroke:var(--soft); stroke-width:.8 }
.c0 { stroke:var(--c0) } .c1 { stroke:var(--c1) } .c4 { stroke:var(--c4) } .c7 { stroke:var(--c7) }
.dot { fill:var(--paper); stroke-width:1.6 }
table { border-collapse:collapse; font-size:.87rem; font-variant-numeric:tabular-nums }
td,th { text-align:left; padding:.18rem .9rem .18rem 0; border-bottom:1px solid var(--edge); vertical-align:top }
"""


def page(shown: Story) -> str:
    """The whole page."""
    calibration = shown.calibration
    title = f"Calibration of {calibration.identity.name or calibration.identity.spec}"
    body = [
        f"<h1>{escape(title)}</h1><p class='soft'>{escape(calibration.created)} · {calibration.digest[:16]}</p>",
        _verdict(calibration),
        _section("Acceptance", _table(("", "", "value", "bound", "held out", ""), _acceptance(calibration))),
        _section("Motion that the fit did not see, half a second at a time", _tracking(shown)),
        _section("What is left over", _residuals(shown)),
        _section("Identified numbers, as factors of the data file's, 95 %", _intervals(shown)),
        _section("Torque map", _curves(shown)),
        _section("Observation map: velocity", _sensing(shown)),
        _section("What was found, left out, or not told apart", _list(calibration.notes)),
        _section("Provenance", _table(("", ""), _provenance(calibration))),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    head += f"<style>{_STYLE}</style>"
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{''.join(body)}</body></html>"


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _verdict(calibration: Calibration) -> str:
    if calibration.accepted:
        return "<div class='verdict good'><b>accepted</b> every row of the table below passed</div>"
    return f"<div class='verdict bad'><b>refused</b> what to do:{_list(advice(calibration.acceptance))}</div>"


def _acceptance(calibration: Calibration) -> Iterable[Sequence[str]]:
    for row in calibration.acceptance:
        yield ("ok" if row.passed else "FAILED", row.name, f"{row.value:.4g}", f"{row.bound:.4g}", row.split, row.note)


def _by_joint(shown: Story, unit: str, time: Floats, values: Mapping[str, tuple[Floats, str]]) -> str:
    """A chart a joint; `values`: what it shows, (samples, joints), and its colour."""
    return _pictures(
        lines(name, unit, time, [Line(title, v[:, i], colour) for title, (v, colour) in values.items()])
        for i, name in enumerate(shown.joints)
    )


def _tracking(shown: Story) -> str:
    t = shown.tracking
    values = {"measured": (t.measured, "c7"), "data files": (t.nominal, "c1"), "calibrated": (t.calibrated, "c0")}
    return _by_joint(shown, "rad", t.time, values)


def _residuals(shown: Story) -> str:
    t = shown.tracking
    values = {
        "data files": (1e3 * (t.nominal - t.measured), "c1"),
        "calibrated": (1e3 * (t.calibrated - t.measured), "c0"),
    }
    return _by_joint(shown, "mrad, simulated less measured", t.time, values)


def _intervals(shown: Story) -> str:
    nominal = Physics(shown.rig.world, ()).nominal
    factors, others = [], []
    for label, number in shown.calibration.physics.items():
        joint, _, kind = label.rpartition(".")
        base = float(nominal[kind][shown.joints.index(joint) if joint else 0])
        if KINDS[kind].factor and base > 0:
            factors.append((label, number.value / base, number.low / base, number.high / base, number.seen))
        else:
            told = "" if number.seen else "not told apart"
            span = f"{number.low:.5f} to {number.high:.5f}"
            others.append((label, f"{number.value:.5f}", span, number.unit, told))
    note = "<p class='soft'>Grey: the data did not tell it apart from others; it stays near the data file's.</p>"
    return intervals(factors) + note + _table(("", "value", "95 %", "unit", ""), others)


def _curves(shown: Story) -> str:
    if not shown.curves:
        return "<p class='soft'>None: joints that follow goals get theirs moved by offset, friction and motor.</p>"
    modes = {joint.name: joint.mode for joint in shown.rig.world.joints}
    note = "<p class='soft'>Command over the simulator's torque: grey without a calibration; blue at rest, orange and "
    note += "yellow turning with and against it, a fifth of the speed limit.</p>"
    return note + _pictures(
        curve(drawn, "N·m", "duty" if modes[drawn.joint] == "pwm" else "N·m") for drawn in shown.curves
    )


def _sensing(shown: Story) -> str:
    if shown.sensing is None:
        return "<p class='soft'>none</p>"
    s = shown.sensing
    values = {"wanted": (s.wanted, "c7"), "register": (s.register, "c1"), "mapped": (s.mapped, "c0")}
    return _by_joint(shown, "rad/s", s.time, values)


def _provenance(calibration: Calibration) -> Iterable[Sequence[str]]:
    identity = calibration.identity
    yield "arm", f"{identity.spec} {identity.name} {identity.adapter}"
    for joint in identity.joints:
        gains = ", ".join(f"{k} {v}" for k, v in joint.gains.items())
        yield joint.name, f"{joint.servo} firmware {joint.firmware or 'not known'}, {joint.mode} {gains}"
    yield "simulator model", identity.mjcf_digest[:16]
    yield "supply", f"{calibration.volts[0]:.1f} to {calibration.volts[1]:.1f} V"
    yield "servos", f"{calibration.celsius[0]:.0f} to {calibration.celsius[1]:.0f} °C"
    for name, digest in calibration.logs.items():
        yield f"log {name}", digest[:16] or "no file"
    for name, told in calibration.versions.items():
        yield name, told


def _pictures(charts: Iterable[str]) -> str:
    return f"<div class='pictures'>{''.join(charts)}</div>"


def _list(texts: Sequence[str]) -> str:
    if not texts:
        return "<p class='soft'>nothing</p>"
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(h)}</th>" for h in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
