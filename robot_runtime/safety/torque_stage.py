"""The stage of the envelope for joints in current and PWM modes: torques in, torques out, everything between by
model.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot_runtime.arm.kinematics import Kinematics
from robot_runtime.arm.state import Flags, Floats, JointState
from robot_runtime.safety.barrier import Barrier, Torques, damping
from robot_runtime.safety.cycle import LEAST_SHARE, Cycle
from robot_runtime.safety.why import Why
from robot_runtime.spec import ArmSpec

TORQUE_MODES = ("current", "pwm")

_POWERED = 1.0  # V: below this the servo's voltage is not known yet, and the nominal one stands in


class TorqueStage:
    """Limits torques. Order: torque and heat, power, rate; last the barrier, which may break the rate to brake."""

    def __init__(self, spec: ArmSpec, kinematics: Kinematics, barrier: Barrier) -> None:
        """Limits of the joints in these modes."""
        driven: Flags = np.array([j.mode in TORQUE_MODES for j in spec.joints])
        joints = [j for j in spec.joints if j.mode in TORQUE_MODES]
        self.index: NDArray[np.intp] = np.flatnonzero(driven)
        """Which joints of the arm these are; the arrays of this class have one entry for each."""
        self._barrier = barrier
        self._torques = Torques(kinematics, spec.joints, driven)
        self._limit = np.array([j.limits.torque for j in joints])
        self._acceleration = np.array([j.limits.acceleration for j in joints])
        self._is_pwm: Flags = np.array([j.mode == "pwm" for j in joints], dtype=bool)
        self._any_pwm = bool(self._is_pwm.any())
        constant = np.array([j.servo.motor.torque_constant * j.gear for j in joints])
        self._ohms = np.array([j.servo.motor.resistance for j in joints]) / constant  # V/(N·m)
        self._emf = constant  # V s/rad
        self._loss = self._ohms / constant  # W/(N·m)²
        self._nominal = np.array([j.servo.motor.nominal_voltage for j in joints])
        self._power = spec.power
        self.torque: Floats = np.zeros(len(joints))
        """N·m, last commanded."""
        inertia = _home_inertia(spec, kinematics)[self.index]
        self.rate: Floats = inertia * np.array([j.limits.jerk for j in joints])
        """N·m/s, the most that a torque changes when it does not brake."""

    def reset(self, state: JointState, last: Floats) -> None:
        """Carry gravity where the arm stands; `last` gets the commands that do."""
        self._torques.reset()
        self._torques.look(state.q, np.zeros(state.count))
        np.clip(self._torques.gravity, -self._limit, self._limit, out=self.torque)
        last[self.index] = self._as_values(self.torque, np.zeros(len(self.index)), state)

    def limit(self, cycle: Cycle) -> None:
        """Limit what this cycle wants of these joints."""
        values, state, now, finite = cycle.values, cycle.state, cycle.now, cycle.finite
        index, torques, barrier = self.index, self._torques, self._barrier
        torques.look(cycle.q, cycle.v)
        v = cycle.v[index]
        asked = self._as_torques(values[index], v, state)
        if cycle.sound and now - float(state.stamp.min()) <= cycle.stale:
            wanted = asked
        else:
            known = now - state.stamp[index] <= cycle.stale
            wanted = np.where(known, np.where(finite[index], asked, torques.torques(damping(v))), torques.gravity)
            for i in index[finite[index] & ~known]:
                cycle.why[i] |= Why.STALE
        limit = self._limit
        if cycle.cool is not None:
            limit = np.minimum(
                limit, np.maximum(cycle.cool[index] * limit, np.abs(torques.gravity) + LEAST_SHARE * limit)
            )
        inside = np.minimum(np.maximum(wanted, -limit), limit)
        powered = self._with_power(inside, v)
        step = self.rate * cycle.period
        least, most = self.torque - step, self.torque + step
        slow = powered if cycle.emergency else np.minimum(np.maximum(powered, least), most)

        low, high = barrier.low[index], barrier.high[index]
        made = torques.accelerations(slow)
        kept = np.minimum(np.maximum(made, low), high)
        torque = slow
        if (kept != made).any():
            torque = np.minimum(np.maximum(torques.torques(kept), -limit), limit)
            limits = self._acceleration
            brakes = ((made > high) & (high < limits)) | ((made < low) & (low > -limits))
            if not cycle.emergency:
                torque = np.where(brakes, torque, np.minimum(np.maximum(torque, least), most))
            cycle.braking[index] = brakes
            made = torques.accelerations(torque)
        np.copyto(self.torque, torque)
        values[index] = self._as_values(torque, v, state)
        if self._any_pwm:
            made = torques.accelerations(self._as_torques(values[index], v, state))
        cycle.made[index] = made
        if (torque != asked).any():
            bits = np.where(inside != wanted, np.where(limit < self._limit, int(Why.HEAT), int(Why.TORQUE)), 0)
            bits |= np.where(powered != inside, int(Why.POWER), 0) | np.where(slow != powered, int(Why.JERK), 0)
            bits |= self._reasons(torques.accelerations(slow), low, high, cycle)
            for i, bit in zip(index.tolist(), bits.tolist(), strict=True):
                cycle.why[i] |= bit

    def _reasons(self, made: Floats, low: Floats, high: Floats, cycle: Cycle) -> NDArray[np.int64]:
        """Why these accelerations are not let through."""
        barrier, index, limits = self._barrier, self.index, self._acceleration
        up = made > high
        bound = np.where(up, high, -low)
        speed = np.where(up, barrier.speed_high[index], -barrier.speed_low[index])
        own = np.where(up, cycle.high[index] == cycle.upper[index], cycle.low[index] == cycle.lower[index])
        fastest = barrier.fastest[index]
        reason = np.where(
            bound >= limits,
            int(Why.ACCELERATION),
            np.where(
                speed >= fastest,
                int(Why.VELOCITY),
                np.where(own, int(Why.POSITION), cycle.obstacle or int(Why.POSITION)),
            ),
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
        np.minimum(np.maximum(scaled, -self._limit, out=scaled), self._limit, out=scaled)
        return scaled

    def _power_of(self, torque: Floats, v: Floats) -> float:
        """Electrical power of the motors (W); what one feeds back does not feed another."""
        return float(np.maximum(torque * (torque * self._loss + v), 0.0).sum())

    def _as_torques(self, values: Floats, v: Floats, state: JointState) -> Floats:
        """Torques (N·m) of commands; a duty's at speed v."""
        if not self._any_pwm:
            return values
        duty = np.minimum(np.maximum(values, -1.0), 1.0)
        torque: Floats = np.where(self._is_pwm, (duty * self._supply(state) - v * self._emf) / self._ohms, values)
        return torque

    def _as_values(self, torque: Floats, v: Floats, state: JointState) -> Floats:
        """The commands that make these torques (N·m) at these speeds."""
        if not self._any_pwm:
            return torque
        volts = torque * self._ohms + v * self._emf
        made: Floats = np.where(self._is_pwm, np.minimum(np.maximum(volts / self._supply(state), -1.0), 1.0), torque)
        return made

    def _supply(self, state: JointState) -> Floats:
        volts = state.voltage[self.index]
        supply: Floats = np.where(volts > _POWERED, volts, self._nominal)
        return supply


def _home_inertia(spec: ArmSpec, kinematics: Kinematics) -> Floats:
    """What each joint turns at home by itself (kg·m²), rotor and gears included."""
    count = len(spec.joints)
    inertia, bias = np.zeros((count, count)), np.zeros(count)
    kinematics.dynamics(np.array(spec.poses["home"]), np.zeros(count), bias, inertia)
    return np.diagonal(inertia).copy()
