"""From the registers of a read to the joint state, and what a reading can betray: a restart, a jump, a watchdog."""

from __future__ import annotations

import math
import struct

import numpy as np

from robot_runtime.arm.read_plan import MotionFields, PlannedRead, ReadPlan
from robot_runtime.arm.scaling import SenseScale
from robot_runtime.arm.state import JointState
from robot_runtime.bus.packets import ALERT
from robot_runtime.spec import ArmSpec

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

_JUMP_SPEED = 1.5
"""Times the no-load speed: nothing but an encoder fault or a lost turn count moves a reading faster."""


class Sensing:
    """Converts what the read groups hold. Motion comes every cycle and joint by joint, in plain numbers: of so few they
    are quicker than arrays, and less of the processor's cache is needed for them.
    """

    def __init__(self, spec: ArmSpec, plan: ReadPlan, state: JointState, scale: SenseScale) -> None:
        """Bind views of the groups to the arrays of the state."""
        count = len(spec.joints)
        self._plan, self._state = plan, state
        self._bits = 1 << np.arange(count)
        self._missing = -1  # in the last read
        fastest = [_JUMP_SPEED * j.servo.motor.no_load_speed / j.gear for j in spec.joints]
        scales = (scale.position, scale.offset, scale.velocity, scale.torque)
        self._scales = list(zip(*(each.tolist() for each in scales), fastest, strict=True))
        self._pack = struct.Struct(f"{4 * count}d").pack_into
        self._motion = state.motion.data.cast("B")
        self._ticks: list[tuple[int, float, float] | None] = [None] * count  # and when they were asked for, and came
        self._asked = [-math.inf] * count  # s, when the motion that the state holds was asked for: no sample is older
        self._limp = [False] * count  # said so between two health reads
        self._apart = [group.reader(0, "B") for group in plan.apart]
        self._last_alerts = False
        self.watchdog_expected = 0
        self.torque_expected = False

    def take(self, missing: int, read: PlannedRead) -> int:
        """Take over a finished read; returns the missing joints, with those added whose data cannot be trusted."""
        group = read.group
        if read.has_health:
            missing |= self._take_health(missing, group.received_at)
        if missing != self._missing:
            self._missing = missing
            np.copyto(self._state.fresh, (self._bits & missing) == 0)
        self._take_motion(read.motion, missing, group.sent_at, group.received_at)
        alerts = any(group.errors)
        if alerts or self._last_alerts:
            told = np.array([error & ALERT != 0 for error in group.errors])
            np.copyto(self._state.alert, told, where=self._state.fresh)
            self._last_alerts = alerts or bool(self._state.alert.any())
        return missing

    def _take_motion(self, fields: MotionFields, missing: int, sent: float, now: float) -> None:
        q, dq, tau, stamp = self._state.motion.tolist()
        asked = self._asked
        ticks = iter(fields.ticks())
        for i, (position, offset, velocity, torque, fastest) in enumerate(self._scales):
            current, turns, place = next(ticks), next(ticks), next(ticks)
            if missing >> i & 1:
                continue
            angle = place * position + offset
            # From request to reply the host may have paused. Before the first reading nothing is a jump.
            if abs(angle - q[i]) > (now - asked[i]) * fastest + _JUMP_SLACK:
                self._state.jumped[i] = True
            q[i], dq[i], tau[i], stamp[i], asked[i] = angle, turns * velocity, current * torque, now, sent
        self._pack(self._motion, 0, *q, *dq, *tau, *stamp)

    def _take_health(self, missing: int, now: float) -> int:
        """Health of the servos that answered; returns those whose reply shows that their memory was wiped."""
        state, health = self._state, self._plan.health
        wiped = 0
        servos = list(health.servos())
        if self._plan.apart:
            self._look_at_ticks({i: s[-1] for i, s in enumerate(servos) if not missing >> i & 1 and s[0] != 0})
        for i, (volts, celsius, error, on, watchdog, tick) in enumerate(servos):
            if missing >> i & 1:
                continue
            if volts == 0:  # a powered servo never reads 0 V: its indirect addresses are reset
                wiped |= 1 << i
                state.restarted[i], state.torque_on[i] = True, False
                continue
            state.voltage[i], state.temperature[i], state.health_stamp[i] = _VOLTS_PER_TICK * volts, celsius, now
            if tick is not None:
                self._limp[i] &= self.torque_expected
                state.torque_on[i] = self.torque_expected and not (state.restarted[i] or self._limp[i])
                continue
            state.hardware_error[i], state.torque_on[i] = error, on != 0
            if watchdog == _WATCHDOG_TRIPPED:
                state.watchdog_tripped[i] = True
            elif watchdog != self.watchdog_expected:
                state.restarted[i] = True
        return wiped

    def take_apart(self, which: int, missing: int) -> None:
        """Take over what was asked between the health reads: torque (0) or the watchdog (1) of all servos."""
        state = self._state
        if not self.torque_expected:
            return
        for i, value in enumerate(self._apart[which]()):
            if missing >> i & 1:
                continue
            if which == 0:
                self._limp[i] = value == 0
                state.torque_on[i] = not (self._limp[i] or state.restarted[i])
            elif value == _WATCHDOG_TRIPPED:
                state.watchdog_tripped[i] = True
            elif value != self.watchdog_expected:
                state.restarted[i] = True

    def _look_at_ticks(self, ticks: dict[int, int]) -> None:
        """Whose counter does not fit has restarted. Where none fits, by the same, the computer slept, and with it its
        clock; an arm whose power was off says so when its torque and watchdog are asked.
        """
        off = {i: surplus for i, tick in ticks.items() if (surplus := self._surplus(i, tick))}
        slept = len(off) == len(ticks) > 1 and max(off.values()) - min(off.values()) < _TICK_SLACK
        for i in () if slept else off:
            self._state.restarted[i] = True

    def _surplus(self, i: int, tick: int) -> float:
        """By how much (ms) a servo's millisecond counter does not fit the time since it was last seen; 0: it fits.

        Either sample was taken at some moment between its request and its reply: a host that pauses in between makes
        the moment uncertain, not the servo suspect.
        """
        group = self._plan.full.group
        before, self._ticks[i] = self._ticks[i], (tick, group.sent_at, group.received_at)
        if before is None:
            return 0.0
        last, sent, received = before
        shortest, longest = (group.sent_at - received) * 1e3, (group.received_at - sent) * 1e3
        expected, doubt = (longest + shortest) / 2, (longest - shortest) / 2
        passed = (tick - last) % _TICK_PERIOD
        surplus = (passed - expected + _TICK_PERIOD / 2) % _TICK_PERIOD - _TICK_PERIOD / 2
        return surplus if abs(surplus) > _TICK_SLACK + doubt + _CLOCK_DRIFT * longest else 0.0
