from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibration.logs.log import Log, make_log
from calibration.logs.windows import cut, encoder_noise, open_volts, slopes
from calibration.physics.numbers import Physics
from calibration.physics.rollout import Rig, rollout
from robot_runtime.spec import load_arm

TICK = 2 * np.pi / 4096


def swing(seconds: float = 3.0, period: float = 0.005) -> Log:
    time = np.arange(0.0, seconds, period)
    q = np.sin(2 * time)[:, None]
    return make_log("swing", ["a"], ["position"], time, q, q, dq=2 * np.cos(2 * time)[:, None])


def test_slopes_are_those_of_a_parabola() -> None:
    time = np.arange(0.0, 1.0, 0.01)
    found = slopes(time, (3 * time**2 - time)[:, None], np.array([0.0, 0.5, 0.99]), 0.03, degree=2)
    np.testing.assert_allclose(found[1, :, 0], [-1.0, 2.0, 6 * 0.99 - 1], atol=1e-9)
    np.testing.assert_allclose(found[2, :, 0], 6.0, atol=1e-6)


def test_windows_cover_the_log_and_begin_where_it_was() -> None:
    windows = cut([swing()], 0.5)
    assert len(windows) == 5
    np.testing.assert_allclose(windows.q[:, 0, 0], np.sin(2 * windows.begin), atol=1e-4)
    np.testing.assert_allclose(windows.dq[1:, 0, 0], 2 * np.cos(2 * windows.begin[1:]), atol=2e-3)


def test_a_window_that_begins_in_a_hole_is_left_out_and_holes_have_no_weight() -> None:
    log = swing()
    bad = np.zeros_like(log.valid)
    bad[90:115] = True  # 0.45 to 0.575 s
    windows = cut([log.without(bad, "hole")], 0.5)
    assert 0.5 not in windows.begin.round(3)
    assert (windows.weight[0, :9] == 1).all()
    assert not windows.weight[0, -2:].any()


def test_a_missing_command_is_the_one_before() -> None:
    """In a simulation, too: one of 0 rad would throw the arm about."""
    rig = Rig.of(load_arm("koch-v1.1"), ("wrist_roll",))
    time = np.arange(0.0, 6.0, 0.005)
    command = (1.0 + 0.2 * np.sin(2 * time))[:, None]
    lost = np.random.default_rng(0).random(command.shape) < 0.05
    lost[:3] = True
    whole = make_log("", ["wrist_roll"], ["position"], time, command, command)
    torn = replace(whole, command=np.where(lost, np.nan, command))
    shown = [rollout(rig, Physics(rig.world, ()), np.zeros(0), cut([log], 0.5), 1)[0] for log in (whole, torn)]
    np.testing.assert_allclose(shown[1], shown[0], atol=0.002)
    silent = replace(whole, command=np.full_like(command, np.nan))
    assert np.isfinite(cut([silent], 0.5).commanded).all()


def test_open_volts_are_read_at_small_duty() -> None:
    log = swing()
    duty = np.where(np.arange(len(log)) % 2, 0.0, 0.8)[:, None]
    loaded = make_log("", ["a"], ["pwm"], log.time, log.q, log.q, duty=duty, volts=7.4 - duty)
    np.testing.assert_allclose(open_volts(loaded), [7.4])


def test_ripple_is_no_supply_where_nobody_logged_a_duty() -> None:
    """A register that swings about 7.3 V under a position loop, as a real XL330's does: the mean, as in flight."""
    log = swing()
    ripple = np.where(np.arange(len(log)) % 5 == 0, 0.8, -0.2)[:, None]
    rippling = make_log("", ["a"], ["position"], log.time, log.q, log.q, volts=7.3 + ripple)
    np.testing.assert_allclose(open_volts(rippling), [7.3], atol=0.001)


def read(flicker: float) -> Log:
    """What an encoder of 4096 ticks shows of a swing; `flicker`: ticks rms."""
    log = swing(20.0)
    shown = np.rint(log.q / TICK + flicker * np.random.default_rng(0).standard_normal(log.q.shape)) * TICK
    return make_log("", ["shoulder_lift"], ["position"], log.time, shown, log.q)


@pytest.mark.parametrize("flicker", [0.0, 0.2, 0.5])
def test_flicker_is_told_from_rounding(flicker: float) -> None:
    left = (encoder_noise(read(flicker)) / TICK) ** 2 - 1 / 12
    assert np.sqrt(max(left[0], 0.0)) == pytest.approx(flicker, abs=0.1)


@pytest.mark.parametrize(("joint", "ticks"), [("shoulder_lift", 1.0), ("wrist_roll", 0.0)])
def test_flicker_shakes_a_joint_loose_through_its_d_gain_only(joint: str, ticks: float) -> None:
    """The shoulder has a D gain and the wrist none; both hang in their friction, a little below their goal."""
    rig = Rig.of(load_arm("koch-v1.1"), (joint,), 0.001)
    still = np.zeros((1000, 1))
    hung = make_log("", [joint], ["position"], np.arange(1000) * 0.005, still, still + 0.01)
    calm = cut([hung], 0.5, step=0.001, every=10)
    shaken = replace(calm, noise=np.full_like(calm.noise, 0.35 * TICK))
    physics, nothing = Physics(rig.world, ()), np.zeros(0)
    before, after = (rollout(rig, physics, nothing, windows, threads=1)[0].max() for windows in (calm, shaken))
    assert after - before >= ticks * TICK
    assert (after == before) == (ticks == 0.0)
