from __future__ import annotations

import numpy as np
import pytest

from calibration.logs.clean import PAUSE, clean, unusable, without_pauses
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
    assert any("1 resets" in f for f in cleaned.findings)


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
