"""Stopping: from whatever the arm was doing to standing still, to lying at rest, to torque off; in every mode.

Brake, hold, lower, settle, off. A stop only gets worse, never better; nobody but the operator starts a new flight.
Joints whose servos do not listen any more are left out, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

import numpy as np

from robot_runtime.arm import Arm, JointState, Move
from robot_runtime.arm.scaling import POSITION_MODES
from robot_runtime.arrays import Flags, Floats
from robot_runtime.safety import faults
from robot_runtime.safety.fault_kind import Fault, FaultKind, Stop
from robot_runtime.safety.path import soft_path
from robot_runtime.safety.settings import (
    BLOCKED_ERROR,
    BLOCKED_LAG,
    BLOCKED_TIME,
    RUNAWAY_SHARE,
    RUNAWAY_TIME,
)
from robot_runtime.safety.windows import Windows

HOLD_FOR = 10.0
"""s that a held arm waits for somebody before it lowers itself: long enough to walk up to it, short enough for motors
that hold."""

LOWER_SHARE = 0.25
"""Of every joint's velocity, acceleration and jerk limit, at most, on the way to rest."""

_STILL = 0.1
"""rad/s: four ticks of the velocity register; slower counts as standing."""

_STILL_CYCLES = 3
_BRAKE_TIME = 1.0
"""s after which a brake that does not come to rest becomes a hold all the same: it may be pushed."""

_SETTLE_TIME = 3.0
_ARRIVED = 0.1
"""s to settle at the rest pose, at most, before torque goes off, and rad that count as having arrived. A held torque
joint creeps into place against its friction."""

_SILENT = 0.05
"""s without an answer after which a joint counts as silent."""

_HELD_BACK, _HELD_BACK_FOR = 0.2, 5.0
"""rad that the envelope may hold a joint back on the way to rest before the way waits for it, and s that it waits in
all. Where rest lies on the table the envelope stops a little above it, by half of that."""

_BLIND_TIME = 0.5
"""s without an answer for which a silent joint is waited for before the others are lowered without it: a plug or a hub
that hiccups is back by then."""

_UNHEARD = 3.5
"""Periods without an answer after which nobody knows whether a joint falls silent now."""

_LAPSES = 3
"""Times that a joint falls silent on the way to rest, after which it stays left out."""

_BLOCKED, _RUNAWAY = 0, 1


class _Step(Enum):
    IDLE = auto()
    BRAKE = auto()
    HOLD = auto()
    LOWER = auto()
    SETTLE = auto()
    BLOCKED = auto()
    OFF = auto()


