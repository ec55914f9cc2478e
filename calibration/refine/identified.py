"""The arm of a calibration as the physics of a task take it: factors on the data files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from calibration.physics.numbers import KINDS, START_SUPPLY_RESISTANCE, Physics
from robot_runtime.calibrated.file import Calibration, Number
from sim.worlds.arm import ArmWorld
from sim.worlds.domain import Domain

Floats = npt.NDArray[np.float64]

SIGMAS = 3.92
"""Standard deviations across a 95 % interval."""

FACTORS = ("link_mass", "torque_constant", "resistance", "armature", "coulomb", "viscous", "load_friction")


@dataclass(frozen=True, slots=True)
class Identified(Domain):
    """The arm of a calibration: drawn within the intervals of what the data have shown, the rest as it was found."""

    numbers: Mapping[str, tuple[Number | None, ...]] = field(default_factory=dict)  # by kind; None: as in the files
    nominal: Mapping[str, Floats] = field(default_factory=dict)
    rated: Floats = field(default_factory=lambda: np.ones(1))  # V
    volts: Floats = field(default_factory=lambda: np.ones(1))  # times that, without load
    lag: float = 0.02  # s, of the velocity register, as its data file says

    @classmethod
    def of(cls, calibration: Calibration, world: ArmWorld) -> Identified:
        """Of the joints of this world."""
        physics, numbers = Physics(world, ()), {}
        for name, kind in KINDS.items():
            labels = [f"{joint}.{name}" for joint in world.names] if kind.each else [name]
            numbers[name] = tuple(calibration.physics.get(label) for label in labels)
        nominal = {**physics.nominal, "delay": np.zeros(1), "supply_resistance": np.array([START_SUPPLY_RESISTANCE])}
        rated = np.array([joint.servo.motor.nominal_voltage for joint in world.joints])
        volts = np.array(calibration.open_volts)[world.index] if calibration.open_volts else rated
        lag = max(joint.servo.motor.velocity_lag for joint in world.joints)
        return cls(numbers=numbers, nominal=nominal, rated=rated, volts=volts / rated, lag=lag)

    def draw(self, random: np.random.Generator, joints: int) -> dict[str, Floats]:
        """One arm."""
        found = {}
        for name, numbers in self.numbers.items():
            values = np.array(
                [_drawn(n, random) if n else start for n, start in zip(numbers, self.nominal[name], strict=True)]
            )
            found[name] = values / self.nominal[name] if name in FACTORS else values
        found["payload"] = np.maximum(found["payload"], 0.0)
        rest = {"voltage": self.volts, "velocity_lag": np.array([self.lag])}
        rest["position_noise"] = self.position_noise.draw(random, joints)
        return {**found, **rest}


def _drawn(number: Number, random: np.random.Generator) -> float:
    """Numbers that the data do not tell apart hang together: drawn one by one they would be another arm."""
    sigma = (number.high - number.low) / SIGMAS if number.seen else 0.0
    return float(np.clip(random.normal(number.value, sigma), number.low, number.high))
