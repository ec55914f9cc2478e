"""Envelope: the limits that every command passes, in every mode, last thing before it is written.

Limits on what changes are relative to the last command, so that a late or lost measurement cannot jerk the arm; joint
stops and speeds of joints that are not positioned by their servo are relative to the measured state, carried forward by
its age and by the worst delay of a command. How, by mode:

- position modes: `braking.Track`, a command that can always still stop inside the limits;
- velocity mode: `braking.SpeedTrack`, and the speed allowed shrinks to what can still be braked (`barrier.Barrier`);
- current and PWM modes: `barrier.Barrier` on the acceleration, by the rigid-body model (`barrier.Torques`).

The table, the arm itself and a workspace box become stops for the joints (`clearance.Clearance`), so each mode keeps
distances as it keeps joint limits.

A limit of position, velocity, acceleration and torque holds always. The jerk limit (in torque modes: the torque's rate,
jerk times the joint's inertia at home) may be passed to brake: before a stop, at the speed limit, and when a stop was
ordered (`emergency`). Power limits what is wanted, not what brakes.

No clock is read and nothing is drawn: the same calls give the same commands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot_runtime.arm.kinematics import Kinematics
from robot_runtime.arm.scaling import POSITION_MODES
from robot_runtime.arm.state import Flags, Floats, JointState
from robot_runtime.safety.barrier import GAIN, SPEED_SHARE, Barrier, Torques, damping
from robot_runtime.safety.braking import SpeedTrack, Track
from robot_runtime.safety.clearance import Box, Clearance
from robot_runtime.safety.observer import Observer
from robot_runtime.safety.sag import Sag
from robot_runtime.safety.why import Tally, Why
from robot_runtime.spec import ArmSpec

__all__ = ["Box", "Envelope", "Why"]

POSITION_MARGIN = 0.015
"""rad that position commands keep from the joint limits: a servo's position loop overshoots, sags and has play."""

POSITION_SHARE = 0.75
"""Of the speed and acceleration limits that position commands may use, for the same reason."""

SWING = 1.3
"""Times its way to the end of its command that a positioned joint goes: the step response of a loop damped by a third."""

WINDUP = 0.6
"""rad between a position command and where the joint stands: more than a servo's loop lags at full speed."""

SPEED_MODE_SHARE = 0.4
"""Of the acceleration limit that commands in velocity mode may use: the servo's loop overdoes them."""

SPEED_LOOP = 0.1
"""s in which a servo's velocity loop takes over a new speed: it works on a register 20 to 40 ms old."""

DERATED = 10.0
"""°C below a joint's temperature limit in which torque (position modes: speed) goes down to nothing."""

_LEAST_SHARE = 0.1
"""What derating leaves: of the torque beyond what carries gravity, of the speed. Falling would be worse."""

_STALE = 0.05
"""s since the last reading after which torques do nothing but carry gravity, and speeds are 0; or so many cycles."""
_STALE_CYCLES = 3.0

_LAG = 0.05
"""s: a gain is never above one by this and two cycles: what a sampled loop takes to answer."""

SLOW = 4
"""Cycles between two looks at what changes slowly: temperature and sag."""

_POWERED = 1.0  # V: below this the servo's voltage is not known yet, and the nominal one stands in
_ROUNDING = 1e-9  # of a joint's limits: a smaller change of a command is none
_INTERVAL_MEMORY = 0.95  # of the longest recent cycle is remembered from one to the next


