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
from robot_runtime.arm.state import Flags, Floats, JointState
from robot_runtime.safety.barrier import GAIN, Barrier
from robot_runtime.safety.clearance import Box, Clearance
from robot_runtime.safety.cycle import DERATED, LEAST_SHARE, ROUNDING, SLOW, Cycle
from robot_runtime.safety.observer import Observer
from robot_runtime.safety.servo_stages import PositionStage, SpeedStage
from robot_runtime.safety.torque_stage import TorqueStage
from robot_runtime.safety.why import Tally, Why
from robot_runtime.spec import ArmSpec

__all__ = ["Box", "Envelope", "Why"]


SWING = 1.3
"""Times its way to the end of its command that a positioned joint goes: the step response of a loop damped by a
third."""


_STALE = 0.05
"""s since the last reading after which torques do nothing but carry gravity, and speeds are 0; or so many cycles."""
_STALE_CYCLES = 3.0

_LAG = 0.05
"""s: a gain is never above one by this and two cycles: what a sampled loop takes to answer."""

PLAUSIBLE = 3.0
"""Times the limits: speeds and accelerations that the model is asked about. A broken encoder must not drive it mad."""


_HUGE = 1e6  # in any unit: nobody wants that much, and arithmetic stays finite
_INTERVAL_MEMORY = 0.95  # of the longest recent cycle is remembered from one to the next


class Envelope:
    """Limits commands. `reset` where the arm stands, then `limit` once a cycle."""

    def __init__(self, spec: ArmSpec, kinematics: Kinematics, period: float, *, workspace: Box | None = None) -> None:
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
        self._observer = Observer(count)
        self._barrier = Barrier(joints)

        self._lower = np.array([j.limits.lower for j in joints])
        self._upper = np.array([j.limits.upper for j in joints])
        self._hottest = np.array([j.limits.temperature for j in joints])
        self._fastest = PLAUSIBLE * np.array([j.limits.velocity for j in joints])
        self._most = PLAUSIBLE * np.array([j.limits.acceleration for j in joints])
        self._positions = PositionStage(spec, kinematics, period)
        self._speeds = SpeedStage(spec, self._barrier, period)
        self.torques = TorqueStage(spec, kinematics, self._barrier)
        """The joints in torque and PWM modes: their last torques, and how fast these may change."""
        placed = self._positions.placed
        self._all_placed = bool(placed.all())
        self._clearance = Clearance(kinematics, np.where(placed, SWING, 1.0), workspace)

        self._low, self._high = np.zeros(count), np.zeros(count)
        self._lowest, self._highest, self._at = np.zeros(count), np.zeros(count), np.zeros(count)  # rad
        self._made = np.zeros(count)  # rad/s², commanded
        self._q, self._v = np.zeros(count), np.zeros(count)
        self._wanted = np.zeros(count)
        self._stamp = -np.inf
        self._cool: Floats | None = None
        self._small = [ROUNDING * _scale(j.mode, spec, i) for i, j in enumerate(joints)]

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
        self._observer.reset(state.q, now)
        self._clearance.reset()
        self._stamp, self._now, self._interval = -np.inf, now, self._period
        self._made[:] = 0.0
        self.last[:] = 0.0
        self._positions.reset(state, self.last)
        self._speeds.reset()
        self.torques.reset(state, self.last)

    def limit(self, values: Floats, state: JointState, now: float) -> None:
        """Limit the commands in place; never raises.

        `values`: what is wanted, one entry a joint in the unit of its mode; not finite: the joint is to stand.
        """
        wanted = self._wanted
        np.copyto(wanted, values)
        finite: Flags = np.isfinite(wanted)
        np.minimum(np.maximum(values, -_HUGE, out=values), _HUGE, out=values)
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
        touched, boxed = self._clearance.stops(self._q, self._at, self._lowest, self._highest, low, high)
        cycle = Cycle(
            number=self.tally.cycles,
            period=self._period,
            values=values,
            finite=finite,
            sound=self.wanted_was_finite,
            state=state,
            now=now,
            stale=self._stale,
            cool=self._cool_share(state),
            emergency=self.emergency,
            q=self._q,
            v=self._v,
            low=low,
            high=high,
            lower=self._lower,
            upper=self._upper,
            obstacle=touched * Why.CLEARANCE | boxed * Why.WORKSPACE,
            braking=self.braking,
            made=self._made,
            why=why,
        )
        self._positions.limit(cycle)
        if not self._all_placed:
            self._barrier.close_in(low, high, min(GAIN, 1.0 / (_LAG + 2.0 * self._interval)))
            self._speeds.limit(cycle)
            if len(self.torques.index):
                self.torques.limit(cycle)
            np.minimum(np.maximum(self._made, -self._most, out=self._made), self._most, out=self._made)
            self._observer.commanded(self._made, now)
        np.minimum(np.maximum(wanted, -_HUGE, out=wanted), _HUGE, out=wanted)
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
        up, down, q = self._highest, self._lowest, self._q
        if self._all_placed:
            np.copyto(q, state.q)
        else:
            self._stamp = max(self._stamp, float(state.stamp.max()))
            if self._stamp > -np.inf:
                self._observer.look(state.q, self._stamp, state.fresh, now)
            barrier = self._barrier
            barrier.look(self._observer)
            barrier.stopping_distances(up, down)
            np.add(barrier.q_low, barrier.q_high, out=q)
            q *= 0.5
            np.add(barrier.v_low, barrier.v_high, out=self._v)
            self._v *= 0.5
            np.minimum(np.maximum(self._v, -self._fastest, out=self._v), self._fastest, out=self._v)
            up += barrier.q_high
            np.subtract(barrier.q_low, down, out=down)
            np.copyto(self._at, q)
        self._positions.look(state, q, self._v, self._at, down, up)

    def _cool_share(self, state: JointState) -> Floats | None:
        """Of torque and speed that the temperatures leave; None: all of it."""
        if self.tally.cycles % SLOW:
            return self._cool
        self._cool = None
        share = (self._hottest - state.temperature) / DERATED
        if float(share.min()) >= 1.0:
            return None
        self._cool = np.clip(share, LEAST_SHARE, 1.0)
        return self._cool


def _scale(mode: str, spec: ArmSpec, i: int) -> float:
    """The size of a joint's commands."""
    limits = spec.joints[i].limits
    if mode == "velocity":
        return limits.velocity
    return {"current": limits.torque, "pwm": 1.0}.get(mode, 1.0)
