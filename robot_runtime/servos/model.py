"""What a servo model is: its registers, units, modes and motor, read from one data file a model (`data/*.toml`)."""

from __future__ import annotations

import functools
import itertools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from types import MappingProxyType
from typing import Any

_SIZES = (1, 2, 4)
_SENSED = ("motor", "supply")
_MODES = ("current", "velocity", "position", "extended_position", "current_position", "pwm")


VOLTAGE_TOLERANCE = 0.05
"""Share by which a servo's rated voltages may be left: supplies and the servo's own voltmeter are inexact."""


class ServoDataError(ValueError):
    """A servo data file says something impossible.

    Example scenarios:
        - Two registers overlap.
        - A register names a unit that the file does not define.
    """


class UnknownServoError(KeyError):
    """No data file describes this servo model.

    Example scenarios:
        - `arm.toml` names a model with a typing error.
        - The bus answers with a model number that is not supported (see docs/servos.md for how to add one).
    """

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, slots=True)
class Unit:
    """What one tick of a register is worth in SI units."""

    si: str
    scale: float


@dataclass(frozen=True, slots=True)
class Register:
    """One line of the control table."""

    name: str
    address: int
    size: int
    signed: bool
    writable: bool
    eeprom: bool
    unit: Unit | None
    minimum: int
    maximum: int
    initial: int | None
    limited_by: str | None

    @property
    def end(self) -> int:
        """First address behind this register."""
        return self.address + self.size

    def decode(self, data: bytes | bytearray | memoryview) -> int:
        """Little-endian bytes of this register to its integer value."""
        return int.from_bytes(data[: self.size], "little", signed=self.signed)

    def encode(self, value: int) -> bytes:
        """Integer value to little-endian bytes. Raises OverflowError outside the register's range."""
        if not self.minimum <= value <= self.maximum:
            raise OverflowError(f"{self.name}: {value} is outside {self.minimum}..{self.maximum}")
        return value.to_bytes(self.size, "little", signed=self.signed)


@dataclass(frozen=True, slots=True)
class Indirect:
    """Where the block of indirect addresses and their data starts, and how many there are."""

    address: int
    data: int
    count: int


@dataclass(frozen=True, slots=True)
class Motor:
    """Nominal motor and gear, seen at the output shaft. Sources stand beside each number in the data file."""

    nominal_voltage: float  # V
    voltage_range: tuple[float, float]  # V, rated
    stall_torque: float  # N·m at nominal voltage
    stall_current: float  # A at nominal voltage
    no_load_speed: float  # rad/s at nominal voltage
    torque_constant: float  # N·m/A
    resistance: float  # ohm
    armature: float  # kg·m², rotor and gears
    coulomb_friction: float  # N·m
    viscous_friction: float  # N·m·s/rad
    load_friction: float  # 1, share of the transmitted torque that the gears eat
    backlash: float  # rad
    velocity_lag: float  # s, delay of the present-velocity register
    thermal_resistance: float  # K/W, winding and case to air
    thermal_capacity: float  # J/K
    mass: float  # kg

    def doubled(self) -> Motor:
        """Two of these on one axle, seen as one: twice the torque, current, rotor, friction, heat path and mass."""
        return replace(
            self,
            stall_torque=2 * self.stall_torque,
            stall_current=2 * self.stall_current,
            resistance=self.resistance / 2,
            armature=2 * self.armature,
            coulomb_friction=2 * self.coulomb_friction,
            viscous_friction=2 * self.viscous_friction,
            thermal_resistance=self.thermal_resistance / 2,
            thermal_capacity=2 * self.thermal_capacity,
            mass=2 * self.mass,
        )

    @property
    def tolerated_voltage(self) -> tuple[float, float]:
        """V, as rated and `VOLTAGE_TOLERANCE` beyond."""
        low, high = self.voltage_range
        return low * (1 - VOLTAGE_TOLERANCE), high * (1 + VOLTAGE_TOLERANCE)