class Stopping:
    """One stop of one flight: `begin`, then `intend` every cycle until `done`."""

    def __init__(
        self, arm: Arm, period: float, report: Callable[[Fault], object], *, hold_for: float = HOLD_FOR
    ) -> None:
        """`period` of the bus (s). `report`: who is told of a stop that does not work (`Monitor.add`)."""
        self.stop = Stop.NONE
        self.left_out: tuple[str, ...] = ()
        """Joints that could not be lowered with the others."""
        self._arm, self._period, self._report, self._hold_for = arm, period, report, hold_for
        joints = arm.spec.joints
        count = len(joints)
        self._is_position: Flags = np.array([j.mode in POSITION_MODES for j in joints])
        self._is_velocity: Flags = np.array([j.mode == "velocity" for j in joints])
        self._is_torque = ~(self._is_position | self._is_velocity)
        self._grips = ~arm.kinematics.carries_tip
        self._squeezes: Flags = self._grips & np.array([j.mode == "current_position" for j in joints])
        """Held by what is gripped, with a force that the goal current bounds: neither blocked nor let go."""
        self._stays = np.zeros(count, dtype=bool)
        """Joints that met something, and are left where that is."""
        self._everyone = np.ones(count, dtype=bool)
        self._dead = np.zeros(count, dtype=bool)
        """Joints that are left out: they do not act on commands, or are not heard."""
        self._lapses = np.zeros(count, dtype=int)
        self._step = _Step.IDLE
        self._since = 0.0
        self._still = 0
        self._sent_before = np.full(count, np.nan)
        self._waited = 0.0
        self._moves: list[Move] = []
        self._pose = np.zeros(count)
        self._windows = Windows(
            [[BLOCKED_ERROR] * count, [RUNAWAY_SHARE * j.limits.velocity for j in joints]],
            (BLOCKED_TIME, RUNAWAY_TIME),
        )
        self._story: list[str] = []

    @property
    def done(self) -> bool:
        """The stop is over: nothing more is to be sent but torque off."""
        return self._step is _Step.OFF

    @property
    def outcome(self) -> str:
        """What was done so far, in words."""
        all_out = len(self.left_out) == len(self._dead)  # then nothing was done without them
        without = f", without {', '.join(self.left_out)}" if self.left_out and not all_out else ""
        return ", ".join(self._story) + without if self._story else "not stopped"

    def begin(self, stop: Stop, state: JointState, now: float) -> None:
        """Stop like this from now on; while it stops already: like this if that is worse."""
        if stop <= self.stop:
            return
        first, self.stop = self._step is _Step.IDLE, stop
        if first:
            self._dead = self._deaf(state)
            self._arm.capture_hold(self._everyone)
        if self._step is _Step.OFF:
            return
        if stop is Stop.TORQUE_OFF:
            self._let_go("let go in place")
        elif first or self._step is _Step.HOLD:
            self._enter(_Step.BRAKE, now, "braked" if stop > Stop.HOLD else "")

    def intend(self, state: JointState, now: float, values: Floats, sent: Floats) -> None:
        """What every joint should do now, into `values`, in the unit of its mode.

        `sent`: the values that the envelope let through last; nan before the first.
        """
        self._watch(state, now, sent)
        if self._step is _Step.BRAKE:
            self._brake(state, now, values, sent)
        elif self._step is _Step.HOLD:
            self._hold(state, now)
        elif self._step is _Step.LOWER:
            self._lower(now, sent)
        elif self._step is _Step.SETTLE:
            self._settle(state, now)
        elif self._step is _Step.BLOCKED and now - self._since >= self._hold_for:
            self._let_go(f"let go in place after {self._hold_for:g} s")
        if self._step not in {_Step.BRAKE, _Step.IDLE}:
            self._arm.hold_into(values, self._everyone)

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _brake(self, state: JointState, now: float, values: Floats, sent: Floats) -> None:
        """Position joints: no further than they were sent, so the envelope brakes; velocity joints: 0; torque joints:
        a spring to where they were when it began, for that place was free a moment ago, and a damper.

        A mere HOLD does not let positions run out: they come back to what was sent last.
        """
        known = np.isfinite(sent)
        np.copyto(values, np.where(known, sent, self._arm.hold_angle), where=self._is_position)
        values[self._is_velocity] = 0.0
        self._arm.hold_into(values, self._is_torque)
        asked = np.abs(sent - self._sent_before) > _STILL * self._period
        turning = (np.abs(state.dq) > _STILL) & state.fresh
        np.copyto(self._sent_before, sent)
        self._still = 0 if (turning | (asked & self._is_position)).any() else self._still + 1
        braking = self._still < _STILL_CYCLES and now - self._since < _BRAKE_TIME
        if braking and self.stop > Stop.HOLD:
            return
        # Positions are held where they were sent, not where they are: a servo's loop sags, and would sag again.
        self._arm.capture_hold(self._is_velocity)
        np.copyto(self._arm.hold_angle, values, where=self._is_position)
        self._enter(_Step.HOLD, now)
        self._hold(state, now)
        self._arm.hold_into(values, self._everyone)

    def _hold(self, state: JointState, now: float) -> None:
        """Wait for somebody; then, or at once if the stop says so, lower."""
        waited = now - self._since
        lowers = self.stop > Stop.FREEZE or bool(self._moves)  # or has begun to
        if not lowers and (self.stop is Stop.FREEZE or waited < self._hold_for):
            return  # a frozen arm waits for whoever froze it, however long
        silence = now - state.stamp
        unheard = silence > _UNHEARD * self._period
        if (unheard & ~self._dead & (silence < _BLIND_TIME)).any():
            return
        self._dead |= unheard
        if not self._dead.all():
            self._begin_lowering(now)
        elif waited >= self._hold_for or not (state.watchdog_tripped & state.torque_on & ~self._is_torque).any():
            # Servos that hold by themselves, because their watchdog braked them, do it as long as in any hold.
            self._name_left_out()
            self._let_go("let go in place: no servo takes commands")

    def _begin_lowering(self, now: float) -> None:
        arm = self._arm
        self._name_left_out()
        rest = np.array(arm.spec.poses["rest"])
        alive = ~self._dead
        start = arm.hold_angle.copy()
        self._moves = soft_path(arm.spec, arm.kinematics, start, rest, LOWER_SHARE, moves=alive)
        held = "" if self.stop is Stop.LOWER else f"held for {self._hold_for:g} s"
        self._enter(_Step.LOWER, now, held)

    def _lower(self, now: float, sent: Floats) -> None:
        """Let the place where the arm is held wander to the rest pose, no faster than the envelope lets joints follow:
        what it slows down beside the table or the arm itself is not in anybody's way.
        """
        follows = self._is_position & ~(self._dead | self._grips)
        back = np.where(follows, np.abs(self._arm.hold_angle - sent), 0.0)
        i = int(np.argmax(back))
        if back[i] > _HELD_BACK and self._waited < _HELD_BACK_FOR:  # where nothing was sent yet it is nan, and is not
            self._since += self._period
            self._waited += self._period
            return
        if back[i] > BLOCKED_ERROR:
            self._block(i, f"is held {back[i]:.2f} rad behind by the limits on the way to rest", back[i], now)
            return
        while len(self._moves) > 1 and now - self._since > self._moves[0].duration:
            self._since += self._moves.pop(0).duration
        self._moves[0].at(now - self._since, self._pose)
        np.copyto(self._arm.hold_angle, self._pose, where=~(self._dead | self._stays))
        if now - self._since >= self._moves[0].duration:
            self._enter(_Step.SETTLE, now)

    def _settle(self, state: JointState, now: float) -> None:
        off = (np.abs(self._arm.hold_angle - state.q) > _ARRIVED) & ~self._dead
        moving = (np.abs(state.dq) > _STILL) & ~self._dead
        if now - self._since >= _SETTLE_TIME or not (off | moving).any():
            names = [j.name for j, is_off in zip(self._arm.spec.joints, off | self._stays, strict=True) if is_off]
            short = f" ({', '.join(names)} not quite there)" if names else ""
            unseen = " (unseen at last: no servo answers)" if self._dead.all() else ""
            self._let_go(f"lowered to rest{short}{unseen}, torque off")

    # -- what may go wrong meanwhile -----------------------------------------------------------------------------------

    def _watch(self, state: JointState, now: float, sent: Floats) -> None:
        """Leave out the joints that listen no more; give up pushing, or driving, where the stop itself does harm."""
        if self._step in {_Step.IDLE, _Step.OFF}:
            return
        out = self._deaf(state)
        if self._step in {_Step.LOWER, _Step.SETTLE}:
            silent = now - state.stamp > max(_SILENT, 5 * self._period)
            self._lapses += silent & ~self._dead
            out |= silent
        if self._step is _Step.LOWER and (out != self._dead).any():
            # Who comes back is held where it is now; from there, a new way for those that are left.
            self._arm.capture_hold(self._dead & ~out)
            self._enter(_Step.HOLD, now)
            out = self._deaf(state)
        self._dead = out
        behind, speed = self._windows.rows
        np.abs(state.dq, out=speed)
        np.copyto(behind, self._arm.hold_angle)
        np.copyto(behind, sent, where=self._is_position & np.isfinite(sent))
        behind -= state.q
        np.abs(behind, out=behind)
        behind -= BLOCKED_LAG * speed
        if not self._windows.look():
            return
        over = self._windows.over
        over[:, self._dead] = False
        over[_BLOCKED, self._squeezes] = False
        if self._step not in {_Step.LOWER, _Step.SETTLE}:
            over[_BLOCKED] = False
        for row, i in self._windows.due(state.fresh | self._dead, now):
            if row == _RUNAWAY:
                what = f"turns at {speed[i]:.2f} rad/s although the arm is stopping"
                self._tell(faults.STOP_FAILED, i, what, float(speed[i]), now)
                self.stop = Stop.TORQUE_OFF
                self._let_go("let go in place: the stop did not work")
                return
            if self._grips[i]:  # what it holds must not keep the arm up
                self._stays[i] = True
                self._arm.capture_hold(np.arange(len(self._stays)) == i)
            elif self._step in {_Step.LOWER, _Step.SETTLE}:
                self._block(i, f"is {behind[i]:.2f} rad behind on the way to rest", behind[i], now)

    def _block(self, i: int, what: str, behind: float, now: float) -> None:
        self._tell(faults.LOWERING_BLOCKED, i, what, float(behind), now)
        self._arm.capture_hold(self._everyone)
        self._enter(_Step.BLOCKED, now, "blocked on the way to rest")

    def _deaf(self, state: JointState) -> Flags:
        """Joints whose servos say that they do not act on commands, or that fell silent too often. What one servo of
        two can still lower, it lowers.
        """
        deaf = (state.restarted | state.watchdog_tripped | ~state.torque_on) & ~state.halved
        silent: Flags = self._lapses >= _LAPSES
        return deaf | silent

    def _name_left_out(self) -> None:
        joints = self._arm.spec.joints
        self.left_out = tuple(j.name for j, dead in zip(joints, self._dead, strict=True) if dead)

    def _tell(self, kind: FaultKind, i: int, what: str, value: float, now: float) -> None:
        joint = self._arm.spec.joints[i]
        text = f"joint '{joint.name}' ({joint.moved_by}) {what}: {kind.advice}"
        self._report(Fault(kind, (joint.name,), value, now, text))

    def _let_go(self, what: str) -> None:
        self._step = _Step.OFF
        self._story.append(what)

    def _enter(self, step: _Step, now: float, what: str = "") -> None:
        self._step, self._since, self._still = step, now, 0
        if what and what not in self._story:
            self._story.append(what)
