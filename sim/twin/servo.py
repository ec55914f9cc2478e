"""The firmware of one servo: what its registers do when they are written, and what it does by itself.

What the manual says is done as it says; where it is silent, the comment says "Assumption" and on what it rests.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from sim.twin.control_table import ControlTable
from sim.twin.memory import GAINS, GOALS, Memory
from sim.twin.packets import Error
from sim.twin.plant import Plant, Sampler
from sim.twin.protection import Protection
from sim.twin.servo_data import RegisterData, ServoData

BOOT_TIME = 0.4
"""s from a reboot to the first answer. Assumption: as measured on an XC330 (ROBOTIS-GIT/emanual#1698)."""

SAFER_SINCE = 42
"""Firmware that has the Clear instruction and does not obey a broadcast "reset everything". Manual."""

TRIPPED = -1
"""What Bus Watchdog reads after it tripped. Manual."""

_WATCHDOG_UNIT = 0.02  # s, manual
_RETURN_DELAY_UNIT = 2e-6  # s, manual
_TURNS = (-1_048_575, 1_048_575)  # ticks, manual: 256 turns either way
_TORQUE_BY_GOAL = 0x08  # bit of Drive Mode
_STARTUP_TORQUE_ON = 0x01  # bit of Startup Configuration
_HOLDING_MODES = ("position", "extended_position", "current_position")


class Servo:
    """One servo: its memory, its rules, and its ties to the plant."""

    def __init__(
        self, data: ServoData, plant: Plant, sampler: Sampler, index: int, firmware: int | None = None
    ) -> None:
        """Build a servo as it leaves the factory, and switch it on. `index` is its place in the arrays of the plant."""
        self.data = data
        self.plant = plant
        self.index = index
        self._sampler = sampler
        self.firmware = data.newest_firmware if firmware is None else firmware
        self.has_fast_reads = self.firmware >= data.fast_sync_read_since
        self.table = ControlTable(data, self.firmware)
        self.memory = Memory(self.table, plant, sampler, index)
        self.memory.set("firmware_version", self.firmware)
        self.keeps_goal = False
        """Quirk: torque-on leaves Goal Position as it is, instead of setting it to where the shaft stands."""
        self.connected = True
        """Its data line is whole."""
        self.booting_until = 0.0
        """s, deaf and mute until then; inf without supply."""
        self.heard_at = 0.0
        """s, when it last understood an instruction packet."""
        self.reboot_wanted = False
        """A reboot was asked for; the line does it when the reply is out."""
        self.on_change: Callable[[], None] = _nothing
        """Called when something changed that decides who hears whom, or when a watchdog is due."""
        self.registered: tuple[int, bytes] | None = None
        """Address and data of a registered write."""
        self._modes = {value: name for name, value in data.modes.items()}
        self._baudrates = {value: baud for baud, value in data.baudrates.items()}
        self._choices = {"operating_mode": self._modes.keys(), "baud_rate": self._baudrates.keys()}
        self._protection = Protection(data, self.memory, sampler, index)
        self.boot()

    # -- power -------------------------------------------------------------------------------------

    def boot(self) -> None:
        """Start as after power-on: RAM at its initial values, EEPROM as it was, turns forgotten."""
        self.memory.reset_ram()
        self.torque_on = False
        self.shut_down = False
        self.registered = None
        self.reboot_wanted = False
        self._watchdog_tripped = False
        self._protection.rest()
        self._remember()
        self.plant.powered[self.index] = True
        self._reset_goals()
        self.memory.steer_all()
        self.plant.restart(self.index)
        self._hold()
        # Manual: a bit of Startup Configuration switches the torque on at boot.
        if self.memory.get("startup_configuration") & _STARTUP_TORQUE_ON:
            self._switch_torque(on=True)
        self.on_change()

    def power_off(self) -> None:
        """Lose the supply: the shaft turns freely, nothing is heard or said until `boot`."""
        self.torque_on = False
        self.plant.powered[self.index] = False
        self.memory.feed("torque_enable", 0)
        self.booting_until = math.inf
        self._remember()
        self.on_change()

    def set_eeprom(self, **values: int) -> None:
        """Write EEPROM registers as a set-up tool has, before the story begins. Raises ValueError."""
        for name, value in values.items():
            register = self.table.registers[name]
            if not register.minimum <= value <= register.maximum:
                raise ValueError(
                    f"{self.data.name}: {name} = {value} is outside {register.minimum}..{register.maximum}"
                )
            self.memory.set(name, value)
        self.boot()

    def _remember(self) -> None:
        """Keep what is asked for on every packet as plain attributes."""
        memory = self.memory
        self.id = memory.get("id")
        self.secondary_id = memory.get("secondary_id", 255)
        self.baudrate = self._baudrates[memory.get("baud_rate")]
        self.return_delay = memory.get("return_delay_time") * _RETURN_DELAY_UNIT
        self.return_level = memory.get("status_return_level", 2)
        watchdog = memory.get("bus_watchdog")
        self.watchdog_period = watchdog * _WATCHDOG_UNIT if self.torque_on and watchdog > 0 else math.inf
        self.alert = Error.ALERT if memory.get("hardware_error_status") else 0
        self._mode = self._modes.get(memory.get("operating_mode"), "position")
        # Manual: a bit of Drive Mode lets a goal switch the torque on, in the firmware that brought the fast reads.
        self._torque_by_goal = self.has_fast_reads and bool(memory.get("drive_mode") & _TORQUE_BY_GOAL)

    @property
    def eeprom_locked(self) -> bool:
        """Manual: EEPROM cannot be written while the torque is on."""
        return self.torque_on

    # -- registers ---------------------------------------------------------------------------------

    def get(self, name: str) -> int:
        """The value of a register as a read would find it. Raises KeyError where this model has no such register."""
        register = self.table.registers[name]
        self._sampler.forget()
        return register.decode(self.read(register.address, register.size)[1])

    def read(self, address: int, length: int) -> tuple[int, bytes]:
        """Error number and data of a read."""
        return self.memory.read(address, length)

    def write(self, address: int, data: bytes) -> int:
        """Error number of a write. Assumption: if one register of several is refused, none is written."""
        fields = self.memory.fields(address, len(data))
        if isinstance(fields, int):
            return fields
        changes = []
        for register, offset, end in fields:
            raw = data[offset:end]
            value = int.from_bytes(raw, "little", signed=register.signed)
            if error := self._refusal(register, value):
                return error
            changes.append((register, value, raw))
        for change in changes:
            self._apply(*change)
        return Error.NONE

    def _refusal(self, register: RegisterData, value: int) -> int:
        """Why this value may not go into this register now: an error number, or 0."""
        name = register.name
        if name in GOALS:
            return self._goal_refusal(register, value)
        if register.eeprom and self.eeprom_locked:
            return Error.ACCESS
        if not register.minimum <= value <= register.maximum:
            return Error.DATA_RANGE
        if name in self._choices and value not in self._choices[name]:
            return Error.DATA_RANGE
        if name == "bus_watchdog" and self._watchdog_tripped and value != 0:
            return Error.DATA_RANGE  # manual: 0 clears the error. Assumption: nothing else is taken before
        if name == "torque_enable" and value and self.shut_down:
            return Error.RESULT_FAIL  # manual: only a reboot helps. Assumption: the number, as of the Y series
        return Error.NONE

    def _goal_refusal(self, register: RegisterData, value: int) -> int:
        if self._watchdog_tripped:
            return Error.DATA_RANGE  # manual
        if register.name != "goal_position":
            limit = self.memory.get(register.limited_by) if register.limited_by else register.maximum
            return Error.NONE if -limit <= value <= limit else Error.DATA_LIMIT
        if self._mode == "position":
            low, high = self.memory.get("min_position_limit"), self.memory.get("max_position_limit")
            return Error.NONE if low <= value <= high else Error.DATA_LIMIT
        low, high = _TURNS
        return Error.NONE if low <= value <= high else Error.DATA_RANGE

    def _apply(self, register: RegisterData, value: int, raw: bytes) -> None:
        name, address, memory = register.name, register.address, self.memory
        changed = memory.bytes[address : address + register.size] != raw
        memory.bytes[address : address + register.size] = raw
        if name in GOALS:
            if self._torque_by_goal and not self.torque_on and not self.shut_down:
                self._switch_torque(on=True)
                memory.set(name, value)
            memory.steer(name, value)
            return
        memory.steer(name, value)
        if name == "torque_enable":
            self._switch_torque(on=bool(value))
        elif name == "operating_mode" and changed:
            self._switch_mode()
        elif name == "bus_watchdog" and value == 0:
            self._watchdog_tripped = False
            memory.steer("profile_velocity", memory.get("profile_velocity"))
            memory.steer("profile_acceleration", memory.get("profile_acceleration"))
        elif name.startswith("indirect_address"):
            memory.forget_plans()
        if name in _REMEMBERED:
            self._remember()
            self.on_change()

    # -- torque and modes --------------------------------------------------------------------------

    def _hold(self) -> None:
        """Make the place where the shaft stands the goal."""
        self.memory.feed("goal_position", int(self.plant.present_position[self.index]))

    def _switch_torque(self, *, on: bool) -> None:
        """Switch the torque.

        Manual: in position mode the position falls back into one turn. Assumption, because the manual is silent: in
        the modes that hold a position the goal becomes the place where the shaft stands, as the vendor's support saw
        it on a predecessor and as users rely on it. Velocity, current and PWM goals stay: a host that does not set
        them first gets what they say.
        """
        if on == self.torque_on:
            return
        self.torque_on = on
        if on and self._mode == "position":
            self.plant.restart(self.index)
        if on and self._mode in _HOLDING_MODES and not self.keeps_goal:
            self._hold()
        self.memory.feed("torque_enable", int(on))
        self._remember()
        self.on_change()

    def _switch_mode(self) -> None:
        """Manual: a new mode resets gains, profile and goals; position mode also forgets the turns."""
        self._remember()
        for name in GAINS:
            register = self.table.registers.get(name)
            if register is not None:
                self.memory.set(name, register.initial or 0)
        self.memory.set("profile_velocity", 0)
        self.memory.set("profile_acceleration", 0)
        self._reset_goals()
        self.memory.steer_all()
        if self._mode == "position":
            self.plant.restart(self.index)
        self._hold()

    def _reset_goals(self) -> None:
        """Manual: Goal PWM and Goal Current become their limits, because they limit what other goals ask for.

        Assumption: the goal that the mode itself follows becomes 0, as the vendor's support describes it for current
        mode; Goal Velocity is the velocity limit in the other modes, as users read it out of servos in position mode.
        """
        for name in ("pwm", "current", "velocity"):
            self.memory.set(f"goal_{name}", 0 if self._mode == name else self.memory.get(f"{name}_limit"))

    def forget_turns(self) -> None:
        """Bring the position back into one turn. Assumption: the goal follows, or the shaft would run off."""
        self.plant.restart(self.index)
        self._hold()

    # -- protection --------------------------------------------------------------------------------

    def trip_watchdog(self) -> None:
        """The bus was silent for too long: stop.

        Manual: the servo stops, the profile counts as 0, Bus Watchdog reads -1, goals are read-only. Assumption: how
        each mode stops, and that the goals show it: no current or PWM (limp), velocity 0 (brakes and holds), goal =
        where it is (holds).
        """
        self._watchdog_tripped = True
        self.memory.set("bus_watchdog", TRIPPED)
        self.memory.steer("profile_velocity", 0)
        self.memory.steer("profile_acceleration", 0)
        if self._mode in _HOLDING_MODES:
            self._hold()
        else:
            self.memory.feed(f"goal_{self._mode}", 0)
        self._remember()

    def protect(self) -> None:
        """Look after itself, once every PROTECTION_PERIOD."""
        if self.plant.powered[self.index] and (found := self._protection.look()):
            self._raise(found)

    def overload(self) -> None:
        """Behave as if the load had been too high for too long."""
        self._raise(self._protection.bit("overload"))

    def _raise(self, bits: int) -> None:
        """Set bits of Hardware Error Status. Manual: those that Shutdown names switch the torque off until a reboot.

        Assumption: a bit stays until the reboot even when its cause is gone, voltage included, as users report it.
        """
        before = self.memory.get("hardware_error_status")
        if before | bits == before:
            return
        self.memory.set("hardware_error_status", before | bits)
        if bits & self.memory.get("shutdown"):
            self.shut_down = True
            self._switch_torque(on=False)
        self._remember()


_REMEMBERED = frozenset(
    ("id", "secondary_id", "baud_rate", "return_delay_time", "drive_mode", "status_return_level", "bus_watchdog")
)


def _nothing() -> None:
    """Nobody listens yet."""
