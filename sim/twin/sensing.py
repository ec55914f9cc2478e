"""What the servos' registers show of the truth: rounded, noisy, late.

Positions are kept unrounded in ticks for as long as the slowest velocity register looks back. A velocity register
shows the difference of position over a window twice as long as its lag: on 12 logs of a real XL330 a window of 40 ms
reproduces the register within 0.030 rad/s rms, a pure delay of 20 ms within 0.058. Everything is computed when it is
asked for, from noise that depends on seed and time only, never on who reads what when.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.twin.arrays import Floats, Ints
from sim.twin.gap import JointGap
from sim.twin.servo_data import ServoData

NOISE_BLOCK = 512
"""Steps for which noise is drawn at once: one call of the generator instead of 512."""


class Sensing:
    """The sensors of all servos. Positions in ticks of the position register, in the sense the register counts."""

    def __init__(self, servos: Sequence[ServoData], gaps: Sequence[JointGap], seed: int, period: float) -> None:
        """Fix windows and noise; `start` gives the first position."""
        n = len(servos)
        self._columns = np.arange(n)
        lags = [
            s.motor["velocity_lag"] if g.velocity_lag is None else g.velocity_lag
            for s, g in zip(servos, gaps, strict=True)
        ]
        self._window = np.array([max(1, round(2 * lag / period)) for lag in lags])
        self._length = int(self._window.max()) + 1
        self._history = np.zeros((self._length, n))  # ticks, a ring
        self._row = 0
        ticks_per_step = np.array([s.units["position"] / s.units["velocity"] for s in servos]) / period
        self._velocity_scale = ticks_per_step / self._window
        # The register shows the ring - origin (ticks from the middle of the turn) + zero + turns + homing offset.
        self._zero = np.array([float(s.zero_tick) for s in servos])
        self._origin, self._turns, self._homing = np.zeros(n), np.zeros(n), np.zeros(n)
        self._shift = self._zero.copy()
        self._misread = np.zeros(n, dtype=np.int64)  # what a glitch adds to the register, and to nothing else
        self._ticks_per_turn = np.array([s.ticks_per_turn for s in servos])
        self._current_unit = np.array([s.units.get("current", 1.0) for s in servos])
        self._has_current = np.array(["present_current" in s.registers for s in servos])
        self._load_unit = np.array([s.units.get("load", 1.0) for s in servos])
        self._pwm_unit = np.array([s.units["pwm"] for s in servos])
        self._voltage_unit = np.array([s.units["voltage"] for s in servos])
        self._temperature_unit = np.array([s.units["temperature"] for s in servos])

        self._random = np.random.default_rng(seed)
        self._position_sigma = np.array([g.position_noise for g in gaps])
        self._current_sigma = np.array([g.current_noise for g in gaps])
        self._current_bias = np.array([g.current_bias for g in gaps])
        self._noisy_position = bool(np.any(self._position_sigma > 0))
        self._noise_row = NOISE_BLOCK
        self._position_noise = self._current_noise = np.zeros((NOISE_BLOCK, n))
        self._rounded = np.zeros(n)
        self._rounded_fresh = False

    def next_row(self) -> Floats:
        """Where this step's positions go: to be filled before anything is read."""
        self._row = row = self._row + 1 if self._row + 1 < self._length else 0
        self._noise_row += 1
        if self._noise_row >= NOISE_BLOCK:
            self._draw()
        self._rounded_fresh = False
        values: Floats = self._history[row]
        return values

    def _draw(self) -> None:
        noise = self._random.standard_normal((2, *self._position_noise.shape))
        self._position_noise = noise[0] * self._position_sigma
        self._current_noise = noise[1] * self._current_sigma + self._current_bias
        self._noise_row = 0

    def start(self, ticks: Floats) -> None:
        """The shafts have been at rest at these positions for as long as the sensors remember."""
        self._history[:] = ticks
        self._rounded_fresh = False
        if self._noise_row >= NOISE_BLOCK:
            self._draw()

    def set_origin(self, ticks: Floats) -> None:
        """The ring's positions where the servos stand at the middle of their turn."""
        self._origin[:] = ticks
        for i in range(len(ticks)):
            self._count(i)

    def position(self) -> Floats:
        """The position register as a float array; the same array each time."""
        if not self._rounded_fresh:
            np.add(self._history[self._row], self._shift, out=self._rounded)
            if self._noisy_position:
                np.add(self._rounded, self._position_noise[self._noise_row], out=self._rounded)
            np.rint(self._rounded, out=self._rounded)
            self._rounded_fresh = True
        return self._rounded

    def velocity(self) -> Floats:
        """The velocity register, unrounded."""
        before = self._history[(self._row - self._window) % self._length, self._columns]
        ticks: Floats = (self._history[self._row] - before) * self._velocity_scale
        return ticks

    def velocity_register(self) -> Ints:
        """The velocity register."""
        return whole(self.velocity())

    def position_register(self) -> Ints:
        """The position register."""
        return self.position().astype(np.int64) + self._misread

    def current_register(self, amps: Floats, duty: Floats) -> Ints:
        """The current register, or the load register of servos that infer it from their output."""
        current = (amps + self._current_noise[self._noise_row]) / self._current_unit
        return whole(np.where(self._has_current, current, duty / self._load_unit))

    def pwm_register(self, duty: Floats) -> Ints:
        """The PWM register."""
        return whole(duty / self._pwm_unit)

    def voltage_register(self, volts: Floats) -> Ints:
        """The input voltage register."""
        return whole(volts / self._voltage_unit)

    def temperature_register(self, celsius: Floats) -> Ints:
        """The temperature register."""
        return whole(celsius / self._temperature_unit)

    def one_turn(self, i: int) -> None:
        """Forget servo i's turns: what the register shows, less the homing offset, falls back into one turn."""
        ticks = round(float(self._history[self._row, i] - self._origin[i] + self._zero[i]))
        turn = int(self._ticks_per_turn[i])
        self._turns[i] = ticks % turn - ticks
        self._count(i)

    def set_homing(self, i: int, ticks: int) -> None:
        """Let the register count from this homing offset."""
        self._homing[i] = ticks
        self._count(i)

    def reverse(self, i: int) -> None:
        """Servo i counts the other way from now on, and has forgotten its turns."""
        self._history[:, i] *= -1
        self.one_turn(i)

    def jump(self, i: int, ticks: int) -> None:
        """Servo i's encoder slips: it reads that many ticks more, and its velocity register shows the slip pass by."""
        self._history[:, i] -= ticks
        self._history[self._row, i] += ticks
        self._zero[i] += ticks
        self._count(i)

    def misread(self, i: int, ticks: int) -> None:
        """Servo i's position register shows that many ticks more; its own loop is not deceived."""
        self._misread[i] = ticks

    def _count(self, i: int) -> None:
        self._shift[i] = self._zero[i] - self._origin[i] + self._turns[i] + self._homing[i]
        self._rounded_fresh = False


def whole(values: Floats) -> Ints:
    """The nearest whole ticks."""
    return np.rint(values).astype(np.int64)
