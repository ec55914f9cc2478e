from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from robot_runtime.flight.charts import WIDTH, Frame, Line, histogram, lines, micro, path, raster, ticks


def heights(d: str) -> list[float]:
    return [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", d)]


def test_no_peak_gets_lost_however_many_samples_there_are() -> None:
    time = np.linspace(0.0, 10.0, 100_000)
    values = np.zeros(len(time))
    values[12_345] = 1.0
    frame = Frame((0.0, 10.0), (0.0, 1.0))
    drawn = heights(path(frame, time, values))
    assert min(drawn) == pytest.approx(frame.down(1.0), abs=0.06)
    assert len(drawn) < 1000


def test_what_is_no_number_leaves_a_gap() -> None:
    frame = Frame((0.0, 3.0), (0.0, 1.0))
    assert path(frame, np.arange(4.0), np.array([0.0, np.nan, 1.0, 1.0])).count("M") == 2


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.7, 12.2), (1e-5, 2e-5), (5.0, 5.0), (0.0, 1e6)])
def test_ticks_are_round_and_inside(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 1 <= len(found) <= 6
    assert all(low - 1e-9 <= value <= high + 1e-9 for value, _ in found)


def test_charts_are_well_formed_whatever_they_show() -> None:
    time = np.arange(5.0)
    for values in (time, np.full(5, np.nan), np.zeros(5)):
        for limits in (None, (-1.0, 2.0), (-np.inf, 3.0)):
            ET.fromstring(lines("a <b>", "rad", time, [Line("q & r", values, "measured")], limits=limits))
        ET.fromstring(histogram("read", values * 1e-4, [("p99", 1e-4)]))
        ET.fromstring(raster("why", time, [("jerk", values > 2)]))
    ET.fromstring(lines("empty", "", np.zeros(0), []))


def test_times_have_their_unit_and_the_last_one_is_not_cut_off() -> None:
    time = np.linspace(0.0, 10.0, 101)
    for drawn, width in (
        (lines("q", "rad", time, [Line("q", time, "measured")]), WIDTH),
        (raster("why", time, [("jerk", time > 5)]), 900),
    ):
        x, anchor, text = re.findall(r'class="tick" x="([\d.]+)"[^>]* text-anchor="(\w+)">([^<]* s)<', drawn)[-1]
        assert text == "10 s"
        assert float(x) + (0.5 * 5.2 * len(text) if anchor == "middle" else 0.0) <= width


def test_limits_that_are_far_away_are_told_but_not_drawn() -> None:
    curve = [Line("q", np.array([0.0, 0.1]), "measured")]
    assert "beyond" not in lines("q", "rad", np.arange(2.0), curve, limits=(-50.0, 50.0))
    assert "limits -50 to 50" in lines("q", "rad", np.arange(2.0), curve, limits=(-50.0, 50.0))
    assert "beyond" in lines("q", "rad", np.arange(2.0), curve, limits=(-50.0, 0.12))


def test_durations_are_told_in_their_size() -> None:
    assert micro(2.5e-6) == "2.5 µs"
    assert micro(0.0125) == "12.50 ms"
