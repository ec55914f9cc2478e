"""Our servo tables agree with two independent ones: rustypot's and the DynamixelSDK's own.

Every register that both sides know is compared, and a register of theirs that we lack is an error. What disagrees on
purpose is listed here with the reason; an entry that no longer disagrees is an error too, so the lists stay true.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import dynamixel_easy_sdk
import pytest
import rustypot

from robot_runtime.servos import ServoModel, servo_model, servo_model_names

MODELS = servo_model_names()
CURRENT = ("current_limit", "goal_current", "present_current")

# --- rustypot -----------------------------------------------------------------------------------------------------

MISSING_HERE = {
    "torque_limit": "alias of current_limit, kept there for the MX's name",
    "moving_speed": "alias of velocity_limit, kept there for the MX's name",
    "acceleration_limit": "address 40; the manual has dropped it",
}
NO_CURRENT_ON_XL430 = dict.fromkeys(
    CURRENT, "one table for all X servos there; an XL430 has load at 126 and no current"
)
OTHER_SIGN = {
    "velocity_trajectory": "unsigned there; it is negative whenever the servo turns backwards",
    "position_trajectory": "unsigned there; it is negative below zero in the multi-turn modes",
    "bus_watchdog": "unsigned there; the manual says that a tripped one reads -1",
    "max_position_limit": "signed for the XL330 there; the manual's range is 0..4095",
    "min_position_limit": "signed for the XL330 there; the manual's range is 0..4095",
}
RUSTYPOT: dict[str, Any] = {
    "XL330-M077": rustypot.Xl330PyController,
    "XL330-M288": rustypot.Xl330PyController,
    "XL430-W250": rustypot.Xl430PyController,
    "XM430-W210": rustypot.Xl430PyController,
    "XM430-W350": rustypot.Xl430PyController,
    "XM540-W150": rustypot.Xl430PyController,
    "XM540-W270": rustypot.Xl430PyController,
}


def missing_here(model: ServoModel) -> dict[str, str]:
    return MISSING_HERE if model.has_current else MISSING_HERE | NO_CURRENT_ON_XL430


@pytest.mark.parametrize("name", MODELS)
def test_every_register_of_rustypot_is_ours(name: str) -> None:
    model = servo_model(name).for_firmware(99)
    for theirs in RUSTYPOT[name].registers():
        if theirs.name.startswith("indirect_"):
            _, kind, number = theirs.name.split("_")
            step, start = (2, model.indirect.address) if kind == "address" else (1, model.indirect.data)
            assert theirs.addr == start + step * (int(number) - 1)
        elif theirs.name in missing_here(model):
            assert theirs.name not in model.registers
        else:
            ours = model.register(theirs.name)
            assert (ours.address, ours.size) == (theirs.addr, theirs.size), theirs.name


@pytest.mark.parametrize("name", MODELS)
def test_signs_agree_with_rustypot(name: str) -> None:
    model = servo_model(name)
    for theirs in RUSTYPOT[name].registers():
        ours = model.registers.get(theirs.name)
        if ours is not None and theirs.name not in OTHER_SIGN:
            assert ours.signed == (theirs.encoding == "twos_complement"), theirs.name


def test_every_listed_difference_from_rustypot_is_still_one() -> None:
    seen_missing: set[str] = set()
    seen_sign: set[str] = set()
    for name, controller in RUSTYPOT.items():
        model = servo_model(name)
        for theirs in controller.registers():
            ours = model.registers.get(theirs.name)
            if ours is None:
                seen_missing.add(theirs.name)
            elif ours.signed != (theirs.encoding == "twos_complement"):
                seen_sign.add(theirs.name)
    assert set(MISSING_HERE) | set(NO_CURRENT_ON_XL430) <= seen_missing
    assert set(OTHER_SIGN) == seen_sign


NOT_IN_RUSTYPOT = {"XM430-W210", "XM540-W150"}


@pytest.mark.parametrize("name", MODELS)
def test_numbers_rates_modes_and_resolution_agree_with_rustypot(name: str) -> None:
    found = rustypot.find_model(name)
    assert (found is None) == (name in NOT_IN_RUSTYPOT)
    if found is None:
        return
    model, (number, definition) = servo_model(name), found
    assert model.number == number
    assert model.ticks_per_turn == definition.resolution
    without_fastest = {baud: value for baud, value in model.baudrates.items() if baud != 4_500_000}
    assert without_fastest == definition.baudrates, "theirs stops at 4 Mbaud, the manual of the 430 and 540 does not"
    modes = {k.replace("current_based", "current"): v for k, v in definition.operating_modes.items()}
    if not model.has_current:  # one table for all X servos there
        modes = {k: v for k, v in modes.items() if "current" not in k}
    assert model.modes == modes


# --- DynamixelSDK -------------------------------------------------------------------------------------------------

SDK_TABLES = resources.files(dynamixel_easy_sdk) / "control_table"
SECOND_BLOCK = "the second indirect block (29..56 at 578/634); [indirect] describes the first"
SDK_MISSING_HERE = {"indirect_address_read": SECOND_BLOCK, "indirect_data_read": SECOND_BLOCK}


def sdk_table(stem: str) -> tuple[dict[str, tuple[int, int]], dict[str, tuple[float, str, bool]]]:
    """Registers {name: (address, size)} and units {name: (value, unit, signed)} of one of the SDK's .model files."""
    registers: dict[str, tuple[int, int]] = {}
    units: dict[str, tuple[float, str, bool]] = {}
    section = ""
    for line in (SDK_TABLES / f"{stem}.model").read_text(encoding="utf-8").splitlines():
        cells = line.split("\t")
        if line.startswith("["):
            section = line
        elif section == "[control table]" and len(cells) == 3 and cells[0].isdigit():
            registers[snake(cells[2])] = (int(cells[0]), int(cells[1]))
        elif section == "[unit info]" and len(cells) == 4 and cells[0] != "Data Name":
            units[snake(cells[0])] = (float(cells[1]), cells[2], cells[3] == "signed")
    return registers, units


