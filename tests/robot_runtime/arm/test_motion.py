"""Minimum-jerk moves stay inside the share of the limits that they were given."""

from __future__ import annotations

import numpy as np
import pytest

from robot_runtime.arm import Move
from robot_runtime.spec import load_arm


@pytest.mark.parametrize("share", [0.1, 0.3, 1.0])
def test_velocity_acceleration_and_jerk_stay_below_their_share(share: float) -> None:
    spec = load_arm("open-manipulator-x")
    start, goal = np.array(spec.poses["rest"]), np.array(spec.poses["home"])
    move = Move.between(spec, start, goal, share)
    steps = 20_000
    times = np.linspace(0, move.duration, steps + 1)
    path = np.array([move.at(float(t), np.zeros(len(goal))) for t in times])
    dt = move.duration / steps
    peaks = [np.abs(np.diff(path, k, axis=0)).max(axis=0) / dt**k for k in (1, 2)]
    jerk = 60.0 * np.abs(goal - start) / move.duration**3  # at both ends; third differences of floats are noise
    used = 0.0
    for i, joint in enumerate(spec.joints):
        limits = (joint.limits.velocity, joint.limits.acceleration, joint.limits.jerk)
        shares = [peak / limit for peak, limit in zip((peaks[0][i], peaks[1][i], jerk[i]), limits, strict=True)]
        assert max(shares) <= share * 1.001
        used = max(used, *shares)
    assert used > share * 0.99  # and no slower than it has to be


def test_ends_are_met_and_kept() -> None:
    spec = load_arm("xl330-pendulum")
    move = Move.between(spec, np.array([0.0]), np.array([1.0]))
    out = np.zeros(1)
    assert move.at(-1.0, out)[0] == 0.0
    assert move.at(move.duration, out)[0] == 1.0
    assert move.at(move.duration + 5, out)[0] == 1.0
    assert Move.between(spec, np.array([1.0]), np.array([1.0])).duration > 0
