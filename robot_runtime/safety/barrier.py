"""Torque and PWM modes: joint limits and speed limits held by a barrier on the acceleration.

A torque does not say where the joint goes, so the torques wanted are turned into the accelerations that they would make
(the arm's mass matrix, gravity, Coriolis terms, sure friction), each acceleration is kept inside what its joint can
afford, and the result is turned back: joints are decoupled, and a command inside all limits passes unchanged.

What a joint can afford is a control barrier function on two levels. With d the distance to its stop, the speed
allowed is

    v_safe(d) = sqrt((B T)² + 2 B d) - B T        d = v T + v² / 2B: a reaction time T and braking at B, half the limit

and h = v_safe(d) - v must not go negative: its rate is kept above -k h, so a <= k h - v v_safe'(d), and never beyond
the acceleration limit. Inside the limits this stops a joint before its stop without touching it; outside, it leads it
back at a crawl. Compared with viability by the model alone it needs no exact arm: an error of the model's
acceleration by e moves the speed by e / k at most, and the observer takes most of e out. d and v are those of the
moment when the command takes effect, at the worst of several delays (see observer.py).

What pushes a joint towards a stop is taken off what it can afford. What holds it back (dry friction up to three times
the nominal, a payload) has shown that the joint does not accelerate as the model says: most of it is given back as
torque of that joint (`leeway`), or a joint that sticks would never be freed. It may let go the next moment, so what is
given back is so little that the speed gained until the observer knows stays below v_safe.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from operator import add, sub

import numpy as np

from robot_runtime.arm.kinematics import Kinematics
from robot_runtime.safety.friction import BEYOND_SHARE, Friction
from robot_runtime.safety.observer import Observer
from robot_runtime.spec import ArmSpec, JointSpec

BRAKING_SHARE = 0.5
"""Of the acceleration limit that stopping before a joint limit plans with: a payload, a weak motor and sticky gears may
together halve what a torque does."""

SPEED_SHARE = 0.85
"""Of the speed limit that may be aimed at: what the worst delay, play in gears and a wrong model add stays below it."""

GAIN = 15.0
"""1/s: how fast a speed may close in on the allowed one. Four delays of 40 ms a turn of 1/k would be unstable; the
worst of the observers leaves at most 10 ms of it unexplained."""

REACTION = 0.15
"""s of travel kept in front of a stop besides the braking distance: more than two times 1 / GAIN, so that both levels
of the barrier do not swing together."""

RETURN_SPEED = 0.1
"""rad/s at which a joint outside its limits is led back."""

VELOCITY_MODE = (0.45, 0.08, 0.6, 0.12)
"""Speed share, braking share, reaction time (s) and distance from the stops (rad) of joints in velocity mode: the
servo's own loop is a PI controller on a register that is 20 to 40 ms old, whose integral must be unwound before it
turns round."""

SHOWN_SHARE = 0.8
"""Of what holds a joint back, as all observers agree, that may be pushed against besides: less than all of it, so that
what the joint truly does stays below its acceleration limit."""

NOTICED = 0.05
"""s until it shows that what held a joint back has let go: as speed at once, in what observers say of it within 75 ms.
At 0.1 a joint with three times the nominal friction creeps; the tests say how little of the margins it takes."""

FREE = 1.0
"""rad/s from which on a joint gets nothing more, less and less until there: it sticks no longer."""

_RENEWED = 4
"""Cycles between two looks at the inertia, which changes by little in them; gravity and Coriolis torques are always
new."""

_FRICTION_SPEED = 0.1  # rad/s over which dry friction turns its sign
_DAMPING = 10.0  # 1/s: a joint that is told nothing usable is braked at this rate


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What one joint may do, the same both ways."""

    lower: float  # rad
    upper: float  # rad
    limit: float  # rad/s²
    fastest: float  # rad/s
    brake: float  # rad/s², planned with
    reaction: float  # s
    apart: float  # rad kept from stops


