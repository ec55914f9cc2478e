"""Position goals in training against the runtime's own law."""

import numpy as np
import pytest

from robot_runtime.safety.braking import Track
from robot_runtime.safety.servo_stages import POSITION_MARGIN, POSITION_SHARE
from robot_runtime.spec import load_arm
from sim.worlds.following import Following

PERIOD = 0.005
JOINTS = load_arm("koch-v1.1").joints[:4]


@pytest.mark.parametrize("seed", range(3))
def test_goals_that_a_policy_moves_are_followed_as_the_envelope_does(seed: int) -> None:
    random = np.random.default_rng(seed)
    joint = JOINTS[seed]
    limits = joint.limits
    track = Track(
        limits.lower + POSITION_MARGIN,
        limits.upper - POSITION_MARGIN,
        POSITION_SHARE * limits.velocity,
        POSITION_SHARE * limits.acceleration,
        limits.jerk,
        PERIOD,
    )
    following = Following([joint], 1, PERIOD)
    track.reset(0.3)
    following.reset(np.array([0]), np.array([[0.3]]))
    goal, lags, differences = 0.3, [], []
    for k in range(1600):
        if k % 20 == 0:
            pace = random.uniform(-1.0, 1.0) * 0.7 * POSITION_SHARE * limits.velocity
        before, goal = goal, float(np.clip(goal + pace * PERIOD, limits.lower, limits.upper))
        commanded = track.advance(goal, (goal - before) / PERIOD, track.velocity, track.low, track.high)
        followed = following.follow(np.array([[goal]]), np.array([[commanded]]))[0, 0]
        lags.append(goal - commanded)
        differences.append(followed - commanded)
    assert np.std(lags) > 0.01  # rad: there is something to follow late
    assert np.std(differences) < 0.5 * np.std(lags)  # both are hard at work: a moment's difference goes a long way


def test_commands_keep_the_limits_that_the_envelope_keeps() -> None:
    random = np.random.default_rng(5)
    following = Following(JOINTS, 64, PERIOD)
    limits = [joint.limits for joint in JOINTS]
    steps = []
    for k in range(600):
        if k % 40 == 0:
            goal = random.uniform([x.lower for x in limits], [x.upper for x in limits], (64, 4))
        steps.append(following.follow(goal, following.p).copy())
    speeds = np.diff(steps, axis=0) / PERIOD
    for i, x in enumerate(limits):
        assert np.abs(speeds[..., i]).max() <= POSITION_SHARE * x.velocity * 1.001
        assert np.abs(np.diff(speeds[..., i], axis=0)).max() <= (POSITION_SHARE * x.acceleration + 1e-6) * PERIOD
        assert x.lower <= np.min(np.array(steps)[..., i]) <= np.max(np.array(steps)[..., i]) <= x.upper


def test_a_goal_that_stands_is_reached_without_passing_it() -> None:
    following = Following(JOINTS[:1], 1, PERIOD)
    goals = [following.follow(np.array([[1.0]]), following.p)[0, 0] for _ in range(300)]
    assert goals[-1] == pytest.approx(1.0, abs=1e-3)
    assert max(goals) < 1.0 + 0.002