class Envelope:
    """Limits commands. `reset` where the arm stands, then `limit` once a cycle."""

    def __init__(
        self, spec: ArmSpec, kinematics: Kinematics, period: float, *, workspace: Box | None = None
    ) -> None:
        """`period` (s): of the cycle. Commands that come less often than that are the more careful for it."""
        joints = spec.joints
        count = len(joints)
        self.emergency = False
        """Set by what stops the arm: jerk is free until the joints stand."""
        self.wanted_was_finite = True
        self.last: Floats = np.zeros(count)
        """What was let through last, in the unit of each joint's mode."""
        self.braking: Flags = np.zeros(count, dtype=bool)
        """Joints whose last command was free of the jerk limit, because it brakes."""
        self.tally = Tally(spec.joint_names)
        self._stale = max(_STALE, _STALE_CYCLES * period)
        self._period, self._interval, self._now = period, period, -np.inf
        self._kinematics = kinematics
        self._observer = Observer(count)
        self._barrier = Barrier(joints)

        modes = [j.mode for j in joints]
        self._lower = np.array([j.limits.lower for j in joints])
        self._upper = np.array([j.limits.upper for j in joints])
        self._hottest = np.array([j.limits.temperature for j in joints])
        self._acceleration = np.array([j.limits.acceleration for j in joints])
        self._tracks = {i: _track(spec, i, period) for i in range(count) if modes[i] in POSITION_MODES}
        self._ramps = {i: _ramp(spec, i, period) for i in range(count) if modes[i] == "velocity"}
        self._placed: Flags = np.array([m in POSITION_MODES for m in modes])
        self._clearance = Clearance(kinematics, np.where(self._placed, SWING, 1.0), workspace)
        self._any_placed, self._all_placed = bool(self._placed.any()), bool(self._placed.all())
        self._goals = np.zeros(count)  # of positions, for their speed
        self._sag = Sag(spec, kinematics, SLOW * period)
        self._stopping: set[int] = set()  # positioned joints that an emergency brakes

        self._driven: Flags = np.array([m in ("current", "pwm") for m in modes])
        self._index = np.flatnonzero(self._driven)
        self._torques = Torques(kinematics, joints, self._driven)
        driven = [joints[i] for i in self._index]
        self._limit = np.array([j.limits.torque for j in driven])
        self._is_pwm: Flags = np.array([j.mode == "pwm" for j in driven], dtype=bool)
        self._any_pwm = bool(self._is_pwm.any())
        constant = np.array([j.servo.motor.torque_constant * j.gear for j in driven])
        self._ohms = np.array([j.servo.motor.resistance for j in driven]) / constant  # V/(N·m)
        self._emf = constant  # V s/rad
        self._loss = self._ohms / constant  # W/(N·m)²
        self._nominal = np.array([j.servo.motor.nominal_voltage for j in driven])
        self._power = spec.power
        self.torque_rate: Floats = np.array([j.limits.jerk for j in driven]) * self._home_inertia(spec)
        """N·m/s, of the joints in torque and PWM modes."""
        self._torque = np.zeros(len(driven))  # last commanded

        self._low, self._high = np.zeros(count), np.zeros(count)
        self._up, self._down, self._at = np.zeros(count), np.zeros(count), np.zeros(count)  # rad, ends and commands
        self._made = np.zeros(count)  # rad/s², commanded
        self._q, self._v = np.zeros(count), np.zeros(count)
        self._wanted = np.zeros(count)
        self._stamp = -np.inf
        self._cool: Floats | None = None
        self._small = [_ROUNDING * _scale(j.mode, spec, i) for i, j in enumerate(joints)]

    @property
    def interventions(self) -> NDArray[np.uint16]:
        """Bits of `Why`, one entry a joint: what was changed in the last cycle."""
        return self.tally.now

    @property
    def counts(self) -> NDArray[np.int64]:
        """Cycles in which something was changed (joints x reasons, in the order of `Why`)."""
        return self.tally.counts

    def summary(self) -> dict[str, dict[str, int]]:
        """Joint -> reason -> cycles."""
        return self.tally.summary()

    def reset(self, state: JointState, now: float) -> None:
        """Begin where the arm stands, at rest; positions are held there, torques carry gravity."""
        for i, track in self._tracks.items():
            track.reset(float(state.q[i]))
        for ramp in self._ramps.values():
            ramp.reset(0.0)
        np.copyto(self._goals, state.q)
        self._stopping.clear()
        self._sag.reset()
        self._observer.reset(state.q, now)
        self._clearance.reset()
        self._stamp, self._now, self._interval = -np.inf, now, self._period
        np.copyto(self.last, np.where(self._placed, state.q, 0.0))
        if len(self._index):
            self._torques.reset()
            self._torques.look(state.q, np.zeros(len(state.q)))
            np.clip(self._torques.gravity, -self._limit, self._limit, out=self._torque)
            self.last[self._index] = self._torque
            if self._any_pwm:
                self.last[self._index] = self._as_values(self._torque, np.zeros(len(state.q)), state)

    def limit(self, values: Floats, state: JointState, now: float) -> None:
        """Limit the commands in place; never raises.

        `values`: what is wanted, one entry a joint in the unit of its mode; not finite: the joint is to stand.
        """
        wanted = self._wanted
        np.copyto(wanted, values)
        finite: Flags = np.isfinite(wanted)
        self.wanted_was_finite = bool(finite.all())
        why = [0] * len(wanted) if self.wanted_was_finite else [0 if ok else int(Why.NOT_FINITE) for ok in finite]
        if now > self._now:
            passed = min(now - self._now, self._stale) if self._now > -np.inf else self._period
            self._interval = max(passed, self._period, _INTERVAL_MEMORY * self._interval)
        self._now = now
        self.braking[:] = False

        self._look(state, now)
        low, high = self._low, self._high
        np.copyto(low, self._lower)
        np.copyto(high, self._upper)
        touched, boxed = self._clearance.stops(self._q, self._at, self._down, self._up, low, high)
        obstacle = (int(Why.CLEARANCE) if touched else 0) | (int(Why.WORKSPACE) if boxed else 0)

        share = self._cool_share(state)
        if self._any_placed:
            self._limit_positions(values, finite, state, share, why, obstacle)
        if not self._all_placed:
            gain = min(GAIN, 1.0 / (_LAG + 2.0 * self._interval))
            self._barrier.close_in(low, high, gain)
            if self._ramps:
                self._limit_speeds(values, finite, state, now, share, why, obstacle)
            if len(self._index):
                self._limit_torques(values, finite, state, now, share, why, obstacle)
            self._observer.commanded(self._made, now)
        np.subtract(values, wanted, out=wanted)
        np.abs(wanted, out=wanted)
        for i, (change, small) in enumerate(zip(wanted.tolist(), self._small, strict=True)):
            if change <= small:
                why[i] = 0
        self.tally.take(why)
        np.copyto(self.last, values)

    # -- what is known ------------------------------------------------------------------------------------------------

    def _look(self, state: JointState, now: float) -> None:
        """Where the joints are, and where they go before they can stand; where no servo positions, by the observers."""
        up, down, q = self._up, self._down, self._q
        if self._all_placed:
            np.copyto(q, state.q)
        else:
            newest = float(state.stamp.max())
            if newest > self._stamp:
                self._stamp = newest
            if self._stamp > -np.inf:
                self._observer.look(state.q, self._stamp, state.fresh, now)
            barrier = self._barrier
            barrier.look(self._observer)
            barrier.stopping_distances(up, down)
            np.add(barrier.q_low, barrier.q_high, out=q)
            q *= 0.5
            np.add(barrier.v_low, barrier.v_high, out=self._v)
            self._v *= 0.5
            up += barrier.q_high
            np.subtract(barrier.q_low, down, out=down)
            np.copyto(self._at, q)
        for i, track in self._tracks.items():
            q[i] = state.q[i]
            self._v[i] = track.v
            self._at[i] = track.p
            stop = track.stop()
            up[i], down[i] = track.p + max(stop, 0.0), track.p + min(stop, 0.0)

    def _cool_share(self, state: JointState) -> Floats | None:
        """Of torque and speed that the temperatures leave; None: all of it."""
        if self.tally.cycles % SLOW:
            return self._cool
        self._cool = None
        share = (self._hottest - state.temperature) / DERATED
        if float(share.min()) >= 1.0:
            return None
        self._cool = np.clip(share, _LEAST_SHARE, 1.0)
        return self._cool

    # -- by mode ------------------------------------------------------------------------------------------------------

    def _limit_positions(
        self, values: Floats, finite: Flags, state: JointState, share: Floats | None, why: list[int], obstacle: int
    ) -> None:
        if self.tally.cycles % SLOW == 0:
            self._sag.look(state.q, self._at, self._v)
        for i, track in self._tracks.items():
            if self.emergency:
                self._stopping.add(i)
            elif i in self._stopping and track.at_rest:
                self._stopping.discard(i)
            goal = float(values[i]) if finite[i] else track.p + track.stop()
            speed = (goal - self._goals[i]) / self._period
            self._goals[i] = goal
            measured = float(state.q[i])
            bits = 0
            if not track.low <= goal <= track.high:
                bits |= Why.POSITION
            if abs(goal - measured) > WINDUP:
                goal = measured + WINDUP if goal > measured else measured - WINDUP
                bits |= Why.WINDUP
            velocity = track.velocity
            if share is not None and share[i] < 1.0:
                velocity *= float(share[i])
                bits |= Why.HEAT
            if abs(speed) > velocity:
                speed, bits = 0.0, bits | Why.VELOCITY
            low = max(float(self._low[i]), track.low + float(self._sag.down[i]))
            high = min(float(self._high[i]), track.high - float(self._sag.up[i]))
            if obstacle and not low <= goal <= high:
                bits |= obstacle
            stopping = i in self._stopping
            before = track.a
            values[i] = track.advance(goal, speed, velocity, low, high, emergency=stopping)
            self.braking[i] = stopping and abs(track.a - before) > track.jerk * self._period * (1.0 + _ROUNDING)
            why[i] |= int(bits) or int(Why.ACCELERATION | Why.JERK)

    def _limit_speeds(
        self, values: Floats, finite: Flags, state: JointState, now: float, share: Floats | None, why: list[int], obstacle: int
    ) -> None:
        barrier = self._barrier
        for i, ramp in self._ramps.items():
            low, high = float(barrier.speed_low[i]), float(barrier.speed_high[i])
            high -= max(float(barrier.v_high[i]) - high, 0.0)  # what the servo overdoes is steered against
            low -= min(float(barrier.v_low[i]) - low, 0.0)
            low, high = min(low, ramp.velocity), max(high, -ramp.velocity)
            bits = 0
            if share is not None and share[i] < 1.0:
                low, high = low * float(share[i]), high * float(share[i])
                bits |= Why.HEAT
            goal = float(values[i]) if finite[i] else 0.0
            if now - float(state.stamp[i]) > self._stale:
                goal, low, high, bits = 0.0, -ramp.velocity, ramp.velocity, bits | Why.STALE
            if abs(goal) > barrier.fastest[i]:
                bits |= Why.VELOCITY
            elif not low <= goal <= high:
                inside = self._lower[i] == self._low[i] if goal < low else self._upper[i] == self._high[i]
                bits |= Why.POSITION if inside else obstacle
            before = ramp.a
            values[i] = ramp.advance(goal, low, high, emergency=self.emergency)
            self.braking[i] = abs(ramp.a - before) > ramp.jerk * self._period * (1.0 + _ROUNDING)
            lag = (ramp.v - float(self._v[i])) / SPEED_LOOP
            self._made[i] = min(max(lag, -ramp.acceleration), ramp.acceleration)
            why[i] |= int(bits) or int(Why.ACCELERATION | Why.JERK)

    def _limit_torques(
        self,
        values: Floats,
        finite: Flags,
        state: JointState,
        now: float,
        share: Floats | None,
        why: list[int],
        obstacle: int,
    ) -> None:
        index, torques, barrier = self._index, self._torques, self._barrier
        torques.look(self._q, self._v)
        v = self._v[index]
        asked = self._as_torques(values[index], v, state)
        if self.wanted_was_finite and now - float(state.stamp.min()) <= self._stale:
            wanted = asked
        else:
            known = now - state.stamp[index] <= self._stale
            wanted = np.where(known, np.where(finite[index], asked, torques.torques(damping(v))), torques.gravity)
            for i in index[finite[index] & ~known]:
                why[i] |= Why.STALE
        limit = self._limit
        if share is not None:
            limit = np.minimum(limit, np.maximum(share[index] * limit, np.abs(torques.gravity) + _LEAST_SHARE * limit))
        inside = np.minimum(np.maximum(wanted, -limit), limit)
        powered = self._with_power(inside, v)
        step = self.torque_rate * self._period
        least, most = self._torque - step, self._torque + step
        slow = powered if self.emergency else np.minimum(np.maximum(powered, least), most)

        low, high = barrier.low[index], barrier.high[index]
        made = torques.accelerations(slow)
        kept = np.minimum(np.maximum(made, low), high)
        torque = slow
        if (kept != made).any():
            torque = np.minimum(np.maximum(torques.torques(kept), -limit), limit)
            limits = self._acceleration[index]
            brakes = ((made > high) & (high < limits)) | ((made < low) & (low > -limits))
            if not self.emergency:
                torque = np.where(brakes, torque, np.minimum(np.maximum(torque, least), most))
            self.braking[index] = brakes
            made = torques.accelerations(torque)
        np.copyto(self._torque, torque)
        values[index] = self._as_values(torque, self._v, state) if self._any_pwm else torque
        if self._any_pwm:
            made = torques.accelerations(self._as_torques(values[index], v, state))
        self._made[index] = made
        if (torque != asked).any():
            bits = np.where(inside != wanted, np.where(limit < self._limit, int(Why.HEAT), int(Why.TORQUE)), 0)
            bits |= np.where(powered != inside, int(Why.POWER), 0) | np.where(slow != powered, int(Why.JERK), 0)
            bits |= self._reasons(torques.accelerations(slow), low, high, index, obstacle)
            for i, bit in zip(index.tolist(), bits.tolist(), strict=True):
                why[i] |= bit

    def _reasons(self, made: Floats, low: Floats, high: Floats, index: NDArray[np.intp], obstacle: int) -> NDArray[np.int64]:
        """Why these accelerations are not let through."""
        barrier, limits = self._barrier, self._acceleration[index]
        up = made > high
        bound = np.where(up, high, -low)
        speed = np.where(up, barrier.speed_high[index], -barrier.speed_low[index])
        own = np.where(up, self._high[index] == self._upper[index], self._low[index] == self._lower[index])
        fastest = barrier.fastest[index]
        reason = np.where(
            bound >= limits,
            int(Why.ACCELERATION),
            np.where(speed >= fastest, int(Why.VELOCITY), np.where(own, int(Why.POSITION), obstacle or int(Why.POSITION))),
        )
        changed: NDArray[np.int64] = np.where(up | (made < low), reason, 0)
        return changed

    def _with_power(self, torque: Floats, v: Floats) -> Floats:
        """Less of what goes beyond gravity, where the supply would have to give more than it may."""
        asked = self._power_of(torque, v)
        if asked <= self._power:
            return torque
        gravity = self._torques.gravity
        carried = self._power_of(gravity, v)
        share = max(self._power - carried, 0.0) / (asked - carried) if asked > carried else 0.0
        scaled: Floats = gravity + min(share, 1.0) * (torque - gravity)  # power is convex in it: the bound holds
        return np.minimum(np.maximum(scaled, -self._limit), self._limit)

    def _power_of(self, torque: Floats, v: Floats) -> float:
        """Electrical power of the motors (W); what one feeds back does not feed another."""
        return float(np.maximum(torque * (torque * self._loss + v), 0.0).sum())

    # -- duties -------------------------------------------------------------------------------------------------------

    def _as_torques(self, values: Floats, v: Floats, state: JointState) -> Floats:
        """Torques (N·m) of commands; a duty's at speed v."""
        if not self._any_pwm:
            return values
        duty = np.minimum(np.maximum(values, -1.0), 1.0)
        return np.where(self._is_pwm, (duty * self._supply(state) - v * self._emf) / self._ohms, values)

    def _as_values(self, torque: Floats, v: Floats, state: JointState) -> Floats:
        """The commands that make these torques (N·m) at these speeds."""
        volts = torque * self._ohms + v[self._index] * self._emf
        return np.where(self._is_pwm, np.minimum(np.maximum(volts / self._supply(state), -1.0), 1.0), torque)

    def _supply(self, state: JointState) -> Floats:
        volts = state.voltage[self._index]
        supply: Floats = np.where(volts > _POWERED, volts, self._nominal)
        return supply

    def _home_inertia(self, spec: ArmSpec) -> Floats:
        count = len(spec.joints)
        inertia, bias = np.zeros((count, count)), np.zeros(count)
        self._kinematics.dynamics(np.array(spec.poses["home"]), np.zeros(count), bias, inertia)
        diagonal: Floats = np.diagonal(inertia)[self._index].copy()
        return diagonal


def _track(spec: ArmSpec, i: int, period: float) -> Track:
    limits = spec.joints[i].limits
    margin = min(POSITION_MARGIN, (limits.upper - limits.lower) / 4)
    low, high = limits.lower + margin, limits.upper - margin
    return Track(low, high, POSITION_SHARE * limits.velocity, POSITION_SHARE * limits.acceleration, limits.jerk, period)


def _ramp(spec: ArmSpec, i: int, period: float) -> SpeedTrack:
    limits = spec.joints[i].limits
    return SpeedTrack(limits.velocity, SPEED_MODE_SHARE * limits.acceleration, limits.jerk, period)


def _scale(mode: str, spec: ArmSpec, i: int) -> float:
    """The size of a joint's commands."""
    limits = spec.joints[i].limits
    if mode == "velocity":
        return limits.velocity
    return {"current": limits.torque, "pwm": 1.0}.get(mode, 1.0)