@dataclass(frozen=True, slots=True)
class ServoModel:
    """Everything the software knows about one servo model at one firmware version."""

    name: str
    number: int
    registers: Mapping[str, Register]
    units: Mapping[str, Unit]
    modes: Mapping[str, int]
    baudrates: Mapping[int, int]
    hardware_errors: Mapping[int, str]
    recommended: Mapping[str, int]
    indirect: Indirect
    motor: Motor
    senses_supply: bool
    """Its current registers speak of its supply's current, the share |duty| of the motor's."""
    gear_ratio: float
    ticks_per_turn: int
    zero_tick: int
    fast_sync_read_since: int
    oldest_firmware: int
    notes: tuple[str, ...]
    added: Mapping[str, int]
    variants: tuple[tuple[int, Indirect], ...]

    def register(self, name: str) -> Register:
        """The register of that name. Raises KeyError that names the model."""
        try:
            return self.registers[name]
        except KeyError:
            raise KeyError(f"{self.name} has no register '{name}'") from None

    @property
    def radians_per_tick(self) -> float:
        """Output-shaft angle of one position tick."""
        return self.units["position"].scale

    @property
    def has_current(self) -> bool:
        """Whether the servo measures its current (XL430 reports an inferred load instead)."""
        return "present_current" in self.registers

    def doubled(self) -> ServoModel:
        """Two of these on one axle that are told the same, seen as one: a tick of current is one in each of them."""
        if not self.has_current:
            return replace(self, motor=self.motor.doubled())
        one = self.units["current"]
        both = replace(one, scale=2 * one.scale)
        registers = {n: replace(r, unit=both) if r.unit is one else r for n, r in self.registers.items()}
        units = MappingProxyType({**self.units, "current": both})
        return replace(self, registers=MappingProxyType(registers), units=units, motor=self.motor.doubled())

    def has_fast_sync_read(self, firmware: int) -> bool:
        """Whether this firmware answers Fast Sync Read in one packet."""
        return firmware >= self.fast_sync_read_since

    def for_firmware(self, version: int) -> ServoModel:
        """The model as the given firmware version lays it out: registers that came later are gone."""
        later = {name for name, since in self.added.items() if version < since}
        indirect = self.indirect
        for since, changed in self.variants:
            if version >= since:
                indirect = changed
        return replace(
            self,
            registers=MappingProxyType({n: r for n, r in self.registers.items() if n not in later}),
            recommended=MappingProxyType({n: v for n, v in self.recommended.items() if n not in later}),
            indirect=indirect,
        )

    def error_names(self, status: int) -> tuple[str, ...]:
        """Names of the bits set in Hardware Error Status."""
        return tuple(name for bit, name in self.hardware_errors.items() if status >> bit & 1)


@functools.cache
def servo_model(name: str) -> ServoModel:
    """Load and validate the data file of a model such as "XM430-W350".

    Raises:
        UnknownServoError: no such file.
        ServoDataError: the file contradicts itself.
    """
    file = resources.files("robot_runtime") / "servos" / "data" / f"{name.lower()}.toml"
    if not file.is_file():
        raise UnknownServoError(f"no servo model '{name}'; known: {', '.join(servo_model_names())}")
    return parse_servo_model(file.read_text(encoding="utf-8"), file.name)


@functools.cache
def servo_model_names() -> tuple[str, ...]:
    """Names of all models that ship, sorted."""
    folder = resources.files("robot_runtime") / "servos" / "data"
    return tuple(sorted(f.name.removesuffix(".toml").upper() for f in folder.iterdir() if f.name.endswith(".toml")))


def servo_baudrates() -> tuple[int, ...]:
    """All baud rates (bit/s) that any model does, slowest first."""
    return tuple(sorted({rate for name in servo_model_names() for rate in servo_model(name).baudrates}))


def servo_model_by_number(number: int) -> ServoModel:
    """The model whose control table starts with this model number. Raises UnknownServoError."""
    for name in servo_model_names():
        if (model := servo_model(name)).number == number:
            return model
    raise UnknownServoError(f"no servo data file has model number {number}; docs/servos.md says how to add one")


def parse_servo_model(text: str, file: str) -> ServoModel:
    """Read a servo data file's text; `file` names it in messages. Raises ServoDataError."""
    try:
        return _build(tomllib.loads(text), file)
    except tomllib.TOMLDecodeError as error:
        raise ServoDataError(f"{file}: not TOML: {error}") from error
    except (KeyError, TypeError) as error:
        raise ServoDataError(f"{file}: missing or misspelt key: {error}") from error


