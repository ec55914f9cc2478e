"""Randomisation stays within what it says and follows its seed."""

from dataclasses import fields

import numpy as np

from sim.worlds.domain import Domain


def test_every_value_is_inside_its_distribution_and_fills_it() -> None:
    domain, random = Domain(), np.random.default_rng(0)
    drawn = [domain.draw(random, 4) for _ in range(300)]
    for f in fields(domain):
        distribution = getattr(domain, f.name)
        values = np.array([d[f.name] for d in drawn])
        assert values.shape == (300, 4 if distribution.each else 1)
        assert distribution.low <= values.min() <= distribution.low + 0.1 * (distribution.high - distribution.low)
        assert distribution.high >= values.max() >= distribution.high - 0.1 * (distribution.high - distribution.low)


def test_the_same_seed_draws_the_same_arm() -> None:
    one, other = (Domain().draw(np.random.default_rng(5), 4) for _ in range(2))
    assert all(np.array_equal(one[key], other[key]) for key in one)
