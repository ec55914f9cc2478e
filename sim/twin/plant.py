"""What the firmware needs of the world behind it: motors, gears, joints and sensors, in register ticks."""

from __future__ import annotations

from typing import Protocol

from sim.twin.arrays import Flags, Ints


class Plant(Protocol):
    """The drives of all servos as arrays, one entry a servo. `Drives` is the real one; tests may use a simple one.

    The firmware writes the inputs and says `inputs_changed`; it reads the outputs when it is asked for them.
    """

    period: float  # s, length of one step

    @property
    def time(self) -> float:
        """s, what has been simulated."""
        ...

    torque_on: Flags
    powered: Flags
    mode: Ints
    goal_pwm: Ints
    goal_current: Ints
    goal_velocity: Ints
    goal_position: Ints
    pwm_limit: Ints
    current_limit: Ints
    velocity_limit: Ints
    min_position_limit: Ints
    max_position_limit: Ints
    homing_offset: Ints
    drive_mode: Ints
    pwm_slope: Ints
    profile_velocity: Ints
    profile_acceleration: Ints
    position_p_gain: Ints
    position_i_gain: Ints
    position_d_gain: Ints
    velocity_p_gain: Ints
    velocity_i_gain: Ints
    feedforward_1st_gain: Ints
    feedforward_2nd_gain: Ints
    moving_threshold: Ints

    @property
    def present_pwm(self) -> Ints:
        """PWM on the motor."""
        ...

    @property
    def present_current(self) -> Ints:
        """Current; the load where a servo has no current sensor."""
        ...

    @property
    def present_velocity(self) -> Ints:
        """Velocity."""
        ...

    @property
    def present_position(self) -> Ints:
        """Position, turns included."""
        ...

    @property
    def velocity_trajectory(self) -> Ints:
        """Velocity that the profile asks for."""
        ...

    @property
    def position_trajectory(self) -> Ints:
        """Position that the profile asks for."""
        ...

    @property
    def present_input_voltage(self) -> Ints:
        """Supply voltage."""
        ...

    @property
    def present_temperature(self) -> Ints:
        """Temperature."""
        ...

    @property
    def moving(self) -> Ints:
        """1 while the shaft moves."""
        ...

    @property
    def moving_status(self) -> Ints:
        """How the motion goes on."""
        ...

    def step(self) -> None:
        """Advance by one period."""
        ...

    def inputs_changed(self, i: int) -> None:
        """The firmware changed inputs of servo i."""
        ...

    def restart(self, i: int) -> None:
        """Servo i starts anew: controllers and profile are reset, turns are forgotten, outputs are up to date again."""
        ...

    def stick(self, i: int, stuck: bool) -> None:
        """Block the shaft of servo i, or let it go."""
        ...

    def set_temperature(self, i: int, celsius: float) -> None:
        """Set the temperature of the motor."""
        ...

    def set_supply(self, volts: float | None) -> None:
        """Set the supply voltage; None: nominal again."""
        ...

    def hand(self, i: int, radians: float, seconds: float) -> None:
        """Turn the joint of servo i by hand."""
        ...

    def encoder_jump(self, i: int, ticks: int) -> None:
        """Let the encoder read that many ticks more from now on."""
        ...

    def misread(self, i: int, ticks: int) -> None:
        """Let the position register show that many ticks more until told otherwise."""
        ...


class Sampler:
    """Asks the plant for its outputs: once an instruction, for all servos at once."""

    def __init__(self, plant: Plant) -> None:
        """Start with nothing asked."""
        self._plant = plant
        self._rows: dict[str, list[int]] = {}

    def forget(self) -> None:
        """Ask anew from now on: a new instruction, or a new look."""
        self._rows.clear()

    def row(self, output: str) -> list[int]:
        """One output of all servos."""
        row = self._rows.get(output)
        if row is None:
            row = self._rows[output] = getattr(self._plant, output).tolist()
        return row
