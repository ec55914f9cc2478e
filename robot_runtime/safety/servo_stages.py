"""The stages of the envelope for joints that their servo positions, or whose speed it holds."""

from __future__ import annotations

from robot_runtime.arm.kinematics import Kinematics
from robot_runtime.arm.scaling import POSITION_MODES
from robot_runtime.arm.state import JointState
from robot_runtime.safety.barrier import Barrier
from robot_runtime.safety.braking import SpeedTrack, Track
from robot_runtime.safety.cycle import ROUNDING, SLOW, Cycle
from robot_runtime.safety.overrun import Overrun
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

_POSITION, _VELOCITY, _HEAT = Why.POSITION.value, Why.VELOCITY.value, Why.HEAT.value
_WINDUP, _STALE, _SLOWLY = Why.WINDUP.value, Why.STALE.value, (Why.ACCELERATION | Why.JERK).value

_SAG_TURN = SLOW // 2
"""In another cycle than the look at temperatures and at the arm's inertia: together they would make one cycle long."""

SPEED_LOOP = 0.1
"""s in which a servo's velocity loop takes over a new speed: it works on a register 20 to 40 ms old."""


class PositionStage:
    """Limits positions: each joint's command can always still stop."""

    def __init__(self, spec: ArmSpec, kinematics: Kinematics, period: float) -> None:
        """A track for each joint in a position mode."""
        count = len(spec.joints)
        self.placed = [j.mode in POSITION_MODES for j in spec.joints]
        self.tracks = {i: _track(spec, i, period) for i, placed in enumerate(self.placed) if placed}
        self._sag = Sag(spec, kinematics, SLOW * period)
        self._overrun = Overrun(spec, list(self.tracks))
        self._goals = [0.0] * count  # rad, for their speed
        self._commands, self._speeds = [0.0] * count, [0.0] * count
        self._stopping: set[int] = set()  # joints that an emergency brakes

    def reset(self, state: JointState, last: list[float]) -> None:
        """Hold the joints where they stand; `last` gets the commands that do."""
        q: list[float] = state.q.tolist()
        for i, track in self.tracks.items():
            last[i] = q[i]
            track.reset(q[i])
        self._goals, self._commands, self._speeds = q[:], q[:], [0.0] * len(q)
        self._stopping.clear()
        self._sag.reset()
        self._overrun.reset(q)

    def look(self, cycle: Cycle, q: list[float]) -> None:
        """Where these joints are (`q`), how fast and where their commands are, and between what they end if stopped:
        at the end of the command, or as far beside it as they are seen to hang.
        """
        up, down = self._sag.seen_up, self._sag.seen_down
        for i, track in self.tracks.items():
            p = track.p
            cycle.q[i] = q[i]
            self._speeds[i] = cycle.v[i] = track.v
            self._commands[i] = cycle.at[i] = p
            end = p + track.stop()
            low, high = (p, end) if end > p else (end, p)
            cycle.lowest[i], cycle.highest[i] = low - down[i], high + up[i]

    def limit(self, cycle: Cycle) -> None:
        """Limit what this cycle wants of these joints."""
        if not self.tracks:
            return
        sag, overrun, obstacle = self._sag, self._overrun, cycle.obstacle
        goals, stopping, cool = self._goals, self._stopping, cycle.cool
        if cycle.number % SLOW == _SAG_TURN:
            sag.look(cycle.state.q, self._commands, self._speeds)
        overrun.look(cycle.q, cycle.stamps)
        for i, track in self.tracks.items():
            if cycle.emergency:
                stopping.add(i)
            elif i in stopping and track.at_rest:
                stopping.discard(i)
            goal = cycle.values[i] if cycle.finite[i] else track.p + track.stop()
            speed = (goal - goals[i]) / cycle.period
            goals[i] = goal
            measured = cycle.q[i]
            bits = 0 if track.low <= goal <= track.high else _POSITION
            if abs(goal - measured) > WINDUP:
                goal = measured + WINDUP if goal > measured else measured - WINDUP
                bits |= _WINDUP
            velocity = track.velocity
            if cool is not None and cool[i] < 1.0:
                velocity *= cool[i]
                bits |= _HEAT
            if abs(speed) > velocity:
                speed, bits = 0.0, bits | _VELOCITY
            # Stops are for joints: commands stop as much earlier, but none is taken back by an obstacle.
            low = max(min(cycle.low[i] + sag.seen_down[i], track.p), track.low + sag.down[i])
            high = min(max(cycle.high[i] - sag.seen_up[i], track.p), track.high - sag.up[i])
            if obstacle and not low <= goal <= high:
                bits |= obstacle
            up, down = overrun.up[i], overrun.down[i]
            leaves = up > 0.0 or down > 0.0
            if leaves:
                bits |= _POSITION
                low, high = min(low + down, high), max(high - up, low)
            before, emergency = track.a, i in stopping
            cycle.values[i] = track.advance(goal, speed, velocity, low, high, emergency=emergency, gentle=not leaves)
            cycle.braking[i] = emergency and abs(track.a - before) > track.jerk * cycle.period * (1.0 + ROUNDING)
            cycle.why[i] = (cycle.why[i] | bits) or _SLOWLY


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
        barrier, cool = self._barrier, cycle.cool
        for i, ramp in self.ramps.items():
            low, high = barrier.speed_low[i], barrier.speed_high[i]
            high -= max(barrier.v_high[i] - high, 0.0)  # what the servo overdoes is steered against
            low -= min(barrier.v_low[i] - low, 0.0)
            low, high = min(low, ramp.velocity), max(high, -ramp.velocity)
            bits = 0
            if cool is not None and cool[i] < 1.0:
                low, high = low * cool[i], high * cool[i]
                bits |= _HEAT
            goal = cycle.values[i] if cycle.finite[i] else 0.0
            if cycle.now - cycle.stamps[i] > cycle.stale:
                goal, low, high, bits = 0.0, -ramp.velocity, ramp.velocity, bits | _STALE
            if abs(goal) > barrier.fastest[i]:
                bits |= _VELOCITY
            elif not low <= goal <= high:
                inside = cycle.lower[i] == cycle.low[i] if goal < low else cycle.upper[i] == cycle.high[i]
                bits |= _POSITION if inside else cycle.obstacle
            before = ramp.a
            cycle.values[i] = ramp.advance(goal, low, high, emergency=cycle.emergency)
            cycle.braking[i] = abs(ramp.a - before) > ramp.jerk * cycle.period * (1.0 + ROUNDING)
            lag = (ramp.v - cycle.v[i]) / SPEED_LOOP
            cycle.made[i] = min(max(lag, -ramp.acceleration), ramp.acceleration)
            cycle.why[i] = (cycle.why[i] | bits) or _SLOWLY


def _track(spec: ArmSpec, i: int, period: float) -> Track:
    limits = spec.joints[i].limits
    margin = min(POSITION_MARGIN, (limits.upper - limits.lower) / 4)
    low, high = limits.lower + margin, limits.upper - margin
    return Track(low, high, POSITION_SHARE * limits.velocity, POSITION_SHARE * limits.acceleration, limits.jerk, period)


def _ramp(spec: ArmSpec, i: int, period: float) -> SpeedTrack:
    limits = spec.joints[i].limits
    return SpeedTrack(limits.velocity, SPEED_MODE_SHARE * limits.acceleration, limits.jerk, period)
