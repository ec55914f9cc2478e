"""The control loop: read, watch, intend, limit, write, record; every cycle, until the flight has ended.

Everything that can change a command enters by the port (bytes, clock) or by the inputs, and both are recorded: the
same bytes through this loop make the same commands.
"""

from __future__ import annotations

from collections.abc import Callable
from math import nan

import numpy as np

from robot_runtime.arm import Arm, Move, TorqueStaysError
from robot_runtime.arrays import Floats
from robot_runtime.bus import BusError, PortError, PortVanishedError
from robot_runtime.flight.recorder import FlightRecorder, Level
from robot_runtime.flying import Inputs, InputSource, Phase, Request, Source, SourceFlag
from robot_runtime.histogram import Histogram
from robot_runtime.realtime import Pacer
from robot_runtime.safety.envelope import Envelope
from robot_runtime.safety.fault_kind import Ending, Fault, Stop
from robot_runtime.safety.faults import TORQUE_STAYS
from robot_runtime.safety.monitor import Monitor, requested
from robot_runtime.safety.path import soft_path
from robot_runtime.safety.settings import OFF_PATIENCE
from robot_runtime.safety.stopping import Stopping
from robot_runtime.undisturbed import undisturbed

START_SHARE = 0.25
"""Of every joint's velocity, acceleration and jerk limit, at most, on the way to the start pose."""

SETTLE = 0.3
"""s to stand at the start pose before the policy takes over: springs swing out."""

_READ_SHARE = 0.7
"""Of the period after which lost replies are not asked for again: what remains is for acting and writing."""

_OFF_PAUSE = 0.05
"""s between two attempts to switch torque off."""

_NOT_FINITE, _TARGETS_ENDED = int(SourceFlag.NOT_FINITE), int(Request.TARGETS_ENDED)
"""Plain numbers: flags cost a microsecond an operation."""

SECTIONS = ("read", "act", "limit", "write", "slack", "lateness")
"""What is timed every cycle."""


