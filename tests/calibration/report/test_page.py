from __future__ import annotations

import re
import struct
from dataclasses import replace
from pathlib import Path
from xml.dom import minidom

import numpy as np
import pytest

from calibration.logs.load import Loaded
from calibration.logs.log import make_log
from calibration.report.clip import RATE, SECONDS, SIZE, SLOWER, clip, tips_apart
from calibration.report.page import page
from calibration.report.story import story
from calibration.report.write import NO_CLIP, write
from robot_runtime.calibrated.file import Calibration, Number, Row
from robot_runtime.calibrated.identity import Identity
from robot_runtime.flight.clip import ClipError
from robot_runtime.spec import load_arm

SPEC = load_arm("xl330-pendulum")


def calibration(*, accepted: bool) -> Calibration:
    rows = (
        Row("rollouts", "block 5", 0.2, 0.6, passed=True, note="fine"),
        Row("command", "block 5", 0.02 if accepted else 0.4, 0.05, passed=accepted, note="worst <pendulum>"),
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
    html = page(story(calibration(accepted=accepted), loaded, SPEC, threads=1), "no clip: no <graphics>")
    assert ("<b>accepted</b>" in html) == accepted
    assert ("record more motion of that joint" in html) != accepted
    assert "mine &amp; only" in html
    assert "no &lt;graphics&gt;" in html
    assert "<script" not in html
    assert not re.findall(r"(?:src|href)=['\"]?http", html)
    for svg in re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL):
        minidom.parseString(svg)


def test_what_is_accepted_can_still_get_better(loaded: list[Loaded]) -> None:
    shown = calibration(accepted=True)
    assert "<p class='soft'>nothing</p>" in page(story(shown, loaded, SPEC, threads=1), "").split("</div>")[0]
    rows = (replace(shown.acceptance[0], value=0.55), *shown.acceptance[1:])
    numbers = {**shown.physics, "delay": replace(shown.physics["delay"], seen=False)}
    html = page(story(replace(shown, acceptance=rows, physics=numbers), loaded, SPEC, threads=1), "")
    assert "rollouts: 0.55 is near its bound 0.6; record longer" in html
    assert "not told apart: delay" in html


def test_the_clip_shows_the_arm_beside_both_simulators(loaded: list[Loaded]) -> None:
    shown = story(calibration(accepted=True), loaded, SPEC, threads=1)
    nominal, calibrated = tips_apart(shown)
    assert nominal != calibrated
    try:
        rendered = clip(shown)
    except ClipError as error:
        pytest.skip(str(error))
    assert len(rendered) < 2_000_000
    assert rendered[16:24] == struct.pack(">II", 2 * SIZE[0], SIZE[1])
    assert 50 < rendered.count(b"fcTL") <= SECONDS * SLOWER * RATE
    assert "data:image/png" in page(shown, rendered)


def test_without_graphics_the_page_is_written_and_says_why(
    loaded: list[Loaded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "disabled")
    told: list[str] = []
    write(tmp_path / "a.html", calibration(accepted=True), loaded, SPEC, threads=1, tell=told.append)
    assert told
    assert told[0].startswith("no clip")
    assert "no clip" in (tmp_path / "a.html").read_text()
    write(tmp_path / "b.html", calibration(accepted=True), loaded, SPEC, threads=1, moving=False, tell=told.append)
    assert len(told) == 1
    assert NO_CLIP in (tmp_path / "b.html").read_text()


def test_what_is_drawn_is_the_held_out_side(loaded: list[Loaded]) -> None:
    shown = story(calibration(accepted=True), loaded, SPEC, threads=1)
    assert shown.held_out == "block 5"
    t = shown.tracking
    assert t.measured.shape == t.nominal.shape == t.calibrated.shape
    assert np.isnan(t.measured).any()  # half-second windows stand apart
    assert np.nanmax(np.abs(t.calibrated - t.nominal)) > 0.01
