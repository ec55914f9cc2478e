"""Values above their limits, for a while and for longer."""

from __future__ import annotations

import numpy as np

from robot_runtime.safety.windows import Windows

ALL = np.ones(2, dtype=bool)


def step(windows: Windows, values: list[list[float]], now: float, new: np.ndarray = ALL) -> list[tuple[int, int]]:
    windows.values[:] = values
    return windows.due(new, now) if windows.look() else []


def test_only_what_stays_above_for_its_window_is_due() -> None:
    windows = Windows([[1.0, 1.0], [5.0, 5.0]], (0.2, 0.0))
    assert step(windows, [[0.9, 1.0], [5.0, 0.0]], 0.0) == []
    assert step(windows, [[1.1, 1.0], [5.0, 5.1]], 0.1) == [(1, 1)]
    assert step(windows, [[1.1, 1.0], [0.0, 0.0]], 0.2) == []
    assert step(windows, [[1.1, 1.0], [0.0, 0.0]], 0.31) == [(0, 0)]


def test_falling_below_starts_anew() -> None:
    windows = Windows([[1.0, 1.0]], (0.2,))
    step(windows, [[2.0, 0.0]], 0.0)
    assert step(windows, [[0.0, 0.0]], 0.1) == []
    assert step(windows, [[2.0, 0.0]], 0.25) == []
    assert step(windows, [[2.0, 0.0]], 0.5) == [(0, 0)]


def test_old_values_are_no_reason_in_either_direction() -> None:
    windows = Windows([[1.0, 1.0]], (0.2,))
    step(windows, [[2.0, 2.0]], 0.0)
    assert step(windows, [[2.0, 0.0]], 0.3, np.array([False, False])) == []
    assert step(windows, [[2.0, 2.0]], 0.4) == [(0, 0), (0, 1)]


def test_a_silence_before_the_first_value_above_is_no_time_above() -> None:
    windows, first = Windows([[1.0, 1.0]], (0.02,)), np.array([True, False])
    step(windows, [[2.0, 0.0]], 0.0)
    for k in range(1, 5):
        step(windows, [[1.5, 0.0]], 0.004 * k, first)
    assert step(windows, [[0.0, 2.0]], 0.021) == []
    assert step(windows, [[0.0, 2.0]], 0.03, ~first) == []
    assert step(windows, [[0.0, 2.0]], 0.041) == [(0, 1)]


def test_what_cannot_be_told_is_not_above() -> None:
    windows = Windows([[1.0, 1.0]], (0.0,))
    assert step(windows, [[np.nan, 0.0]], 0.0) == []


def test_what_swings_across_its_limit_is_due_when_it_is_above_more_often_than_not() -> None:
    mostly, seldom = Windows([[1.0, 1.0]], (0.2,)), Windows([[1.0, 1.0]], (0.2,))
    for k in range(100):
        now = 0.01 * k
        if step(mostly, [[2.0 if k % 10 < 7 else 0.0, 0.0]], now):
            break
        assert step(seldom, [[2.0 if k % 10 < 4 else 0.0, 0.0]], now) == []
    assert 0.2 < now < 0.9
