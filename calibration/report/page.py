"""One HTML page about one calibration: no scripts, nothing loaded from anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from calibration.judging.acceptance import ADVICE, advice
from calibration.physics.numbers import KINDS, Physics
from calibration.report.clip import SLOWER, tips_apart
from calibration.report.figures import curve, intervals
from calibration.report.story import Story
from robot_runtime.aim import millimetres
from robot_runtime.arrays import Floats
from robot_runtime.calibrated.file import Calibration
from robot_runtime.flight.charts import Line, lines
from robot_runtime.flight.html import document, grid, moving, section, table

_SMALLER_IS_BETTER = ("rollouts", "error", "velocity", "command", "delay", "untold", "closed")
_TIGHT = 0.7
"""Share of its bound from which a row that passed is worth a word."""


def page(shown: Story, clip: bytes | str) -> str:
    """The whole page. `clip`: an animated PNG, or in words why there is none."""
    calibration = shown.calibration
    title = f"Calibration of {calibration.identity.name or calibration.identity.spec}"
    body = [
        f"<h1>{escape(title)}</h1><p class='soft'>{escape(calibration.created)} · {calibration.digest[:16]}</p>",
        _verdict(calibration),
        section("Acceptance", table(("", "row", "value", "bound", "judged on", "note"), _acceptance(calibration))),
        section("The arm and its simulators", _clip(shown, clip)),
        section("Motion that the fit did not see, half a second at a time", _tracking(shown)),
        section("What is left over", _residuals(shown)),
        section("Identified numbers, as factors of the data file's, 95 %", _intervals(shown)),
        section("Torque map", _curves(shown)),
        section("Observation map: velocity", _sensing(shown)),
        section("What was found, left out, or not told apart", _list(calibration.notes)),
        section("Provenance", table(("", ""), _provenance(calibration))),
    ]
    return document(title, body)


def _verdict(calibration: Calibration) -> str:
    if calibration.accepted:
        better = _list(_to_get_better(calibration))
        return f"<div class='verdict good'><b>accepted</b> every row below passed. To get better:{better}</div>"
    return f"<div class='verdict bad'><b>refused</b> what to do:{_list(advice(calibration.acceptance))}</div>"


def _to_get_better(calibration: Calibration) -> list[str]:
    """What came near its bound, and what the data did not show."""
    rows = [r for r in calibration.acceptance if r.name.split(" ")[0] in _SMALLER_IS_BETTER]
    found = [
        f"{r.name}: {r.value:.3g} is near its bound {r.bound:.3g}; {ADVICE[r.name.split(' ')[0]]}"
        for r in rows
        if r.bound > 0 and r.value > _TIGHT * r.bound
    ]
    if unseen := [label for label, number in calibration.physics.items() if not number.seen]:
        found.append(
            f"not told apart: {', '.join(unseen)}; more kinds of motion tell more: record with --level full and "
            "--gains, and with a known weight at the tip (--payload)"
        )
    return found


def _acceptance(calibration: Calibration) -> Iterable[Sequence[str]]:
    for row in calibration.acceptance:
        yield ("ok" if row.passed else "FAILED", row.name, f"{row.value:.4g}", f"{row.bound:.4g}", row.split, row.note)


def _by_joint(shown: Story, unit: str, time: Floats, values: Mapping[str, tuple[Floats, str]]) -> str:
    """A chart a joint; `values`: what it shows, (samples, joints), and its colour."""
    return grid(
        lines(name, unit, time, [Line(title, v[:, i], colour) for title, (v, colour) in values.items()])
        for i, name in enumerate(shown.joints)
    )


def _clip(shown: Story, clip: bytes | str) -> str:
    told = "the arm, and over it the data files' simulator (left) and the calibrated one (right)"
    if isinstance(clip, str):
        return moving(clip, told)
    nominal, calibrated = (millimetres(m) for m in tips_apart(shown))
    note = (
        f"The arm as it moved, {SLOWER:g} times slower, and over it, a little thicker, the simulator under the same "
        "commands, begun anew at the arm's pose every half second: on the left by the data files' numbers (orange), on "
        "the right by the calibrated ones (blue). The more is seen of the arm itself, the worse. After half a second "
        f"the tips are {nominal} and {calibrated} apart (median)."
    )
    return f"{moving(clip, told)}<p class='soft'>{escape(note)}</p>"


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
    return intervals(factors) + note + table(("", "value", "95 %", "unit", ""), others)


def _curves(shown: Story) -> str:
    if not shown.curves:
        return "<p class='soft'>None: joints that follow goals get theirs moved by offset, friction and motor.</p>"
    modes = {joint.name: joint.mode for joint in shown.rig.world.joints}
    note = "<p class='soft'>Command (up) over the simulator's torque (across): without a calibration, and with it at "
    note += "rest, turning forwards and turning backwards at a fifth of the speed limit.</p>"
    return note + grid(curve(drawn, "N·m", "duty" if modes[drawn.joint] == "pwm" else "N·m") for drawn in shown.curves)


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


def _list(texts: Sequence[str]) -> str:
    if not texts:
        return "<p class='soft'>nothing</p>"
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"
