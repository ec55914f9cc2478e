from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibration.logs.clean import PAUSE, ClockError, clean, unusable, without_pauses
from calibration.logs.log import Log, make_log
from robot_runtime.spec import JointSpec, load_arm

TICK = 2 * np.pi / 4096


def joints() -> tuple[JointSpec, ...]:
    return load_arm("xl330-pendulum").joints


def log(q: np.ndarray | None = None, **changes: np.ndarray) -> Log:
    time = changes.pop("time", np.arange(0.0, 4.0, 0.005))
    smooth = np.round(np.sin(3 * time) / TICK) * TICK
    q = smooth if q is None else q
    given = {"dq": 3 * np.cos(3 * time), "volts": np.full(len(time), 5.0), "temperature": np.full(len(time), 30.0)}
    columns = {key: value[:, None] for key, value in {**given, **changes}.items()}
    return make_log("log", ["pendulum"], ["pwm"], time, q[:, None], np.zeros((len(time), 1)), **columns)


def test_a_clean_log_stays_as_it_is() -> None:
    cleaned = clean(log(), joints())
    assert cleaned.valid.all()
    assert not cleaned.findings


def test_spikes_are_marked_counted_and_said() -> None:
    q = np.array(log().q[:, 0])
    q[[100, 300, 301]] = -np.pi
    cleaned = clean(log(q), joints())
    assert set(np.flatnonzero(~cleaned.valid[:, 0])) == {100, 300, 301}
    assert any("spike" in f and "3 of" in f for f in cleaned.findings)


def test_readings_that_cannot_be_are_ignored_and_the_sample_stays() -> None:
    volts, temperature = np.full(800, 5.0), np.full(800, 30.0)
    volts[[10, 20]], temperature[30] = (0.0, 25.0), 150.0
    cleaned = clean(log(volts=volts, temperature=temperature), joints())
    assert cleaned.valid.all()
    assert np.isnan(cleaned.volts[[10, 20], 0]).all()
    assert np.isnan(cleaned.temperature[30, 0])
    assert len(cleaned.findings) == 2


def test_samples_read_twice_are_stale() -> None:
    q, dq = np.array(log().q[:, 0]), np.array(log().dq[:, 0])
    q[401], dq[401] = q[400], dq[400]
    cleaned = clean(log(q, dq=dq), joints())
    assert np.flatnonzero(~cleaned.valid[:, 0]).tolist() == [401]


def test_gaps_and_clocks_that_go_back_are_said() -> None:
    time = np.arange(0.0, 4.0, 0.005)
    time[500:] += 0.2
    time[600] = time[590]
    cleaned = clean(log(time=time), joints())
    assert len(cleaned) == 799
    assert any("gaps: 1" in f for f in cleaned.findings)
    assert "time does not ascend: 1 samples left out" in cleaned.findings


def stamped(*changes: tuple[int, int, float]) -> Log:
    """With later (or earlier) stamps from one row to another."""
    time = np.arange(0.0, 4.0, 0.005)
    for first, last, by in changes:
        time[first:last] += by
    return replace(log(), time=time, sent=time.copy())


@pytest.mark.parametrize(
    ("first", "count", "by"),
    [*((300, count, by) for count in (1, 3) for by in (1e9, 0.3, -1.0)), (0, 1, 1e9), (0, 1, 0.3)],
)
def test_one_wrong_stamp_costs_no_more_than_itself(first: int, count: int, by: float) -> None:
    cleaned = clean(stamped((first, first + count, by)), joints())
    whole = clean(log(), joints())
    kept = np.delete(np.arange(800), range(first, first + count))
    np.testing.assert_allclose(cleaned.time, whole.time[kept])
    np.testing.assert_array_equal(cleaned.q, whole.q[kept])
    assert f"time does not ascend: {count} samples left out" in cleaned.findings


@pytest.mark.parametrize("by", [-0.03, -0.5, -1.5, -1e9])
def test_behind_a_clock_that_was_set_back_a_piece_begins(by: float) -> None:
    cleaned = clean(stamped((300, 800, by)), joints())
    assert len(cleaned) == 800
    steps = np.diff(cleaned.time)
    assert steps[299] == pytest.approx(PAUSE)
    np.testing.assert_allclose(np.delete(steps, 299), 0.005, atol=1e-6)
    np.testing.assert_allclose(cleaned.sent, cleaned.time)
    assert any("the clock goes back 1 times: what follows is taken as behind a pause" in f for f in cleaned.findings)


def test_samples_without_an_order_are_refused() -> None:
    time = np.random.default_rng(0).permutation(log().time)
    with pytest.raises(ClockError, match="of 800 samples are out of order in time: is it the right column"):
        clean(replace(log(), time=time, sent=time), joints())
    two = np.stack([np.arange(400.0), 1e6 + np.arange(400.0)], axis=1).ravel() * 0.005
    with pytest.raises(ClockError, match="out of order"):
        clean(replace(log(), time=two, sent=two), joints())


def test_a_clock_that_stands_still_between_two_readings_loses_the_repeated_ones() -> None:
    time = np.repeat(np.arange(0.0, 4.0, 0.02), 4)
    cleaned = clean(replace(log(), time=time, sent=time), joints())
    np.testing.assert_array_equal(cleaned.time, time[::4])


def test_a_joint_that_never_moved_makes_a_log_unusable() -> None:
    assert "never moved" in unusable(clean(log(np.zeros(800), dq=np.zeros(800)), joints()))
    assert not unusable(clean(log(), joints()))


def test_a_month_in_a_log_is_said_and_not_gone_through() -> None:
    time = np.arange(0.0, 4.0, 0.005)
    later = time + 30 * 86400.0 * (time > 1.0) + 0.4 * (time > 2.0)
    cleaned = clean(log(time=later), joints())
    short = without_pauses(cleaned)
    assert short.findings == cleaned.findings
    assert any("gaps: 2, the longest 2592000." in f for f in short.findings)
    assert short.duration == pytest.approx(time[-1] - 0.005 + PAUSE + 0.4)
    np.testing.assert_allclose(short.sent, short.time)
    assert without_pauses(clean(log(), joints())).time[-1] == time[-1]


def test_a_handful_of_samples_is_no_log() -> None:
    assert unusable(clean(log().cut(slice(0, 10)), joints())) == "10 samples are no log"
    assert unusable(clean(log(), joints())) == ""
