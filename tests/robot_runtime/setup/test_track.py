"""Following a joint by hand: across the wrap, in whichever way the register goes there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_runtime.setup.track import REST_TICKS, REST_TIME, JointTrack

TURN = 4096


def followed(ticks: list[int], homing: int = 0) -> JointTrack:
    track = JointTrack(TURN, homing)
    for i, value in enumerate(ticks):
        track.add(0.04 * i, value)
    return track


@given(
    start=st.integers(0, TURN - 1),
    steps=st.lists(st.integers(-1500, 1500), max_size=40),
    homing=st.integers(-1024, 1024),
    falls_back=st.booleans(),
)
def test_the_way_is_followed_whether_the_register_counts_on_or_falls_back(
    start: int, steps: list[int], homing: int, falls_back: bool
) -> None:
    truth = [start]
    for step in steps:
        truth.append(truth[-1] + step)
    shown = [(t % TURN if falls_back else t) + homing for t in truth]
    track = followed(shown, homing)
    assert (track.start, track.now, track.low, track.high) == (start, truth[-1], min(truth), max(truth))
    assert track.span == max(truth) - min(truth)


def test_a_new_capture_starts_where_the_joint_is() -> None:
    track = followed([4000, 4090, 4100])
    track.restart()
    assert (track.start, track.span) == (4100, 0)
    track.add(1.0, 4050)
    assert (track.low, track.high) == (4050, 4100)


def test_rest_takes_its_time() -> None:
    track = JointTrack(TURN)
    assert not track.seen
    track.add(0.0, 100)
    assert track.seen
    assert not track.rests
    track.add(REST_TIME / 2, 101)
    assert not track.rests
    track.add(REST_TIME, 100)
    assert track.rests
    assert track.held == pytest.approx(100, abs=1)


def test_moving_is_not_rest_and_trembling_is() -> None:
    times = [0.04 * i for i in range(40)]
    moving, trembling = JointTrack(TURN), JointTrack(TURN)
    for i, time in enumerate(times):
        moving.add(time, 100 + 3 * i)
        trembling.add(time, 100 + (REST_TICKS if i % 2 else 0))
    assert not moving.rests
    assert trembling.rests


def test_what_is_held_is_where_it_rests_not_where_it_was() -> None:
    track = followed([1000] * 20 + list(range(1000, 2000, 50)) + [2000] * 20)
    assert track.held == pytest.approx(2000)
