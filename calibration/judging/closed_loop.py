"""Closed loop: the arm as it was fitted, with both maps in its loop, beside the simulator that is given the same.

Maps that are right sample by sample can still swing an arm: what is measured comes back late, through a map with a gain
of its own, around a servo that rings. So the fitted arm (numbers, delay, supply, offsets; encoders that step and
flicker, registers that lag) is moved from pose to pose of its recording and rests in each: with its maps, as the
runtime flies them, and without. Position joints follow goals; torques are those of a spring and a damper on what a
policy would see, damped well in the simulator. Not in it: play between teeth, heat, contacts, and what of the envelope
depends on them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from calibration.identified.batch import BatchMap
from calibration.logs.log import Log
from calibration.maps.practice import flicker
from calibration.maps.stage import weights
from calibration.maps.targets import simulator_torque
from calibration.physics.identify import heavier
from calibration.physics.motor import Motor
from calibration.physics.numbers import Physics
from calibration.physics.rollout import Arms, Rig
from robot_runtime.arrays import Floats
from robot_runtime.calibrated.file import MapFile
from sim.worlds.following import Following
from sim.worlds.senses import Senses

ARMS, LEGS = 8, 3
"""Arms that fly at once, and moves of each; a rest comes behind every move."""
REST, JUDGED = 2.0, 1.5
"""s of a rest, and of its end, in which nothing should swing any more."""
PACE = 0.8
"""Of the speed and acceleration limits that moves take: half of it leaves some maps quiet that swing in flight."""
ACTS = 0.02
"""s from one torque to the next, as policies act."""
SPRING, DAMPING = 2.0 * 2.0 * math.pi, 0.8
"""rad/s of the spring, and the damping, of the critical one: speeds are 20 ms old already in the simulator. All arms
that fly well stand with 2.5 Hz, too; with 3 Hz those with 18 ms of delay and more do not.
"""
SEED = 3
"""Of what encoders flicker by."""


@dataclass(frozen=True, slots=True, eq=False)
class Flown:
    """How the fitted arm moved, a joint each, rad."""

    swing: Floats  # how far it goes and comes back at rest, with both maps, in the worst rest
    apart: Floats  # rms, from the simulator's motion, with both maps
    without: Floats  # the same without maps


def fly(
    rig: Rig, numbers: Mapping[str, Floats], volts: Floats, maps: Mapping[str, MapFile], pieces: Sequence[Log]
) -> Flown:
    """Fly the arm of these numbers (`Fitted.numbers`, open `volts`) with the maps of its calibration.

    `pieces`: of logs of the rig's joints; the poses are some that they visited, and encoders flicker as theirs do.
    """
    visited = np.concatenate([log.q[log.valid.all(axis=1)] for log in pieces]) + numbers["offset"]
    rows = np.linspace(0, len(visited) - 1, ARMS * (LEGS + 1)).astype(np.intp)
    stops = visited[rows].reshape(LEGS + 1, ARMS, -1)
    loop = _Loop(rig, numbers, volts, maps, stops[0], flicker(rig, pieces))
    ease = _ease(rig, np.abs(np.diff(stops, axis=0)).max(axis=0), loop.period)
    moved = np.array([[loop.cycle(a + share * (b - a)) for share in ease] for a, b in pairwise(stops)])
    with_maps, without, simulated = np.split(moved, 3, axis=2)  # legs x cycles x arms x joints each
    swing = back_and_forth(with_maps[:, -round(JUDGED / loop.period) :]).max(axis=(0, 1))
    apart = (np.sqrt(np.mean((one - simulated) ** 2, axis=(0, 1, 2))) for one in (with_maps, without))
    return Flown(swing, *apart)


def back_and_forth(q: Floats) -> Floats:
    """How far what moves along the second axis goes and comes back again; what creeps one way does not swing."""
    rise = (q - np.minimum.accumulate(q, axis=1)).max(axis=1)
    fall = (np.maximum.accumulate(q, axis=1) - q).max(axis=1)
    return np.asarray(np.minimum(rise, fall))


def _ease(rig: Rig, ways: Floats, period: float) -> Floats:
    """Shares of minimum-jerk moves of these ways (arms x joints, rad) and of their rests: cycles x arms x 1."""
    limits = [joint.limits for joint in rig.world.joints]
    speed, acceleration = (PACE * np.array([getattr(x, k) for x in limits]) for k in ("velocity", "acceleration"))
    seconds = np.maximum(1.875 * ways / speed, np.sqrt(5.774 * ways / acceleration)).max(axis=1, initial=ACTS)
    cycles = np.arange(1, round((seconds.max() + REST) / period) + 1)
    s = np.minimum(cycles[:, None, None] * period / seconds[:, None], 1.0)
    return np.asarray(s**3 * (10.0 - 15.0 * s + 6.0 * s**2))


class _Loop:
    """The same motion three times, one behind the other in arrays: the arm with its maps, without, the simulator."""

    def __init__(
        self,
        rig: Rig,
        numbers: Mapping[str, Floats],
        volts: Floats,
        maps: Mapping[str, MapFile],
        start: Floats,
        flicker: Floats,
    ) -> None:
        """`start`: where the arms stand (arms x joints, rad); `flicker`: of the encoders, rad rms."""
        self.period, count = maps["observation"].period, len(start)
        self._parts = math.ceil(self.period / rig.world.model.opt.timestep - 1e-9)  # steps of the physics in a cycle
        step = self.period / self._parts
        self._rig = rig = Rig.of(rig.world.spec, rig.world.names, step)
        simulator = {**Physics(rig.world, ()).nominal, "delay": np.zeros(1), "supply_resistance": np.zeros(1)}
        each = {k: np.repeat([numbers[k], numbers[k], simulator[k]], count, axis=0) for k in simulator}
        supply = np.repeat([volts, volts, rig.laws.nominal_volts], count, axis=0)
        default = np.full_like(supply, np.nan)
        self._arms = Arms(rig, each, supply, (default, default), np.zeros(len(supply)))
        self._arms.q[:] = np.tile(start, (3, 1))
        self._offset, self._on, self._every = each["offset"], np.ones_like(supply, dtype=bool), np.arange(len(supply))
        self._flicker, self._random = np.tile(flicker, (count, 1)), np.random.default_rng(SEED)
        self._senses = Senses(rig.world.joints, len(supply), step)
        self._senses.reset(self._every, self._arms.q - self._offset)
        self._mapped, self._volts, self._heavier = slice(count), supply[:count], heavier(rig, numbers).world.model
        self._sense = BatchMap(maps["observation"], self.period, count, ages=("command",))
        self._drive = BatchMap(maps["goal" if "goal" in maps else "torque"], self.period, count)
        self._limits = _Limits(rig, self.period, supply)
        self._torque = weights(rig.world.model, self._arms.q)
        self._sent = self._limits.begin(self._arms.q - self._offset, self._torque)
        self._waits = np.maximum(np.rint(each["delay"][:, 0] / step), 0.0).astype(np.intp)  # steps
        self._queue, self._now = np.tile(self._sent, (int(self._waits.max()) + 1, 1, 1)), 0
        self._cycle, self._acts = 0, max(1, round(ACTS / self.period))

    def cycle(self, goal: Floats) -> Floats:
        """A cycle of the bus towards these angles (arms x joints, rad); where the joints truly are behind it."""
        senses, mapped, goal = self._senses, self._mapped, np.tile(goal, (3, 1))
        senses.noise[:] = self._noise()
        senses.measure()
        q, dq = senses.q.copy(), senses.dq.copy()
        q[mapped], dq[mapped] = np.split(self._sense((q[mapped], dq[mapped], self._sent[mapped])), 2, axis=1)
        if self._cycle % self._acts == 0:
            self._act(goal, q, dq)
        self._cycle += 1
        wanted, states = (goal, (q, dq)) if self._limits.by_goal else (self._torque, (dq,))
        command = self._limits.nominal(wanted, dq)
        rows = (one[mapped] for one in (wanted, *states))
        command[mapped] = self._drive(tuple(rows), (self._volts, self._extra, self._weight))
        self._sent = self._limits(command, senses.q, senses.dq)
        for _ in range(self._parts):
            self._step()
        return np.array(self._arms.q)

    def _act(self, goal: Floats, q: Floats, dq: Floats) -> None:
        """What a policy would want, and what the arms weigh there, which changes slowly."""
        if not self._limits.by_goal:
            pull = SPRING * (SPRING * (goal - q) - 2.0 * DAMPING * dq)
            self._torque = simulator_torque(self._rig, q, np.zeros_like(q), pull, friction=False)
        self._weight = weights(self._rig.world.model, q[self._mapped])
        self._extra = weights(self._heavier, q[self._mapped]) - self._weight

    def _step(self) -> None:
        """A step of the physics with what was sent a delay ago."""
        self._queue[self._now] = self._sent
        command = self._queue[(self._now - self._waits) % len(self._queue), self._every]
        self._now = (self._now + 1) % len(self._queue)
        seen = self._arms.q - self._offset
        self._arms.step(command, self._on, seen + self._noise() if self._arms.servos.kicks else seen)
        self._senses.record(self._arms.q - self._offset)

    def _noise(self) -> Floats:
        """rad, of the encoders, the same for all three."""
        return np.tile(self._flicker * self._random.standard_normal(self._flicker.shape), (3, 1))


class _Limits:
    """What of the envelope a motion meets that is clear of everything, in the mode of these joints."""

    def __init__(self, rig: Rig, period: float, volts: Floats) -> None:
        """`volts`: of each joint's supply, arms x joints."""
        self.by_goal, self._current = bool(rig.laws.position.all()), rig.laws.current
        self._track = Following(rig.world.joints, len(volts), period)
        self._motor = Motor.of(rig.world).at(volts)
        self._rate = np.array([joint.limits.jerk for joint in rig.world.joints]) * rig.world.inertia * period
        self._torque = np.zeros_like(volts)

    def begin(self, q: Floats, weight: Floats) -> Floats:
        """The commands that hold the arms at these measured angles, against this weight (N·m)."""
        self._track.reset(np.arange(len(q)), q)
        self._torque = weight
        return q if self.by_goal else self.nominal(weight, np.zeros_like(q))

    def nominal(self, wanted: Floats, dq: Floats) -> Floats:
        """The commands that mean these goals or torques without a map."""
        return wanted.copy() if self.by_goal else self._motor.command(wanted, dq)

    def __call__(self, command: Floats, q: Floats, dq: Floats) -> Floats:
        """What is let through of these commands, of joints that show these angles and speeds."""
        if self.by_goal:
            return self._track.follow(command, q).copy()
        torque = np.where(self._current, command, self._motor.torque(command, dq))
        torque = np.clip(torque, self._torque - self._rate, self._torque + self._rate)
        self._torque = np.clip(torque, -self._motor.limit, self._motor.limit)
        return self.nominal(self._torque, dq)
