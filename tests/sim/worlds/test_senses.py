"""What encoders and velocity registers show."""

import numpy as np
import pytest

from robot_runtime.spec import load_arm
from sim.worlds.senses import Senses

STEP = 0.002
JOINT = load_arm("xl330-pendulum").joints[0]


def turning(speed: float, seconds: float, lag: float | None = None) -> Senses:
    senses = Senses([JOINT], 1, STEP)
    if lag is not None:
        senses.window[:] = senses.window_of(lag)
    senses.reset(np.array([0]), np.zeros((1, 1)))
    for k in range(1, round(seconds / STEP) + 1):
        senses.record(np.array([[speed * k * STEP]]))
    senses.measure()
    return senses


def test_angles_come_in_whole_ticks() -> None:
    tick = abs(JOINT.rad_per_tick)
    q = turning(1.0, 0.5).q[0, 0]
    assert q == pytest.approx(0.5, abs=tick / 2)
    assert q / tick == pytest.approx(round(q / tick))


def test_a_velocity_register_takes_twice_its_lag_to_believe() -> None:
    lag = JOINT.servo.motor.velocity_lag
    unit = JOINT.servo.units["velocity"].scale
    assert turning(2.0, lag).dq[0, 0] == pytest.approx(1.0, abs=unit)
    assert turning(2.0, 2 * lag).dq[0, 0] == pytest.approx(2.0, abs=unit)
    assert turning(2.0, lag, lag=lag / 2).dq[0, 0] == pytest.approx(2.0, abs=unit)


def test_noise_shows_in_the_angle() -> None:
    senses = turning(0.0, 0.1)
    senses.noise[:] = 0.01
    senses.measure()
    assert senses.q[0, 0] == pytest.approx(0.01, abs=abs(JOINT.rad_per_tick))