class Barrier:
    """The accelerations that joints can afford, and the worst of what the observer says of them."""

    def __init__(self, joints: tuple[JointSpec, ...]) -> None:
        """Limits of all joints of the arm, whatever their mode."""
        self._bounds = [_bounds(j) for j in joints]
        zeros = [0.0] * len(joints)
        self.fastest: list[float] = [b.fastest for b in self._bounds]
        """rad/s that may be aimed at."""
        self.q_low, self.q_high, self.v_low, self.v_high = zeros, zeros, zeros, zeros
        """rad, rad/s: between what the observers believe."""
        self._push_low, self._push_high = zeros, zeros  # rad/s² that come from no command
        self.pushes: list[list[float]] = []
        """The same, one list an observer."""
        self.speed_low, self.speed_high = zeros[:], zeros[:]
        """rad/s that leave time to brake."""
        self.low, self.high = zeros[:], zeros[:]
        """rad/s² that joints can afford."""

    def look(self, observer: Observer) -> None:
        """Take the worst of what the observers believe."""
        places, speeds, extras = observer.places, observer.speeds, observer.extras
        self.q_low, self.q_high = _ends(places)
        self.v_low, self.v_high = _ends(speeds)
        self._push_low, self._push_high = _ends(extras)
        self.pushes = extras

    def stopping_places(self) -> tuple[list[float], list[float]]:
        """Between where the joints stand, at the worst, when they are stopped now (rad)."""
        lowest, highest = [], []
        for b, low, high, down, up in zip(self._bounds, self.q_low, self.q_high, self.v_low, self.v_high, strict=True):
            lowest.append(low + down * (b.reaction - 0.5 * down / b.brake) if down < 0.0 else low)
            highest.append(high + up * (b.reaction + 0.5 * up / b.brake) if up > 0.0 else high)
        return lowest, highest

    def spare(self, i: int) -> tuple[float, float]:
        """rad/s by which a joint may become faster, downwards and upwards."""
        return max(self.v_low[i] - self.speed_low[i], 0.0), max(self.speed_high[i] - self.v_high[i], 0.0)

    def fastest_seen(self, i: int) -> float:
        """rad/s of a joint, at the worst, either way."""
        return max(-self.v_low[i], self.v_high[i])

    def close_in(self, low: list[float], high: list[float], gain: float) -> None:
        """The speeds and accelerations that keep every joint inside low..high (rad), into `speed_*`, `low`, `high`.

        Downwards is upwards, seen mirrored.
        """
        for i, b in enumerate(self._bounds):
            self.speed_high[i], most = _afford(high[i] - self.q_high[i], self.v_high[i], self._push_high[i], gain, b)
            speed, least = _afford(self.q_low[i] - low[i], -self.v_low[i], -self._push_low[i], gain, b)
            self.speed_low[i] = -speed
            if most < -least:  # between two stops that are both too near
                most = _settle(-least, most, own_low=low[i] == b.lower, own_high=high[i] == b.upper)
                least = -most
            self.low[i], self.high[i] = -least, most


def _ends(rows: list[list[float]]) -> tuple[list[float], list[float]]:
    """The least and the largest of each column. Loops: compiled, they take a tenth of what `map(min, *rows)` does."""
    low, high = rows[0][:], rows[0][:]
    for row in rows[1:]:
        for i, x in enumerate(row):
            if x < low[i]:
                low[i] = x
            elif x > high[i]:
                high[i] = x
    return low, high


def _bounds(joint: JointSpec) -> _Bounds:
    servo_brakes = joint.mode == "velocity"
    speed, braking, reaction, apart = VELOCITY_MODE if servo_brakes else (SPEED_SHARE, BRAKING_SHARE, REACTION, 0.0)
    limit = joint.limits.acceleration
    return _Bounds(
        joint.limits.lower, joint.limits.upper, limit, speed * joint.limits.velocity, braking * limit, reaction, apart
    )


def _settle(least: float, most: float, *, own_low: bool, own_high: bool) -> float:
    """The acceleration (rad/s²) between a stop that wants at least this and one that wants at most that.

    The joint's own stop wins over what is in the arm's way, from which a distance is kept besides; else neither does.
    """
    if own_low == own_high:
        return 0.5 * (least + most)
    return least if own_low else most


def _afford(distance: float, speed: float, push: float, gain: float, b: _Bounds) -> tuple[float, float]:
    """The speed (rad/s) and the acceleration (rad/s²) that a joint can afford towards a stop at `distance` (rad).

    It moves there at `speed`, and is pushed there by `push` (rad/s²).
    """
    free, head = distance - b.apart, b.brake * b.reaction
    root = sqrt(head * head + 2.0 * b.brake * free) if free > 0.0 else head
    allowed, steepness = root - head, b.brake / root
    if allowed >= b.fastest:
        allowed, steepness = b.fastest, 0.0
    if distance < 0.0:
        allowed = max(distance / b.reaction, -RETURN_SPEED)
    afford = gain * (allowed - speed)
    if speed > 0.0:
        afford -= speed * steepness
    limit = b.limit
    afford = limit if afford > limit else -limit if afford < -limit else afford
    # What pushes a joint towards its stop is taken off; what pushes it away may be gone the next moment.
    if push > 0.0:
        afford -= push if push < limit else limit
    return allowed, afford


