"""Shapes of motion, as angles over time: samples x joints of the arm, from the start pose and back to it, at rest.

Whatever is drawn here is scaled until speed, acceleration and jerk stay within what the stage allows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from calibration.excitation.stage import Stage
from robot_runtime.arrays import Floats

Joints = Sequence[int] | npt.NDArray[np.intp]

SLOW = 0.3
"""rad/s of a sweep, at most: friction shows as it is near rest, and gravity is followed without inertia."""
CRUISES = (0.4, 0.7, 1.0)
"""Shares of the allowed speed, one stroke after the other."""
CRUISE_REACH = 0.8
"""rad from the start pose, at most: many strokes say more than long ones."""
HARMONICS = 5
BASE = (0.07, 0.22)
"""Hz, of the first harmonic: up to 1.1 Hz in the fifth."""
CHIRP = (0.1, 5.0)  # Hz
APART = 0.12
"""Of a chirp's way, on a log scale, between two joints that go the same way."""
CHIRP_REACH = 0.25
"""Of the range, and at most `CHIRP_MOST`, that a chirp begins with."""
CHIRP_MOST = 0.35  # rad
REST = 0.2
"""s at rest before and after: a segment begins where the last one has come to rest."""
EASE = 1.2  # s, at least, in which a motion fades in and out


def sweep(stage: Stage, joints: Joints, seconds: float, period: float) -> Floats:
    """Slowly to one end, to the other, and back; every second joint twice, over half of the way."""
    lines: dict[int, Callable[[Floats], Floats]] = {}
    for k, i in enumerate(joints):
        ends = (stage.high[i], stage.low[i]) if k % 2 == 0 else (stage.low[i], stage.high[i])
        rounds = 1 + k % 2
        way = np.array([stage.start[i], *(ends * rounds), stage.start[i]]) - stage.start[i]
        length = float(np.abs(np.diff(way)).sum())
        way *= min(1.0, SLOW * (seconds - 2 * REST) / max(length, 1e-9))
        lines[i] = _line(way, None, seconds)
    return _smooth(stage, lines, seconds, period)


def cruise(stage: Stage, joints: Joints, seconds: float, period: float) -> Floats:
    """From end to end at constant speeds, slower and faster ones in turn."""
    lines: dict[int, Callable[[Floats], Floats]] = {}
    for k, i in enumerate(joints):
        start = stage.start[i]
        low, high = max(stage.low[i], start - CRUISE_REACH), min(stage.high[i], start + CRUISE_REACH)
        way, times, strokes = [0.0], [0.0], 0
        while True:
            goal = (high if (strokes + k) % 2 == 0 else low) - start
            speed = CRUISES[(strokes + k) % len(CRUISES)] * stage.velocity[i]
            time = abs(goal - way[-1]) / speed
            back = abs(goal) / (CRUISES[1] * stage.velocity[i])
            if times[-1] + time + back > seconds - 2 * REST - EASE:
                break
            way.append(goal)
            times.append(times[-1] + time)
            strokes += 1
        if not strokes:
            continue
        way.append(0.0)
        times.append(times[-1] + abs(way[-2]) / (CRUISES[1] * stage.velocity[i]))
        lines[i] = _line(np.array(way), np.array(times) + REST + EASE / 2, seconds)
    return _smooth(stage, lines, seconds, period)


def fourier(stage: Stage, joints: Joints, seconds: float, period: float, random: np.random.Generator) -> Floats:
    """Five harmonics a joint about the middle of its range; amplitudes, phases and base frequencies are drawn."""
    time = _time(seconds, period)
    q = np.tile(stage.start, (len(time), 1))
    base = random.uniform(*BASE)
    for i in joints:
        own = base * random.uniform(0.85, 1.15)  # two joints that share a frequency share a direction
        tilt = random.uniform(0.0, 1.2)
        number = np.arange(1, HARMONICS + 1)
        size = random.uniform(0.3, 1.0, HARMONICS) / number**tilt
        phase = random.uniform(0.0, 2 * np.pi, HARMONICS)
        wave = (size * np.sin(2 * np.pi * own * number * time[:, None] + phase)).sum(axis=1)
        wave -= 0.5 * (wave.max() + wave.min())
        middle, half = 0.5 * (stage.low[i] + stage.high[i]), 0.5 * (stage.high[i] - stage.low[i])
        share = random.uniform(0.7, 1.0)
        wave *= share * half / max(float(np.abs(wave).max()), 1e-9)
        ease = _ease(time, seconds, EASE + abs(middle - stage.start[i]) / (0.5 * stage.velocity[i]))
        q[:, i] = stage.start[i] + ease * (middle - stage.start[i])
        q[:, i] += ease * wave * _within(q[:, i], ease * wave, stage, i, period)
    return q


