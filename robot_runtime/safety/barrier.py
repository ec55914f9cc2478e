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
"""

from __future__ import annotations

import numpy as np

from robot_runtime.arm.kinematics import Kinematics
from robot_runtime.arm.state import Flags, Floats
from robot_runtime.safety.observer import Observer
from robot_runtime.spec import JointSpec

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

SURE_FRICTION = 0.5
"""Of the nominal dry friction: gears were seen from half to three times of it."""

_RENEWED = 4
"""Cycles between two looks at the inertia, which changes by little in them; gravity and Coriolis torques are always
new."""

_FRICTION_SPEED = 0.1  # rad/s over which dry friction turns its sign
_DAMPING = 10.0  # 1/s: a joint that is told nothing usable is braked at this rate


class Barrier:
    """The accelerations that joints can afford, and the worst of what the observer says of them.

    Both sides of all joints are worked out at once: arrays of 2 x joints, upwards first; downwards is seen mirrored.
    """

    def __init__(self, joints: tuple[JointSpec, ...]) -> None:
        """Limits of all joints of the arm, whatever their mode."""
        count = self._count = len(joints)
        modes = [VELOCITY_MODE if j.mode == "velocity" else (SPEED_SHARE, BRAKING_SHARE, REACTION, 0.0) for j in joints]
        columns = (np.tile(column, 2) for column in zip(*modes, strict=True))
        speed, braking, self._reaction, self._apart = columns
        self._limit = np.tile([j.limits.acceleration for j in joints], 2)
        self._opposite = -self._limit
        self._fastest = speed * np.tile([j.limits.velocity for j in joints], 2)
        brake = braking * self._limit
        self._twice, self._brake, self._half = 2.0 * brake, brake, 0.5 / brake
        self._head = brake * self._reaction
        self._square = self._head**2
        self._worst = np.zeros((3, 2 * count))
        self._stops, self._distance, self._root = (np.zeros(2 * count) for _ in range(3))
        self._speed, self._afford, self._way = (np.zeros(2 * count) for _ in range(3))
        self.fastest: Floats = self._fastest[:count]
        self.q_high, self.v_high = self._worst[0, :count], self._worst[1, :count]
        self.q_low, self.v_low = np.zeros(count), np.zeros(count)
        self.speed_high, self.high = self._speed[:count], self._afford[:count]
        self.speed_low, self.low = np.zeros(count), np.zeros(count)

    def look(self, observer: Observer) -> None:
        """Take the worst of what the observers believe."""
        count, worst = self._count, self._worst
        np.maximum.reduce(observer.predicted, axis=1, out=worst[:, :count])
        mirrored = worst[:, count:]
        np.minimum.reduce(observer.predicted, axis=1, out=mirrored)
        np.copyto(self.q_low, mirrored[0])
        np.copyto(self.v_low, mirrored[1])
        np.negative(mirrored, out=mirrored)

    def stopping_distances(self, up: Floats, down: Floats) -> None:
        """How far beyond their places the joints go before they stand (rad, not negative), into `up` and `down`."""
        way, speed = self._way, np.maximum(self._worst[1], 0.0)
        np.multiply(speed, self._half, out=way)
        way += self._reaction
        way *= speed
        np.copyto(up, way[: self._count])
        np.copyto(down, way[self._count :])

    def close_in(self, low: Floats, high: Floats, gain: float) -> None:
        """The speeds and accelerations that keep every joint inside low..high (rad), into `speed_*`, `low`, `high`."""
        count, (place, speed, extra) = self._count, self._worst
        distance, root, allowed, afford = self._distance, self._root, self._speed, self._afford
        distance[:count] = high
        np.negative(low, out=distance[count:])
        distance -= place
        np.subtract(distance, self._apart, out=root)
        np.maximum(root, 0.0, out=root)
        root *= self._twice
        root += self._square
        np.sqrt(root, out=root)
        np.subtract(root, self._head, out=allowed)
        np.divide(self._brake, root, out=root)
        root *= allowed < self._fastest  # how steeply the allowed speed falls
        np.minimum(allowed, self._fastest, out=allowed)
        if distance.min() < 0.0:
            np.copyto(allowed, np.maximum(distance / self._reaction, -RETURN_SPEED), where=distance < 0.0)
        np.subtract(allowed, speed, out=afford)
        afford *= gain
        np.maximum(speed, 0.0, out=distance)
        root *= distance
        afford -= root
        np.minimum(afford, self._limit, out=afford)
        np.maximum(afford, self._opposite, out=afford)
        # What pushes a joint towards its stop is taken off; what pushes it away may be gone the next moment.
        np.maximum(extra, 0.0, out=root)
        np.minimum(root, self._limit, out=root)
        afford -= root
        np.negative(afford[count:], out=self.low)
        np.negative(allowed[count:], out=self.speed_low)
        if (self.low > self.high).any():  # between two stops that are both too near, neither wins
            middle = 0.5 * (self.low + self.high)
            np.copyto(self.low, middle, where=self.low > middle)
            np.copyto(self.high, middle, where=self.high < middle)


class Torques:
    """The torques of the joints that are driven by torque or PWM, as the model of the whole arm sees them."""

    def __init__(self, kinematics: Kinematics, joints: tuple[JointSpec, ...], driven: Flags) -> None:
        """`driven`: which joints these are; the others are taken as not accelerating."""
        self._kinematics = kinematics
        count = len(joints)
        self._index = np.flatnonzero(driven)
        self._looks = 0
        self._whole_inertia, self._whole_bias = np.zeros((count, count)), np.zeros(count)
        motors = [joints[i].servo.motor for i in self._index]
        gears = np.array([joints[i].gear for i in self._index])
        self._dry = SURE_FRICTION * gears * [m.coulomb_friction for m in motors]
        self._viscous = SURE_FRICTION * gears**2 * [m.viscous_friction for m in motors]
        self.inertia: Floats = np.zeros((0, 0))
        self.bias: Floats = np.zeros(len(self._index))
        """N·m that carries the arm, overcomes sure friction and bends its path."""
        self.gravity: Floats = np.zeros(len(self._index))
        """N·m, the same without friction."""

    def reset(self) -> None:
        """The next look is at everything."""
        self._looks = 0

    def look(self, q: Floats, v: Floats) -> None:
        """The arm's dynamics at (q, v)."""
        index = self._index
        renew = self._looks % _RENEWED == 0
        self._looks += 1
        self._kinematics.dynamics(q, v, self._whole_bias, self._whole_inertia if renew else None)
        if renew:
            self.inertia = self._whole_inertia[index[:, None], index]
            self._inverse = np.asarray(np.linalg.inv(self.inertia), dtype=np.float64)
        speed = v[index]
        np.take(self._whole_bias, index, out=self.bias)
        np.copyto(self.gravity, self.bias)
        self.bias += self._viscous * speed
        self.bias += self._dry * np.maximum(np.minimum(speed / _FRICTION_SPEED, 1.0), -1.0)

    def accelerations(self, torque: Floats) -> Floats:
        """What these torques (N·m) make (rad/s²)."""
        made: Floats = np.dot(self._inverse, torque - self.bias)
        return made

    def torques(self, acceleration: Floats) -> Floats:
        """What makes these accelerations."""
        needed: Floats = np.dot(self.inertia, acceleration) + self.bias
        return needed


def damping(v: Floats) -> Floats:
    """The accelerations (rad/s²) that bring joints to rest which are told nothing usable."""
    slowing: Floats = -_DAMPING * v
    return slowing
