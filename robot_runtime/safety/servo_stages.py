"""The stage of the envelope for joints that their servo positions, or whose speed it holds."""

from __future__ import annotations

import numpy as np

from robot_runtime.arm.kinematics import Kinematics
from robot_runtime.arm.scaling import POSITION_MODES
from robot_runtime.arm.state import Flags, Floats, JointState
from robot_runtime.safety.barrier import Barrier
from robot_runtime.safety.braking import SpeedTrack, Track
from robot_runtime.safety.cycle import ROUNDING, SLOW, Cycle
from robot_runtime.safety.sag import Sag
from robot_runtime.safety.why import Why
from robot_runtime.spec import ArmSpec

POSITION_MARGIN = 0.015
"""rad that position commands keep from the joint limits: a servo's position loop overshoots, sags and has play."""

POSITION_SHARE = 0.75
"""Of the speed and acceleration limits that position commands may use, for the same reason."""

WINDUP = 0.6
"""rad between a position command and where the joint stands: more than a servo's loop lags at full speed."""

SPEED_MODE_SHARE = 0.4
"""Of the acceleration limit that commands in velocity mode may use: the servo's loop overdoes them."""

SPEED_LOOP = 0.1
"""s in which a servo's velocity loop takes over a new speed: it works on a register 20 to 40 ms old."""


class PositionStage:
    """Limits positions: each joint's command can always still stop."""

    def __init__(self, spec: ArmSpec, kinematics: Kinematics, period: float) -> None:
        """A track for each joint in a position mode."""
        count = len(spec.joints)
        self.placed: Flags = np.array([j.mode in POSITION_MODES for j in spec.joints])
        self.tracks = {int(i): _track(spec, int(i), period) for i in np.flatnonzero(self.placed)}
        self._sag = Sag(spec, kinematics, SLOW * period)
        self._goals = np.zeros(count)  # rad, for their speed
        self._commands, self._speeds = np.zeros(count), np.zeros(count)
        self._stopping: set[int] = set()  # joints that an emergency brakes

    def reset(self, state: JointState, last: Floats) -> None:
        """Hold the joints where they stand; `last` gets the commands that do."""
        for i, track in self.tracks.items():
            last[i] = state.q[i]
            track.reset(float(state.q[i]))
        np.copyto(self._goals, state.q)
        np.copyto(self._commands, state.q)
        self._speeds[:] = 0.0
        self._stopping.clear()
        self._sag.reset()

    def look(self, state: JointState, q: Floats, v: Floats, at: Floats, lowest: Floats, highest: Floats) -> None:
        """Where these joints are, how fast and where their commands are, and between what they end when stopped now."""
        for i, track in self.tracks.items():
            q[i] = state.q[i]
            self._speeds[i] = v[i] = track.v
            self._commands[i] = at[i] = track.p
            stop = track.stop()
            lowest[i], highest[i] = track.p + min(stop, 0.0), track.p + max(stop, 0.0)

    def limit(self, cycle: Cycle) -> None:
        """Limit what this cycle wants of these joints."""
        values, state = cycle.values, cycle.state
        if cycle.number % SLOW == 0:
            self._sag.look(state.q, self._commands, self._speeds)
        for i, track in self.tracks.items():
            if cycle.emergency:
                self._stopping.add(i)
            elif i in self._stopping and track.at_rest:
                self._stopping.discard(i)
            goal = float(values[i]) if cycle.finite[i] else track.p + track.stop()
            speed = (goal - self._goals[i]) / cycle.period
            self._goals[i] = goal
            measured = float(state.q[i])
            bits = 0
            if not track.low <= goal <= track.high:
                bits |= Why.POSITION
            if abs(goal - measured) > WINDUP:
                goal = measured + WINDUP if goal > measured else measured - WINDUP
                bits |= Why.WINDUP
            velocity = track.velocity
            if cycle.cool is not None and cycle.cool[i] < 1.0:
                velocity *= float(cycle.cool[i])
                bits |= Why.HEAT
            if abs(speed) > velocity:
                speed, bits = 0.0, bits | Why.VELOCITY
            low = max(float(cycle.low[i]), track.low + float(self._sag.down[i]))
            high = min(float(cycle.high[i]), track.high - float(self._sag.up[i]))
            if cycle.obstacle and not low <= goal <= high:
                bits |= cycle.obstacle
            stopping = i in self._stopping
            before = track.a
            values[i] = track.advance(goal, speed, velocity, low, high, emergency=stopping)
            cycle.braking[i] = stopping and abs(track.a - before) > track.jerk * cycle.period * (1.0 + ROUNDING)
            cycle.why[i] |= int(bits)
            cycle.why[i] = cycle.why[i] or int(Why.ACCELERATION | Why.JERK)


