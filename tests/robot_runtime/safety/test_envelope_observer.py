"""The observers know how fast a joint is when a command takes effect, however late that is."""

import numpy as np
import pytest

from robot_runtime.safety.observer import DELAYS, Observer

PERIOD = 0.005
TICK = 2 * np.pi / 4096  # rad


@pytest.mark.parametrize("delay", [0.004, 0.012, 0.025, 0.038])
@pytest.mark.parametrize("disturbance", [0.0, 8.0])
def test_the_truth_lies_between_what_the_observers_say(delay: float, disturbance: float) -> None:
    draw = np.random.default_rng(1)
    observer, fresh = Observer(1), np.ones(1, dtype=bool)
    q, v, late, now = 0.0, 0.0, [0.0] * round(delay * 1000), 0.0
    observer.reset(np.zeros(1), now)
    wrong = []
    history: list[tuple[float, float, float]] = []  # time, least, most that they said of the speed when it takes effect
    command = 0.0
    for k in range(1200):
        observer.look(np.array([np.rint(q / TICK) * TICK]), now, fresh, now)
        speeds = [of_delay[0] for of_delay in observer.speeds]
        history.append((now + delay, min(speeds), max(speeds)))
        if draw.random() < 0.05 or k == 0:
            command = float(draw.choice([30.0, -30.0, 0.0]))
        command = -disturbance - 5.0 * v if abs(v) > 2.0 else command
        observer.commanded([command], now)
        for _ in range(round(PERIOD * 1000)):
            late.append(command)
            v += 1e-3 * (late.pop(0) + disturbance)
            q += 1e-3 * v
            now += 1e-3
            while history and history[0][0] <= now - 5e-4:
                _, least, most = history.pop(0)
                if now > 0.5:
                    wrong.append(max(least - v, v - most, 0.0))
    assert np.percentile(wrong, 99) < 0.15  # rad/s, of 3
    assert np.median(wrong) < 0.03


def test_a_joint_that_does_not_answer_is_carried_on_by_its_commands() -> None:
    observer = Observer(2)
    observer.reset(np.zeros(2), 0.0)
    for k in range(1, 21):
        now = k * PERIOD
        observer.look(np.array([0.0, 9.9]), now, np.array([True, False]), now)
        observer.commanded([0.0, 2.0], now)
    assert max(abs(of_delay[0]) for of_delay in observer.speeds) < 1e-9
    assert observer.speeds[0][1] == pytest.approx(2.0 * 19 * PERIOD, abs=0.02)


def test_delays_cover_what_was_seen() -> None:
    assert min(DELAYS) <= 0.004
    assert max(DELAYS) >= 0.030 + 0.008