class NotStartedError(Exception):
    """A stop was asked for before torque came on; it is off.

    Example scenarios:
        - Ctrl-C, or the emergency stop, while the arm was being looked over.
        - The recording has failed already.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"not started: {fault.text}")
        self.fault = fault
        """Who asked."""


class Loop:
    """One flight, from torque on to torque off."""

    def __init__(
        self,
        arm: Arm,
        source: Source,
        envelope: Envelope,
        monitor: Monitor,
        stopping: Stopping,
        inputs: Inputs,
        input_source: InputSource,
        recorder: FlightRecorder,
        period: float,
        *,
        duration: float | None = None,
        readonly: bool = False,
        every_cycle: Callable[[Loop], None] | None = None,
    ) -> None:
        """`duration` (s) of the policy's part; None: until somebody stops it. `readonly`: look, compute, send nothing.

        `every_cycle` is called at the end of each, for displays; it may not ask the port for anything, or a replay
        would miss it.
        """
        self.arm, self.source, self.envelope, self.monitor, self.stopping = arm, source, envelope, monitor, stopping
        self.inputs, self.recorder = inputs, recorder
        self.phase = Phase.PREFLIGHT
        self.stop = Stop.NONE
        self.period, self.duration, self.readonly = period, duration, readonly
        self.completed = False
        """The duration is over, and nothing had been wrong until then."""
        self.broken: Exception | None = None
        """What the source raised, if it did."""
        self.not_started: NotStartedError | None = None
        """Why torque was not switched on, if somebody was against it."""
        self.failed: BaseException | None = None
        """What broke the flight off, where a servo keeps its torque all the same: the verdict tells of both."""
        self.run_time = 0.0
        """s that the source has been in charge."""
        self.times = {name: Histogram() for name in SECTIONS}
        self.pacer = Pacer(arm.bus.port, period)
        self.command: Floats = np.full(len(arm.spec.joints), np.nan)
        """What was sent last, in the unit of each joint's mode; nan before the first."""

        self._input_source, self._every_cycle = input_source, every_cycle
        self._now = arm.bus.port.now
        self._intent: Floats = np.zeros(len(arm.spec.joints))
        self._send: Floats = np.zeros(len(arm.spec.joints))
        self._everyone = np.ones(len(arm.spec.joints), dtype=bool)
        self._per_action = round(source.period / period)
        self._next_action = 0
        self._reading = arm.bus.expected_time(arm.plan.full.group) + arm.bus.host_margin
        """s that a read gets however late its cycle began: an answer that comes late beats none."""
        self._moves: list[Move] = []
        self._since = 0.0
        self._flags = 0
        self._waits = False
        self._last_holds = duration is not None
        """That no more targets come ends nothing."""
        self._sent = np.full_like(self.command, np.nan) if readonly else self.command
        """For the monitor: what nobody sent, nobody needs to follow."""
        self._target_stamp = recorder.row["target_stamp"]
        self._told = 0
        source.follow(self.command)
        self._bind()

    def fly(self) -> None:
        """Torque on, softly to the start pose, run, stop, torque off.

        Raises:
            What the arm raises when torque cannot be switched on; torque is off then. A servo that keeps it is no
            error but a fault, for the verdict.
        """
        failed: Exception | KeyboardInterrupt | None = None
        try:
            self.begin()
            while self.cycle():
                pass
        except NotStartedError as error:
            self.not_started = error
        except TorqueStaysError as error:
            failed = error.first
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 (raised again, or told by the verdict)
            failed = error
        finally:
            self.end()
        if failed is None:
            return
        if not any(fault.kind is TORQUE_STAYS for fault in self.monitor.seen):
            raise failed
        self.failed = failed

    def begin(self) -> None:
        """Torque on; the first cycle is one period from now. For programs that step the loop by themselves.

        Raises:
            NotStartedError: somebody asks for a stop already.
            What the arm raises when torque cannot be switched on; torque is off then, but for TorqueStaysError, after
            which `end` tries again.
        """
        arm = self.arm
        if self.readonly:
            self._require_consent()
        else:
            with undisturbed():
                arm.torque_on(self._require_consent)
        now = self._now()
        arm.read(now + self.period)
        self.envelope.reset(arm.state, now)
        self.pacer = Pacer(arm.bus.port, self.period)
        arm.capture_hold(self._everyone)
        self.go_to_start()

    def _require_consent(self) -> None:
        """Who asks for a stop now is not to see the arm held, and lowered, first. Raises NotStartedError."""
        now = self._now()
        self._sample(now)
        for fault in requested(self.inputs.request, now):
            raise NotStartedError(fault)

    def go_to_start(self) -> None:
        """Softly to the source's start pose, from wherever the arm is held or flown; then the source is in charge."""
        arm, now = self.arm, self._now()
        self._since = now
        if not self.readonly:
            if self.phase is Phase.RUN:
                arm.capture_hold(self._everyone)
            start = np.array(arm.hold_angle)
            self._moves = soft_path(arm.spec, arm.kinematics, start, self.source.start_pose, START_SHARE)
        self._enter(Phase.START, now)

    def end(self) -> None:
        """Torque off, whatever happened; a servo that does not confirm it is a fault of its own."""
        with undisturbed():
            if self.arm.torque_is_expected:
                self._switch_off()
            self._tell_faults()
            self._enter(Phase.ENDED, self._now())

    def _switch_off(self) -> None:
        port = self.arm.bus.port
        tried_until = self._now() + OFF_PATIENCE
        while True:
            began = self._now()
            try:
                self.arm.torque_off()
            except BusError as error:
                now = self._now()
                another = now + _OFF_PAUSE + (now - began)  # when one more that takes as long would be over
                if isinstance(error, PortVanishedError) or another > tried_until:
                    self.monitor.torque_stays(error, now)
                    return
                port.sleep_until(self._now() + _OFF_PAUSE)
            else:
                return

    # -- one cycle -----------------------------------------------------------------------------------------------------

    def cycle(self) -> bool:
        """Wait for the next cycle and run it; False: it was the last one."""
        try:
            return self._cycle()
        except Exception as error:
            if self.broken is not None:  # the stop itself breaks: `end` switches off
                raise
            self._break(error)
            return True

    def _break(self, error: Exception) -> None:
        """Whatever broke, the arm is lowered before anybody hears of it."""
        self.broken = self.broken or error
        now = self._now()
        self._begin_stop(self.monitor.software_failed(error, now), now)

    def _cycle(self) -> bool:
        arm, pacer, now, inputs = self.arm, self.pacer, self._now, self.inputs
        pacer.wait()
        begin = pacer.began
        self._sample(begin)
        try:
            missing = arm.read(max(pacer.due + _READ_SHARE * self.period, begin + self._reading))
        except PortError as error:
            return self._lost(error)
        read = now()
        late = pacer.lateness + pacer.skipped * self.period
        wanted = self.monitor.look(arm.state, missing, inputs, self._flags, late, pacer.skipped, self._sent, read)
        if wanted > self.stop:
            self._begin_stop(wanted, read)
        acts = self._intend(read)
        acted = now()
        np.copyto(self.command, self._intent)
        self.envelope.limit(self.command, arm.state, acted)
        if not self.envelope.wanted_was_finite:
            self._flags |= _NOT_FINITE
        limited = now()
        if self.stopping.done:
            self.command[:] = np.nan
        elif not self.readonly:
            np.copyto(self._send, self.command)
            try:
                arm.send(self._send)
            except PortError as error:
                return self._lost(error)
        written = now()

        self._record(read, acted, limited, written, missing, acts=acts)
        times = self.times
        times["read"].add(read - begin)
        times["act"].add(acted - read)
        times["limit"].add(limited - acted)
        times["write"].add(written - limited)
        times["slack"].add(pacer.slack)
        times["lateness"].add(pacer.lateness)
        if self._every_cycle is not None:
            try:
                self._every_cycle(self)
            except Exception as error:  # noqa: BLE001 (no display is worth an arm that falls)
                self._every_cycle = None
                self._break(error)
        return not (self.stopping.done or (self.readonly and self.phase is Phase.STOP))

    def _sample(self, now: float) -> None:
        """Requests and targets. That no more targets come ends a flight that has no other end, if it runs by then;
        what was said before that is where the arm is wanted, and the last of it holds.
        """
        inputs = self.inputs
        try:
            self._input_source.sample(inputs, now)
        except Exception:
            if self.broken is None:
                raise
            # It was told, and the arm is on its way to rest.
        if inputs.request & _TARGETS_ENDED and (self._last_holds or self.phase is not Phase.RUN):
            inputs.request &= ~_TARGETS_ENDED
            if inputs.target_stamp > -np.inf:
                self._last_holds = True
                inputs.target_stamp = now  # nobody is silent

    def _intend(self, now: float) -> bool:
        """What every joint should do, into `_intent`; returns whether the source acted."""
        if self.phase is Phase.START and self._start(now):
            missed = (
                Stop.NONE if self.readonly else self.monitor.start_missed(self.arm.state, self.source.start_pose, now)
            )
            if missed:
                self._begin_stop(missed, now)
            elif self._has_target(now):
                self._begin_run(now)
        if self.phase is Phase.RUN:
            self.run_time = now - self._since
            if self.duration is None or self.run_time < self.duration:
                return self._run(now)
            self.completed = not self.monitor.seen
            self._begin_stop(Stop.LOWER, now)
        if self.phase is Phase.STOP:
            self.stopping.intend(self.arm.state, now, self._intent, self.command)
        return False

    def _has_target(self, now: float) -> bool:
        """Whether there is one, if the policy wants one; without, the arm waits at the start pose."""
        if self.inputs.target_size == 0 or self.inputs.target_stamp > -np.inf:
            return True
        if not self._waits:
            self._waits = True
            self.monitor.follow_targets(now)
            self.recorder.event("waiting for a first target", at=now)
        return False

    def _start(self, now: float) -> bool:
        """On the way to the start pose; True: it has been reached."""
        arm = self.arm
        if self.readonly:
            return True
        while self._moves and now - self._since > self._moves[0].duration:
            done = self._moves.pop(0)
            done.at(done.duration, arm.hold_angle)
            self._since += done.duration
        if self._moves:
            self._moves[0].at(now - self._since, arm.hold_angle)
        arm.hold_into(self._intent, self._everyone)
        return not self._moves and now - self._since >= SETTLE

    def _run(self, now: float) -> bool:
        """The source is in charge; returns whether it acted."""
        acts = self.pacer.cycle >= self._next_action
        if acts:  # after skipped cycles: at once, then in its old rhythm
            late = (self.pacer.cycle - self._next_action) // self._per_action
            self._next_action += (late + 1) * self._per_action
        self._flags = self.source.intend(self.arm.state, self.inputs.target, now, acts, self._intent)
        return acts

    # -- from phase to phase -------------------------------------------------------------------------------------------

    def _begin_run(self, now: float) -> None:
        self._since = now
        self._next_action = self.pacer.cycle
        self.source.reset(self.arm.state, now)
        self._input_source.begin(now)
        self.monitor.follow_targets(now)
        self._enter(Phase.RUN, now)

    def _begin_stop(self, stop: Stop, now: float) -> None:
        self.stop = stop
        self.monitor.forget_targets()
        self.stopping.begin(stop, self.arm.state, now)
        self._flags = 0
        if self.phase is not Phase.STOP:
            self.envelope.emergency = True
            self._enter(Phase.STOP, now)

    def _enter(self, phase: Phase, now: float) -> None:
        self.phase = phase
        self.recorder.event(f"phase {phase.name.lower()}", at=now)

    def _lost(self, error: PortError) -> bool:
        """The port is gone: nothing more can be said to the arm; its servos stop by themselves."""
        now = self._now()
        self.stop = self.monitor.port_gone(error, now)
        self._record(nan, nan, nan, nan, (1 << len(self.command)) - 1, acts=False)
        return False

    # -- telling -------------------------------------------------------------------------------------------------------

    def _bind(self) -> None:
        """The recorder copies these every cycle."""
        bind, state = self.recorder.bind, self.arm.state
        for name in ("q", "dq", "tau", "stamp", "fresh", "alert", "jumped", "restarted", "watchdog_tripped", "split"):
            bind(name, getattr(state, name))
        for name in ("voltage", "temperature", "health_stamp", "hardware_error", "torque_on", "halved"):
            bind(name, getattr(state, name))
        bind("target", self.inputs.target)
        bind("intent", self._intent)
        bind("command", self.command)
        bind("hold", self.arm.hold_angle)
        bind("interventions", self.envelope.interventions)

    def _record(self, read: float, acted: float, limited: float, written: float, missing: int, *, acts: bool) -> None:
        """When each step was done (s), who did not answer, and whether the source acted."""
        pacer, inputs = self.pacer, self.inputs
        self.recorder.timing(
            pacer.due,
            pacer.began,
            read,
            acted,
            limited,
            written,
            pacer.lateness,
            pacer.cycle,
            inputs.request,
            missing,
            self._flags,
            pacer.skipped,
            self.phase,
            self.stop,
            acts,
        )
        self._target_stamp[0] = inputs.target_stamp
        if len(self.monitor.seen) > self._told:
            self._tell_faults()
        self.recorder.put()

    def _tell_faults(self) -> None:
        for fault in self.monitor.seen[self._told :]:
            level = Level.INFO if fault.kind.ending is Ending.COMPLETED else Level.ERROR
            self.recorder.event(fault.text, level, fault.kind.name, at=fault.time)
        self._told = len(self.monitor.seen)