def _build(data: dict[str, Any], file: str) -> ServoModel:
    head, firmware, mechanics = data["model"], data["firmware"], data["mechanics"]
    units = {name: Unit(u["unit"], float(u["scale"])) for name, u in data["units"].items()}
    registers = {name: _register(name, line, units, file) for name, line in data["registers"].items()}
    _check_overlap(registers, file)
    for mode in data["modes"]:
        if mode not in _MODES:
            raise ServoDataError(f"{file}: unknown operating mode '{mode}'")
    for name, value in data["recommended"].items():
        _check_recommended(name, value, registers, file)
    added = dict(firmware.get("added", {}))
    if unknown := set(added) - set(registers):
        raise ServoDataError(f"{file}: [firmware] added names unknown registers {sorted(unknown)}")
    figures = dict(data["motor"])
    sensed = figures.pop("current_sensed", "motor")
    if sensed not in _SENSED or (sensed == "supply" and "present_current" not in registers):
        expected = "'motor', or 'supply' where there is a register present_current"
        raise ServoDataError(f"{file}: [motor] current_sensed is {sensed!r}, expected {expected}")
    motor: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else float(v) for k, v in figures.items()}
    return ServoModel(
        name=head["name"],
        number=head["number"],
        registers=MappingProxyType(registers),
        units=MappingProxyType(units),
        modes=MappingProxyType(dict(data["modes"])),
        baudrates=MappingProxyType({int(baud): value for baud, value in data["baudrates"].items()}),
        hardware_errors=MappingProxyType({bit: name for name, bit in data["hardware_errors"].items()}),
        recommended=MappingProxyType(dict(data["recommended"])),
        indirect=Indirect(**data["indirect"]),
        motor=Motor(**motor),
        senses_supply=sensed == "supply",
        gear_ratio=float(mechanics["gear_ratio"]),
        ticks_per_turn=mechanics["ticks_per_turn"],
        zero_tick=mechanics["zero_tick"],
        fast_sync_read_since=firmware["fast_sync_read_since"],
        oldest_firmware=firmware["oldest"],
        notes=tuple(firmware["notes"]),
        added=MappingProxyType(added),
        variants=tuple((v["since"], Indirect(**v["indirect"])) for v in firmware.get("variant", ())),
    )


def _register(name: str, line: dict[str, Any], units: dict[str, Unit], file: str) -> Register:
    where = f"{file}: register '{name}'"
    known = {"address", "size", "access", "area", "signed", "unit", "min", "max", "initial", "limited_by"}
    if unknown := set(line) - known:
        raise ServoDataError(f"{where}: unknown key {sorted(unknown)}")
    if missing := {"address", "size", "access", "area"} - set(line):
        raise ServoDataError(f"{where}: missing key {sorted(missing)}")
    size, signed = line["size"], line.get("signed", False)
    if size not in _SIZES or line["access"] not in ("r", "rw") or line["area"] not in ("eeprom", "ram"):
        raise ServoDataError(f"{where}: size must be 1, 2 or 4, access 'r' or 'rw', area 'eeprom' or 'ram'")
    if "unit" in line and line["unit"] not in units:
        raise ServoDataError(f"{where}: unit '{line['unit']}' is not in [units]")
    lowest, highest = (-(1 << 8 * size - 1), (1 << 8 * size - 1) - 1) if signed else (0, (1 << 8 * size) - 1)
    minimum, maximum = line.get("min", lowest), line.get("max", highest)
    initial = line.get("initial")
    if not lowest <= minimum <= maximum <= highest:
        raise ServoDataError(f"{where}: {minimum}..{maximum} does not fit {size} bytes")
    if initial is not None and not minimum <= initial <= maximum:
        raise ServoDataError(f"{where}: initial value {initial} is outside {minimum}..{maximum}")
    return Register(
        name=name,
        address=line["address"],
        size=size,
        signed=signed,
        writable=line["access"] == "rw",
        eeprom=line["area"] == "eeprom",
        unit=units[line["unit"]] if "unit" in line else None,
        minimum=minimum,
        maximum=maximum,
        initial=initial,
        limited_by=line.get("limited_by"),
    )


def _check_recommended(name: str, value: int, registers: dict[str, Register], file: str) -> None:
    if name not in registers or not registers[name].eeprom:
        raise ServoDataError(f"{file}: [recommended] '{name}' is no EEPROM register of this model")
    if not registers[name].minimum <= value <= registers[name].maximum:
        raise ServoDataError(f"{file}: [recommended] {name} = {value} is outside the register's range")


def _check_overlap(registers: dict[str, Register], file: str) -> None:
    ordered = sorted(registers.values(), key=lambda r: r.address)
    for before, after in itertools.pairwise(ordered):
        if after.address < before.end:
            raise ServoDataError(f"{file}: registers '{before.name}' and '{after.name}' overlap")
    for register in ordered:
        if register.limited_by is not None and register.limited_by not in registers:
            raise ServoDataError(f"{file}: '{register.name}' is limited by unknown register '{register.limited_by}'")
