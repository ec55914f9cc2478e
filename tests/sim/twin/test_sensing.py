from dataclasses import replace

import numpy as np
import pytest

from sim.twin.gap import JointGap
from sim.twin.sensing import Sensing
from sim.twin.servo_data import load_servo
from tests.sim.twin.rigs import real_logs

PERIOD = 0.001
QUIET = JointGap(current_noise=0.0)
XL330 = load_servo("XL330-M288")


def build(*gaps: JointGap, seed: int = 1) -> Sensing:
    sensing = Sensing([XL330] * len(gaps), gaps, seed, PERIOD)
    sensing.start(np.zeros(len(gaps)))
    return sensing


def move(sensing: Sensing, *ticks: float) -> None:
    """One step to these positions."""
    sensing.next_row()[:] = ticks


def test_a_position_is_counted_from_the_middle_of_the_turn_and_rounded() -> None:
    sensing = build(QUIET)
    assert sensing.position_register()[0] == 2048
    move(sensing, 10.6)
    assert sensing.position_register()[0] == 2059
    move(sensing, -10.4)
    assert sensing.position_register()[0] == 2038


def test_the_origin_and_the_homing_offset_shift_the_count() -> None:
    sensing = build(QUIET)
    sensing.set_origin(np.array([-100.0]))
    sensing.set_homing(0, 30)
    assert sensing.position_register()[0] == 2048 + 100 + 30


def test_turns_are_counted_until_they_are_forgotten() -> None:
    sensing = build(QUIET)
    sensing.set_homing(0, -50)
    move(sensing, 9000.0)
    assert sensing.position_register()[0] == 2048 + 9000 - 50
    sensing.one_turn(0)
    assert sensing.position_register()[0] == (2048 + 9000) % 4096 - 50
    move(sensing, -3000.0)
    sensing.one_turn(0)
    assert sensing.position_register()[0] == (2048 - 3000) % 4096 - 50


def test_a_reversed_servo_counts_down_and_keeps_its_middle() -> None:
    sensing = build(QUIET)
    move(sensing, 300.0)
    sensing.reverse(0)
    assert sensing.position_register()[0] == 2048 - 300


def test_a_velocity_register_shows_the_mean_over_twice_its_lag() -> None:
    sensing = build(replace(QUIET, velocity_lag=0.020))
    speed, steepness = 3000.0, 20_000.0  # ticks/s, ticks/s²
    times = np.arange(1, 120) * PERIOD
    for t in times:
        move(sensing, speed * t + steepness * t * t / 2)
    expected = (speed + steepness * (times[-1] - 0.020)) * XL330.units["position"] / XL330.units["velocity"]
    assert sensing.velocity_register()[0] == round(expected)


def test_each_joint_has_its_own_lag() -> None:
    sensing = build(replace(QUIET, velocity_lag=0.005), replace(QUIET, velocity_lag=0.020))
    for k in range(1, 21):  # 20 ms after a start from rest
        move(sensing, 5.0 * k, 5.0 * k)
    fast, slow = sensing.velocity_register()
    full = 5000.0 * XL330.units["position"] / XL330.units["velocity"]
    assert fast == pytest.approx(full, abs=1)
    assert slow == pytest.approx(full / 2, abs=1)


def test_the_window_reproduces_the_velocity_register_of_a_real_servo() -> None:
    """From the positions of 16 logs of a real XL330, ours shows what its register showed; half the lag does not."""
    errors: dict[float, list[float]] = {0.010: [], 0.020: []}
    for log in real_logs():
        grid = np.arange(log.time[0], log.time[-1], PERIOD)
        kernel = np.hanning(15)
        ticks = (
            np.convolve(np.interp(grid, log.time, log.position), kernel / kernel.sum(), "same")
            / XL330.units["position"]
        )
        for lag, squares in errors.items():
            sensing = build(replace(QUIET, velocity_lag=lag))
            ours = np.empty(len(grid))
            for k, position in enumerate(ticks):
                move(sensing, position)
                ours[k] = sensing.velocity()[0] * XL330.units["velocity"]
            middle = (log.time > 0.5) & (log.time < 5.0)
            squares += list((np.interp(log.time, grid, ours) - log.velocity)[middle] ** 2)
    rms = {lag: float(np.sqrt(np.mean(squares))) for lag, squares in errors.items()}
    assert rms[0.020] < 0.06  # rad/s; the registers' own spread is 2
    assert rms[0.010] > 3 * rms[0.020]


def test_an_encoder_jump_shows_in_position_for_good_and_in_velocity_for_the_window() -> None:
    sensing = build(replace(QUIET, velocity_lag=0.010))
    sensing.jump(0, 200)
    assert sensing.position_register()[0] == 2248
    assert sensing.velocity_register()[0] > 100
    for _ in range(21):
        move(sensing, 0.0)
    assert sensing.position_register()[0] == 2248
    assert sensing.velocity_register()[0] == 0
    sensing.one_turn(0)
    assert sensing.position_register()[0] == 2248


def test_noise_depends_on_seed_and_time_and_not_on_who_reads() -> None:
    noisy = JointGap(position_noise=2.0, current_noise=0.02)

    def readings(seed: int, *, curious: bool) -> list[int]:
        sensing, seen = build(noisy, seed=seed), []
        for k in range(1200):
            move(sensing, 0.0)
            if curious:
                sensing.position_register()
                sensing.current_register(np.zeros(1), np.zeros(1))
            if k % 50 == 0:
                seen += [sensing.position_register()[0], sensing.current_register(np.zeros(1), np.zeros(1))[0]]
        return seen

    assert readings(3, curious=False) == readings(3, curious=True)
    assert readings(3, curious=False) != readings(4, curious=False)


def test_noise_and_bias_have_the_size_that_the_gap_says() -> None:
    sensing = build(JointGap(position_noise=3.0, current_noise=0.02, current_bias=0.05))
    positions, currents = [], []
    for _ in range(4000):
        move(sensing, 0.0)
        positions.append(sensing.position_register()[0])
        currents.append(sensing.current_register(np.array([0.1]), np.zeros(1))[0])
    assert np.std(positions) == pytest.approx(3.0, rel=0.06)
    assert np.std(currents) == pytest.approx(20.0, rel=0.06)
    assert np.mean(currents) == pytest.approx(150.0, abs=1.5)


def test_a_servo_without_current_sensor_shows_its_load() -> None:
    sensing = Sensing([load_servo("XL430-W250"), XL330], [QUIET, QUIET], 1, PERIOD)
    sensing.start(np.zeros(2))
    assert sensing.current_register(np.array([0.3, 0.3]), np.array([-0.25, 0.0])).tolist() == [-250, 300]


def test_the_other_registers_have_their_units() -> None:
    sensing = build(QUIET)
    assert sensing.pwm_register(np.array([-1.0]))[0] == -885
    assert sensing.voltage_register(np.array([4.96]))[0] == 50
    assert sensing.temperature_register(np.array([36.4]))[0] == 36
