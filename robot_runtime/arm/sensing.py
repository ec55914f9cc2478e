"""From the registers of a read to the joint state, and what a reading can betray: a restart, a jump, a watchdog."""

from __future__ import annotations

import math
import struct

import numpy as np

from robot_runtime.arm.motor_current import MotorCurrent
from robot_runtime.arm.read_plan import MotionFields, PlannedRead, ReadPlan
from robot_runtime.arm.scaling import SenseScale
from robot_runtime.arm.state import BOTH, JointState
from robot_runtime.bus.packets import ALERT
from robot_runtime.spec import SPLIT, ArmSpec

_VOLTS_PER_TICK = 0.1
_WATCHDOG_TRIPPED = 255
_TICK_PERIOD = 32768
"""ms: Realtime Tick starts over after 32767. Source: e-Manual, Realtime Tick(120)."""

_TICK_SLACK = 20.0
"""ms: the tick's own steps, and what a servo takes to answer."""

_CLOCK_DRIFT = 0.02
"""How far a servo's oscillator may be off."""

_JUMP_SLACK = 0.05
"""rad: encoder noise, gear play and a hand's push that no speed explains."""

_HARDLY = 0.002
"""rad, about a tick, that a joint may turn from request to reply for its two servos to count as seen at once."""

_JUMP_SPEED = 1.5
"""Times the no-load speed: nothing but an encoder fault or a lost turn count moves a reading faster."""


