"""One servo as the manual describes it: a control table, the rules of access to it, and nothing of physics.

Sources: ROBOTIS e-Manual, pages of XM430-W350, XL430-W250 and XL330-M288. Not modelled: motors, profiles, drive mode,
homing offset, secondary ID, bus watchdog (its value is kept and never trips), most value ranges.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import NamedTuple

OK, OUT_OF_RANGE, TOO_SHORT, BEYOND_LIMIT, NO_ACCESS = 0, 4, 5, 6, 7
ALERT = 0x80
RAM = 64
"""Where RAM starts; EEPROM below is locked while torque is on."""

# Address, bytes, access, initial value, name, of an XM430-W350. Where the manual has '-' stands a plausible value.
_XM430 = """
   0 2 r  1020  model_number             2 4 r  0     model_information        6 1 r  0    firmware_version
   7 1 rw 1     id                       8 1 rw 1     baud_rate                9 1 rw 250  return_delay_time
  10 1 rw 0     drive_mode              11 1 rw 3     operating_mode          12 1 rw 255  secondary_id
  13 1 rw 2     protocol_type           20 4 rw 0     homing_offset           24 4 rw 10   moving_threshold
  31 1 rw 80    temperature_limit       32 2 rw 160   max_voltage_limit       34 2 rw 95   min_voltage_limit
  36 2 rw 885   pwm_limit               38 2 rw 1193  current_limit           44 4 rw 350  velocity_limit
  48 4 rw 4095  max_position_limit      52 4 rw 0     min_position_limit      60 1 rw 0    startup_configuration
  63 1 rw 52    shutdown                64 1 rw 0     torque_enable           65 1 rw 0    led
  68 1 rw 2     status_return_level     69 1 r  0     registered_instruction  70 1 r  0    hardware_error_status
  76 2 rw 1920  velocity_i_gain         78 2 rw 100   velocity_p_gain         80 2 rw 0    position_d_gain
  82 2 rw 0     position_i_gain         84 2 rw 800   position_p_gain         88 2 rw 0    feedforward_2nd_gain
  90 2 rw 0     feedforward_1st_gain    98 1 rw 0     bus_watchdog           100 2 rw 885  goal_pwm
 102 2 rw 1193  goal_current           104 4 rw 350   goal_velocity          108 4 rw 0    profile_acceleration
 112 4 rw 0     profile_velocity       116 4 rw 0     goal_position          120 2 r  0    realtime_tick
 122 1 r  0     moving                 123 1 r  0     moving_status          124 2 r  0    present_pwm
 126 2 r  0     present_current        128 4 r  0     present_velocity       132 4 r  0    present_position
 136 4 r  0     velocity_trajectory    140 4 r  0     position_trajectory    144 2 r  120  present_input_voltage
 146 1 r  30    present_temperature    147 1 r  0     backup_ready
"""


class Register(NamedTuple):
    address: int
    size: int
    writable: bool
    initial: int


@dataclass(frozen=True)
class Model:
    """A control table by name, and the block of indirect addresses."""

    registers: dict[str, Register]
    indirect_address: int
    indirect_data: int
    indirect_count: int


def _model(initial: dict[str, int], without: tuple[str, ...] = (), more: str = "", data: int = 224) -> Model:
    words = (_XM430 + more).split()
    table = {}
    for address, size, access, value, name in zip(*(words[i::5] for i in range(5)), strict=True):
        if name not in without:
            table[name] = Register(int(address), int(size), access == "rw", initial.get(name, int(value)))
    return Model(table, 168, data, (data - 168) // 2)


XM430_W350 = _model({})
XL430_W250 = _model(
    {
        "model_number": 1060, "temperature_limit": 72, "max_voltage_limit": 140, "min_voltage_limit": 60,
        "velocity_limit": 265, "goal_velocity": 265, "velocity_i_gain": 1000, "position_d_gain": 4000,
        "position_p_gain": 640,
    },
    without=("current_limit", "goal_current", "present_current"),
    more="126 2 r 0 present_load",
)  # fmt: skip
_XL330 = {
    "model_number": 1200, "temperature_limit": 70, "max_voltage_limit": 70, "min_voltage_limit": 35,
    "current_limit": 1750, "goal_current": 1750, "velocity_limit": 445, "goal_velocity": 445, "shutdown": 53,
    "velocity_i_gain": 1600, "velocity_p_gain": 180, "position_p_gain": 400, "present_input_voltage": 50,
}  # fmt: skip
XL330_M288 = _model(_XL330, more="62 1 rw 140 pwm_slope", data=208)
XL330_M288_FW53 = _model(_XL330, more="62 1 rw 140 pwm_slope")
"""From firmware 53 on indirect data start at 224. Source: the SDK's own control tables."""


