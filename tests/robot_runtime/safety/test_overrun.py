"""What a positioned joint is taken to run past its stop."""

import pytest

from robot_runtime.safety.overrun import Overrun
from robot_runtime.spec import load_arm

PERIOD = 0.005
FIRST = 3.0  # s


def glide(start: float, speed: float, cycles: int) -> Overrun:
    """The first joint of a Koch moves at `speed` from `start` on; the others stand where they are."""
    seen = Overrun(load_arm("koch-v1.1"), list(range(6)))
    q = [start] + [0.0] * 5
    seen.reset(q)
    for k in range(cycles):
        seen.look([start + speed * PERIOD * k] + [0.0] * 5, [FIRST + PERIOD * k] * 6)
    return seen


LIMITS = load_arm("koch-v1.1").joints[0].limits


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_the_command_of_a_joint_that_comes_fast_is_taken_back(side: float) -> None:
    limit = LIMITS.upper if side > 0 else LIMITS.lower
    seen = glide(limit - side * 0.4, side * 3.0, 20)
    back, other = (seen.up, seen.down) if side > 0 else (seen.down, seen.up)
    end = 0.4 - 19 * PERIOD * 3.0 - 3.0 * 0.05 - 3.0**2 / (2 * 0.25 * LIMITS.acceleration)
    assert back[0] == pytest.approx(-2.0 * end, rel=0.02)
    assert not any(other)
    assert not any(back[1:])


def test_one_that_comes_as_commands_do_is_left_alone() -> None:
    seen = glide(LIMITS.upper - 0.3, 1.0, 20)
    assert not any(seen.up)


def test_one_that_leaves_is_left_alone() -> None:
    seen = glide(LIMITS.upper - 0.01, -3.0, 20)
    assert not any(seen.up)
    assert not any(seen.down)


def test_the_same_reading_twice_is_no_standstill() -> None:
    seen = glide(LIMITS.upper - 0.4, 3.0, 20)
    before = seen.up[0]
    for _ in range(20):
        seen.look([LIMITS.upper - 0.4 + 3.0 * PERIOD * 19] + [0.0] * 5, [FIRST + PERIOD * 19] * 6)
    assert seen.up[0] == before > 0.0