def snake(name: str) -> str:
    return name.replace("Secondary(Shadow)", "Secondary").lower().replace(" ", "_")


def stem_of(name: str) -> str:
    return name.lower().replace("-", "_")


def sdk_cases() -> list[tuple[str, str, int]]:
    """(model, .model file, firmware that it describes). The SDK's file without a suffix is the newest firmware's."""
    cases = [(name, stem_of(name), 99) for name in MODELS]
    return cases + [(name, f"{stem_of(name)}_fw52", 52) for name in MODELS if name.startswith("XL330")]


@pytest.mark.parametrize(("name", "stem", "firmware"), sdk_cases())
def test_every_register_of_the_sdk_is_ours(name: str, stem: str, firmware: int) -> None:
    model = servo_model(name).for_firmware(firmware)
    block = model.indirect
    registers, _ = sdk_table(stem)
    assert len(registers) > 45, "the SDK's file was not read as it should be"
    for register, (address, size) in registers.items():
        if register in ("indirect_address_1", "indirect_address_write"):
            assert (address, size) == (block.address, 2)
        elif register in ("indirect_data_1", "indirect_data_write"):
            assert (address, size) == (block.data, 1)
        elif register not in SDK_MISSING_HERE:
            ours = model.register(register)
            assert (ours.address, ours.size) == (address, size), register


@pytest.mark.parametrize(("name", "stem", "firmware"), sdk_cases())
def test_the_sdks_read_half_of_the_indirect_block_lies_where_ours_says(name: str, stem: str, firmware: int) -> None:
    block = servo_model(name).for_firmware(firmware).indirect
    registers, _ = sdk_table(stem)
    address, data = registers["indirect_address_read"][0], registers["indirect_data_read"][0]
    if name.startswith("XL330"):
        index = (address - block.address) // 2
        assert data == block.data + index
        assert index < block.count
    else:
        assert (address, data) == (578, 634), SECOND_BLOCK


@pytest.mark.parametrize("name", MODELS)
def test_units_and_signs_agree_with_the_sdk(name: str) -> None:
    model = servo_model(name)
    _, units = sdk_table(stem_of(name))
    assert "present_velocity" in units
    for register, (value, unit, signed) in units.items():
        ours = model.register(register)
        assert ours.signed == signed, register
        assert ours.unit is not None
        if unit != "raw":  # currents are left in ticks there
            assert ours.unit.si == unit
            # theirs is 0.2289 rev/min a tick, the manual's 0.229
            assert ours.unit.scale == pytest.approx(value, rel=1e-3), register


@pytest.mark.parametrize("name", MODELS)
def test_numbers_and_middle_tick_agree_with_the_sdk(name: str) -> None:
    lines = (SDK_TABLES / "dynamixel.model").read_text(encoding="utf-8").splitlines()
    numbers = {file: number for number, _, file in (line.partition("\t") for line in lines)}
    model = servo_model(name)
    assert int(numbers[f"{stem_of(name)}.model"]) == model.number
    zero = next(
        line for line in (SDK_TABLES / f"{stem_of(name)}.model").read_text().splitlines() if "zero_radian" in line
    )
    assert int(zero.split("\t")[1]) == model.zero_tick