@dataclass
class Servo:
    """Bytes, and who may read and write them."""

    model: Model
    servo_id: int
    firmware: int = 52
    fast: bool = True  # takes part in Fast Sync Reads
    position: int = 2048  # ticks
    follow: float = 1.0  # share of the way to its goal that it goes at every instruction on the bus
    silent: bool = False  # as if its cable were out
    memory: bytearray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.memory = bytearray(662)
        for name, register in self.model.registers.items():
            self[name] = register.initial
        self["id"], self["firmware_version"] = self.servo_id, self.firmware
        self.reboot()

    def __getitem__(self, name: str) -> int:
        address, size, _, _ = self.model.registers[name]
        signed = name.startswith(("goal_", "present_", "homing_"))
        return int.from_bytes(self.memory[address : address + size], "little", signed=signed)

    def __setitem__(self, name: str, value: int) -> None:
        address, size, _, _ = self.model.registers[name]
        self.memory[address : address + size] = (value % (1 << 8 * size)).to_bytes(size, "little")

    def reboot(self) -> None:
        """RAM goes back to its initial values; EEPROM stays."""
        model, self.booted = self.model, time.monotonic()
        for name, register in model.registers.items():
            if register.address >= RAM:
                self[name] = register.initial
        for i in range(model.indirect_count):
            at = model.indirect_address + 2 * i
            self.memory[at : at + 2] = (model.indirect_data + i).to_bytes(2, "little")
            self.memory[model.indirect_data + i] = 0
        self["goal_position"] = self["present_position"] = self.position

    def tick(self) -> None:
        """Time passes: the position follows its goal in the modes that have one."""
        self["realtime_tick"] = int((time.monotonic() - self.booted) * 1000) % 32768
        if self["torque_enable"] and self["operating_mode"] in (3, 4, 5):
            self.position += round((self["goal_position"] - self.position) * self.follow)
            self["present_position"] = self.position

    def read(self, address: int, length: int) -> tuple[int, bytes]:
        """Error byte and data; zeros when there is an error."""
        span = range(address, address + length)
        if not all(self._register_at(a) for a in span):
            return NO_ACCESS | self.alert, bytes(length)
        return self.alert, bytes(self.memory[self._source(a)] for a in span)

    def write(self, address: int, data: bytes) -> int:
        """Write whole registers, all of them or none; returns the error byte."""
        values = {self._source(address + i): byte for i, byte in enumerate(data)}
        registers = {self._register_at(place) for place in values}
        before = bytes(self.memory)
        error = self._check_access(values, registers)
        if not error:
            for place, byte in values.items():
                self.memory[place] = byte
            error = self._check_values({r.address for r in registers if r})
        if error:
            self.memory[:] = before
        elif self.model.registers["operating_mode"].address in values:
            self._mode_changed()
        return error | self.alert

    @property
    def alert(self) -> int:
        return ALERT if self["hardware_error_status"] else 0

    def _check_access(self, values: dict[int, int], registers: set[Register | None]) -> int:
        for r in registers:
            if r is None or not r.writable or (r.address < RAM and self["torque_enable"]):
                return NO_ACCESS
            if any(place not in values for place in range(r.address, r.address + r.size)):
                return TOO_SHORT
        return OK

    def _check_values(self, written: set[int]) -> int:
        """Ranges of a few registers, and the limits that goals must keep, of what was just written."""
        if self["torque_enable"] > 1 or self["status_return_level"] > 2 or self["id"] > 252:
            return OUT_OF_RANGE
        model, address = self.model, {name: r.address for name, r in self.model.registers.items()}
        for at in written & set(range(model.indirect_address, model.indirect_data, 2)):
            if not RAM <= int.from_bytes(self.memory[at : at + 2], "little") < len(self.memory):
                return OUT_OF_RANGE
        for what in ("pwm", "current", "velocity"):
            if address.get(f"goal_{what}") in written and abs(self[f"goal_{what}"]) > self[f"{what}_limit"]:
                return BEYOND_LIMIT
        if address["goal_position"] in written and self["operating_mode"] == 3:
            inside = self["min_position_limit"] <= self["goal_position"] <= self["max_position_limit"]
            return OK if inside else BEYOND_LIMIT
        return OK

    def _mode_changed(self) -> None:
        """A new operating mode resets profiles and goals. Source: 'Operating Mode', first note."""
        self["profile_velocity"] = self["profile_acceleration"] = 0
        self["goal_pwm"] = self["pwm_limit"]
        if "goal_current" in self.model.registers:
            self["goal_current"] = self["current_limit"]

    def _source(self, address: int) -> int:
        """Where a byte lives: indirect data stand for what their indirect address names."""
        index = address - self.model.indirect_data
        if not 0 <= index < self.model.indirect_count:
            return address
        at = self.model.indirect_address + 2 * index
        return int.from_bytes(self.memory[at : at + 2], "little")

    def _register_at(self, address: int) -> Register | None:
        """The register that a byte belongs to; None where the table has nothing."""
        model = self.model
        index = address - model.indirect_address
        if 0 <= index < 2 * model.indirect_count:
            return Register(address - index % 2, 2, writable=True, initial=0)
        if 0 <= address - model.indirect_data < model.indirect_count:
            return Register(address, 1, writable=True, initial=0)
        return next((r for r in model.registers.values() if r.address <= address < r.address + r.size), None)
