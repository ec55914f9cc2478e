"""Physics: the numbers that calibration identifies, where they start, how far they may go, and how sure we were before.

A parameter is fitted as z: how many prior standard deviations it lies from the servo data file's figure, on a log scale
where it is a factor. So all z are of one size, the prior is the same for all (0 ± 1), and what data cannot show stays
at 0 with an interval as wide as the prior's.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from robot_runtime.arrays import Floats
from robot_runtime.spec import ASSEMBLED_WITHIN, ArmSpecError, JointSpec
from sim.worlds.arm import ArmWorld

MOST_LOAD_FRICTION = 0.9
"""Share of the torque that gears may eat. With all of it nothing moves, and a map that divides by what is left
turns its command around."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of parameter. `spread`: prior standard deviation, of the logarithm for factors; an offset's is the arm
    file's `zero_within`.
    """

    name: str
    unit: str
    spread: float
    factor: bool  # positive, fitted on a log scale
    low: float  # of a factor: times its start; else in its own unit
    high: float
    each: bool = True  # one a joint; else one for the arm
    natural: bool = False  # the lower bound is nature's: to lie on it is no sign of a wrong arm
    most: float = math.inf  # in its unit, whatever its start


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        # Spreads: what specimens of hobby servos differ by, see the twin's gaps and docs/calibration.md.
        Kind("torque_constant", "N·m/A", 0.15, factor=True, low=0.5, high=1.6),
        Kind("resistance", "ohm", 0.2, factor=True, low=0.4, high=2.0),
        Kind("armature", "kg·m²", 0.4, factor=True, low=0.2, high=4.0),
        Kind("coulomb", "N·m", 0.7, factor=True, low=0.05, high=8.0),
        Kind("viscous", "N·m·s/rad", 0.7, factor=True, low=0.05, high=8.0),
        Kind("load_friction", "1", 1.0, factor=True, low=0.05, high=12.0, most=MOST_LOAD_FRICTION),
        Kind("link_mass", "1", 0.12, factor=True, low=0.6, high=1.6),
        Kind("offset", "rad", ASSEMBLED_WITHIN, factor=False, low=-0.2, high=0.2),
        Kind("goal_speed", "rad/s", 0.7, factor=True, low=0.05, high=20.0),
        Kind("delay", "s", 0.015, factor=False, low=-0.015, high=0.060, each=False),
        Kind("supply_resistance", "ohm", 1.0, factor=True, low=0.02, high=15.0, each=False),
        # Nothing at the tip weighs less than nothing. Where it could, links that are too heavy and an offset of 30 mrad
        # made up for it on some recordings. The rest below zero keeps the start off the bound, where a fit would stall.
        Kind("payload", "kg", 0.015, factor=False, low=-0.002, high=0.2, each=False, natural=True),
    )
}

START_DELAY = 0.006
"""s: a few control cycles of firmware and the adapter's; a fit never starts on a bound."""
START_SUPPLY_RESISTANCE = 0.3
"""ohm, supply, plugs and cable of a small arm."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One number of the vector."""

    kind: Kind
    joint: int  # -1: the arm's
    label: str  # "delay", "shoulder.coulomb"
    start: float  # in its unit; where z is 0
    spread: float  # prior standard deviation, of the logarithm for factors


