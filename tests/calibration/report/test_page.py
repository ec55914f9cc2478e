from __future__ import annotations

import re
from xml.dom import minidom

import numpy as np
import pytest

from calibration.load import Loaded
from calibration.log import make_log
from calibration.report.page import page
from calibration.report.story import story
from robot_runtime.calibrated.file import Calibration, Number, Row
from robot_runtime.calibrated.identity import Identity
from robot_runtime.spec import load_arm

SPEC = load_arm("xl330-pendulum")


def calibration(*, accepted: bool) -> Calibration:
    rows = (
        Row("rollouts", "block 5", 0.2, 0.6, passed=True, note="fine"),
        Row("command", "block 5", 0.4, 0.05, passed=accepted, note="worst <pendulum>"),
    )
    return Calibration(
        identity=Identity.of_spec(SPEC, name="mine & only"),
        maps={},
        physics={
            "pendulum.coulomb": Number(0.02, 0.018, 0.022, seen=True, unit="N·m"),
            "pendulum.offset": Number(0.01, 0.005, 0.015, seen=True, unit="rad"),
            "delay": Number(0.01, 0.009, 0.011, seen=True, unit="s"),
        },
        acceptance=rows,
        accepted=accepted,
        volts=(4.9, 5.1),
        celsius=(20.0, 30.0),
        logs={"log": "ab" * 32},
        created="2025-06-01T10:15:00Z",
        versions={"mujoco": "3"},
        open_volts=(5.0,),
        notes=("log: stale sample",),
    )


@pytest.fixture(scope="module")
def loaded() -> list[Loaded]:
    time = np.arange(0.0, 20.0, 0.005)
    q = 0.2 * np.sin(2.0 * time)[:, None]
    log = make_log("log", ["pendulum"], ["pwm"], time, q, 0.1 * np.cos(2.0 * time)[:, None], volts=5.0)
    return [Loaded(log, None, "", None)]


@pytest.mark.parametrize("accepted", [True, False])
def test_a_page_says_the_verdict_and_stands_alone(accepted: bool, loaded: list[Loaded]) -> None:
    html = page(story(calibration(accepted=accepted), loaded, SPEC, threads=1))
    assert ("<b>accepted</b>" in html) == accepted
    assert ("record more motion of that joint" in html) != accepted
    assert "mine &amp; only" in html
    assert "<script" not in html
    assert not re.findall(r"(?:src|href)=['\"]?http", html)
    for svg in re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL):
        minidom.parseString(svg)


def test_what_is_drawn_is_the_held_out_side(loaded: list[Loaded]) -> None:
    shown = story(calibration(accepted=True), loaded, SPEC, threads=1)
    assert shown.held_out == "block 5"
    t = shown.tracking
    assert t.measured.shape == t.nominal.shape == t.calibrated.shape
    assert np.isnan(t.measured).any()  # half-second windows stand apart
    assert np.nanmax(np.abs(t.calibrated - t.nominal)) > 0.01
