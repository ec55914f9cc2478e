"""Domain randomisation: how far a real arm may differ from its files, drawn anew for every simulation and episode.

Angles that the encoders report wrongly are not among it: no policy can see them, and calibration finds them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from robot_runtime.arrays import Floats


@dataclass(frozen=True, slots=True)
class Uniform:
    """Any value between two as likely as any other."""

    low: float
    high: float
    each: bool = False  # joint by joint

    def draw(self, random: np.random.Generator, size: int) -> Floats:
        """`size` values."""
        return random.uniform(self.low, self.high, size)


@dataclass(frozen=True, slots=True)
class LogUniform:
    """As likely to halve as to double."""

    low: float
    high: float
    each: bool = False  # joint by joint

    def draw(self, random: np.random.Generator, size: int) -> Floats:
        """`size` values."""
        values: Floats = np.exp(random.uniform(np.log(self.low), np.log(self.high), size))
        return values


@dataclass(frozen=True, slots=True)
class Domain:
    """The distributions. Factors multiply the figure of the servo data file or of the arm's MJCF."""

    link_mass: Uniform = Uniform(0.85, 1.15, each=True)  # factor, mass and inertia: cables, screws, another plastic
    torque_constant: Uniform = Uniform(0.9, 1.1, each=True)  # factor: magnets differ from motor to motor
    resistance: Uniform = Uniform(0.9, 1.15, each=True)  # factor: a winding that warms by 40 K
    armature: Uniform = Uniform(0.7, 1.4, each=True)  # factor: no data sheet gives it
    coulomb: LogUniform = LogUniform(0.5, 2.0, each=True)  # factor, dry gear friction: new, or run in
    viscous: LogUniform = LogUniform(0.5, 2.0, each=True)  # factor: grease, cold or warm
    load_friction: LogUniform = LogUniform(0.5, 1.5, each=True)  # factor, share of the torque that the gears eat
    voltage: Uniform = Uniform(0.93, 1.03)  # factor: the supply under load
    payload: Uniform = Uniform(0.0, 0.02)  # kg at the tip: a cable, a screw; a task with a load of its own says its own
    delay: Uniform = Uniform(0.0, 0.015)  # s between an action and its effect: bus, adapter, firmware
    velocity_lag: Uniform = Uniform(0.010, 0.030)  # s, age of the velocity register
    position_noise: Uniform = Uniform(0.0, 0.7, each=True)  # ticks rms of the encoder

    def draw(self, random: np.random.Generator, joints: int) -> dict[str, Floats]:
        """One arm: a value a joint where joints differ, else one."""
        drawn = {}
        for f in fields(self):
            distribution: Uniform | LogUniform = getattr(self, f.name)
            drawn[f.name] = distribution.draw(random, joints if distribution.each else 1)
        return drawn
