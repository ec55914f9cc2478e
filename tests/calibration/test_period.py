"""A calibration can be flown at the rate that it was recorded at, whatever that was, and at no other one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from calibration.excitation.spans import Span
from calibration.logs.load import Loaded
from calibration.logs.log import make_log
from calibration.maps.export import observation_file
from calibration.maps.fit import SENSE_HISTORY, lags_of
from calibration.maps.modules import ObservationMap
from calibration.pipeline import _period
from robot_runtime.calibrated.errors import UnfitMapError
from robot_runtime.calibrated.file import MapFile
from robot_runtime.calibrated.network import MapNetwork
from robot_runtime.policy.pilot import steps_between
from tests.robot_runtime.calibrated.made import rows

RATES: tuple[float, ...] = (
    *(50, 60, 62.5, 75, 100, 120, 125, 149.254, 150, 160, 180, 200),
    *(240, 300, 320, 333, 333.333, 400, 450, 600, 998, 999, 1000),
)


def recorded(rate: float, scatter: float = 0.0) -> list[Loaded]:
    """A flight of ours at this rate; `scatter`: s rms of its stamps."""
    time = np.arange(4001) / rate + scatter * np.random.default_rng(0).standard_normal(4001)
    log = make_log("flight", ["a"], ["pwm"], time, np.sin(time)[:, None], np.sin(time)[:, None])
    return [Loaded(log, None, "", None, (Span("sweep-1", "sweep", 0.0, 10.0, whole=True),))]


def fitted(period: float) -> MapFile:
    taps = len(lags_of(SENSE_HISTORY, period))
    module = ObservationMap(1, taps, torch.zeros(1), 0.0, relative=torch.ones(1), period=period)
    return observation_file(module, rows(module), ["a"], period)


def flown(file: MapFile, rate: float) -> None:
    MapNetwork("observation", file, 1.0 / rate, ages=("command",))


@pytest.mark.parametrize("rate", RATES)
def test_a_calibration_is_flown_at_the_rate_that_it_was_recorded_at(rate: float) -> None:
    flown(fitted(_period(recorded(rate, scatter=5e-6))), rate)


@pytest.mark.parametrize("rate", [60, 75, 150, 200, 240, 300, 333, 450, 600, 1000])
def test_a_bus_period_is_that_of_the_rate_to_the_last_digit(rate: float) -> None:
    """A forecast needs policies' periods to be whole cycles."""
    period = _period(recorded(rate, scatter=2e-6))
    assert period == 1.0 / rate
    assert steps_between(rate / 3.0, period) == 3


@pytest.mark.parametrize("rate", [150, 200, 240, 300])
def test_neither_a_coarse_clock_nor_skipped_cycles_make_another_rate(rate: float) -> None:
    """Adapters that hand over what they have once a millisecond."""
    (one,) = recorded(rate)
    time = np.delete(np.round(one.log.time, 3), slice(100, None, 50))
    log = make_log("flight", ["a"], ["pwm"], time, np.sin(time)[:, None], np.sin(time)[:, None])
    assert _period([replace(one, log=log)]) == 1.0 / rate


@pytest.mark.parametrize(("one", "other"), [(200, 150), (150, 200), (200, 201), (300, 299), (600, 450), (333, 320)])
def test_another_rate_is_refused(one: float, other: float) -> None:
    file = fitted(_period(recorded(one)))
    with pytest.raises(UnfitMapError, match=f"use --rate {one} or a multiple"):
        flown(file, other)


@pytest.mark.parametrize("period", [0.0067, 0.0031, 0.0017, 0.0033])
def test_the_rate_that_is_advised_works(period: float) -> None:
    """Calibrations of old have periods that were rounded to a tenth of a millisecond."""
    file = fitted(period)
    with pytest.raises(UnfitMapError) as refused:
        flown(file, 0.7 / period)
    advised = str(refused.value).split("--rate ")[1].split(" ")[0]
    flown(file, float(advised))
