"""The values in one servo's control table, tied to the plant: some registers steer it, some show what it does."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from sim.twin.control_table import ControlTable, Field
from sim.twin.packets import Error
from sim.twin.plant import Plant, Sampler
from sim.twin.servo_data import RegisterData

GOALS = ("goal_pwm", "goal_current", "goal_velocity", "goal_position")
GAINS = (
    *("position_p_gain", "position_i_gain", "position_d_gain", "velocity_p_gain", "velocity_i_gain"),
    *("feedforward_1st_gain", "feedforward_2nd_gain"),
)
_LIMITS = ("pwm_limit", "current_limit", "velocity_limit", "min_position_limit", "max_position_limit")
_MOTION = ("homing_offset", "drive_mode", "pwm_slope", "profile_velocity", "profile_acceleration", "moving_threshold")

# Registers that steer the plant, and its names for them.
_INPUTS = {"torque_enable": "torque_on", "operating_mode": "mode"} | {
    name: name for name in (*GOALS, *GAINS, *_LIMITS, *_MOTION)
}
# Registers that show what the plant does, and its names for them.
_OUTPUTS = {"present_load": "present_current"} | {
    name: name
    for name in (
        *("moving", "moving_status", "present_pwm", "present_current", "present_velocity", "present_position"),
        *("velocity_trajectory", "position_trajectory", "present_input_voltage", "present_temperature"),
    )
}
_FORMATS = {(1, False): "<B", (1, True): "<b", (2, False): "<H", (2, True): "<h", (4, False): "<I", (4, True): "<i"}
_CLOCK = "realtime_tick"


class _Live(NamedTuple):
    """A register to be filled from the plant before it is read."""

    pack_into: Callable[..., None]
    address: int
    output: str
    register: RegisterData


class _ReadPlan(NamedTuple):
    live: tuple[_Live, ...]
    clock: bool  # the range holds Realtime Tick
    runs: tuple[tuple[int, int], ...]  # (start, end) of the bytes in memory; one run unless indirect


class Memory:
    """The bytes behind one servo's addresses. What a range of addresses means is worked out once and kept."""

    def __init__(self, table: ControlTable, plant: Plant, sampler: Sampler, index: int) -> None:
        """Start with the values as shipped. `index` is the servo's place in the arrays of the plant."""
        self.table = table
        self.bytes = table.initial_bytes()
        self._plant = plant
        self._sampler = sampler
        self._index = index
        self._inputs = {name: array for name, array in _INPUTS.items() if name in table.registers}
        self._boot_time = plant.time
        self._read_plans: dict[tuple[int, int], _ReadPlan | int] = {}
        self._write_plans: dict[tuple[int, int], list[Field] | int] = {}

    # -- by name -----------------------------------------------------------------------------------

    def get(self, name: str, default: int = 0) -> int:
        """The value stored in a register; `default` where this model has no such register."""
        register = self.table.registers.get(name)
        if register is None:
            return default
        return register.decode(self.bytes[register.address : register.address + register.size])

    def set(self, name: str, value: int) -> None:
        """Store a value; without effect where this model has no such register."""
        register = self.table.registers.get(name)
        if register is not None:
            self.bytes[register.address : register.address + register.size] = register.encode(value)

    def feed(self, name: str, value: int) -> None:
        """Store a value and steer the plant with it."""
        self.set(name, value)
        self.steer(name, value)

    def steer(self, name: str, value: int) -> None:
        """Give the plant a value, where it wants to know it."""
        array = self._inputs.get(name)
        if array is not None:
            getattr(self._plant, array)[self._index] = value
            self._plant.inputs_changed(self._index)

    def steer_all(self) -> None:
        """Give the plant everything it wants to know."""
        for name, array in self._inputs.items():
            getattr(self._plant, array)[self._index] = self.get(name)
        self._plant.inputs_changed(self._index)

    # -- as a whole --------------------------------------------------------------------------------

    def reset(self, *keep: str) -> None:
        """Everything as shipped, but for the registers to keep."""
        values = {name: self.get(name) for name in keep}
        self.bytes[:] = self.table.initial_bytes()
        for name, value in values.items():
            self.set(name, value)

    def reset_ram(self) -> None:
        """RAM as after power-on; the clock starts at 0."""
        for register in self.table.registers.values():
            if not register.eeprom:
                self.set(register.name, register.initial or 0)
        self._boot_time = self._plant.time
        self.forget_plans()

    def forget_plans(self) -> None:
        """Work out anew what addresses mean: an indirect address has changed."""
        self._read_plans.clear()
        self._write_plans.clear()

    # -- by address --------------------------------------------------------------------------------

    def read(self, address: int, length: int) -> tuple[int, bytes]:
        """Error number and data of a read."""
        plan = self._read_plans.get((address, length))
        if plan is None:
            plan = self._read_plans[address, length] = self._plan_read(address, length)
        if isinstance(plan, int):
            return plan, b""
        memory, row, index = self.bytes, self._sampler.row, self._index
        for pack_into, at, output, register in plan.live:
            value = row(output)[index]
            try:
                pack_into(memory, at, value)
            except struct.error:  # beyond what the register can hold: it saturates
                memory[at : at + register.size] = register.encode(value)
        if plan.clock:
            self.set(_CLOCK, round((self._plant.time - self._boot_time) * 1000.0) % 32768)  # manual: 0 follows 32767
        if len(plan.runs) == 1:
            start, end = plan.runs[0]
            return Error.NONE, bytes(memory[start:end])
        return Error.NONE, b"".join([memory[start:end] for start, end in plan.runs])

    def fields(self, address: int, length: int) -> list[Field] | int:
        """The registers that a write of this range fills, or its error number."""
        fields = self._write_plans.get((address, length))
        if fields is None:
            fields = self._write_plans[address, length] = self.table.fields(self._targets(address, length))
        return fields

    def _plan_read(self, address: int, length: int) -> _ReadPlan | int:
        if error := self.table.read_error(address, length):
            return error
        targets = self._targets(address, length)
        runs: list[tuple[int, int]] = []
        for target in targets:
            if runs and runs[-1][1] == target:
                runs[-1] = (runs[-1][0], target + 1)
            else:
                runs.append((target, target + 1))
        owners = {r.name: r for t in targets if (r := self.table.owners[t]) is not None}
        live = tuple(
            _Live(struct.Struct(_FORMATS[r.size, r.signed]).pack_into, r.address, _OUTPUTS[r.name], r)
            for r in owners.values()
            if r.name in _OUTPUTS
        )
        return _ReadPlan(live, _CLOCK in owners, tuple(runs))

    def _targets(self, address: int, length: int) -> range | list[int]:
        """Where the bytes of a range really lie: indirect data stands for the byte its indirect address points to."""
        table = self.table
        if not table.touches_indirect(address, length):
            return range(address, address + length)
        targets = []
        for cell in range(address, address + length):
            if table.is_indirect_data(cell):
                pointer = table.indirect.address + 2 * (cell - table.indirect.data)
                targets.append(int.from_bytes(self.bytes[pointer : pointer + 2], "little"))
            else:
                targets.append(cell)
        return targets
