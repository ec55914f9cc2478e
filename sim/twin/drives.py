"""All servos of an arm behind their control tables: control law, motor, gears and links, sensors; 1000 times a second.

The firmware writes the input arrays (register ticks, one entry a servo, in the order of `TwinArm.servos`), says
`inputs_changed`, and reads the outputs whenever it is asked for them. Nothing here knows of packets, and the firmware
nothing of volts.

Not modelled: the winding's inductance, cogging, friction that changes with temperature or wear, elastic links, losses
of a converter between two rails, heat that one servo passes to the next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sim.twin.arm_file import TwinArm
from sim.twin.arrays import Floats, Ints
from sim.twin.control import Control
from sim.twin.gap import Gap
from sim.twin.inputs import Inputs
from sim.twin.motor import Motors
from sim.twin.physics import Physics
from sim.twin.sensing import Sensing, whole
from sim.twin.servo_data import load_servo

REVERSE = 0x01
"""Bit of Drive Mode: the servo counts the other way; manual."""
HEATING_STEPS = 10
"""Steps between two updates of the temperatures, which take seconds to change."""
LOAD_TIME = 0.01
"""s over which a servo without a current sensor averages its output to a load: a position law's D term answers every
new goal with a kick of one control cycle, which moves nothing. Assumed.
"""
IN_POSITION = 20
"""Ticks within which Moving Status says 'arrived' and 'following'. Assumed: the manual names no figure."""
ARRIVED_BIT, ONGOING_BIT, NOT_FOLLOWING_BIT, PROFILE_SHIFT = 0x01, 0x02, 0x08, 4
"""Moving Status; manual."""
POSITION_MODES = ("position", "extended_position", "current_position")


class _Late(NamedTuple):
    """Goals on their way to a controller."""

    due: int  # step
    servo: int
    goals: Ints


class Drives(Inputs):
    """The drives of one arm. Inputs (see `Inputs`) and outputs are arrays with one entry a servo."""

    period = 0.001
    """s, the length of one step."""

    def __init__(self, arm: TwinArm, gap: Gap, seed: int, pose: str = "rest") -> None:
        """Build the arm with the gap applied, at rest in a named pose, all servos powered with torque off.

        Raises:
            ArmFileError: no such pose, or arm.toml and MJCF do not fit.
            GapError: the gap speaks of a joint that the arm does not have.
        """
        self._turned = [servo.joint for servo in arm.servos]
        joints = [arm.joints[place] for place in self._turned]  # from here on all has one entry a servo
        servos = [load_servo(joint.servo_model) for joint in joints]
        modes = [joint.mode for joint in joints]
        super().__init__(servos, modes)
        gap.check_joints(tuple(joint.name for joint in arm.joints))
        gaps = [gap.joint(joint.name) for joint in joints]
        n = len(servos)
        self._control = Control(servos, self.period)
        self._motors = Motors(servos, gaps, gap)
        self._physics = Physics(arm, gap, self.period)
        self._sensing = Sensing(servos, gaps, seed, self.period)
        self._seen = Inputs(servos, modes) if gap.command_delay > 0 else self
        self._delay = round(gap.command_delay / self.period)
        self._late: deque[_Late] = deque()

        self._steps = 0
        self._shown: dict[str, Ints] = {}  # outputs asked for since the last change
        self._names = [""] * n
        self._keys = [b""] * n
        self._was_on = np.zeros(n, dtype=bool)
        self._gear = np.array([servo.sign * joint.gear for servo, joint in zip(arm.servos, joints, strict=True)])
        self._offset = np.array([servo.offset + g.offset for servo, g in zip(arm.servos, gaps, strict=True)])
        self._tick = np.array([s.units["position"] for s in servos])
        # PWM Slope in duty a step for one tick; the manual's example counts it from the nominal voltage.
        slope = [s.units.get("pwm_slope", 0.0) / s.motor["nominal_voltage"] * self.period for s in servos]
        self._slope_unit = np.array(slope)
        self._direction = np.ones(n)  # -1: the register counts against the servo's own sense
        self._slew, self._any_slew = np.full(n, np.inf), False
        self._duty = np.zeros(n)
        self._speed, self._torque = np.zeros(n), np.zeros(n)
        self._infers_load = any("present_current" not in s.registers for s in servos)
        self._load, self._load_work = np.zeros(n), np.zeros(n)
        self._duty_driven = np.ones(n, dtype=bool)
        self._physics.place(arm.pose(pose))
        self._aim()
        self._sensing.start(self._gather_ticks @ self._physics.qpos)
        for i in range(n):
            self._sensing.one_turn(i)
        self.goal_position[:] = self.present_position
        for i in range(n):
            self.inputs_changed(i)

    # --- what the firmware calls ---

    def step(self) -> None:
        """Advance by one period."""
        self._steps += 1
        self._shown.clear()
        if self._late and self._late[0].due <= self._steps:
            self._deliver()
        control, motors, sensing, physics = self._control, self._motors, self._sensing, self._physics
        command = control.step(
            sensing.position() if control.any_position else self._speed,
            sensing.velocity() if control.any_velocity else self._speed,
        )
        if self._any_slew:
            command = self._slewed(command)
        np.dot(self._gather_speed, physics.qvel, out=self._speed)
        if control.all_voltage:
            motors.drive_voltage(command, self._speed)
        else:
            low, high = control.duty_low, control.duty_high
            np.copyto(low, command, where=self._duty_driven)
            np.copyto(high, command, where=self._duty_driven)
            motors.drive(low, high, command, self._speed)
        if self._infers_load:
            np.subtract(motors.duty, self._load, out=self._load_work)
            np.multiply(self._load_work, self.period / LOAD_TIME, out=self._load_work)
            np.add(self._load, self._load_work, out=self._load)
        np.multiply(motors.current, self._torque_per_amp, out=self._torque)
        physics.step(self._torque)
        np.dot(self._gather_ticks, physics.qpos, out=sensing.next_row())
        if self._steps % HEATING_STEPS == 0:
            motors.heat(HEATING_STEPS * self.period)

    def inputs_changed(self, i: int) -> None:
        """The firmware changed inputs of servo i. Goals of a running servo take effect after the command delay."""
        self._shown.clear()
        key = self.settings_key(i)
        seen = self._seen
        if seen is not self:
            late = self._was_on[i] and self.torque_on[i] and self.powered[i]
            if late:
                self._late.append(_Late(self._steps + self._delay + 1, i, self.goals(i)))
            if key == self._keys[i]:
                return
            seen.take_settings(i, self)
            if not late:
                self._late = deque(entry for entry in self._late if entry.servo != i)
                seen.take_goals(i, self.goals(i))
        if key == self._keys[i]:
            self._control.refresh_goals(i, seen)
        else:
            self._keys[i] = key
            self._apply(i)

    def restart(self, i: int) -> None:
        """Servo i starts anew: controllers and profile are reset, and it has forgotten its turns."""
        self._sensing.one_turn(i)
        self._shown.clear()
        self._was_on[i], self._keys[i] = False, b""
        self._control.reset(i, float(self._sensing.position()[i]))
        self.inputs_changed(i)

    def _deliver(self) -> None:
        while self._late and self._late[0].due <= self._steps:
            late = self._late.popleft()
            self._seen.take_goals(late.servo, late.goals)
            self._control.refresh_goals(late.servo, self._seen)

    def _apply(self, i: int) -> None:
        """Let servo i's sensors, controller and motor follow its registers."""
        seen, control, sensing = self._seen, self._control, self._sensing
        direction = -1.0 if int(seen.drive_mode[i]) & REVERSE else 1.0
        if direction != self._direction[i]:
            self._direction[i] = direction
            self._aim()
            sensing.reverse(i)
        sensing.set_homing(i, int(seen.homing_offset[i]))
        name = control.mode_name(i, int(seen.mode[i]))
        on = bool(seen.torque_on[i] and seen.powered[i])
        fresh = name != self._names[i] or (on and not self._was_on[i])
        if fresh and name == "position":
            sensing.one_turn(i)
        if fresh:
            control.reset(i, float(sensing.position()[i]))
        control.refresh(i, seen)
        if on != self._was_on[i]:
            self._was_on[i] = on
            self._motors.switch(control.on)
        self._names[i] = name
        current_driven = bool(control.is_current[i])
        self._duty_driven[i] = not current_driven
        slope = int(seen.pwm_slope[i]) * float(self._slope_unit[i])
        self._slew[i] = slope if slope > 0 and on and not current_driven else np.inf
        self._any_slew = bool(np.any(self._slew < np.inf))

    def _slewed(self, command: Floats) -> Floats:
        """The command, as far as PWM Slope lets the duty change in a step."""
        duty, before = self._duty, self._motors.duty
        np.subtract(command, before, out=duty)
        np.minimum(duty, self._slew, out=duty)
        np.maximum(duty, -self._slew, out=duty)
        np.add(duty, before, out=duty)
        return duty

    def _aim(self) -> None:
        """Fold gears, signs and units into the products between joints (rad, N·m) and registers (ticks, A)."""
        turn = self._gear * self._direction  # register's sense of the servo shaft for the joint's
        physics = self._physics
        self._gather_ticks = (turn / self._tick)[:, None] * physics.gather_position[self._turned]
        self._gather_speed = turn[:, None] * physics.gather_motor_velocity[self._turned]
        self._torque_per_amp = turn * self._motors.torque_constant
        self._sensing.set_origin(turn * self._offset / self._tick)

    # --- outputs: what the sensors show, in register ticks; worked out once a step and only if asked for ---

    def _once(self, name: str, show: Callable[[], Ints]) -> Ints:
        if (shown := self._shown.get(name)) is None:
            shown = self._shown[name] = show()
        return shown

    @property
    def present_pwm(self) -> Ints:
        """PWM on the winding; 0 with torque off."""
        return self._once("pwm", lambda: self._sensing.pwm_register(self._motors.duty * self._control.on))

    @property
    def present_current(self) -> Ints:
        """Measured current; the load where a servo has no current sensor."""
        motors, load, on = self._motors, self._load, self._control.on
        return self._once("current", lambda: self._sensing.current_register(motors.measured(), load * on))

    @property
    def present_velocity(self) -> Ints:
        """Velocity register, as late as the real one."""
        return self._once("velocity", self._sensing.velocity_register)

    @property
    def present_position(self) -> Ints:
        """Position register."""
        return self._once("position", self._sensing.position_register)

    @property
    def velocity_trajectory(self) -> Ints:
        """Velocity that the profile asks for."""
        return self._once("velocity_trajectory", lambda: whole(self._control.profiles.velocity_ticks))

    @property
    def position_trajectory(self) -> Ints:
        """Position that the profile asks for."""
        return self._once("position_trajectory", lambda: whole(self._control.profiles.position))

    @property
    def present_input_voltage(self) -> Ints:
        """Voltage at the servo."""
        return self._once("voltage", lambda: self._sensing.voltage_register(self._motors.volts))

    @property
    def present_temperature(self) -> Ints:
        """Temperature of the case, where the sensor sits."""
        return self._once("temperature", lambda: self._sensing.temperature_register(self._motors.case))

    @property
    def moving(self) -> Ints:
        """1 while the shaft turns faster than the threshold, or a profile runs."""
        return self._once("moving", self._moving)

    @property
    def moving_status(self) -> Ints:
        """Arrived, profile runs, not following; and the kind of profile."""
        return self._once("moving_status", self._moving_status)

    def _moving(self) -> Ints:
        fast = np.abs(self.present_velocity) > self.moving_threshold
        register: Ints = (fast | self._control.profiles.moving).astype(np.int64)
        return register

    def _moving_status(self) -> Ints:
        profiles, position = self._control.profiles, self.present_position
        placing = np.array([name in POSITION_MODES for name in self._names])
        arrived = placing & (np.abs(self._seen.goal_position - position) <= IN_POSITION)
        astray = placing & (np.abs(profiles.position - position) > IN_POSITION)
        status = ARRIVED_BIT * arrived + ONGOING_BIT * profiles.moving + NOT_FOLLOWING_BIT * astray
        register: Ints = (status + (profiles.kind << PROFILE_SHIFT)).astype(np.int64)
        return register

    # --- physical faults ---

    def stick(self, i: int, stuck: bool) -> None:
        """Block the shaft of servo i, or let it go."""
        self._physics.stick(i, stuck=stuck)

    def set_temperature(self, i: int, celsius: float) -> None:
        """Set the temperature of servo i; from there it cools or heats as it must."""
        self._motors.set_temperature(i, celsius)
        self._shown.clear()

    def push(self, i: int, torque_nm: float) -> None:
        """Act on joint i from outside with this torque until told otherwise."""
        self._physics.push(i, torque_nm)

    def hand(self, i: int, radians: float, seconds: float) -> None:
        """Let a hand turn the joint of servo i by this angle (rad, within its stops) in that time, and then let go."""
        self._physics.hand(self._turned[i], radians, seconds)

    def set_supply(self, volts: float | None) -> None:
        """Set the supply voltage; None: nominal again."""
        self._motors.set_supply(volts)

    def encoder_jump(self, i: int, ticks: int) -> None:
        """Let the encoder of servo i read that many ticks more from now on."""
        self._sensing.jump(i, ticks)
        self._shown.clear()

    def misread(self, i: int, ticks: int) -> None:
        """Let the position register of servo i show that many ticks more until told otherwise."""
        self._sensing.misread(i, ticks)
        self._shown.clear()

    # --- the truth, for tests and demonstrations ---

    @property
    def time(self) -> float:
        """Simulated time, s."""
        return self._steps * self.period

    @property
    def joint_position(self) -> Floats:
        """Joint angles behind the play of the gears, rad."""
        return self._physics.positions()

    @property
    def joint_velocity(self) -> Floats:
        """Joint velocities behind the play of the gears, rad/s."""
        return self._physics.velocities()

    @property
    def motor_torque(self) -> Floats:
        """Torque of each motor at its joint before friction, N·m."""
        return self._torque.copy()

    @property
    def motor_current(self) -> Floats:
        """Current in the windings, A, in the sense of the registers."""
        return self._motors.current.copy()

    @property
    def supply_voltage(self) -> Floats:
        """Voltage at each servo, V."""
        return self._motors.volts.copy()

    @property
    def model(self) -> Any:
        """The MuJoCo model."""
        return self._physics.model

    @property
    def data(self) -> Any:
        """The MuJoCo data."""
        return self._physics.data