class Sensing:
    """Converts what the read groups hold. Motion comes every cycle and joint by joint, in plain numbers: of so few they
    are quicker than arrays, and less of the processor's cache is needed for them.
    """

    def __init__(self, spec: ArmSpec, plan: ReadPlan, state: JointState, scale: SenseScale) -> None:
        """Bind views of the groups to the arrays of the state."""
        count = self._count = len(spec.joints)
        self._joint = spec.turned_by  # of each servo
        self._plan, self._state = plan, state
        self._bits = 1 << np.arange(count)
        self._missing = -1  # servos in the last read, one bit each
        self._lacking = -1  # joints that lacked one
        self._whole = np.zeros(count, dtype=bool)  # joints that lacked none
        fastest = [_JUMP_SPEED * j.servo.motor.no_load_speed / j.gear for j in spec.joints]
        scales = (scale.position, scale.offset, scale.velocity, scale.torque)
        rows = list(zip(*(each.tolist() for each in scales), strict=True))
        self._scales = [(*row, most) for row, most in zip(rows, fastest, strict=False)]
        self._second = [(i, *row) for i, row in zip(self._joint[count:], rows[count:], strict=True)]
        self.apart = [0.0] * len(self._second)
        """rad, how much further the second servo of a joint reads than the first, as last seen."""
        self.trim = [0.0] * len(self._second)
        """The same, as it was when torque came on: from then on both are kept apart by that much."""
        self._lean = [0.0] * len(self._second)
        """rad, from the first servo's angle to the joint's, as last seen of both while the joint hardly moved."""
        if self._second:
            state.whole_stamp = np.full(count, -math.inf)
        self._motor_current = MotorCurrent(spec.servos, spec.turned_by)
        self._pack = struct.Struct(f"{4 * count}d").pack_into
        self._motion = state.motion.data.cast("B")
        # And when they were asked for, and came.
        self._ticks: list[tuple[int, float, float] | None] = [None] * len(self._joint)
        self._asked = [-math.inf] * count  # s, when the motion that the state holds was asked for: no sample is older
        self._odd = 0  # joints whose first servo's last reading was left aside, one bit each
        self._aside = 0  # of these, those for which no second servo stood in
        self._odd_at = [0.0] * count  # rad, what it said
        self._was_split = [False] * len(self._second)  # the last time that both were seen
        self._limp = [False] * len(self._joint)  # said so in its last health read, or between two
        self._deaf: set[int] = set()  # servos that restarted or whose watchdog tripped: they act on no command
        self._apart = [group.reader(0, "B") for group in plan.apart]
        self._last_alerts = False
        self.watchdog_expected = 0
        self.torque_expected = False

    def take(self, missing: int, read: PlannedRead) -> int:
        """Take over a finished read, of which some servos may be missing, one bit each.

        Returns the missing joints: those that lack a servo, or one whose data cannot be trusted. Where one of two
        answers, the joint's state goes on.
        """
        group = read.group
        if read.has_health:
            missing |= self._take_health(missing, group.received_at)
        if missing != self._missing or self._aside:
            self._missing = missing
            self._lacking, silent = self._joints_of(missing) if self._second else (missing, missing)
            np.copyto(self._state.fresh, (self._bits & silent) == 0)
            np.copyto(self._whole, (self._bits & self._lacking) == 0)
        if self._second:
            np.copyto(self._state.whole_stamp, group.received_at, where=self._whole)
        self._aside = self._take_motion(read.motion, missing, group.sent_at, group.received_at)
        if self._aside:
            self._state.fresh[(self._bits & self._aside) != 0] = False
        alerts = any(group.errors)
        if alerts or self._last_alerts:
            told = np.zeros(self._count, dtype=bool)
            for k, error in enumerate(group.errors):
                if error & ALERT:
                    told[self._joint[k]] = True
                    self._blame(k)
            np.copyto(self._state.alert, told, where=self._state.fresh)
            self._last_alerts = alerts or bool(self._state.alert.any())
        return self._lacking | self._aside

    def _take_motion(self, fields: MotionFields, missing: int, sent: float, now: float) -> int:
        """Positions, velocities and torques of who answered. Returns the joints whose reading is left aside: one that
        nothing on the way has damaged may still be wrong, and a jump that is believed lets the arm fall.
        """
        odd, stood_in, unheard = 0, 0, missing & (1 << self._count) - 1
        q, dq, tau, stamp = self._state.motion.tolist()
        asked, pending = self._asked, self._odd
        ticks = iter(fields.ticks() if fields.duties is None else self._with_motor_currents(fields, fields.duties()))
        for i, (position, offset, velocity, torque, fastest) in enumerate(self._scales):
            current, turns, place = next(ticks), next(ticks), next(ticks)
            if missing >> i & 1:
                continue
            angle = place * position + offset
            # From request to reply the host may have paused. Before the first reading nothing is a jump.
            reach = (now - asked[i]) * fastest
            if (pending or abs(angle - q[i]) > reach + _JUMP_SLACK) and self._is_odd(i, angle, q[i], reach):
                odd |= 1 << i
                continue
            q[i], dq[i], tau[i], stamp[i], asked[i] = angle, turns * velocity, current * torque, now, sent
        for k, (i, position, offset, velocity, torque) in enumerate(self._second):
            current, turns, place = next(ticks), next(ticks), next(ticks)
            first, second = not (missing | odd) >> i & 1, not missing >> (self._count + k) & 1
            if not second:
                if first and self.torque_expected:
                    q[i] += self._lean[k]
                continue
            angle = place * position + offset
            if not first:  # it stands in for the first one
                angle -= self.trim[k] + self._lean[k] if self.torque_expected else self.apart[k]
                reach = (now - asked[i]) * self._scales[i][-1]
                if odd >> i & 1:  # that of the first one was
                    if abs(angle - q[i]) > reach + _JUMP_SLACK:
                        continue
                    stood_in |= 1 << i
                elif self._is_odd(i, angle, q[i], reach):
                    odd |= 1 << i
                    continue
                q[i], dq[i], tau[i], stamp[i], asked[i] = angle, turns * velocity, current * torque, now, sent
                continue
            self.apart[k] = angle - q[i]
            # One of them may have been asked again: sampled later, by as much as the whole read took.
            speed = (dq[i] + turns * velocity) / 2
            moved = abs(speed) * (now - sent)
            further = self.apart[k] - self.trim[k]
            if abs(further) > SPLIT + moved:
                if not self._was_split[k]:  # one odd reading: once, who is nearer to where the joint was is believed
                    self._was_split[k] = True
                    lean, before = self._lean[k] if self.torque_expected else 0.0, self._state.q[i]
                    q[i] = min(q[i] + lean, angle - self.trim[k] - lean, key=lambda seen: abs(seen - before))
                    continue
                self._state.split[i] = True
            self._was_split[k] = False
            dq[i] = speed
            tau[i] = (tau[i] + current * torque) / 2
            if self.torque_expected:
                # The joint's angle is the mean of both, seen from how far they were apart when torque came on: to that
                # they pull it together. By the first one's alone it stood off its goals by half a tick and more, as if
                # its zero were off by tens of milliradians.
                q[i] += further / 2
                if moved < _HARDLY:
                    self._lean[k] = further / 2
        self._pack(self._motion, 0, *q, *dq, *tau, *stamp)
        self._odd = odd | self._odd & unheard
        return odd & ~stood_in

    def _is_odd(self, i: int, angle: float, before: float, reach: float) -> bool:
        """Whether this angle (rad) of joint i is one that it cannot have turned to, for the first time. The second time
        in a row it counts, and the joint has jumped: where it says so again, or is nowhere near where it was.
        """
        beyond = abs(angle - before) > reach + _JUMP_SLACK
        if not self._odd >> i & 1:
            if beyond:
                self._odd_at[i] = angle
            return beyond
        if beyond or abs(angle - self._odd_at[i]) < abs(angle - before):
            self._state.jumped[i] = True
        return False

    def _with_motor_currents(self, fields: MotionFields, duties: tuple[int, ...]) -> list[int | float]:
        """The ticks, with the motor's current where a servo measures its supply's."""
        ticks: list[int | float] = [*fields.ticks()]
        drives = [self.torque_expected and not limp for limp in self._limp]
        self._motor_current.put(ticks, duties, self._state.voltage, drives)
        return ticks

    def keep_apart(self, k: int) -> None:
        """Torque comes on: from now on the two servos of a joint are kept as far apart as they are now."""
        self.trim[k], self._lean[k] = self.apart[k], 0.0

    def _take_health(self, missing: int, now: float) -> int:
        """Health of the servos that answered; returns those of which the reply shows that their memory was wiped."""
        state, health = self._state, self._plan.health
        wiped = 0
        servos = list(health.servos())
        if self._plan.apart:
            self._look_at_ticks({k: s[-1] for k, s in enumerate(servos) if not missing >> k & 1 and s[0] != 0})
        for k, (volts, celsius, error, on, watchdog, tick) in enumerate(servos):
            if missing >> k & 1:
                continue
            i = self._joint[k]
            if volts == 0:  # a powered servo never reads 0 V: its indirect addresses are reset
                wiped |= 1 << k
                self._has_restarted(k)
                state.torque_on[i] = False
                continue
            if tick is None:
                self._limp[k] = on == 0
                holds = on != 0
            else:
                self._limp[k] &= self.torque_expected
                holds = self.torque_expected and not (state.restarted[i] or self._limp[k])
            seen = _VOLTS_PER_TICK * volts, celsius, -1 if error is None else error, holds
            if k >= self._count:
                seen = self._worse(k, *seen)
            if not holds:
                self._blame(k)
            state.voltage[i], state.temperature[i], state.hardware_error[i], state.torque_on[i] = seen
            state.health_stamp[i] = now
            if tick is None:
                self._look_at_watchdog(k, watchdog)
        if self._second:
            self._look_at_halves()
        return wiped

    def _worse(self, k: int, volts: float, celsius: float, error: int, holds: bool) -> tuple[float, float, int, bool]:
        """Of a joint's servos the worse: of the second one this, of the first one what the state has just taken."""
        state, i = self._state, self._joint[k]
        if holds and state.torque_on[i]:
            self._blame(k if celsius > state.temperature[i] else i)
        errors = error if error < 0 else error | max(int(state.hardware_error[i]), 0)
        still = holds and bool(state.torque_on[i])
        return min(volts, float(state.voltage[i])), max(celsius, float(state.temperature[i])), errors, still

    def take_apart(self, which: int, missing: int) -> None:
        """Take over what was asked between the health reads: torque (0) or the watchdog (1) of all servos."""
        state = self._state
        if not self.torque_expected:
            return
        for k, (i, value) in enumerate(zip(self._joint, self._apart[which](), strict=True)):
            if missing >> k & 1:
                continue
            if which == 0:
                self._limp[k] = value == 0
                if self._limp[k]:
                    self._blame(k)
                holds = k < self._count or bool(state.torque_on[i])
                state.torque_on[i] = holds and not (self._limp[k] or state.restarted[i])
            else:
                self._look_at_watchdog(k, value)
        self._look_at_halves()

    @property
    def missing(self) -> int:
        """Servos of which the last read has nothing to go by, one bit each in the order of the spec's."""
        return self._missing | self._aside

    def forget(self) -> None:
        """Somebody has dealt with the servos that had restarted or stopped by themselves."""
        self._deaf.clear()

    def _look_at_watchdog(self, k: int, value: int) -> None:
        if value == _WATCHDOG_TRIPPED:
            self.has_stopped(k)
        elif value != self.watchdog_expected:
            self._has_restarted(k)

    def has_stopped(self, k: int) -> None:
        """The watchdog of this servo has tripped."""
        self._state.watchdog_tripped[self._joint[k]] = True
        self._deaf.add(k)
        self._blame(k)

    def _has_restarted(self, k: int) -> None:
        self._state.restarted[self._joint[k]] = True
        self._deaf.add(k)
        self._blame(k)

    def _look_at_halves(self) -> None:
        """Of which joints one servo is limp or deaf, and the other goes on alone."""
        for k, (i, *_) in enumerate(self._second, self._count):
            acts = [not (self._limp[s] or s in self._deaf) for s in (i, k)]
            self._state.halved[i] = self.torque_expected and acts[0] != acts[1]

    def _look_at_ticks(self, ticks: dict[int, int]) -> None:
        """Whose counter does not fit has restarted. Where none fits, by the same, the computer slept, and with it its
        clock; an arm whose power was off says so when its torque and watchdog are asked.
        """
        off = {k: surplus for k, tick in ticks.items() if (surplus := self._surplus(k, tick))}
        slept = len(off) == len(ticks) > 1 and max(off.values()) - min(off.values()) < _TICK_SLACK
        for k in () if slept else off:
            self._has_restarted(k)

    def _blame(self, k: int) -> None:
        """The last news of its joint was about this servo."""
        self._state.blamed[self._joint[k]] = k

    def _joints_of(self, missing: int) -> tuple[int, int]:
        """Bits of the joints that lack one of their servos, and of those that lack all."""
        first = missing & (1 << self._count) - 1
        lacking, silent = first, first
        for k, (i, *_) in enumerate(self._second, self._count):
            one, other = first >> i & 1, missing >> k & 1
            lacking |= other << i
            silent &= ~((1 - other) << i)
            if one or other:
                self._state.blamed[i] = BOTH if one and other else k if other else i
        return lacking, silent

    def _surplus(self, k: int, tick: int) -> float:
        """By how much (ms) a servo's millisecond counter does not fit the time since it was last seen; 0: it fits.

        Either sample was taken at some moment between its request and its reply: a host that pauses in between makes
        the moment uncertain, not the servo suspect.
        """
        group = self._plan.full.group
        before, self._ticks[k] = self._ticks[k], (tick, group.sent_at, group.received_at)
        if before is None:
            return 0.0
        last, sent, received = before
        shortest, longest = (group.sent_at - received) * 1e3, (group.received_at - sent) * 1e3
        expected, doubt = (longest + shortest) / 2, (longest - shortest) / 2
        passed = (tick - last) % _TICK_PERIOD
        surplus = (passed - expected + _TICK_PERIOD / 2) % _TICK_PERIOD - _TICK_PERIOD / 2
        return surplus if abs(surplus) > _TICK_SLACK + doubt + _CLOCK_DRIFT * longest else 0.0
