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

import math

import numpy as np
from numpy.typing import NDArray

from robot_runtime.arm.kinematics import Kinematics
from robot_runtime.arm.state import JointState
from robot_runtime.arrays import Flags, Floats
from robot_runtime.safety.barrier import GAIN, Barrier
from robot_runtime.safety.clearance import Box, Clearance
from robot_runtime.safety.cycle import DERATED, LEAST_SHARE, ROUNDING, SLOW, Cycle, within
from robot_runtime.safety.friction import Friction
from robot_runtime.safety.observer import Observer
from robot_runtime.safety.servo_stages import PositionStage, SpeedStage
from robot_runtime.safety.torque_stage import TorqueStage
from robot_runtime.safety.why import Tally, Why
from robot_runtime.spec import ArmSpec, JointSpec

__all__ = ["Box", "Envelope", "Why"]


SWING = 1.6
"""Times its way to the end of its command that a positioned joint goes: the step response of a loop damped by a sixth.
With 1.3, a third, adversaries brought weak arms with sticky gears up to 1.5 mm into the table."""


_STALE = 0.05
"""s since the last reading after which torques do nothing but carry gravity, and speeds are 0; or so many cycles."""
_STALE_CYCLES = 3.0

_LAG = 0.05
"""s: a gain is never above one by this and two cycles: what a sampled loop takes to answer."""

PLAUSIBLE = 3.0
"""Times the limits: speeds and accelerations that the model is asked about. A broken encoder must not drive it mad."""


_NOT_FINITE, _CLEARANCE, _WORKSPACE = Why.NOT_FINITE.value, Why.CLEARANCE.value, Why.WORKSPACE.value

_HUGE = 1e6  # in any unit: nobody wants that much, and arithmetic stays finite
_INTERVAL_MEMORY = 0.95  # of the longest recent cycle is remembered from one to the next