class Torques:
    """The torques of the joints that are driven by torque or PWM, as the model of the whole arm sees them."""

    def __init__(
        self, kinematics: Kinematics, spec: ArmSpec, index: list[int], known: Friction, inertia: list[float]
    ) -> None:
        """`index`: which joints of the arm these are; the others are taken as not accelerating.

        `known`: friction beyond the sure one; `inertia`: of all joints (kg·m²).
        """
        self._kinematics = kinematics
        count = len(spec.joints)
        self._index = index
        self._looks = 0
        self._whole_inertia, self._whole_bias = np.zeros((count, count)), np.zeros(count)
        sure = Friction.sure(spec)
        self._dry, self._viscous = [sure.dry[i] for i in index], [sure.viscous[i] for i in index]
        self._known = [(known.dry[i], known.viscous[i]) for i in index]
        self._most_known = [BEYOND_SHARE * inertia[i] * spec.joints[i].limits.acceleration for i in index]
        self._speed: list[float] = [0.0] * len(index)
        self._block = np.ix_(index, index)
        self._inertia: list[list[float]] = []
        self._inverse: list[list[float]] = []
        self.bias: list[float] = [0.0] * len(index)
        """N·m that carries the arm, overcomes sure friction and bends its path."""
        self.gravity: list[float] = [0.0] * len(index)
        """N·m, the same without friction."""

    def reset(self) -> None:
        """The next look is at everything."""
        self._looks = 0

    def look(self, q: list[float], v: list[float]) -> None:
        """The arm's dynamics at (q, v)."""
        index = self._index
        renew = self._looks % _RENEWED == 0
        self._looks += 1
        self._kinematics.dynamics(q, v, self._whole_bias, self._whole_inertia if renew else None)
        if renew:
            inertia = self._whole_inertia[self._block]
            self._inertia, self._inverse = inertia.tolist(), np.linalg.inv(inertia).tolist()
        carried = self._whole_bias.tolist()
        self.gravity = [carried[i] for i in index]
        self._speed = [abs(v[i]) for i in index]
        self.bias = []
        for i, gravity, dry, viscous in zip(index, self.gravity, self._dry, self._viscous, strict=True):
            turned = v[i] / _FRICTION_SPEED
            turned = 1.0 if turned > 1.0 else max(turned, -1.0)
            self.bias.append(gravity + viscous * v[i] + dry * turned)

    def accelerations(self, torque: list[float]) -> list[float]:
        """What these torques (N·m) make (rad/s²)."""
        return _product(self._inverse, list(map(sub, torque, self.bias)))

    def leeway(self, barrier: Barrier) -> tuple[list[float], list[float]]:
        """N·m downwards and upwards that joints may push with against what, as all observers agree, holds them.

        Of friction that is known, at any speed; of what else it may be, until the joint runs freely.
        """
        index, inertia = self._index, self._inertia
        seen = zip(*[_product(inertia, [pushes[i] for i in index]) for pushes in barrier.pushes], strict=True)
        down: list[float] = []
        up: list[float] = []
        for k, (pushes, i) in enumerate(zip(seen, index, strict=True)):
            slower, faster = barrier.spare(i)
            share = max(1.0 - barrier.fastest_seen(i) / FREE, 0.0)
            gain = NOTICED * self._inverse[k][k]  # rad/s that a N·m makes until it is noticed
            dry, viscous = self._known[k]
            known = min(dry + viscous * self._speed[k], self._most_known[k])
            for held, spare, way in ((min(pushes), slower, down), (-max(pushes), faster, up)):
                most = max(share * spare / gain, min(known, spare / gain))
                way.append(min(SHOWN_SHARE * max(held, 0.0), most))
        return down, up

    def torques(self, acceleration: list[float]) -> list[float]:
        """What makes these accelerations."""
        return list(map(add, _product(self._inertia, acceleration), self.bias))


def _product(matrix: list[list[float]], vector: list[float]) -> list[float]:
    """Matrix times vector. Of so few numbers a compiled loop is through before numpy has looked at them."""
    product = []
    for row in matrix:
        total = 0.0
        for a, b in zip(row, vector, strict=True):
            total += a * b
        product.append(total)
    return product


def damping(v: list[float]) -> list[float]:
    """The accelerations (rad/s²) that bring joints to rest which are told nothing usable."""
    return [-_DAMPING * x for x in v]
