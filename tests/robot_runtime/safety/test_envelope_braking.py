"""Commands of positioned joints: whatever is wanted, nothing is exceeded; what keeps the limits passes unchanged."""

import random

import numpy as np
import pytest

from robot_runtime.safety.braking import SpeedTrack, Track, stop_distance

EXACT = 1e-9  # share of a limit


def track(draw: random.Random) -> Track:
    acceleration = draw.uniform(5, 100)
    made = Track(
        low=-draw.uniform(0.05, 3),
        high=draw.uniform(0.05, 3),
        velocity=draw.uniform(0.5, 8),
        acceleration=acceleration,
        jerk=acceleration * draw.choice([5, 20, 100, 400]),
        period=draw.choice([0.002, 0.005, 0.01, 0.02]),
    )
    made.reset(draw.uniform(made.low, made.high))
    return made


def nasty_goal(draw: random.Random, t: Track) -> float:
    anywhere = draw.uniform(t.low, t.high)
    return draw.choice([anywhere, 10.0, -10.0, t.low, t.high, t.p, t.p + 0.01, 1e9, -1e300, t.p + draw.gauss(0, 0.01)])


def ride(t: Track, draw: random.Random, cycles: int, *, emergencies: bool = False) -> np.ndarray:
    """Positions that the track commands under an adversary, from rest."""
    positions, goal, emergency = [t.p] * 4, 0.0, False
    switch = draw.choice([0.02, 0.3])
    for _ in range(cycles):
        if draw.random() < switch:
            goal = nasty_goal(draw, t)
        if emergencies:
            emergency = (emergency and not t.at_rest) or draw.random() < 0.01
        stops = draw.choice([(-1e9, 1e9), (t.p - 0.1, t.high), (t.low, t.p + 0.1), (t.p + 0.1, t.p - 0.1)])
        speed = draw.choice([0.0, draw.uniform(-t.velocity, t.velocity)])
        positions.append(t.advance(goal, speed, t.velocity, *stops, emergency=emergency))
    return np.array(positions)


def excesses(t: Track, p: np.ndarray) -> dict[str, float]:
    """Shares of the limits. Positions are rounded by half a spacing: four in a third difference by up to 4 of them."""
    spacing = np.spacing(np.abs(p).max())
    v, a, j = (np.maximum(np.abs(np.diff(p, n=n)) - 2 ** (n - 1) * spacing, 0.0) / t.period**n for n in (1, 2, 3))
    return {
        "position": max(p.max() - t.high, t.low - p.min()),
        "velocity": v.max() / t.velocity - 1,
        "acceleration": a.max() / t.acceleration - 1,
        "jerk": j.max() / t.jerk - 1,
    }


def test_no_goal_makes_a_command_exceed_anything() -> None:
    """A hundred thousand commands of fifty joints of all kinds, by their differences alone."""
    draw = random.Random(1)
    for _ in range(50):
        t = track(draw)
        worst = excesses(t, ride(t, draw, 2000))
        assert worst["position"] <= 0.0
        assert max(worst.values()) < EXACT, worst


@pytest.mark.slow
def test_no_goal_makes_a_command_exceed_anything_for_long() -> None:
    draw = random.Random(2)
    for _ in range(500):
        t = track(draw)
        worst = excesses(t, ride(t, draw, 4000))
        assert worst["position"] <= 0.0
        assert max(worst.values()) < EXACT, worst


def test_emergencies_exceed_the_jerk_and_nothing_else() -> None:
    draw = random.Random(3)
    jerks = []
    for _ in range(30):
        t = track(draw)
        worst = excesses(t, ride(t, draw, 1000, emergencies=True))
        jerks.append(worst.pop("jerk"))
        assert worst["position"] <= 0.0
        assert max(worst.values()) < EXACT, worst
    assert max(jerks) > 1.0


def test_an_emergency_stops_sooner() -> None:
    ends = []
    for emergency in (False, True):
        t = Track(-10, 10, 3.0, 30.0, 300.0, 0.005)
        for _ in range(200):
            t.advance(9.0, 0.0, 3.0, -10, 10)
        begin = t.p
        while not t.at_rest:
            t.advance(t.p, 0.0, 3.0, -10, 10, emergency=emergency)
        ends.append(t.p - begin)
    assert ends[1] < 0.8 * ends[0]