def chirp(stage: Stage, joints: Joints, seconds: float, period: float) -> Floats:
    """0.1 to 5 Hz about the start pose, every second joint downwards, none at the frequency of another."""
    time = _time(seconds, period)
    q = np.tile(stage.start, (len(time), 1))
    first, last = CHIRP
    ratio, moving = np.log(last / first), seconds - 2 * REST
    for k, i in enumerate(joints):
        share = np.clip((time - REST) / moving, 0.0, 1.0)
        ahead = share + APART * (k // 2)  # joints of one direction follow each other, and turn round at the end
        shifted = 1.0 - np.abs(1.0 - ahead) if k % 2 == 0 else np.abs(1.0 - ahead)
        frequency = first * np.exp(ratio * shifted)
        omega = 2 * np.pi * frequency
        room = min(stage.start[i] - stage.low[i], stage.high[i] - stage.start[i])
        reach = min(CHIRP_REACH * (stage.high[i] - stage.low[i]), room, CHIRP_MOST)
        size = np.minimum.reduce(
            [
                np.full_like(time, reach),
                0.6 * stage.velocity[i] / omega,
                0.6 * stage.acceleration[i] / omega**2,
                0.6 * stage.jerk[i] / omega**3,
            ]
        )
        size = _smoothed(size, round(0.15 / period))
        wave = _ease(time, seconds, EASE) * size * np.sin(np.cumsum(omega) * period)
        q[:, i] += wave * _within(q[:, i], wave, stage, i, period)
    return q


def stretched(q: Floats, factor: float) -> Floats:
    """The same way, slower by this factor."""
    old = np.linspace(0.0, 1.0, len(q))
    new = np.linspace(0.0, 1.0, int(np.ceil((len(q) - 1) * factor)) + 1)
    return np.stack([np.interp(new, old, column) for column in q.T], axis=1)


def _time(seconds: float, period: float) -> Floats:
    return np.asarray(np.arange(round(seconds / period) + 1) * period, dtype=np.float64)


def _ease(time: Floats, seconds: float, ease: float) -> Floats:
    """0 to 1 and back to 0, with rests before and after; no jerk at the ends."""
    s = np.clip(np.minimum(time - REST, seconds - REST - time) / min(ease, 0.5 * seconds - REST), 0.0, 1.0)
    return np.asarray(s**3 * (10 + s * (6 * s - 15)))


def _line(way: Floats, times: Floats | None, seconds: float) -> Callable[[Floats], Floats]:
    """Straight from point to point; without times, at one speed from rest to rest of the whole segment."""
    if times is None:
        along = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(way)))])
        times = REST + EASE / 2 + along / max(along[-1], 1e-9) * (seconds - 2 * REST - EASE)
    known = times
    return lambda time: np.asarray(np.interp(time, known, way))


def _smooth(stage: Stage, lines: dict[int, Callable[[Floats], Floats]], seconds: float, period: float) -> Floats:
    """Lines with their corners rounded, so that acceleration and jerk stay small."""
    time = _time(seconds, period)
    q = np.tile(stage.start, (len(time), 1))
    for i, line in lines.items():
        wave = line(time)
        speed = float(np.abs(np.diff(wave)).max()) / period
        width = max(2.2 * speed / stage.acceleration[i], np.sqrt(2.2 * speed / stage.jerk[i]), 2 * period)
        width = min(width, EASE / 2 - 2 * period)
        count = max(round(width / period), 1)
        wave = _smoothed(_smoothed(wave, count), count)
        q[:, i] += wave * _within(q[:, i], wave, stage, i, period)
    return q


def _smoothed(values: Floats, count: int) -> Floats:
    """Mean over so many samples (made odd), the ends going on as they are."""
    half = count // 2
    padded = np.concatenate([np.full(half, values[0]), values, np.full(half, values[-1])])
    return np.convolve(padded, np.full(2 * half + 1, 1 / (2 * half + 1)), "valid")


def _within(base: Floats, wave: Floats, stage: Stage, i: int, period: float) -> float:
    """How much of a wave on top of `base` keeps range, speed, acceleration and jerk; at most 1."""
    share, low, high = 1.0, stage.low[i] - base, stage.high[i] - base
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(wave > 0, high / wave, np.where(wave < 0, low / wave, np.inf))
    share = min(share, max(float(room.min()), 0.0))
    bounds = stage.velocity[i], stage.acceleration[i], stage.jerk[i]
    rate = wave
    for bound in bounds:
        rate = np.diff(rate) / period
        share = min(share, bound / max(float(np.abs(rate).max()), 1e-12))
    return share
