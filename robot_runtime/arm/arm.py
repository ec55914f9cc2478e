"""Arm: a spec and a bus. JointState in, JointCommand out, in SI units; nothing of bytes above this line."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from math import isfinite
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from robot_runtime.arm import torque
from robot_runtime.arm.duty import Duty
from robot_runtime.arm.errors import (
    CommandError,
    EncoderWrapError,
    OutsideLimitsError,
    ServosDisagreeError,
    TorqueOnError,
    TorqueStaysError,
)
from robot_runtime.arm.hold import Hold
from robot_runtime.arm.identify import ServoOnBus, answers_fast_reads, check_settings, everywhere, identify
from robot_runtime.arm.kinematics import Kinematics
from robot_runtime.arm.prepare import prepare, require_prepared
from robot_runtime.arm.read_plan import ReadPlan, plan_reads
from robot_runtime.arm.scaling import (
    POSITION_MODES,
    GoalScale,
    SenseScale,
    goal_bounds,
    goal_reach,
    goal_register,
)
from robot_runtime.arm.sensing import Sensing
from robot_runtime.arm.state import JointCommand, JointState, run_of
from robot_runtime.bus import Bus, BusError, GroupWrite, MissingServosError, Port, SerialPort, ServoError
from robot_runtime.bus.timing import wire_time
from robot_runtime.servos.protocol import RETURN_DELAY_STEP
from robot_runtime.spec import SPLIT, ArmSpec, ArmSpecError

HEALTH_EVERY = 8
"""Every so many reads the longer one with voltage, temperature, errors: a restarted servo is noticed within that."""

_READ_TRIES = 5

_FIRST_READ = 0.05
"""s, beyond its time on the wire, for the read between torque-on and the first command: an adapter that nobody has set
holds replies for 16 ms, and the servos' watchdog waits for at least 0.1 s.
"""

_PATIENCE = 0.1
"""s, beyond its time on the wire, for a read that everyone should answer."""

_STILL = 0.1
"""rad that a joint whose servo positions itself may move while torque-on is prepared: one that sinks, or that a hand
holds, does."""

_APART = 0.003
"""rad, two ticks: by how much motion may falsify what the two servos of a joint read apart as torque comes on."""


class Arm:
    """A real arm, or the twin: there is no difference here.

    Order of use: `Arm(spec, bus)` finds and checks the servos, `prepare` sets modes and gains (torque off), `torque_on`
    holds the arm where it is, then `read` and `write` in turn, faster than the servo watchdog (`spec.bus.watchdog`),
    and `torque_off`. Leaving the `with` block closes the port and touches no torque: what was holding goes on holding
    until the servo watchdog stops it.
    """

    def __init__(self, spec: ArmSpec, bus: Bus) -> None:
        """Find the arm's servos and check that they are the right ones.

        Raises:
            MissingServosError, WrongBaudError: not all servos answer.
            WrongServoError, ServoSettingError: they are not what the arm file says.
            FollowerError: a servo beside them obeys what they are told.
            ArmSpecError: the MJCF does not fit the arm file, or the bus is too slow for the watchdog.
            BusError: the bus fails.
        """
        self.spec = spec
        self.bus = bus
        self.servos: tuple[ServoOnBus, ...] = identify(bus, spec)
        check_settings(bus, self.servos)
        bus.return_delay = self._slowest_return_delay()
        self.kinematics = Kinematics(spec)
        self.plan: ReadPlan = plan_reads(
            spec.servo_ids,
            [s.model for s in self.servos],
            [s.firmware for s in self.servos],
            fast=answers_fast_reads(bus, self.servos),
        )
        count = len(spec.joints)
        self.state = JointState(count)
        self.gravity = np.zeros(count)
        self._sensing = Sensing(spec, self.plan, self.state, SenseScale.of(spec))
        self._duty = Duty(spec)
        self._hold = Hold(spec, self._duty)
        self._goal = GoalScale.of(spec)
        self._goals = GroupWrite([(j.servo_id, goal_register(j)) for j in spec.servos])
        self._goal_rows = self._goal.scale.tolist(), self._goal.offset.tolist()
        self._low, self._high = self._goal.low.copy(), self._goal.high.copy()
        self._joint = run_of(list(spec.turned_by))  # of each servo
        self._second = spec.turned_by[count:]
        self._by_force = ~self._goal.is_position[:count]
        self._last_traffic = bus.port.now()
        self._values = np.zeros(count)
        self._held_before = np.zeros(count, dtype=bool)
        self._reads = 0
        self._prepared = False
        on_the_wire = self.cycle_time - bus.port.adapter_latency
        if spec.bus.watchdog < 2 * on_the_wire:
            raise ArmSpecError(
                f"{spec.path}: bus.watchdog: {spec.bus.watchdog} s is shorter than two cycles of {on_the_wire:.3f} s "
                f"at {bus.port.baudrate} bit/s: the servos would stop by themselves; lengthen it, or raise the baud"
            )

    @classmethod
    def open(cls, spec: ArmSpec, port: str | Port) -> Self:
        """Open a serial port (by name, or one that is open already) and find the arm on it.

        Raises:
            PortNotFoundError, PortPermissionError, PortInUseError, PortSettingError: the port cannot be had.
            And all that `Arm()` raises; a port that was opened here is closed again then.
        """
        own = SerialPort(port, spec.bus.baudrate) if isinstance(port, str) else port
        try:
            return cls(spec, Bus(own))
        except BaseException:
            if isinstance(port, str):
                own.close()
            raise

    def __enter__(self) -> Self:
        """The arm itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the port; torque is not touched."""
        self.close()

    def close(self) -> None:
        """Close the port; torque is not touched."""
        self.bus.close()

    @property
    def cycle_time(self) -> float:
        """Seconds that one health read and one write take on the wire: the shortest cycle that loses nothing."""
        return self.bus.expected_time(self.plan.full.group) + wire_time(self._goals.size, self.bus.port.baudrate)

    @property
    def torque_is_expected(self) -> bool:
        """Whether torque was switched on here, and not all servos have confirmed since that it is off; what each servo
        says is in `state.torque_on`.
        """
        return self._sensing.torque_expected

    @property
    def apart(self) -> dict[int, float]:
        """How much further (rad) the second servo of a joint reads than the first, as last seen; by place."""
        return dict(zip(self._second, self._sensing.apart, strict=True))

    def prepare(self) -> None:
        """Set modes, gains, health mapping, and clear watchdogs.

        Raises:
            TorqueIsOnError: a servo holds torque; nothing was changed.
            BusError: a servo does not answer or refuses.
        """
        prepare(self.bus, self.servos, self.plan.mapping)
        self._sensing.watchdog_expected = 0
        self._prepared = True

    def torque_on(self, last_look: Callable[[], object] = lambda: None) -> None:
        """Hold the arm where it is: no goal moves it, gravity is carried from the first command on.

        `last_look` is called when all is ready, right before torque comes on; what it raises keeps torque off.

        Raises:
            TorqueIsOnError: a servo holds torque already; it stays as it is.
            OutsideLimitsError, EncoderWrapError: a joint stands where it must not be.
            ServosDisagreeError: the two servos of a joint do not read the same.
            ServoSettingError: a limit in a servo is narrower than the arm file's.
            TorqueOnError: a joint moves, a servo restarts or does not come on; torque is off again everywhere.
            MissingServosError, BusError: a servo does not answer; torque is off again everywhere.
            TorqueStaysError: as these, but torque may still be on somewhere.
        """
        self.prepare()  # again, if it was called before: a servo may have restarted since
        self._read_all()
        self.clear_flags()  # of before: who restarts from here on is found by `require_prepared`
        self._require_inside_limits()
        self._require_together()
        stood, switched = self.state.q.copy(), False
        try:
            torque.set_neutral_goals(self.bus, self.servos, self.spec.bus.watchdog_ticks)
            self._sensing.watchdog_expected = self.spec.bus.watchdog_ticks
            require_prepared(self.bus, self.servos)
            last_look()
            self._read_all()
            self._require_none_restarted()
            self._require_still(stood)
            switched = True
            torque.torque_on(self.bus, self.servos, self._hold_here)
            self._sensing.torque_expected = True
            self._read_all()
        except BaseException as error:  # Ctrl-C too
            self._sensing.torque_expected = switched
            try:
                self.torque_off()
            except BusError as stays:
                if switched and isinstance(error, Exception):
                    raise TorqueStaysError(error, stays) from error
                if switched:
                    error.add_note(f"torque may still be on: {stays}")
            raise

    def torque_off(self) -> None:
        """Let go: the arm falls unless something supports it.

        Raises:
            BusError: a servo does not answer; the others are off.
        """
        torque.torque_off(self.bus, self.servos)
        self._sensing.torque_expected = False
        self._sensing.watchdog_expected = 0

    def read(self, deadline: float | None = None) -> int:
        """Read all joints into `state`; return the joints that are missing, one bit each (0: all fresh).

        Motion comes with every read, health every `HEALTH_EVERY` reads once the arm is prepared.
        With a deadline (s, the port's clock) lost replies are asked for again as long as that fits before it.

        Raises:
            PortVanishedError: the port is gone.
        """
        if self.plan.health.watchdog is None and self._sensing.torque_expected:
            self._ask_watchdogs()
        full = self._prepared and self._reads % HEALTH_EVERY == 0
        read = self.plan.full if full else self.plan.motion[self._reads & 1]
        self._reads += 1
        missing = self.bus.read_group(read.group, deadline)
        self._last_traffic = read.group.received_at
        missing = self._sensing.take(missing, read)
        if self.plan.apart and self._prepared and self._reads % HEALTH_EVERY == HEALTH_EVERY // 2:
            which = self._reads // HEALTH_EVERY % len(self.plan.apart)
            self._sensing.take_apart(which, self.bus.read_group(self.plan.apart[which], deadline))
        return missing

    def write(self, command: JointCommand) -> None:
        """Send one command to every joint; held joints are held.

        Goals are clipped to the arm file's limits of what they are: positions, velocities, torques; a duty to the
        torque that it makes at the present speed.

        Raises:
            CommandError: a value is not finite, or the command is for another number of joints; nothing was sent.
            PortVanishedError: the port is gone.
        """
        values, held = self._values, command.held
        if command.count != len(values):
            raise CommandError(f"a command for {command.count} joints, the arm has {len(values)}; nothing was sent")
        np.copyto(values, command.values)
        if not np.array_equal(held, self._held_before):
            released = (self._held_before & ~held)[self._joint]
            np.copyto(self._low, self._goal.low, where=released)
            np.copyto(self._high, self._goal.high, where=released)
            self.capture_hold(held & ~self._held_before)
            np.copyto(self._held_before, held)
        if held.any():
            self.hold_into(values, held)
        self.send(values)

    def send(self, values: NDArray[np.float64]) -> None:
        """Send one value to every joint, for callers who hold joints by themselves (`hold_into`); may change `values`.

        Clipped as `write` clips, except that a joint may stay where `capture_hold` found it outside its limits.

        Raises:
            CommandError: a value is not finite; nothing was sent.
            PortVanishedError: the port is gone.
        """
        if self._duty.any_pwm:
            self._duty.clip(values, self.state)
        ticks, given = [], values.tolist()
        for i in self._second:
            given.append(given[i])
        for value, scale, offset, low, high in zip(
            given, *self._goal_rows, self._low.tolist(), self._high.tolist(), strict=True
        ):
            tick = value * scale + offset
            if not isfinite(tick):
                bad = [j.name for j, v in zip(self.spec.joints, values, strict=True) if not isfinite(v)]
                raise CommandError(f"command for {', '.join(bad)} is not finite; nothing was sent")
            ticks.append(int(low if tick < low else high if tick > high else round(tick)))
        self.bus.write_group(self._goals, ticks)

    @property
    def hold_angle(self) -> NDArray[np.float64]:
        """Where held joints are kept (rad): a live array. Moving it slowly moves them, softly and in any mode."""
        return self._hold.angle

    def capture_hold(self, joints: NDArray[np.bool_]) -> None:
        """Hold these joints where they stand from now on, even a little outside their limits: a goal that is clipped
        to them would pull the joint in at once. The rest of the range stays closed.
        """
        self._hold.capture(self.state.q, joints)
        stands = np.rint(self._hold.captured[self._joint] * self._goal.scale + self._goal_rows[1])
        pinned = joints[self._joint] & self._goal.is_position
        np.copyto(self._low, np.minimum(self._goal.low, stands), where=pinned)
        np.copyto(self._high, np.maximum(self._goal.high, stands), where=pinned)

    def hold_into(self, values: NDArray[np.float64], joints: NDArray[np.bool_]) -> None:
        """Write into `values` what keeps these joints at `hold_angle`, in the unit of each joint's mode."""
        if 1 not in (joints & self._by_force).tobytes():  # servos that position themselves need no gravity from here
            self._hold.fill_positions(values, joints)
            return
        self.kinematics.gravity(self.state.q, self.gravity)
        self._hold.fill(values, joints, self.state, self.gravity, self.bus.port.now())

    def clear_flags(self) -> None:
        """Forget `jumped`, `restarted`, `watchdog_tripped` and `split`, once somebody has dealt with them."""
        self.state.jumped[:] = False
        self.state.split[:] = False
        self._sensing.forget()
        self.state.restarted[:] = False
        self.state.watchdog_tripped[:] = False

    def _hold_here(self) -> list[float]:
        """The first command after torque-on: everything held where it stands now. Returns each servo's place (rad).

        Raises:
            MissingServosError: where a joint stands now, its servo does not say.
        """
        if self.read(self.bus.port.now() + _FIRST_READ + self.bus.expected_time(self.plan.full.group)):
            raise self._nobody_answers("as torque came on")
        self._held_before[:] = False
        self.write(JointCommand(len(self.spec.joints)))
        angles: list[float] = self._hold.angle.tolist()
        return [*angles, *(angles[i] + trim for i, trim in zip(self._second, self._sensing.trim, strict=True))]

    def _ask_watchdogs(self) -> None:
        """After a silence as long as the servo watchdog, where the health read does not carry its register."""
        if self.bus.port.now() - self._last_traffic <= self.spec.bus.watchdog:
            return
        for k, servo in enumerate(self.servos):
            with contextlib.suppress(ServoError):  # one that does not answer shows in the read that follows
                if self.bus.read(servo.joint.servo_id, servo.model.register("bus_watchdog")) < 0:
                    self._sensing.has_stopped(k)

    def _slowest_return_delay(self) -> float:
        """The longest Return Delay Time set in any servo (s): replies are awaited no longer than that explains."""
        delays = everywhere(self.bus, self.servos, "return_delay_time")
        return max(delays.values()) * RETURN_DELAY_STEP

    def _read_all(self) -> None:
        """A read in which everyone answered, health included."""
        for _ in range(_READ_TRIES):
            self._reads = 0
            if not self.read(self.bus.port.now() + _PATIENCE + 2 * self.bus.expected_time(self.plan.full.group)):
                return
            self.bus.settle()  # a late reply to this read would pass for one to the next
        raise self._nobody_answers(f"in {_READ_TRIES} tries")

    def _nobody_answers(self, when: str) -> MissingServosError:
        lacking = [j for k, j in enumerate(self.spec.servos) if self._sensing.missing >> k & 1]
        names = ", ".join(f"{j.name} (servo {j.servo_id})" for j in lacking)
        return MissingServosError(
            [j.servo_id for j in lacking], f"no answer from {names} {when}; check cable and power"
        )

    def _require_none_restarted(self) -> None:
        if self.state.restarted.any():
            lost = [j.name for j, restarted in zip(self.spec.joints, self.state.restarted, strict=True) if restarted]
            raise TorqueOnError(
                f"the servo of {', '.join(lost)} restarted while torque was being prepared; look at its supply and its "
                "plugs"
            )

    def _require_still(self, stood: NDArray[np.float64]) -> None:
        """A servo that positions itself goes to where its goal was set, if only until the first command."""
        for joint, before, now in zip(self.spec.joints, stood, self.state.q, strict=True):
            if joint.mode in POSITION_MODES and abs(now - before) > _STILL:
                raise TorqueOnError(
                    f"joint '{joint.name}' moved from {before:.3f} to {now:.3f} rad while torque was being prepared; "
                    "let the arm lie, or hold it still"
                )

    def _require_inside_limits(self) -> None:
        for joint, angle in zip(self.spec.joints, self.state.q, strict=True):
            if joint.may_stand(angle):
                continue
            if joint.is_turns_off(angle):
                raise EncoderWrapError(
                    f"joint '{joint.name}' reads {angle:.3f} rad, a whole servo turn outside its limits; power-cycle "
                    "the servo with the joint inside its range, or zero the arm again ('robot-setup zero')"
                )
            raise OutsideLimitsError(
                f"joint '{joint.name}' stands at {angle:.3f} rad, outside {joint.limits.lower} to "
                f"{joint.limits.upper}; move it inside by hand, torque is off; if that is where it lies, zero it again "
                "('robot-setup zero')"
            )

    def _require_together(self) -> None:
        """The two servos of a joint read alike; what is left, horns and play, neither of them will push against."""
        rows, group = len(self.spec.joints), self.plan.full.group
        for k, (i, apart) in enumerate(self.apart.items()):
            joint = self.spec.joints[i]
            if abs(apart) > SPLIT:
                raise ServosDisagreeError(
                    f"joint '{joint.name}': {joint.moved_by} read {abs(apart):.3f} rad apart, on one axle, {SPLIT:g} "
                    "are allowed: look at their horns, and run 'robot-setup zero'"
                )
            if abs(self.state.dq[i]) * (group.received_at - group.sent_at) > _APART:
                raise TorqueOnError(
                    f"joint '{joint.name}' turns at {self.state.dq[i]:.2f} rad/s: how far {joint.moved_by} stand apart "
                    "shows at rest only; let the arm lie, or hold it still"
                )
            self._sensing.keep_apart(k)
            row = rows + k
            if self._goal.is_position[row]:
                ticks = apart * float(self._goal.scale[row])
                self._goal_rows[1][row] = float(self._goal.offset[row]) + ticks
                (low, high), (least, most) = (f(self.servos[row].joint) for f in (goal_bounds, goal_reach))
                self._goal.low[row] = self._low[row] = max(low + round(ticks), least)
                self._goal.high[row] = self._high[row] = min(high + round(ticks), most)
