"""The arm of a calibration as the physics of a task take it: factors on the data files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from calibration.physics.numbers import KINDS, START_SUPPLY_RESISTANCE, Physics
from robot_runtime.arrays import Floats, Indices
from robot_runtime.calibrated.file import Calibration
from sim.worlds.arm import ArmWorld
from sim.worlds.domain import Domain

FACTORS = ("link_mass", "torque_constant", "resistance", "armature", "coulomb", "viscous", "load_friction")

LEARNT_ON, TRIED_ON = 0.625, 0.125
"""Of the arms that the data allow. The rest is for verdicts alone: what was best in a trial is so on its arms by chance
as well.
"""


@dataclass(frozen=True, slots=True)
class Identified(Domain):
    """The arm of a calibration: any of those that its data allow (`Calibration.alike`)."""

    arms: tuple[Mapping[str, Floats], ...] = ()  # by kind: one a joint or one for the arm; "body_mass": one a body
    rated: Floats = field(default_factory=lambda: np.ones(1))  # V
    volts: Floats = field(default_factory=lambda: np.ones(1))  # times that, without load
    lag: float = 0.02  # s, of the velocity register, as its data file says

    @classmethod
    def of(cls, calibration: Calibration, world: ArmWorld) -> Identified:
        """Of the joints of this world; numbers that were not fitted are the data files'.

        Raises:
            ValueError: the calibration does not say which arms its data allow.
        """
        if calibration.physics and not calibration.alike:
            raise ValueError("a calibration with numbers, but without arms that its data allow")
        nominal = Physics(world, ()).nominal
        nominal |= {"delay": np.zeros(1), "supply_resistance": np.array([START_SUPPLY_RESISTANCE])}
        rows = [dict(zip(calibration.physics, row, strict=True)) for row in calibration.alike]
        arms = tuple(_arm(row, nominal, world) for row in rows or [{}])
        rated = np.array([joint.servo.motor.nominal_voltage for joint in world.joints])
        volts = np.array(calibration.open_volts)[world.index] if calibration.open_volts else rated
        lag = max(joint.servo.motor.velocity_lag for joint in world.joints)
        return cls(arms=arms, rated=rated, volts=volts / rated, lag=lag)

    @property
    def learnt_on(self) -> Identified:
        """Only those that trainings meet."""
        return replace(self, arms=self.arms[: learnt_of(len(self.arms))] or self.arms)

    @property
    def tried(self) -> Identified:
        """Only those that choose the best of what was learnt."""
        return replace(self, arms=self.arms[learnt_of(len(self.arms)) : known_of(len(self.arms))] or self.arms)

    def draw(self, random: np.random.Generator, joints: int) -> dict[str, Floats]:
        """One arm."""
        rest = {"voltage": self.volts, "velocity_lag": np.array([self.lag])}
        rest["position_noise"] = self.position_noise.draw(random, joints)
        return {**self.arms[random.integers(len(self.arms))], **rest}


def learnt_of(arms: int) -> int:
    """How many of so many trainings meet: the first, in pairs."""
    return 2 * round(LEARNT_ON * arms / 2)


def known_of(arms: int) -> int:
    """How many of so many trainings and trials meet: the first, in pairs. Verdicts are on the others."""
    return 2 * round((LEARNT_ON + TRIED_ON) * arms / 2)


def judged_on(arms: int) -> Indices:
    """Of so many, those that no training and no trial met; all, where there are too few."""
    every: Indices = np.arange(max(1, arms))
    return every[known_of(arms) :] if known_of(arms) < arms else every


def _arm(numbers: Mapping[str, float], nominal: Mapping[str, Floats], world: ArmWorld) -> dict[str, Floats]:
    """As factors, where there are some."""
    found = {}
    for name, kind in KINDS.items():
        labels = [f"{joint}.{name}" for joint in world.names] if kind.each else [name]
        values = np.array([numbers.get(label, start) for label, start in zip(labels, nominal[name], strict=True)])
        found[name] = values / nominal[name] if name in FACTORS else values
    found["payload"] = np.maximum(found["payload"], 0.0)
    found["body_mass"] = _body_mass(numbers, world)
    return found


def _body_mass(numbers: Mapping[str, float], world: ArmWorld) -> Floats:
    """Factor of each body: that of the nearest joint above it that has one. Joints that were fitted may stand still in
    this world, and what they carry is not of the weight of the next one that moves.
    """
    labels = {name: f"{name}.link_mass" for name in world.turned}
    own = {body: numbers[labels[name]] for name, body in world.turned.items() if labels[name] in numbers}
    factors = np.ones(world.model.nbody)
    for body in range(1, len(factors)):  # parents come first
        factors[body] = own.get(body, factors[world.model.body_parentid[body]])
    return factors
