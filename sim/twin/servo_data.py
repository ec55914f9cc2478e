"""The twin's own reader of the servo data files. It shares the files with the runtime and no code."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "robot_runtime" / "servos" / "data"
"""The data files lie in the runtime's package. The path is taken apart from it, so that nothing of it is imported."""

_SENSES_SUPPLY = {"motor": False, "supply": True}
"""What `current_sensed` may say."""


@dataclass(frozen=True, slots=True)
class RegisterData:
    """One register of the control table."""

    name: str
    address: int
    size: int
    signed: bool
    writable: bool
    eeprom: bool
    minimum: int
    maximum: int
    initial: int | None
    limited_by: str | None
    scale: float | None  # SI value of one tick; None: a bare number
    since: int = 0  # first firmware version that has it

    def decode(self, data: bytes | bytearray) -> int:
        """Little-endian bytes to the value."""
        return int.from_bytes(data[: self.size], "little", signed=self.signed)

    def encode(self, value: int) -> bytes:
        """The value to little-endian bytes; what does not fit is clipped to what does."""
        lowest = -(1 << 8 * self.size - 1) if self.signed else 0
        highest = lowest + (1 << 8 * self.size) - 1
        return min(max(value, lowest), highest).to_bytes(self.size, "little", signed=self.signed)


@dataclass(frozen=True, slots=True)
class IndirectData:
    """The block of indirect addresses and the data bytes that they point from."""

    address: int
    data: int
    count: int


@dataclass(frozen=True, slots=True)
class ServoData:
    """One servo model, as its data file describes it."""

    name: str
    number: int
    registers: Mapping[str, RegisterData]
    units: Mapping[str, float]  # unit name -> SI value of one tick
    modes: Mapping[str, int]  # operating mode -> register value
    baudrates: Mapping[int, int]  # bit/s -> register value
    hardware_errors: Mapping[str, int]  # name -> bit number
    recommended: Mapping[str, int]  # EEPROM values that set-up writes
    motor: Mapping[str, Any]  # floats, and pairs of floats for ranges
    senses_supply: bool  # its current registers speak of the supply's current, not of the motor's
    gear_ratio: float
    ticks_per_turn: int
    zero_tick: int
    indirect: IndirectData
    variants: tuple[tuple[int, IndirectData], ...]  # (since firmware, its indirect block)
    fast_sync_read_since: int
    newest_firmware: int
    """The newest firmware version that the file says anything about: what the twin runs unless told otherwise."""

    def indirect_for(self, firmware: int) -> IndirectData:
        """Where that firmware version has its indirect block."""
        block = self.indirect
        for since, changed in self.variants:
            if firmware >= since:
                block = changed
        return block


@functools.cache
def load_servo(model: str) -> ServoData:
    """Read the data file of a model such as "XM430-W350". Raises ValueError that lists the known models."""
    file = FOLDER / f"{model.lower()}.toml"
    if not file.is_file():
        known = ", ".join(sorted(f.stem.upper() for f in FOLDER.glob("*.toml")))
        raise ValueError(f"no servo data file for model '{model}'; known: {known}")
    return parse_servo(tomllib.loads(file.read_text(encoding="utf-8")))


def parse_servo(data: Mapping[str, Any]) -> ServoData:
    """Build the description from the contents of a data file."""
    firmware, mechanics = data["firmware"], data["mechanics"]
    units = {name: float(unit["scale"]) for name, unit in data["units"].items()}
    added: Mapping[str, int] = firmware.get("added", {})
    variants = tuple(
        (v["since"], IndirectData(**v["indirect"])) for v in firmware.get("variant", ()) if "indirect" in v
    )
    newest = max(firmware["oldest"], firmware["fast_sync_read_since"], *added.values(), *(v[0] for v in variants), 0)
    return ServoData(
        name=data["model"]["name"],
        number=data["model"]["number"],
        registers=MappingProxyType(
            {name: _register(name, line, units, added.get(name, 0)) for name, line in data["registers"].items()}
        ),
        units=MappingProxyType(units),
        modes=MappingProxyType(dict(data["modes"])),
        baudrates=MappingProxyType({int(baud): value for baud, value in data["baudrates"].items()}),
        hardware_errors=MappingProxyType(dict(data["hardware_errors"])),
        recommended=MappingProxyType(dict(data["recommended"])),
        motor=MappingProxyType({k: v for k, v in data["motor"].items() if k != "current_sensed"}),
        senses_supply=_SENSES_SUPPLY[data["motor"].get("current_sensed", "motor")],
        gear_ratio=float(mechanics["gear_ratio"]),
        ticks_per_turn=mechanics["ticks_per_turn"],
        zero_tick=mechanics["zero_tick"],
        indirect=IndirectData(**data["indirect"]),
        variants=variants,
        fast_sync_read_since=firmware["fast_sync_read_since"],
        newest_firmware=newest,
    )


def _register(name: str, line: Mapping[str, Any], units: Mapping[str, float], since: int) -> RegisterData:
    size, signed = line["size"], line.get("signed", False)
    lowest, highest = (-(1 << 8 * size - 1), (1 << 8 * size - 1) - 1) if signed else (0, (1 << 8 * size) - 1)
    return RegisterData(
        name=name,
        address=line["address"],
        size=size,
        signed=signed,
        writable=line["access"] == "rw",
        eeprom=line["area"] == "eeprom",
        minimum=line.get("min", lowest),
        maximum=line.get("max", highest),
        initial=line.get("initial"),
        limited_by=line.get("limited_by"),
        scale=units[line["unit"]] if "unit" in line else None,
        since=since,
    )
