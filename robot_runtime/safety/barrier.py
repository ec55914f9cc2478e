"""Torque and PWM modes: joint limits and speed limits held by a barrier on the acceleration.

A torque does not say where the joint goes, so the torques wanted are turned into the accelerations that they would make
(the arm's mass matrix, gravity, Coriolis terms, sure friction), each acceleration is kept inside what its joint can
afford, and the result is turned back: joints are decoupled, and a command inside all limits passes unchanged.

What a joint can afford is a control barrier function on two levels. With d the distance to its stop, the speed
allowed is

    v_safe(d) = sqrt((B T)² + 2 B d) - B T        d = v T + v² / 2B: a reaction time T and braking at B, half the limit

and h = v_safe(d) - v must not go negative: its rate is kept above -k h, so a <= k h - v v_safe'(d), and never beyond the
acceleration limit. Inside the limits this stops a joint before its stop without touching it; outside, it leads it back
at a crawl. Compared with viability by the model alone it needs no exact arm: an error of the model's acceleration by e
moves the speed by e / k at most, and the observer takes most of e out. d and v are those of the moment when the command
takes effect, at the worst of several delays (see observer.py).
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
"""1/s: how fast a speed may close in on the allowed one. Four delays of 40 ms a turn of 1/k would be unstable; the worst of
the observers leaves at most 10 ms of it unexplained."""

REACTION = 0.15
"""s of travel kept in front of a stop besides the braking distance: more than two times 1 / GAIN, so that both levels of the
barrier do not swing together."""

RETURN_SPEED = 0.1
"""rad/s at which a joint outside its limits is led back."""

VELOCITY_MODE = (0.45, 0.08, 0.6, 0.12)
"""Speed share, braking share, reaction time (s) and distance from the stops (rad) of joints in velocity mode: the servo's own
loop is a PI controller on a register that is 20 to 40 ms old, whose integral must be unwound before it turns round."""

SURE_FRICTION = 0.5
"""Of the nominal dry friction: gears were seen from half to three times of it."""

_FRICTION_SPEED = 0.1  # rad/s over which dry friction turns its sign
_DAMPING = 10.0  # 1/s: a joint that is told nothing usable is braked at this rate


class Barrier:
    """The accelerations that joints can afford, and the worst of what the observer says of them."""

    def __init__(self, joints: tuple[JointSpec, ...]) -> None:
        """Limits of all joints of the arm, whatever their mode."""
        count = len(joints)
        modes = [VELOCITY_MODE if j.mode == "velocity" else (SPEED_SHARE, BRAKING_SHARE, REACTION, 0.0) for j in joints]
        speed, braking, self._reaction, self._apart = (np.array(column) for column in zip(*modes, strict=True))
        self._acceleration = np.array([j.limits.acceleration for j in joints])
        self.fastest: Floats = speed * [j.limits.velocity for j in joints]
        self._brake = braking * self._acceleration
        self._half = 0.5 / self._brake
        self._head_start = self._brake * self._reaction
        self._opposite = -self._acceleration
        self.q_low, self.q_high, self.v_low, self.v_high = (np.zeros(count) for _ in range(4))
        self.speed_low, self.speed_high, self.low, self.high = (np.zeros(count) for _ in range(4))

    def look(self, observer: Observer) -> None:
        """Take the worst of what the observers believe."""
        np.minimum.reduce(observer.position, axis=0, out=self.q_low)
        np.maximum.reduce(observer.position, axis=0, out=self.q_high)
        np.minimum.reduce(observer.velocity, axis=0, out=self.v_low)
        np.maximum.reduce(observer.velocity, axis=0, out=self.v_high)

    def stopping_distances(self, up: Floats, down: Floats) -> None:
        """How far beyond their places the joints go before they stand (rad, not negative), into `up` and `down`."""
        for speed, out in ((self.v_high, up), (-self.v_low, down)):
            np.maximum(speed, 0.0, out=out)
            out *= self._reaction + self._half * out

    def close_in(self, low: Floats, high: Floats, gain: float, observer: Observer) -> None:
        """The speeds and accelerations that keep every joint inside low..high (rad), into `speed_*`, `low`, `high`."""
        worst_high = np.maximum(np.maximum.reduce(observer.disturbance, axis=0), 0.0)
        worst_low = np.minimum(np.minimum.reduce(observer.disturbance, axis=0), 0.0)
        limit = self._acceleration
        self._side(high - self.q_high, self.v_high, gain, self.speed_high, self.high)
        self._side(self.q_low - low, -self.v_low, gain, self.speed_low, self.low)
        # What pushes a joint towards its stop is taken off; what pushes it away may be gone the next moment.
        np.subtract(self.high, np.minimum(worst_high, limit), out=self.high)
        np.negative(self.low, out=self.low)
        np.subtract(self.low, np.maximum(worst_low, -limit), out=self.low)
        np.negative(self.speed_low, out=self.speed_low)
        # Between two stops that are both too near, neither wins.
        crossed = self.low > self.high
        if crossed.any():
            middle = 0.5 * (self.low + self.high)
            np.copyto(self.low, middle, where=crossed)
            np.copyto(self.high, middle, where=crossed)

    def _side(self, distance: Floats, v: Floats, gain: float, speed: Floats, acceleration: Floats) -> None:
        head, brake = self._head_start, self._brake
        root = np.maximum(distance - self._apart, 0.0)
        root *= 2.0 * brake
        root += head * head
        np.sqrt(root, out=root)
        np.subtract(root, head, out=speed)
        steep = brake / root
        steep *= speed < self.fastest
        np.minimum(speed, self.fastest, out=speed)
        if distance.min() < 0.0:
            np.copyto(speed, np.maximum(distance / self._reaction, -RETURN_SPEED), where=distance < 0.0)
        np.subtract(speed, v, out=acceleration)
        acceleration *= gain
        steep *= np.maximum(v, 0.0)
        acceleration -= steep
        np.minimum(acceleration, self._acceleration, out=acceleration)
        np.maximum(acceleration, self._opposite, out=acceleration)


class Torques:
    """The torques of the joints that are driven by torque or PWM, as the model of the whole arm sees them."""

    def __init__(self, kinematics: Kinematics, joints: tuple[JointSpec, ...], driven: Flags) -> None:
        """`driven`: which joints these are; the others are taken as not accelerating."""
        self._kinematics = kinematics
        count = len(joints)
        self._index = np.flatnonzero(driven)
        self._all = bool(driven.all())
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

    def look(self, q: Floats, v: Floats) -> None:
        """The arm's dynamics at (q, v)."""
        self._kinematics.dynamics(q, v, self._whole_inertia, self._whole_bias)
        index = self._index
        if self._all:
            self.inertia = self._whole_inertia
            speed = v
            np.copyto(self.bias, self._whole_bias)
        else:
            self.inertia = self._whole_inertia[index[:, None], index]
            speed = v[index]
            np.take(self._whole_bias, index, out=self.bias)
        self.inverse: Floats = np.linalg.inv(self.inertia)
        np.copyto(self.gravity, self.bias)
        self.bias += self._viscous * speed
        self.bias += self._dry * np.maximum(np.minimum(speed / _FRICTION_SPEED, 1.0), -1.0)

    def accelerations(self, torque: Floats) -> Floats:
        """What these torques (N·m) make (rad/s²)."""
        made: Floats = np.dot(self.inverse, torque - self.bias)
        return made

    def torques(self, acceleration: Floats) -> Floats:
        """What makes these accelerations."""
        needed: Floats = np.dot(self.inertia, acceleration) + self.bias
        return needed


def damping(v: Floats) -> Floats:
    """The accelerations (rad/s²) that bring joints to rest which are told nothing usable."""
    slowing: Floats = -_DAMPING * v
    return slowing