class SpeedStage:
    """Limits speeds: what is allowed shrinks to what can still be braked."""

    def __init__(self, spec: ArmSpec, barrier: Barrier, period: float) -> None:
        """A ramp for each joint in velocity mode."""
        self._barrier = barrier
        self.ramps = {i: _ramp(spec, i, period) for i, j in enumerate(spec.joints) if j.mode == "velocity"}

    def reset(self) -> None:
        """All stand."""
        for ramp in self.ramps.values():
            ramp.reset(0.0)

    def limit(self, cycle: Cycle) -> None:
        """Limit what this cycle wants of these joints."""
        barrier = self._barrier
        for i, ramp in self.ramps.items():
            low, high = float(barrier.speed_low[i]), float(barrier.speed_high[i])
            high -= max(float(barrier.v_high[i]) - high, 0.0)  # what the servo overdoes is steered against
            low -= min(float(barrier.v_low[i]) - low, 0.0)
            low, high = min(low, ramp.velocity), max(high, -ramp.velocity)
            bits = 0
            if cycle.cool is not None and cycle.cool[i] < 1.0:
                low, high = low * float(cycle.cool[i]), high * float(cycle.cool[i])
                bits |= Why.HEAT
            goal = float(cycle.values[i]) if cycle.finite[i] else 0.0
            if cycle.now - float(cycle.state.stamp[i]) > cycle.stale:
                goal, low, high, bits = 0.0, -ramp.velocity, ramp.velocity, bits | Why.STALE
            if abs(goal) > barrier.fastest[i]:
                bits |= Why.VELOCITY
            elif not low <= goal <= high:
                inside = cycle.lower[i] == cycle.low[i] if goal < low else cycle.upper[i] == cycle.high[i]
                bits |= Why.POSITION if inside else cycle.obstacle
            before = ramp.a
            cycle.values[i] = ramp.advance(goal, low, high, emergency=cycle.emergency)
            cycle.braking[i] = abs(ramp.a - before) > ramp.jerk * cycle.period * (1.0 + ROUNDING)
            lag = (ramp.v - float(cycle.v[i])) / SPEED_LOOP
            cycle.made[i] = min(max(lag, -ramp.acceleration), ramp.acceleration)
            cycle.why[i] |= int(bits)
            cycle.why[i] = cycle.why[i] or int(Why.ACCELERATION | Why.JERK)


def _track(spec: ArmSpec, i: int, period: float) -> Track:
    limits = spec.joints[i].limits
    margin = min(POSITION_MARGIN, (limits.upper - limits.lower) / 4)
    low, high = limits.lower + margin, limits.upper - margin
    return Track(low, high, POSITION_SHARE * limits.velocity, POSITION_SHARE * limits.acceleration, limits.jerk, period)


def _ramp(spec: ArmSpec, i: int, period: float) -> SpeedTrack:
    limits = spec.joints[i].limits
    return SpeedTrack(limits.velocity, SPEED_MODE_SHARE * limits.acceleration, limits.jerk, period)
