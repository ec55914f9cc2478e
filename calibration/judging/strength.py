"""What an arm is too weak for, though its simulator is not: poses that it cannot lift itself to, or not hold for long.

A calibration may be right of an arm that is too weak: nothing is refused here, but a policy that goes where the
simulator's arm goes will miss there, or the servo's overload protection lets go of the arm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from calibration.maps.stage import weights
from calibration.physics.identify import heavier
from calibration.physics.numbers import Physics
from calibration.physics.rollout import Rig
from robot_runtime.arm import Kinematics
from robot_runtime.arrays import Flags, Floats
from sim.twin.protection import OVERLOAD_SHARE

POSES, TRIES = 600, 2400
"""Drawn evenly within the joints' limits; fewer where most of them would touch the table or the arm itself."""
SEED = 0
TOUCHES = 0.01
"""m: nearer pairs are looked at for whether they touch."""
STICKS = 0.5
"""Of a joint's friction that is in the way while it is held: behind a lift it is all of it, on the way down as much the
other way. With all of it several times as many arms would be named as let go in flight, with none of it some that do
would be missed (`python benchmarks/weak_arms.py`).
"""
OFTEN_WEAK, OFTEN_TIRED = 0.02, 0.10
"""Share of the poses from which on it is worth saying: the load that is held goes by two estimates, and policies are
seldom in the few worst poses for seconds.
"""


@dataclass(frozen=True, slots=True)
class Weakness:
    """Of one joint, in the poses that the simulator's lifts itself to, or holds."""

    joint: str
    weak: float  # share of them that it cannot lift itself to
    asked: float  # N·m as the arm file counts them, in the worst of them
    there: float
    limited: bool  # by the arm file; else by supply and motor
    tired: float  # share of them in which its servo may let go
    load: float  # of its full load, as the overload protection counts it, in the worst of them

    @property
    def text(self) -> str:
        """For people; empty where there is nothing to say."""
        weak, tired = self.weak >= OFTEN_WEAK, self.tired >= OFTEN_TIRED
        found, advice = [], ["lighten the arm"]
        if weak:
            leaves = "limits.torque leaves" if self.limited else "motor and supply have"
            found.append(
                f"in {self.weak:.0%} of the poses that the simulator's lifts itself to it cannot (asks for up to "
                f"{self.asked:.2g} N·m, {leaves} {self.there:.2g}), and a policy that goes there misses"
            )
        if tired:
            found.append(
                f"in {self.tired:.0%} of the poses that the simulator's holds its servo may let go after some seconds "
                f"(holding takes up to {self.load:.0%} of its full load, overload protection bears about "
                f"{OVERLOAD_SHARE:.0%})"
            )
        if weak and not tired:  # more torque would only tire it
            advice.append(
                "raise its limits.torque in arm.toml" if self.limited else "give it the voltage it is made for"
            )
        return f"{self.joint} is weak: {'; '.join(found)}; {', '.join(advice)}, or keep targets nearer" if found else ""


def weaknesses(rig: Rig, numbers: Mapping[str, Floats], volts: Floats) -> tuple[Weakness, ...]:
    """Joints of which something is to be said; `numbers` as of `Fitted.numbers`, `volts` of the supply without load."""
    if not len(q := poses(rig)):
        return ()
    nominal = {**Physics(rig.world, ()).nominal, "supply_resistance": np.zeros(1)}
    simulated = _Strength.of(rig, nominal, rig.laws.nominal_volts, weights(rig.world.model, q))
    arm = _Strength.of(rig, numbers, volts, weights(heavier(rig, numbers).world.model, q))
    weak, tired = simulated.lifts & ~arm.lifts, simulated.holds & ~arm.holds
    found = (
        Weakness(
            name,
            _share(weak[:, i], simulated.lifts[:, i]),
            float(arm.asked[simulated.lifts[:, i], i].max(initial=0.0)),
            float(arm.there[i]),
            bool(arm.limited[i]),
            _share(tired[:, i], simulated.holds[:, i]),
            float(arm.load[simulated.holds[:, i], i].max(initial=0.0)),
        )
        for i, name in enumerate(rig.world.names)
    )
    return tuple(one for one in found if one.text)


def poses(rig: Rig) -> Floats:
    """Of the rig's joints (poses x joints, rad), in which nothing touches."""
    spec, index, random = rig.world.spec, rig.world.index, np.random.default_rng(SEED)
    kinematics, q, found = Kinematics(spec), np.array(spec.poses["home"]), []
    low, high = (np.array([getattr(j.limits, end) for j in rig.world.joints]) for end in ("lower", "upper"))
    for _ in range(TRIES):
        q[index] = random.uniform(low, high)
        near = kinematics.clearance(q, TOUCHES)
        if near is None or near.distance > 0.0:
            found.append(q[index])
        if len(found) == POSES:
            break
    return np.array(found).reshape(-1, len(index))


@dataclass(frozen=True, slots=True, eq=False)
class _Strength:
    """An arm's joints in some poses: poses x joints, or one a joint."""

    asked: Floats  # N·m as the arm file counts them, to lift slowly
    there: Floats
    limited: Flags
    load: Floats  # as a servo's overload protection counts it, held for long

    @property
    def lifts(self) -> Flags:
        """Where a joint can be lifted."""
        return np.asarray(self.asked <= self.there)

    @property
    def holds(self) -> Flags:
        """Where its servo holds on."""
        return np.asarray(self.load <= OVERLOAD_SHARE)

    @classmethod
    def of(cls, rig: Rig, numbers: Mapping[str, Floats], volts: Floats, weight: Floats) -> _Strength:
        """`weight`: N·m, poses x joints."""
        joints, laws = rig.world.joints, rig.laws
        constant, resistance = numbers["torque_constant"], numbers["resistance"]
        stall = volts / (resistance + numbers["supply_resistance"])  # A, of all that the supply gives

        def amps(stuck: float) -> Floats:
            """That carry the weight, with this share of the friction in their way."""
            passed = 1.0 - stuck * numbers["load_friction"]
            with np.errstate(divide="ignore"):
                torque = (np.abs(weight) + stuck * numbers["coulomb"]) / np.maximum(passed, 0.0)
            return np.asarray(torque / constant)

        # A duty is asked for by the data files' motor: what it makes in this one is less by its resistance, too.
        rated = np.array([joint.servo.motor.resistance for joint in joints])
        counted = laws.constant * np.where(laws.current | laws.position, 1.0, resistance / rated)  # N·m/A
        limit = np.where(laws.position, np.inf, [joint.limits.torque for joint in joints])  # a goal's torque has none
        measures = np.array(["present_current" in joint.servo.registers for joint in joints])
        full = np.where(measures, [joint.servo.motor.stall_current for joint in joints], stall)
        return cls(
            asked=amps(1.0) * counted,
            there=np.minimum(limit, stall * counted),
            limited=np.asarray(limit < stall * counted),
            load=amps(STICKS) / full,
        )


def _share(of: Flags, all_: Flags) -> float:
    return float(of.sum() / max(all_.sum(), 1))