class Envelope:
    """Limits commands. `reset` where the arm stands, then `limit` once a cycle."""

    def __init__(
        self,
        spec: ArmSpec,
        kinematics: Kinematics,
        period: float,
        *,
        workspace: Box | None = None,
        friction: Friction | None = None,
    ) -> None:
        """`period` (s): of the cycle. Commands that come less often than that are the more careful for it.

        `friction`: what is known of it beyond what the data files let one count on.
        """
        joints = spec.joints
        count = len(joints)
        self.emergency = False
        """Set by what stops the arm: jerk is free until the joints stand."""
        self.wanted_was_finite = True
        self.tally = Tally(spec.joint_names)
        self._last = [0.0] * count
        self._period = self._interval = period
        self._observer = Observer(count)
        self._barrier = Barrier(joints)
        self._lower, self._upper = [j.limits.lower for j in joints], [j.limits.upper for j in joints]
        self._hottest = np.array([j.limits.temperature for j in joints])
        self._fastest = [PLAUSIBLE * j.limits.velocity for j in joints]
        self._most = [PLAUSIBLE * j.limits.acceleration for j in joints]
        self._small = [ROUNDING * _scale(j) for j in joints]
        self._positions = PositionStage(spec, kinematics, period)
        self._speeds = SpeedStage(spec, self._barrier, period)
        self.torques = TorqueStage(spec, kinematics, self._barrier, friction or Friction.none(spec))
        """The joints in torque and PWM modes: their last torques, and how fast these may change."""
        placed = self._positions.placed
        self._all_placed = all(placed)
        swing = [SWING if own else 1.0 for own in placed]
        self._clearance = Clearance(kinematics, (self._lower, self._upper), swing, workspace)
        self._cycle = Cycle(period, max(_STALE, _STALE_CYCLES * period), self._lower, self._upper, now=-math.inf)
        self._cycle.made, self._cycle.braking = [0.0] * count, [False] * count
        self._stamp = -math.inf

    @property
    def last(self) -> Floats:
        """What was let through last, in the unit of each joint's mode."""
        return np.array(self._last)

    @property
    def braking(self) -> Flags:
        """Joints whose last command was free of the jerk limit, because it brakes."""
        return np.array(self._cycle.braking, dtype=bool)

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
        cycle, count = self._cycle, len(self._last)
        self._observer.reset(state.q, now)
        self._clearance.reset()
        self._stamp, self._interval = -math.inf, self._period
        cycle.now, cycle.made, cycle.braking = now, [0.0] * count, [False] * count
        self._last = [0.0] * count
        self._positions.reset(state, self._last)
        self._speeds.reset()
        self.torques.reset(state, self._last)

    def limit(self, values: Floats, state: JointState, now: float) -> None:
        """Limit the commands in place; never raises.

        `values`: what is wanted, one entry a joint in the unit of its mode; not finite: the joint is to stand.
        """
        wanted: list[float] = values.tolist()
        cycle, count = self._cycle, len(wanted)
        if now > cycle.now:
            passed = min(now - cycle.now, cycle.stale) if cycle.now > -math.inf else self._period
            self._interval = max(passed, self._period, _INTERVAL_MEMORY * self._interval)
        cycle.number, cycle.state, cycle.now, cycle.emergency = self.tally.cycles, state, now, self.emergency
        cycle.finite = list(map(math.isfinite, wanted))
        cycle.sound = self.wanted_was_finite = all(cycle.finite)
        cycle.why = [0 if finite else _NOT_FINITE for finite in cycle.finite]
        wanted = [_HUGE if x > _HUGE else -_HUGE if x < -_HUGE else x for x in wanted]
        cycle.values, cycle.made, cycle.braking = wanted[:], cycle.made[:], [False] * count
        if cycle.number % SLOW == 0:
            cycle.cool = self._cool_share(state)
        self._look(cycle)
        cycle.low, cycle.high = self._lower[:], self._upper[:]
        touched, boxed = self._clearance.stops(cycle.q, cycle.at, cycle.lowest, cycle.highest, cycle.low, cycle.high)
        cycle.obstacle = (_CLEARANCE if touched else 0) | (_WORKSPACE if boxed else 0)
        self._positions.limit(cycle)
        if not self._all_placed:
            self._barrier.close_in(cycle.low, cycle.high, min(GAIN, 1.0 / (_LAG + 2.0 * self._interval)))
            self._speeds.limit(cycle)
            if self.torques.index:
                self.torques.limit(cycle)
            cycle.made = within(cycle.made, self._most)
            self._observer.commanded(cycle.made, now)
        for i, (value, asked, small) in enumerate(zip(cycle.values, wanted, self._small, strict=True)):
            if abs(value - asked) <= small:
                cycle.why[i] = 0
        self.tally.take(cycle.why)
        self._last = cycle.values
        values[:] = cycle.values

    # -- what is known ------------------------------------------------------------------------------------------------

    def _look(self, cycle: Cycle) -> None:
        """Where the joints are, and where they go before they can stand; where no servo positions, by the observers."""
        state, barrier = cycle.state, self._barrier
        q: list[float] = state.q.tolist()
        cycle.stamps = state.stamp.tolist()
        if self._all_placed:
            cycle.q, cycle.v, cycle.at, cycle.lowest, cycle.highest = q, q[:], q[:], q[:], q[:]
        else:
            self._stamp = max(self._stamp, *cycle.stamps)
            if self._stamp > -math.inf:
                self._observer.look(state.q, self._stamp, state.fresh, cycle.now)
            barrier.look(self._observer)
            cycle.lowest, cycle.highest = barrier.stopping_places()
            cycle.q = [0.5 * (low + high) for low, high in zip(barrier.q_low, barrier.q_high, strict=True)]
            speeds = [0.5 * (low + high) for low, high in zip(barrier.v_low, barrier.v_high, strict=True)]
            cycle.v = within(speeds, self._fastest)
            cycle.at = cycle.q[:]
        self._positions.look(cycle, q)

    def _cool_share(self, state: JointState) -> list[float] | None:
        """Of torque and speed that the temperatures leave; None: all of it."""
        share = (self._hottest - state.temperature) / DERATED
        if float(share.min()) >= 1.0:
            return None
        left: list[float] = np.clip(share, LEAST_SHARE, 1.0).tolist()
        return left


def _scale(joint: JointSpec) -> float:
    """The size of a joint's commands."""
    return {"velocity": joint.limits.velocity, "current": joint.limits.torque}.get(joint.mode, 1.0)
