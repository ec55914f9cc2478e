"""The monitor: looks at arm, policy, operator and clock once a cycle and says which class of stop they call for.

A healthy cycle costs a handful of numpy calls on arrays bound once; only what is out of bounds is looked at closely,
with the window of its kind. What was seen stays seen: nothing recovers into motion.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from robot_runtime.arm import JointState
from robot_runtime.arm.scaling import POSITION_MODES
from robot_runtime.arm.state import BOTH
from robot_runtime.arrays import Flags, Floats
from robot_runtime.flying import Inputs, Request, SourceFlag
from robot_runtime.safety import faults
from robot_runtime.safety.fault_kind import Fault, FaultKind, Stop
from robot_runtime.safety.load import EVERY, Load
from robot_runtime.safety.settings import START_ERROR, Settings
from robot_runtime.safety.windows import Windows
from robot_runtime.spec import ArmSpec

__all__ = ["Fault", "Monitor", "Settings", "requested"]

REQUESTS = {
    Request.CTRL_C: (faults.OPERATOR_STOP, "asked to stop by Ctrl-C"),
    Request.SIGTERM: (faults.OPERATOR_STOP, "asked to stop by SIGTERM"),
    Request.SIGHUP: (faults.OPERATOR_STOP, "asked to stop by SIGHUP: the terminal was closed"),
    Request.SPACE: (faults.OPERATOR_FREEZE, "frozen by the space bar"),
    Request.ESTOP: (faults.E_STOP, "the e-stop is pressed"),
    Request.PARENT_GONE: (faults.PARENT_GONE, "the process that started this one has ended"),
    Request.DISK_FULL: (faults.DISK_FULL, "no space left for the recording"),
    Request.RECORDER_FAILED: (faults.RECORDER_FAILED, "the recorder has died"),
    Request.RECORDER_BEHIND: (faults.RECORDER_BEHIND, "the recorder does not keep up"),
    Request.TARGETS_ENDED: (faults.TARGETS_ENDED, "no more targets"),
    Request.LET_GO: (faults.LET_GO, "asked to stop a second time"),
}
"""Request -> what it is a fault of, and who asked, in words."""

_MAPS = {
    SourceFlag.OBSERVATION_MAP: "observation",
    SourceFlag.TORQUE_MAP: "torque",
    SourceFlag.GOAL_MAP: "goal",
}
_ANY_MAP = int(SourceFlag.OBSERVATION_MAP | SourceFlag.TORQUE_MAP | SourceFlag.GOAL_MAP)

_SPEED, _FOLLOW, _PUSH = 0, 1, 4
"""Rows of what is compared with a limit every cycle; between them both ends of the range."""

_HEALTH_KINDS = ((faults.TOO_HOT, "°C"), (faults.OVER_VOLTAGE, "V"), (faults.UNDER_VOLTAGE, "V"))
"""Rows of what is compared with every health read; the last with signs turned, because it must not fall below."""

_FORGOTTEN = 1e-3
"""Below this an average of losses counts as none."""


def requested(requests: int, now: float) -> list[Fault]:
    """What was asked for, as the monitor would tell it: for whoever is asked before there is a flight to end."""
    return [
        Fault(kind, (), math.nan, now, _advised(text, kind))
        for request, (kind, text) in REQUESTS.items()
        if requests & request
    ]


class Monitor:
    """Sees faults and remembers them. One flight, one monitor."""

    def __init__(self, spec: ArmSpec, period: float, settings: Settings | None = None) -> None:
        """`period`: of the bus (s)."""
        self.settings = settings = settings or Settings()
        self.seen: list[Fault] = []
        self.worst = Stop.NONE
        self._spec, self._period = spec, period
        self._late = settings.late_share * spec.bus.watchdog
        count = len(spec.joints)
        self._bits = 1 << np.arange(count)
        self._told: dict[str, int] = {}  # joints by kind, one bit each; -1: told, and no matter of a joint
        self._unheard = np.zeros(count, dtype=bool)  # or limp: its motion proves nothing
        self._heard = np.zeros(count, dtype=np.int64)  # reads in a row that an unheard joint has answered since
        self._any_unheard = False
        self._is_velocity: Flags = np.array([j.mode == "velocity" for j in spec.joints])
        self._any_velocity = bool(self._is_velocity.any())
        self._lag = np.where(self._is_velocity, 0.0, settings.following_lag)
        self._motion = _motion_windows(spec, settings)
        self._work = np.zeros(count)
        self._load, self._load_due = Load(spec, settings, period), -math.inf if settings.torque else math.inf
        self._health = _health_windows(spec, settings)
        self._health_seen = np.full(count, -math.inf)
        self._new = np.zeros(count, dtype=bool)
        self._unnamed = False
        self._missed = np.zeros(count, dtype=np.int64)
        self._any_missed = False
        self._loss = np.zeros(count)
        self._skips = 0.0
        self._then = -math.inf
        self._requests = 0
        self._targets_since = math.inf
        self._gripping = [settings.grips and j.mode == "current_position" for j in spec.joints]
        self._ood_since = self._ood_last = -math.inf

    def follow_targets(self, now: float) -> None:
        """From now on new targets must keep coming, if `settings.target_silence` says how often."""
        self._targets_since = now

    def forget_targets(self) -> None:
        """Nobody waits for targets any more."""
        self._targets_since = math.inf

    def look(
        self,
        state: JointState,
        missing: int,
        inputs: Inputs,
        flags: int,
        late: float,
        skipped: int,
        command: Floats,
        now: float,
    ) -> Stop:
        """Look once a cycle, after the read; returns the worst class of stop that anything so far calls for.

        `missing`: joints that did not answer, one bit each. `flags`: bits of SourceFlag. `late`: s by which the cycle
        began after it was due. `skipped`: whole cycles before it that were not run. `command`: the values that were
        sent last, in the unit of each joint's mode; nan before the first.
        """
        elapsed = min(now - self._then, 1.0) if self._then > -math.inf else self._period
        self._then = now
        if missing or self._any_missed:
            self._look_for_losses(state, missing, elapsed, now)
        self._look_at_motion(state, command, now)
        if now >= self._load_due:
            self._look_at_load(state, now)
        if state.health_stamp.tobytes() != self._health_seen.tobytes():
            self._look_at_health(state, now)
        if 1 in state.troubles.tobytes():
            self._look_at_flags(state, now)
        if 0 in state.torque_on.tobytes() and self.settings.torque:
            self._look_at_torque(state, now)
        if self._any_unheard:
            self._look_for_return(state)
        if inputs.request != self._requests:
            self._look_at_requests(inputs.request, now)
        if flags:
            self._look_at_source(flags, now)
        if (silence := self.settings.target_silence) is not None:
            silent = now - max(inputs.target_stamp, self._targets_since)
            if silent > silence:
                text = f"no target for {silent:.2f} s, {silence:g} s are allowed"
                self._report(faults.TARGET_SILENT, now, text, silent)
        if late > self._late:
            text = f"a cycle began {late * 1e3:.0f} ms late, {self._late * 1e3:.0f} ms are allowed"
            self._report(faults.LATE_CYCLE, now, text, late)
        if skipped or self._skips > _FORGOTTEN:
            self._look_at_skips(skipped, elapsed, now)
        return self.worst

    def port_gone(self, error: OSError, now: float) -> Stop:
        """The bus said that the port is gone."""
        return self._report(faults.PORT_GONE, now, str(error))

    def software_failed(self, error: Exception, now: float) -> Stop:
        """Whoever should say what the arm does has failed."""
        return self._report(faults.SOFTWARE_FAILED, now, f"{type(error).__name__}: {error}")

    def torque_stays(self, error: OSError | Exception, now: float) -> Stop:
        """Torque was to be off, and it is not known to be."""
        return self._report(faults.TORQUE_STAYS, now, f"torque may still be on: {error}")

    def start_missed(self, state: JointState, pose: Floats, now: float) -> Stop:
        """The soft start to `pose` (rad) is over: has everybody arrived? What grips may hold something already."""
        for i in np.flatnonzero(np.abs(state.q - pose) > START_ERROR):
            if self._gripping[i]:
                continue
            joint, off = self._spec.joints[i], float(state.q[i] - pose[i])
            text = f"joint '{joint.name}' is {abs(off):.2f} rad from the start pose: {faults.START_MISSED.advice}"
            self.add(Fault(faults.START_MISSED, (joint.name,), off, now, text))
        return self.worst

    def add(self, fault: Fault) -> Stop:
        """Take up what somebody else saw."""
        self.seen.append(fault)
        self.worst = max(self.worst, fault.kind.stop)
        return self.worst

    # -- motion --------------------------------------------------------------------------------------------------------

    def _look_at_motion(self, state: JointState, command: Floats, now: float) -> None:
        motion = self._motion
        speed, follow, upper, lower, push = motion.rows
        np.abs(state.dq, out=speed)
        np.subtract(command, state.q, out=follow)
        if self._any_velocity:
            np.subtract(command, state.dq, out=follow, where=self._is_velocity)
        np.abs(follow, out=follow)
        np.multiply(speed, self._lag, out=self._work)
        np.subtract(follow, self._work, out=follow)
        np.copyto(upper, state.q)
        np.negative(state.q, out=lower)
        np.abs(state.tau, out=push)
        if not motion.look():
            return
        motion.over[_PUSH] &= speed < self.settings.stall_speed
        motion.over[:, self._unheard] = False
        for row, i in motion.due(state.fresh | self._unheard, now):
            self._tell_motion(row, i, state, now)

    def _tell_motion(self, row: int, i: int, state: JointState, now: float) -> None:
        limits, value = self._spec.joints[i].limits, float(self._motion.values[row, i])
        if row == _SPEED:
            text = f"turns at {value:.2f} rad/s, its limit is {limits.velocity:g} rad/s"
            self._report_joint(faults.OVER_SPEED, i, now, text, value)
        elif row == _FOLLOW:
            unit, allowed = "rad/s" if self._is_velocity[i] else "rad", self._motion.limits[row, i]
            text = f"is {value:.2f} {unit} off what it was told, {allowed:.2f} {unit} are allowed"
            self._report_joint(faults.FOLLOWING_ERROR, i, now, text, value)
        elif row == _PUSH:
            text = f"pushes with {value:.2f} N·m without moving, its limit is {limits.torque:g} N·m"
            self._report_joint(faults.STALLED, i, now, text, value)
        else:
            value = float(state.q[i])
            text = f"stands at {value:.3f} rad, outside {limits.lower:g} to {limits.upper:g} rad"
            self._report_joint(faults.OUTSIDE_LIMITS, i, now, text, value)

    def _look_at_load(self, state: JointState, now: float) -> None:
        """Whose servo will not bear this for much longer."""
        self._load_due = now + EVERY
        soon, most = self._load.look(state, now), self.settings.overload_share
        if soon.max() > most:
            for i in _indices((soon > most) & ~self._unheard):
                share = float(self._load.lately[i])
                text = f"carries {share:.0%} of its full load, its overload protection bears about {most:.0%} for long"
                self._report_joint(faults.OVERLOADED, i, now, text, share)

    # -- health --------------------------------------------------------------------------------------------------------

    def _look_at_health(self, state: JointState, now: float) -> None:
        """Judge the joints whose health has just been read."""
        new, health = self._new, self._health
        np.not_equal(state.health_stamp, self._health_seen, out=new)
        np.copyto(self._health_seen, state.health_stamp)
        hot, over, under = health.rows
        np.copyto(hot, state.temperature)
        np.copyto(over, state.voltage)
        np.negative(state.voltage, out=under)
        if health.look():
            for row, i in health.due(new, now):
                value, limit = abs(float(health.values[row, i])), abs(float(health.limits[row, i]))
                kind, unit = _HEALTH_KINDS[row]
                what = f"has {value:.4g} {unit}, the limit is {limit:.4g} {unit}"
                self._report_joint(kind, i, now, what, value, int(state.blamed[i]))
        if self._unnamed and np.count_nonzero(state.alert):
            self._name_errors(state)

    def _look_at_flags(self, state: JointState, now: float) -> None:
        """What a servo says of itself, and what its readings betray."""
        for i in _indices(state.alert):
            self._report_joint(faults.HARDWARE_ERROR, i, now, self._error(state, i), who=int(state.blamed[i]))
        for i in _indices(state.jumped):
            text = f"jumped to {state.q[i]:+.2f} rad faster than it can move"
            self._report_joint(faults.ENCODER_JUMP, i, now, text, float(state.q[i]))
        for i in _indices(state.split):
            self._report_joint(faults.SERVOS_DISAGREE, i, now, "read further apart than at torque-on, on one axle")
        text = "lost its power or restarted, and holds nothing"
        self._report_joints(faults.SERVO_RESTARTED, _indices(state.restarted), now, text, state)
        text = f"heard nothing for {self._spec.bus.watchdog:g} s and stopped by itself"
        tripped = _indices(state.watchdog_tripped & ~state.restarted)
        self._report_joints(faults.WATCHDOG_TRIPPED, tripped, now, text, state)
        self._leave_out(state.restarted | state.watchdog_tripped)

    def _look_at_torque(self, state: JointState, now: float) -> None:
        limp = _indices(~state.torque_on & ~state.restarted)
        self._report_joints(faults.TORQUE_LOST, limp, now, "has switched its torque off", state)
        self._leave_out(~state.torque_on)

    def _error(self, state: JointState, i: int) -> str:
        names = self._spec.joints[i].servo.error_names(max(int(state.hardware_error[i]), 0))
        self._unnamed = self._unnamed or not names
        return f"reports a hardware error ({', '.join(names) or 'which one is not known yet'})"

    def _name_errors(self, state: JointState) -> None:
        """The alert bit comes with the next reply, the name of the error only with the next health read."""
        self._unnamed = False
        for k, fault in enumerate(self.seen):
            if fault.kind is faults.HARDWARE_ERROR:
                i = self._spec.joint_names.index(fault.joints[0])
                self.seen[k] = replace(
                    fault, text=self._text(faults.HARDWARE_ERROR, i, self._error(state, i), int(state.blamed[i]))
                )

    # -- bus and time --------------------------------------------------------------------------------------------------

    def _look_for_losses(self, state: JointState, missing: int, elapsed: float, now: float) -> None:
        settings = self.settings
        lost = (self._bits & missing) != 0
        self._missed += 1
        self._missed[~lost] = 0
        self._loss += (lost - self._loss) * min(elapsed / settings.loss_time, 1.0)
        self._loss[self._loss < _FORGOTTEN] = 0.0
        silent = (self._missed >= settings.silent_reads) & (now - state.whole_stamp > settings.silent_time)
        if silent.any():
            if silent.all():
                age = now - float(state.whole_stamp.max())
                self._report(faults.BUS_SILENT, now, f"no servo has answered for {age * 1e3:.0f} ms", age)
            else:
                for i in _indices(silent):
                    age = now - float(state.whole_stamp[i])
                    what = f"has not answered for {age * 1e3:.0f} ms"
                    self._report_joint(faults.LOST_REPLIES, i, now, what, age, int(state.blamed[i]))
            self._leave_out(silent)
        for i in _indices((self._loss > settings.loss_share) & ~self._unheard):
            share = float(self._loss[i])
            text = f"{share:.0%} of its answers are lost, {settings.loss_share:.0%} are allowed"
            self._report_joint(faults.STALE_STATE, i, now, text, share)
        self._any_missed = missing != 0 or bool(self._loss.any())

    def _leave_out(self, joints: Flags) -> None:
        """Their motion proves nothing until they are back."""
        self._unheard |= joints
        self._any_unheard = True

    def _look_for_return(self, state: JointState) -> None:
        """Who answers again, and acts on commands, is looked at again."""
        deaf = state.restarted | state.watchdog_tripped
        if self.settings.torque:
            deaf |= ~state.torque_on
        self._heard += 1
        self._heard[deaf | ~state.fresh | ~self._unheard] = 0
        back = self._unheard & (self._heard >= self.settings.heard_reads)
        self._unheard[back] = False
        self._loss[back] = 0.0  # what it lost while it was away has been told, as what it was
        self._any_unheard = bool(np.count_nonzero(self._unheard))

    def _look_at_skips(self, skipped: int, elapsed: float, now: float) -> None:
        settings = self.settings
        share = skipped / (skipped + 1)
        self._skips += (share - self._skips) * min(elapsed / settings.skip_time, 1.0)
        if self._skips > settings.skip_share:
            text = f"{self._skips:.0%} of the cycles were skipped, {settings.skip_share:.0%} are allowed"
            self._report(faults.OVERRUN, now, text, self._skips)

    # -- operator and policy -------------------------------------------------------------------------------------------

    def _look_at_requests(self, requests: int, now: float) -> None:
        for request, (kind, text) in REQUESTS.items():
            if requests & ~self._requests & request:
                self._report(kind, now, text)
        self._requests |= requests

    def _look_at_source(self, flags: int, now: float) -> None:
        if flags & _ANY_MAP:  # whatever else is no number then comes of it
            name = next(name for flag, name in _MAPS.items() if flags & flag)
            self._report(faults.MAP_NOT_FINITE, now, f"the calibration's {name} map said NaN or infinity")
        elif flags & SourceFlag.NOT_FINITE:
            self._report(faults.POLICY_NOT_FINITE, now, "the policy said NaN or infinity")
        if flags & SourceFlag.FROZEN:
            self._report(faults.POLICY_FROZEN, now, "the policy says the very same, whatever it sees")
        if flags & SourceFlag.OUT_OF_DISTRIBUTION:
            if now - self._ood_last > self.settings.ood_gap:
                self._ood_since = now
            self._ood_last = now
            if (lasted := now - self._ood_since) >= self.settings.ood_time:
                text = f"outside what the calibration knows for {lasted:.2f} s"
                self._report(faults.OUT_OF_DISTRIBUTION, now, text, lasted)

    # -- telling -------------------------------------------------------------------------------------------------------

    def _report(self, kind: FaultKind, now: float, text: str, value: float = math.nan) -> Stop:
        """Remember a fault that is no matter of one joint, once."""
        if kind.name in self._told:
            return self.worst
        self._told[kind.name] = -1
        return self.add(Fault(kind, (), value, now, _advised(text, kind)))

    def _report_joint(
        self, kind: FaultKind, i: int, now: float, what: str, value: float = math.nan, who: int = BOTH
    ) -> None:
        """Remember a fault of a joint, once. `who`: which of its servos, by its place among all."""
        told = self._told.get(kind.name, 0)
        if told >> i & 1:
            return
        self._told[kind.name] = told | 1 << i
        self.add(Fault(kind, (self._spec.joints[i].name,), value, now, self._text(kind, i, what, who)))

    def _report_joints(self, kind: FaultKind, joints: list[int], now: float, what: str, state: JointState) -> None:
        """Remember a fault of several joints, each once; what befalls all of them at once is one fault."""
        told = self._told.get(kind.name, 0)
        if told == 0 and len(joints) == len(self._spec.joints) > 1:
            self._told[kind.name] = (1 << len(joints)) - 1
            text = f"each of the {len(self._spec.servos)} servos {what}"
            self.add(Fault(kind, self._spec.joint_names, math.nan, now, _advised(text, kind)))
            return
        for i in joints:
            self._report_joint(kind, i, now, what, who=int(state.blamed[i]))

    def _text(self, kind: FaultKind, i: int, what: str, who: int) -> str:
        return _advised(f"joint '{self._spec.joints[i].name}' ({self._spec.who(i, who)}) {what}", kind)


def _advised(text: str, kind: FaultKind) -> str:
    return f"{text}: {kind.advice}" if kind.advice else text


def _indices(flags: Flags) -> list[int]:
    found: list[int] = np.flatnonzero(flags).tolist()
    return found


def _motion_windows(spec: ArmSpec, settings: Settings) -> Windows:
    """Limits and windows of speed, following error, both ends of the range, and pushing without moving."""
    joints = spec.joints
    # A current-based position joint may meet something, as a gripper does: its squeeze is bounded by its current.
    follow = {mode: settings.following_error for mode in POSITION_MODES if mode != "current_position"}
    return Windows(
        [
            [settings.over_speed * j.limits.velocity + settings.over_speed_slack for j in joints],
            [
                settings.following_speed * j.limits.velocity if j.mode == "velocity" else follow.get(j.mode, math.inf)
                for j in joints
            ],
            [j.limits.upper + settings.outside for j in joints],
            [settings.outside - j.limits.lower for j in joints],
            [
                math.inf if settings.grips and j.mode == "current_position" else settings.stall_share * j.limits.torque
                for j in joints
            ],
        ],
        (
            settings.over_speed_time,
            settings.following_time,
            settings.outside_time,
            settings.outside_time,
            settings.stall_time,
        ),
    )


def _health_windows(spec: ArmSpec, settings: Settings) -> Windows:
    """Limits and windows of temperature, and of the voltage in both directions."""
    lowest, highest = spec.supply
    rated = [j.servo.motor.voltage_range for j in spec.joints]
    return Windows(
        [
            [j.limits.temperature for j in spec.joints],
            [min(highest, settings.over_volts * high) for _, high in rated],
            [-max(settings.under_volts * lowest, low) for low, _ in rated],
        ],
        (settings.hot_time, settings.volts_time, settings.volts_time),
    )
