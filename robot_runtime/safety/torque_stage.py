"""The stage of the envelope for joints in current and PWM modes: torques in, torques out, everything between by
model.
"""

from __future__ import annotations

import numpy as np

from robot_runtime.arm.kinematics import Kinematics
from robot_runtime.arm.state import POWERED, JointState
from robot_runtime.safety.barrier import Barrier, Torques, damping
from robot_runtime.safety.cycle import LEAST_SHARE, Cycle, between, within
from robot_runtime.safety.friction import Friction
from robot_runtime.safety.why import Why
from robot_runtime.spec import ArmSpec

TORQUE_MODES = ("current", "pwm")

OFTEN = 0.0125
"""s between two cycles up to which joints may push against what holds them back; slower loops notice too late that it
has let go."""

_POSITION, _VELOCITY, _ACCELERATION = Why.POSITION.value, Why.VELOCITY.value, Why.ACCELERATION.value
_JERK, _TORQUE, _POWER = Why.JERK.value, Why.TORQUE.value, Why.POWER.value
_HEAT, _STALE = Why.HEAT.value, Why.STALE.value


class TorqueStage:
    """Limits torques. Order: torque and heat, power, rate; last the barrier, which may break the rate to brake."""

    def __init__(self, spec: ArmSpec, kinematics: Kinematics, barrier: Barrier, known: Friction) -> None:
        """Limits of the joints in these modes; `known`: friction of all joints beyond the sure one."""
        self.index = [i for i, j in enumerate(spec.joints) if j.mode in TORQUE_MODES]
        """Which joints of the arm these are; the lists of this class have one entry for each."""
        joints = [spec.joints[i] for i in self.index]
        self._barrier = barrier
        inertia = _home_inertia(spec, kinematics)
        self._torques = Torques(kinematics, spec, self.index, known, inertia)
        self._limit = [j.limits.torque for j in joints]
        self._acceleration = [j.limits.acceleration for j in joints]
        self._is_pwm = [j.mode == "pwm" for j in joints]
        self._any_pwm = any(self._is_pwm)
        self._emf = [j.servo.motor.torque_constant * j.gear for j in joints]  # V s/rad, which is N·m/A
        self._ohms = [j.servo.motor.resistance / emf for j, emf in zip(joints, self._emf, strict=True)]  # V/(N·m)
        self._loss = [ohms / emf for ohms, emf in zip(self._ohms, self._emf, strict=True)]  # W/(N·m)²
        self._nominal = [j.servo.motor.nominal_voltage for j in joints]
        self._power = spec.power
        self.torque: list[float] = [0.0] * len(joints)
        """N·m, last commanded."""
        self.rate: list[float] = [inertia[i] * j.limits.jerk for i, j in zip(self.index, joints, strict=True)]
        """N·m/s, the most that a torque changes when it does not brake."""

    def reset(self, state: JointState, last: list[float]) -> None:
        """Carry gravity where the arm stands; `last` gets the commands that do."""
        still = [0.0] * state.count
        self._torques.reset()
        self._torques.look(state.q.tolist(), still)
        self.torque = within(self._torques.gravity, self._limit)
        for i, value in zip(self.index, self._as_values(self.torque, still, state), strict=True):
            last[i] = value

    def limit(self, cycle: Cycle) -> None:
        """Limit what this cycle wants of these joints."""
        state, index, torques, barrier = cycle.state, self.index, self._torques, self._barrier
        torques.look(cycle.q, cycle.v)
        v = [cycle.v[i] for i in index]
        asked = self._as_torques([cycle.values[i] for i in index], v, state)
        wanted = asked
        if not cycle.sound or cycle.now - min(cycle.stamps) > cycle.stale:
            wanted = self._instead(asked, v, cycle)
        limit = self._limit
        if cycle.cool is not None:
            limit = [
                min(most, max(cycle.cool[i] * most, abs(gravity) + LEAST_SHARE * most))
                for i, most, gravity in zip(index, limit, torques.gravity, strict=True)
            ]
        inside = within(wanted, limit)
        powered = self._with_power(inside, v)
        slow = powered if cycle.emergency else self._slowly(powered, cycle.period)

        low, high = [barrier.low[i] for i in index], [barrier.high[i] for i in index]
        torque, made = slow, torques.accelerations(slow)
        kept = between(made, low, high)
        reasons = None
        if kept != made:
            torque = torques.torques(kept)
            if cycle.period <= OFTEN:
                torque = self._given_back(torque, slow, made, kept)
            torque = within(torque, limit)
            brakes = [
                (a > most and most < limit) or (a < least and least > -limit)
                for a, least, most, limit in zip(made, low, high, self._acceleration, strict=True)
            ]
            if not cycle.emergency:
                gentle = self._slowly(torque, cycle.period)
                torque = [hard if b else soft for b, hard, soft in zip(brakes, torque, gentle, strict=True)]
            for i, free in zip(index, brakes, strict=True):
                cycle.braking[i] = free
            reasons = self._reasons(made, low, high, cycle)
            made = torques.accelerations(torque)
        self.torque = torque
        values = self._as_values(torque, v, state)
        if self._any_pwm:
            made = torques.accelerations(self._as_torques(values, v, state))
        for i, value, a in zip(index, values, made, strict=True):
            cycle.values[i], cycle.made[i] = value, a
        if torque != asked:
            for k, i in enumerate(index):
                bits = reasons[k] if reasons else 0
                if inside[k] != wanted[k]:
                    bits |= _HEAT if limit[k] < self._limit[k] else _TORQUE
                if powered[k] != inside[k]:
                    bits |= _POWER
                if slow[k] != powered[k]:
                    bits |= _JERK
                cycle.why[i] |= bits

    def _given_back(
        self, torque: list[float], wanted: list[float], made: list[float], kept: list[float]
    ) -> list[float]:
        """Of what keeping the bounds took from joints: what they may push with against what holds them back."""
        down, up = self._torques.leeway(self._barrier)
        return [
            t if m == k else max(min(w, t + most), t) if m > k else min(max(w, t - least), t)
            for t, w, m, k, least, most in zip(torque, wanted, made, kept, down, up, strict=True)
        ]

    def _instead(self, asked: list[float], v: list[float], cycle: Cycle) -> list[float]:
        """Torques of joints of which nothing usable is known or wanted: those carry gravity, these brake as well."""
        torques = self._torques
        braked = torques.torques(damping(v))
        wanted = []
        for k, i in enumerate(self.index):
            if cycle.now - cycle.stamps[i] > cycle.stale:
                wanted.append(torques.gravity[k])
                if cycle.finite[i]:
                    cycle.why[i] |= _STALE
            else:
                wanted.append(asked[k] if cycle.finite[i] else braked[k])
        return wanted

    def _slowly(self, torque: list[float], period: float) -> list[float]:
        """As near as the rate lets these torques be after a period."""
        least = [last - period * rate for last, rate in zip(self.torque, self.rate, strict=True)]
        most = [last + period * rate for last, rate in zip(self.torque, self.rate, strict=True)]
        return between(torque, least, most)

    def _reasons(self, made: list[float], low: list[float], high: list[float], cycle: Cycle) -> list[int]:
        """Why these accelerations are not let through."""
        barrier, reasons = self._barrier, []
        for k, i in enumerate(self.index):
            if made[k] > high[k]:
                bound, speed, own = high[k], barrier.speed_high[i], cycle.high[i] == cycle.upper[i]
            elif made[k] < low[k]:
                bound, speed, own = -low[k], -barrier.speed_low[i], cycle.low[i] == cycle.lower[i]
            else:
                reasons.append(0)
                continue
            if bound >= self._acceleration[k]:
                reasons.append(_ACCELERATION)
            elif speed >= barrier.fastest[i]:
                reasons.append(_VELOCITY)
            else:
                reasons.append(_POSITION if own else cycle.obstacle or _POSITION)
        return reasons

    def _with_power(self, torque: list[float], v: list[float]) -> list[float]:
        """Less of what goes beyond gravity, where the supply would have to give more than it may."""
        asked = self._power_of(torque, v)
        if asked <= self._power:
            return torque
        gravity = self._torques.gravity
        carried = self._power_of(gravity, v)
        share = max(self._power - carried, 0.0) / (asked - carried) if asked > carried else 0.0
        share = min(share, 1.0)  # power is convex in it: the bound holds
        return within([g + share * (t - g) for t, g in zip(torque, gravity, strict=True)], self._limit)

    def _power_of(self, torque: list[float], v: list[float]) -> float:
        """Electrical power of the motors (W); what one feeds back does not feed another."""
        power = 0.0
        for t, loss, speed in zip(torque, self._loss, v, strict=True):
            power += max(t * (t * loss + speed), 0.0)
        return power

    def _as_torques(self, values: list[float], v: list[float], state: JointState) -> list[float]:
        """Torques (N·m) of commands; a duty's at speed v."""
        if not self._any_pwm:
            return values
        torque = []
        for k, (value, volts) in enumerate(zip(values, self._supply(state), strict=True)):
            duty = min(max(value, -1.0), 1.0)
            torque.append((duty * volts - v[k] * self._emf[k]) / self._ohms[k] if self._is_pwm[k] else value)
        return torque

    def _as_values(self, torque: list[float], v: list[float], state: JointState) -> list[float]:
        """The commands that make these torques (N·m) at these speeds."""
        if not self._any_pwm:
            return torque
        values = []
        for k, (t, volts) in enumerate(zip(torque, self._supply(state), strict=True)):
            duty = (t * self._ohms[k] + v[k] * self._emf[k]) / volts
            values.append(min(max(duty, -1.0), 1.0) if self._is_pwm[k] else t)
        return values

    def _supply(self, state: JointState) -> list[float]:
        volts: list[float] = state.voltage.tolist()
        return [
            volts[i] if volts[i] > POWERED else nominal for i, nominal in zip(self.index, self._nominal, strict=True)
        ]


def _home_inertia(spec: ArmSpec, kinematics: Kinematics) -> list[float]:
    """What each joint turns at home by itself (kg·m²), rotor and gears included."""
    count = len(spec.joints)
    inertia, bias = np.zeros((count, count)), np.zeros(count)
    kinematics.dynamics(spec.poses["home"], [0.0] * count, bias, inertia)
    home: list[float] = np.diagonal(inertia).tolist()
    return home
