"""From the registers of a read to the joint state, and what a reading can betray: a restart, a jump, a watchdog."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
    """Converts what the read groups hold; allocates nothing while all servos answer."""

    def __init__(self, spec: ArmSpec, plan: ReadPlan, state: JointState, scale: SenseScale) -> None:
        """Bind views of the groups to the arrays of the state."""
        count = len(spec.joints)
        self._plan, self._state, self._scale = plan, state, scale
        self._everyone = np.ones(count, dtype=bool)
        self._bits = 1 << np.arange(count)
        self._before = np.zeros(count)
        self._work = np.zeros(count)
        self._speed = np.array([_JUMP_SPEED * j.servo.motor.no_load_speed / j.gear for j in spec.joints])
        self._tick: NDArray[np.float64] = np.full(count, np.nan)
        self._tick_sent = np.zeros(count)
        self._tick_received = np.zeros(count)
        self._last_alerts = False
        self.watchdog_expected = 0
        self.torque_expected = False

    def take(self, missing: int, read: PlannedRead) -> int:
        """Take over a finished read; returns the missing joints, with those added whose data cannot be trusted."""
        group = read.group
        if read.has_health:
            missing |= self._take_health(missing, group.received_at)
        if missing == 0:
            np.copyto(self._state.fresh, self._everyone)
        else:
            np.copyto(self._state.fresh, (self._bits & missing) == 0)
        self._take_motion(read.motion, group.received_at, everyone=missing == 0)
        alerts = any(group.errors)
        if alerts or self._last_alerts:
            told = np.array([error & ALERT != 0 for error in group.errors])
            np.copyto(self._state.alert, told, where=self._state.fresh)
        self._last_alerts = alerts or bool(self._state.alert.any())
        return missing

    def _take_motion(self, fields: MotionFields, now: float, *, everyone: bool) -> None:
        state, scale = self._state, self._scale
        fresh = True if everyone else state.fresh  # a mask doubles the time of an operation
        np.copyto(self._before, state.q)
        np.multiply(fields.position, scale.position, out=state.q, where=fresh)
        np.add(state.q, scale.offset, out=state.q, where=fresh)
        np.multiply(fields.velocity, scale.velocity, out=state.dq, where=fresh)
        np.multiply(fields.current, scale.torque, out=state.tau, where=fresh)
        self._look_for_jumps(now)
        np.copyto(state.stamp, now, where=fresh)

    def _look_for_jumps(self, now: float) -> None:
        work = self._work
        np.subtract(now, self._state.stamp, out=work)  # inf before the first reading: then nothing is a jump
        np.multiply(work, self._speed, out=work)
        np.add(work, _JUMP_SLACK, out=work)
        np.subtract(self._state.q, self._before, out=self._before)
        np.abs(self._before, out=self._before)
        if np.count_nonzero(self._before > work):
            self._state.jumped |= (self._before > work) & self._state.fresh

    def _take_health(self, missing: int, now: float) -> int:
        """Health of the servos that answered; returns those whose reply shows that their memory was wiped."""
        state, health = self._state, self._plan.health
        answered = (self._bits & missing) == 0
        wiped = answered & (health.voltage == 0)  # a powered servo never reads 0 V: its indirect addresses are reset
        good = answered & ~wiped
        np.multiply(health.voltage, _VOLTS_PER_TICK, out=state.voltage, where=good)
        np.copyto(state.temperature, health.temperature, where=good)
        restarted = wiped.copy()
        if health.hardware_error is not None:
            np.copyto(state.hardware_error, health.hardware_error, where=good)
        if health.torque_enable is not None:
            np.copyto(state.torque_on, health.torque_enable != 0, where=good)
        if health.watchdog is not None:
            tripped = good & (health.watchdog == _WATCHDOG_TRIPPED)
            state.watchdog_tripped |= tripped
            restarted |= good & ~tripped & (health.watchdog != self.watchdog_expected)
        if health.realtime_tick is not None:
            restarted |= self._tick_started_over(health.realtime_tick, good)
            np.copyto(state.torque_on, self.torque_expected & ~state.restarted & ~restarted, where=good)
        state.restarted |= restarted
        state.torque_on &= ~wiped
        np.copyto(state.health_stamp, now, where=good)
        return int(self._bits[wiped].sum())

    def _tick_started_over(self, tick: NDArray[np.uint16], good: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Servos whose millisecond counter does not fit the time that has passed since it was last seen.

        Either sample was taken at some moment between its request and its reply: a host that pauses in between makes
        the moment uncertain, not the servo suspect.
        """
        group = self._plan.full.group
        known = good & ~np.isnan(self._tick)
        shortest = np.where(known, (group.sent_at - self._tick_received) * 1e3, 0.0)
        longest = np.where(known, (group.received_at - self._tick_sent) * 1e3, 0.0)
        expected, doubt = (longest + shortest) / 2, (longest - shortest) / 2
        passed = np.where(known, (tick - self._tick) % _TICK_PERIOD, 0.0)
        error = np.abs((passed - expected + _TICK_PERIOD / 2) % _TICK_PERIOD - _TICK_PERIOD / 2)
        np.copyto(self._tick, tick, where=good)
        np.copyto(self._tick_sent, group.sent_at, where=good)
        np.copyto(self._tick_received, group.received_at, where=good)
        return known & (error > _TICK_SLACK + doubt + _CLOCK_DRIFT * longest)
