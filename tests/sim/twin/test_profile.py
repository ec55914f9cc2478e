import numpy as np
import pytest

from sim.twin.inputs import Inputs
from sim.twin.profile import RECTANGULAR, STEP, TIME_BASED, TRAPEZOIDAL, TRIANGULAR, Profiles
from sim.twin.servo_data import load_servo

PERIOD = 0.001
XM430 = load_servo("XM430-W350")
VELOCITY = XM430.units["velocity"] / XM430.units["position"]  # ticks/s a velocity tick
ACCELERATION = XM430.units["acceleration"] / XM430.units["position"]


def build(velocity: int, acceleration: int, drive_mode: int = 0, mode: str = "position") -> tuple[Profiles, Inputs]:
    registers = Inputs([XM430], [mode])
    registers.profile_velocity[0], registers.profile_acceleration[0] = velocity, acceleration
    registers.drive_mode[0], registers.velocity_limit[0] = drive_mode, 350
    profiles = Profiles([XM430], PERIOD)
    profiles.velocity_mode[0] = mode == "velocity"
    profiles.reset(0, 1000.0)
    return profiles, registers


def follow(profiles: Profiles, longest: float = 20.0) -> tuple[np.ndarray, np.ndarray]:
    """Positions and velocities until the profile ends."""
    positions, velocities = [], []
    while profiles.any_moving:
        profiles.advance()
        positions.append(profiles.position[0])
        velocities.append(profiles.velocity[0])
        assert len(positions) * PERIOD < longest, "the profile does not end"
    return np.array(positions), np.array(velocities)


def test_without_a_profile_the_goal_is_taken_at_once() -> None:
    profiles, registers = build(0, 50)
    profiles.refresh(0, 3000.0, registers)
    assert (profiles.position[0], profiles.any_moving, profiles.kind[0]) == (3000.0, False, STEP)


@pytest.mark.parametrize("goal", [3000.0, -500.0])
def test_a_rectangular_profile_keeps_its_speed(goal: float) -> None:
    profiles, registers = build(100, 0)
    profiles.refresh(0, goal, registers)
    assert profiles.kind[0] == RECTANGULAR
    positions, velocities = follow(profiles)
    assert np.abs(velocities[:-1]) == pytest.approx(100 * VELOCITY)
    assert positions[-1] == goal
    assert len(positions) * PERIOD == pytest.approx(abs(goal - 1000.0) / (100 * VELOCITY), abs=0.002)


@pytest.mark.parametrize("goal", [4000.0, -2500.0])
def test_a_trapezoidal_profile_takes_the_time_that_the_manual_gives(goal: float) -> None:
    profiles, registers = build(100, 20)
    profiles.refresh(0, goal, registers)
    assert profiles.kind[0] == TRAPEZOIDAL
    positions, velocities = follow(profiles)
    speed, steepness = 100 * VELOCITY, 20 * ACCELERATION
    ramp = speed / steepness  # t1; the manual's 64 * 100 / 20 ms
    assert ramp == pytest.approx(0.064 * 100 / 20, rel=0.01)
    assert len(positions) * PERIOD == pytest.approx(abs(goal - 1000.0) / speed + ramp, rel=0.02)  # t3 = t2 + t1
    assert np.abs(velocities).max() == pytest.approx(speed)
    assert np.abs(np.diff(velocities[:-1], prepend=0.0)).max() <= steepness * PERIOD * 1.0001
    assert positions[-1] == goal
    assert not np.any(np.sign(np.diff(positions)) == np.sign(1000.0 - goal)), "it never turns back"


def test_a_short_way_makes_a_triangle() -> None:
    profiles, registers = build(200, 20)
    profiles.refresh(0, 1300.0, registers)
    assert profiles.kind[0] == TRIANGULAR
    _, velocities = follow(profiles)
    assert velocities.max() == pytest.approx(np.sqrt(300.0 * 20 * ACCELERATION), rel=0.02)


@pytest.mark.parametrize(("whole", "ramp"), [(800, 200), (800, 0), (500, 400)])
def test_a_time_based_profile_ends_on_time(whole: int, ramp: int) -> None:
    profiles, registers = build(whole, ramp, TIME_BASED)
    profiles.refresh(0, 2200.0, registers)
    positions, velocities = follow(profiles)
    assert len(positions) == pytest.approx(whole, abs=12)
    ramp = min(ramp, whole // 2)  # manual: at most half of the whole
    assert velocities.max() == pytest.approx(1200.0 / ((whole - ramp) * 1e-3), rel=0.02)


def test_a_new_goal_on_the_way_changes_the_velocity_without_a_jump() -> None:
    profiles, registers = build(150, 30)
    profiles.refresh(0, 4000.0, registers)
    for _ in range(400):
        profiles.advance()
    before = profiles.velocity[0]
    assert before > 0
    profiles.refresh(0, 500.0, registers)  # back
    positions, velocities = follow(profiles)
    assert np.abs(np.diff(velocities[:-1], prepend=before)).max() <= 30 * ACCELERATION * PERIOD * 1.0001
    assert positions[-1] == 500.0


def test_a_velocity_ramps_at_its_acceleration() -> None:
    profiles, registers = build(0, 10, mode="velocity")
    profiles.refresh(0, -80.0, registers)
    _, velocities = follow(profiles)
    assert velocities[-1] == pytest.approx(-80 * VELOCITY)
    assert len(velocities) * PERIOD == pytest.approx(0.064 * 80 / 10, rel=0.02)
    assert profiles.velocity_ticks[0] == pytest.approx(-80.0)


def test_a_velocity_without_acceleration_is_taken_at_once() -> None:
    profiles, registers = build(0, 0, mode="velocity")
    profiles.refresh(0, 60.0, registers)
    assert profiles.velocity_ticks[0] == pytest.approx(60.0)
    assert not profiles.any_moving