class Physics:
    """The layout of the vector z for an arm: which numbers are fitted, and what every number is for a given z."""

    def __init__(self, world: ArmWorld, fitted: Collection[str], start: Mapping[str, Floats] | None = None) -> None:
        """Fit these kinds; the others stay at their start (`start`: other than the data files', by kind).

        Raises:
            ArmSpecError: a factor is to be fitted where MJCF or servo data file have nothing that it could multiply.
        """
        if unknown := set(fitted) - set(KINDS):
            raise ValueError(f"not parameters: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
        self.joints = world.names
        self.nominal = {name: _nominal(kind, world.joints, world) for name, kind in KINDS.items()}
        self.start = {**self.nominal, **(start or {})}
        self.entries = [
            Entry(
                kind,
                i,
                f"{self.joints[i]}.{name}" if kind.each else name,
                float(self.start[name][max(i, 0)]),
                world.joints[i].zero_within if name == "offset" else kind.spread,
            )
            for name, kind in KINDS.items()
            if name in fitted
            for i in (range(len(self.joints)) if kind.each else (-1,))
        ]
        if nothing := [e for e in self.entries if e.kind.factor and not e.start > 0.0]:
            raise ArmSpecError("; ".join(_lacks(e, world) for e in nothing))
        self.labels = tuple(entry.label for entry in self.entries)
        self._spread = np.array([entry.spread for entry in self.entries])
        self._factor = np.array([entry.kind.factor for entry in self.entries], dtype=bool)
        self._start = np.array([entry.start for entry in self.entries])

    def __len__(self) -> int:
        """Numbers that are fitted."""
        return len(self.entries)

    @property
    def bounds(self) -> tuple[Floats, Floats]:
        """Of z."""
        low = np.array([e.kind.low * e.start if e.kind.factor else e.kind.low for e in self.entries])
        high = np.array([e.kind.high * e.start if e.kind.factor else e.kind.high for e in self.entries])
        high = np.minimum(high, [e.kind.most for e in self.entries])
        return self.z(low), self.z(high)

    def z(self, values: Floats) -> Floats:
        """From values in their units."""
        with np.errstate(divide="ignore", invalid="ignore"):
            log = np.log(values / self._start)
        z: Floats = np.where(self._factor, log, values - self._start) / self._spread
        return z

    def values(self, z: Floats) -> Floats:
        """In their units; the last axis is the vector."""
        scaled = np.asarray(z) * self._spread
        values: Floats = np.where(
            self._factor, self._start * np.exp(np.where(self._factor, scaled, 0.0)), self._start + scaled
        )
        return values

    def step(self) -> Floats:
        """Of z, for differences: 2 % of a factor, 2 mrad, 1 ms, 1 g. Friction has kinks; smaller steps see them."""
        absolute = {"offset": 0.002, "delay": 0.001, "payload": 0.001}
        steps: Floats = np.array([absolute.get(e.kind.name, 0.02) for e in self.entries]) / self._spread
        return steps

    def expand(self, z: Floats) -> dict[str, Floats]:
        """All numbers, fitted or not: kind -> (rows of z, joints) or (rows of z, 1)."""
        values = self.values(np.atleast_2d(z))
        every = {name: np.tile(start, (len(values), 1)) for name, start in self.start.items()}
        for column, entry in enumerate(self.entries):
            every[entry.kind.name][:, max(entry.joint, 0)] = values[:, column]
        return every


def _lacks(entry: Entry, world: ArmWorld) -> str:
    """What to write where, so that this number has a start. It is not put in its place unasked: whoever simulates this
    arm with its calibration multiplies what the MJCF has.
    """
    joint = world.joints[max(entry.joint, 0)]
    motor, gear = joint.servo.motor, joint.gear
    attributes = {
        "armature": ("armature", motor.armature * gear**2),
        "coulomb": ("frictionloss", motor.coulomb_friction * gear),
        "viscous": ("damping", motor.viscous_friction * gear**2),
    }
    if entry.kind.name not in attributes:
        return (
            f"joint '{joint.name}': the data file of {joint.servo.name} has {entry.kind.name} = {entry.start:g}, which"
            " must be more than 0 to be fitted"
        )
    name, figure = attributes[entry.kind.name]
    return (
        f"{world.spec.mjcf}: joint '{joint.name}' has no {name}, and a factor of it is to be fitted: give it "
        f'{name}="{figure:.4g}", as the data file of {joint.servo.name} has it'
    )


def _nominal(kind: Kind, joints: Sequence[JointSpec], world: ArmWorld) -> Floats:
    """What the data files say, seen at the joints."""
    motors = [joint.servo.motor for joint in joints]
    gear = np.array([joint.gear for joint in joints])
    n = len(joints)
    match kind.name:
        case "torque_constant":
            return np.array([g * m.torque_constant for g, m in zip(gear, motors, strict=True)])
        case "resistance":
            return np.array([m.resistance for m in motors])
        case "load_friction":
            return np.array([m.load_friction for m in motors])
        case "armature":
            return np.array(world.model.dof_armature)
        case "coulomb":
            return np.array(world.model.dof_frictionloss)
        case "viscous":
            return np.array(world.model.dof_damping).reshape(n, -1)[:, 0]
        case "link_mass":
            return np.ones(n)
        case "goal_speed":
            return 1.5 * np.array([j.servo.motor.no_load_speed / j.gear for j in joints])
        case "delay":
            return np.array([START_DELAY])
        case "supply_resistance":
            return np.array([START_SUPPLY_RESISTANCE])
        case "payload":
            return np.zeros(1)
        case _:
            return np.zeros(n)
