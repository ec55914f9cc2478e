"""Intervals that say how sure one can be."""

import numpy as np
import pytest

from sim.training.evaluate import mean, share


def test_a_thousand_of_a_thousand_is_not_certainty() -> None:
    figure = share(np.ones(1000, dtype=bool))
    assert figure.mean == figure.high == 1.0
    assert figure.low == pytest.approx(1 / (1 + 1.96**2 / 1000))


def test_wilson_interval_of_a_half() -> None:
    figure = share(np.arange(100) < 50)
    assert (figure.low, figure.high) == pytest.approx((0.4038, 0.5962), abs=1e-4)


def test_the_mean_interval_covers_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    figures = [mean(random.normal(3.0, 2.0, 50)) for _ in range(400)]
    covered = np.mean([figure.low <= 3.0 <= figure.high for figure in figures])
    assert 0.91 < covered < 0.98
