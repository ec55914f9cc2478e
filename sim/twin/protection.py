"""How a servo looks after itself: temperature, supply voltage and load."""

from __future__ import annotations

from sim.twin.memory import Memory
from sim.twin.plant import Sampler
from sim.twin.servo_data import ServoData

PROTECTION_PERIOD = 0.02
"""s between two looks. Assumption."""

OVERLOAD_SHARE = 0.35
OVERLOAD_TIME = 3.0
"""Overload: the load as a share of the stall current, averaged over OVERLOAD_TIME seconds, is above OVERLOAD_SHARE.

The manual says only "persistent load that exceeds maximum output". Assumption, fitted to one report of an XM430 that
held 0.41 of its stall current and gave up after about 5 s (ROBOTIS-GIT/DynamixelSDK#285); a full stall trips after 1.3
s.
"""


class Protection:
    """Watches one servo."""

    def __init__(self, data: ServoData, memory: Memory, sampler: Sampler, index: int) -> None:
        """Start with a servo that did nothing so far."""
        self._bits = {name: 1 << bit for name, bit in data.hardware_errors.items()}
        self._memory = memory
        self._sampler = sampler
        self._index = index
        registers = memory.table.registers
        # Where the supply's current is measured, the motor's is inferred from duty, supply and speed by the data file's
        # motor. Assumption: by the supply's a motor stalled at half its duty would count a quarter of its full load.
        self._infers = data.senses_supply
        if self._infers:
            winding = data.motor["resistance"] * data.motor["stall_current"]  # V at full load, standing
            volt = registers["present_input_voltage"].scale or 0.0
            self._share = (registers["present_pwm"].scale or 0.0) * volt / winding
            self._turns = (registers["present_velocity"].scale or 0.0) * data.motor["torque_constant"] / winding
        elif "present_current" in registers:
            self._share = (registers["present_current"].scale or 0.0) / data.motor["stall_current"]
            self._turns = 0.0
        else:  # a servo without a current sensor shows its output as its load, a share already
            self._share = registers["present_load"].scale or 0.0
            # What turns it against its back-EMF pushes nothing: a wheel at full speed is not overloaded. Assumption.
            self._turns = (registers["present_velocity"].scale or 0.0) / data.motor["no_load_speed"]
        self._load = 0.0

    def rest(self) -> None:
        """Forget the load so far."""
        self._load = 0.0

    def bit(self, error: str) -> int:
        """The bit of Hardware Error Status with that name."""
        return self._bits[error]

    def look(self) -> int:
        """The bits of Hardware Error Status for what is wrong now; to be asked every PROTECTION_PERIOD."""
        memory, row, i = self._memory, self._sampler.row, self._index
        found = 0
        if row("present_temperature")[i] > memory.get("temperature_limit"):
            found |= self._bits["overheating"]
        volts = row("present_input_voltage")[i]
        if not memory.get("min_voltage_limit") <= volts <= memory.get("max_voltage_limit"):
            found |= self._bits["input_voltage"]
        effort = row("present_pwm")[i] * volts if self._infers else row("present_current")[i]
        share = abs(effort * self._share - row("present_velocity")[i] * self._turns)
        self._load += (share - self._load) * (PROTECTION_PERIOD / OVERLOAD_TIME)
        if self._load > OVERLOAD_SHARE:
            found |= self._bits["overload"]
        return found