def test_what_is_admitted_unseen_would_be_admitted_by_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The closed form that saves the simulation is never the bolder of the two."""
    draw = random.Random(4)
    for _ in range(4000):
        t = track(draw)
        v, a = draw.uniform(-1, 1) * t.velocity, draw.uniform(-1, 1) * t.acceleration
        p = draw.uniform(t.low, t.high)
        if t.stays_inside(p, v, a, t.low, t.high):
            with monkeypatch.context() as patch:
                patch.setattr("robot_runtime.safety.braking._SURE_PERIODS", np.inf)
                assert t.stays_inside(p, v, a, t.low, t.high), (p, v, a)


def test_a_motion_inside_the_limits_passes_unchanged() -> None:
    t = Track(-2, 2, 3.0, 30.0, 3000.0, 0.005)
    t.reset(0.0)
    for k in range(1, 2000):
        time = 0.005 * k
        goal = 0.8 * np.sin(2.5 * time) * (1 - np.exp(-time)) ** 2
        assert t.advance(goal, 0.0, 3.0, -2, 2) == pytest.approx(goal, abs=1e-12)


def test_a_far_goal_is_reached_without_overshoot_in_little_more_than_the_shortest_time() -> None:
    t = Track(-2, 2, 3.0, 30.0, 3000.0, 0.005)
    t.reset(-1.0)
    positions = [t.advance(1.0, 0.0, 3.0, -2, 2) for _ in range(400)]
    assert max(positions) < 1.001
    arrived = next(k for k, p in enumerate(positions) if abs(p - 1.0) < 1e-3) * 0.005
    shortest = 2.0 / 3.0 + 3.0 / 30.0 + 30.0 / 3000.0
    assert arrived < 1.25 * shortest


@pytest.mark.parametrize("start", [1.05, -1.05])
def test_a_joint_outside_its_limits_goes_inwards_only(start: float) -> None:
    draw = random.Random(5)
    t = Track(-1, 1, 3.0, 30.0, 3000.0, 0.005)
    t.reset(start)
    furthest, been_inside = abs(start), False
    for _ in range(3000):
        p = t.advance(draw.choice([2.0, -2.0, 0.0]), 0.0, 3.0, -9, 9)
        assert abs(p) <= furthest + 1e-12
        been_inside = been_inside or abs(p) < 0.9
        if been_inside:
            furthest = 1.0
    assert been_inside


def test_a_goal_that_moves_on_is_caught_up_with() -> None:
    t = Track(low=-3.0, high=3.0, velocity=4.0, acceleration=40.0, jerk=4000.0, period=0.005)
    t.reset(-0.2)
    off = []
    for k in range(400):
        goal = 0.5 * np.sin(k * t.period)
        before = 0.5 * np.sin((k - 1) * t.period)
        off.append(abs(t.advance(goal, (goal - before) / t.period, 4.0, -3.0, 3.0) - goal))
    assert max(off[100:]) < 1e-4  # rad; a cycle behind would be 2.5e-3 at its fastest


def test_a_goal_that_jumps_about_does_not_wear_the_command_out() -> None:
    """A stop that came nearer than the joint can brake is passed by no more than braking takes."""
    t = Track(-2, 2, 3.0, 30.0, 3000.0, 0.005)
    for _ in range(100):
        t.advance(2.0, 0.0, 3.0, -2, 2)
    stop = t.p
    reach = t.p + stop_distance(t.v, t.a, t.acceleration, t.jerk)
    positions = [t.advance(2.0, 0.0, 3.0, -2, stop) for _ in range(200)]
    assert max(positions) < reach + 0.02
    assert positions[-1] <= stop + 1e-3


def test_speed_commands_keep_their_limits_and_brake_at_once() -> None:
    draw = random.Random(6)
    for _ in range(40):
        s = SpeedTrack(draw.uniform(1, 8), draw.uniform(5, 60), draw.uniform(100, 3000), 0.005)
        speeds, goal = [0.0] * 3, 0.0
        for _ in range(1000):
            if draw.random() < 0.1:
                goal = draw.choice([9.0, -9.0, 0.0, draw.uniform(-8, 8)])
            speeds.append(s.advance(goal, -s.velocity, s.velocity))
        a, j = np.diff(speeds) / 0.005, np.diff(speeds, n=2) / 0.005**2
        assert np.abs(speeds).max() <= s.velocity * (1 + EXACT)
        assert np.abs(a).max() <= s.acceleration * (1 + EXACT)
        assert np.abs(j).max() <= s.jerk * (1 + EXACT)
    s = SpeedTrack(3.0, 30.0, 300.0, 0.005)
    for _ in range(200):
        s.advance(3.0, -3.0, 3.0)
    assert s.advance(3.0, -3.0, 1.0) == pytest.approx(3.0 - 30.0 * 0.005)
