"""The loader of servo data files: every shipped file loads, every impossible one is refused with its place named."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_runtime.servos import (
    Indirect,
    Register,
    ServoDataError,
    ServoModel,
    UnknownServoError,
    servo_model,
    servo_model_by_number,
    servo_model_names,
)
from robot_runtime.servos.model import parse_servo_model

MODELS = ("XL330-M077", "XL330-M288", "XL430-W250", "XM430-W210", "XM430-W350", "XM540-W150", "XM540-W270")
DOCS = Path(__file__).resolve().parents[3] / "docs" / "servos.md"


def text_of(name: str) -> str:
    return (resources.files("robot_runtime") / "servos" / "data" / f"{name.lower()}.toml").read_text(encoding="utf-8")


def parse_changed(old: str, new: str) -> ServoModel:
    """The XM430-W350's file with one place changed."""
    text = text_of("XM430-W350")
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the file"
    return parse_servo_model(text.replace(old, new), "changed.toml")


def test_the_shipped_models_are_these() -> None:
    assert servo_model_names() == MODELS


@pytest.mark.parametrize("name", MODELS)
def test_every_shipped_file_loads(name: str) -> None:
    model = servo_model(name)
    assert model.name == name
    assert servo_model_by_number(model.number) is model
    assert model.register("model_number").initial == model.number
    assert model.notes


@pytest.mark.parametrize("name", MODELS)
def test_registers_stand_in_address_order_and_eeprom_ends_before_ram(name: str) -> None:
    registers = list(servo_model(name).registers.values())
    assert registers == sorted(registers, key=lambda r: r.address)
    assert all(r.eeprom == (r.address < 64) for r in registers)


@pytest.mark.parametrize("name", MODELS)
def test_the_block_read_in_every_cycle_is_contiguous(name: str) -> None:
    model = servo_model(name)
    effort = model.register("present_current" if model.has_current else "present_load")
    velocity, position = model.register("present_velocity"), model.register("present_position")
    assert (effort.address, effort.end, velocity.end, position.end) == (126, velocity.address, position.address, 136)


@pytest.mark.parametrize("name", MODELS)
def test_current_registers_and_current_modes_come_together(name: str) -> None:
    model = servo_model(name)
    assert model.has_current == ("current" in model.modes) == ("goal_current" in model.registers)
    assert model.has_current == ("current" in model.units)


@pytest.mark.parametrize("name", MODELS)
def test_the_duty_stands_right_before_the_current(name: str) -> None:
    model = servo_model(name)
    assert (model.register("present_pwm").address, model.register("present_pwm").end) == (124, 126)


def test_the_current_of_an_xl330_is_its_supplys() -> None:
    assert [name for name in MODELS if servo_model(name).senses_supply] == ["XL330-M077", "XL330-M288"]
    senseless = text_of("XL430-W250").replace("backlash = ", 'current_sensed = "supply"\nbacklash = ')
    with pytest.raises(ServoDataError, match=r"current_sensed is 'supply', expected .* present_current"):
        parse_servo_model(senseless, "changed.toml")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("firmware", [38, 45, 46, 52, 53, 99])
def test_indirect_block_lies_clear_of_every_register(name: str, firmware: int) -> None:
    model = servo_model(name).for_firmware(firmware)
    block = model.indirect
    taken = {a for r in model.registers.values() for a in range(r.address, r.end)}
    assert taken.isdisjoint(range(block.address, block.address + 2 * block.count))
    assert taken.isdisjoint(range(block.data, block.data + block.count))
    assert block.address + 2 * block.count <= block.data


@pytest.mark.parametrize("name", ["XL330-M077", "XL330-M288"])
def test_xl330_indirect_data_moved_with_firmware_53(name: str) -> None:
    model = servo_model(name)
    assert model.for_firmware(52).indirect == Indirect(address=168, data=208, count=20)
    assert model.for_firmware(53).indirect == Indirect(address=168, data=224, count=28)


@pytest.mark.parametrize("name", MODELS)
def test_registers_that_came_later_are_gone_on_old_firmware(name: str) -> None:
    model = servo_model(name)
    since = model.added["startup_configuration"]
    before, after = model.for_firmware(since - 1), model.for_firmware(since)
    assert set(model.registers) - set(before.registers) == {"startup_configuration", "backup_ready"}
    assert "startup_configuration" not in before.recommended
    assert after.registers == model.registers
    assert after.recommended == model.recommended


def test_fast_sync_read_depends_on_the_firmware() -> None:
    xl330, xm430 = servo_model("XL330-M288"), servo_model("XM430-W350")
    assert [xl330.has_fast_sync_read(v) for v in (45, 46)] == [False, True]
    assert [xm430.has_fast_sync_read(v) for v in (44, 45)] == [False, True]


def test_hardware_errors_have_names() -> None:
    assert servo_model("XM430-W350").error_names(0b0010_0100) == ("overheating", "overload")
    assert servo_model("XL330-M288").error_names(0) == ()


@pytest.mark.parametrize("name", MODELS)
def test_motor_figures_give_the_manuals_no_load_speed(name: str) -> None:
    m = servo_model(name).motor
    drive = m.torque_constant * m.nominal_voltage / m.resistance - m.coulomb_friction
    speed = drive / (m.torque_constant**2 / m.resistance + m.viscous_friction)
    assert speed == pytest.approx(m.no_load_speed, rel=0.08)


# The manual's stall torque per ampere of the XL330-M077 (0.146 N·m/A) is more than its no-load speed allows (0.125).
@pytest.mark.parametrize("name", [n for n in MODELS if n != "XL330-M077"])
def test_motor_figures_give_the_manuals_stall_torque(name: str) -> None:
    m = servo_model(name).motor
    at_the_motor = m.torque_constant * m.nominal_voltage / m.resistance
    torque = at_the_motor * (1 - m.load_friction) - m.coulomb_friction
    assert torque == pytest.approx(m.stall_torque, rel=0.16)


@pytest.mark.parametrize("name", MODELS)
def test_motor_cannot_push_harder_than_its_back_emf_allows(name: str) -> None:
    m = servo_model(name).motor
    assert m.torque_constant < m.nominal_voltage / m.no_load_speed


@given(st.sampled_from(MODELS), st.data())
def test_every_value_in_range_survives_the_wire(name: str, data: st.DataObject) -> None:
    register = data.draw(st.sampled_from(list(servo_model(name).registers.values())))
    value = data.draw(st.integers(register.minimum, register.maximum))
    wire = register.encode(value)
    assert len(wire) == register.size
    assert register.decode(wire + b"\xff\xff") == value


@pytest.mark.parametrize(
    ("register", "value", "wire"),
    [
        ("goal_position", -1, b"\xff\xff\xff\xff"),
        ("goal_current", -1193, b"\x57\xfb"),
        ("present_velocity", -2, b"\xfe\xff\xff\xff"),
        ("goal_pwm", 885, b"\x75\x03"),
        ("bus_watchdog", 5, b"\x05"),
        ("homing_offset", -1044479, b"\x01\x10\xf0\xff"),
    ],
)
def test_golden_bytes(register: str, value: int, wire: bytes) -> None:
    line = servo_model("XM430-W350").register(register)
    assert line.encode(value) == wire
    assert line.decode(wire) == value


def test_a_tripped_watchdog_reads_minus_one_and_cannot_be_written() -> None:
    watchdog = servo_model("XM430-W350").register("bus_watchdog")
    assert watchdog.decode(b"\xff") == -1
    with pytest.raises(OverflowError, match=r"bus_watchdog: -1 is outside 0\.\.127"):
        watchdog.encode(-1)


@pytest.mark.parametrize(("register", "value"), [("id", 253), ("goal_position", 1048576), ("pwm_limit", 886)])
def test_encode_refuses_what_the_servo_would(register: str, value: int) -> None:
    with pytest.raises(OverflowError, match=f"{register}: {value} is outside"):
        servo_model("XM430-W350").register(register).encode(value)


def test_register_of_another_name_is_refused() -> None:
    with pytest.raises(KeyError, match="XL430-W250 has no register 'present_current'"):
        servo_model("XL430-W250").register("present_current")


def test_unknown_model_names_those_that_exist() -> None:
    with pytest.raises(UnknownServoError, match=r"no servo model 'XM430-W351'; known: XL330-M077, .*XM540-W270"):
        servo_model("XM430-W351")


def test_unknown_number_says_how_to_add_one() -> None:
    with pytest.raises(UnknownServoError, match=r"number 1234; docs/servos\.md"):
        servo_model_by_number(1234)


ID = 'id                     = { address =   7, size = 1, access = "rw", area = "eeprom", min = 0'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("= { address =   8,", "= { address =   7,", r"changed\.toml: registers 'id' and 'baud_rate' overlap"),
        ("= { address =  32, size = 2", "= { address =  32, size = 4", "'max_voltage_limit' and 'min_voltage_limit'"),
        ("= { address =   7, size = 1", "= { address =   7, size = 3", r"changed\.toml: register 'id': size must be"),
        (ID, ID.replace('"rw"', '"w"'), r"changed\.toml: register 'id': .*access 'r' or 'rw'"),
        (ID, ID.replace('"eeprom"', '"rom"'), r"changed\.toml: register 'id': .*area 'eeprom' or 'ram'"),
        (ID, ID.replace("min", "mini"), r"changed\.toml: register 'id': unknown key \['mini'\]"),
        (ID, ID.replace("address =   7, ", ""), r"changed\.toml: register 'id': missing key \['address'\]"),
        (ID, ID.replace("min = 0", "min = -1"), r"register 'id': -1\.\.252 does not fit 1 bytes"),
        (ID, ID.replace("min = 0", "min = 2"), r"register 'id': initial value 1 is outside 2\.\.252"),
        ("voltage      = {", "volts = {", r"register 'max_voltage_limit': unit 'voltage' is not in \[units\]"),
        ('limited_by = "pwm_limit"', 'limited_by = "pwm"', "'goal_pwm' is limited by unknown register 'pwm'"),
        ("extended_position = 4", "multi_turn = 4", r"changed\.toml: unknown operating mode 'multi_turn'"),
        ("secondary_id = 255", "shadow_id = 255", r"\[recommended\] 'shadow_id' is no EEPROM register"),
        ("secondary_id = 255", "led = 1", r"\[recommended\] 'led' is no EEPROM register"),
        ("secondary_id = 255", "secondary_id = 256", r"\[recommended\] secondary_id = 256 is outside"),
        ("backup_ready = 45 }", "backup = 45 }", r"changed\.toml: \[firmware\] added names unknown registers"),
        ("gear_ratio = 353.5", "gears = 353.5", r"changed\.toml: missing or misspelt key: 'gear_ratio'"),
        ("backlash = 0.0044", "slack = 0.0044", r"changed\.toml: missing or misspelt key: .*'slack'"),
        ("[mechanics]", "[mechanics", r"changed\.toml: not TOML"),
        ("backlash = ", 'current_sensed = "rail"\nbacklash = ', r"changed\.toml: \[motor\] current_sensed is 'rail'"),
    ],
)
def test_impossible_file_is_refused_with_its_place(old: str, new: str, message: str) -> None:
    with pytest.raises(ServoDataError, match=message):
        parse_changed(old, new)


def test_unsigned_and_signed_differ_where_it_matters() -> None:
    unsigned = Register("r", 0, 2, False, True, False, None, 0, 65535, None, None)
    signed = Register("r", 0, 2, True, True, False, None, -32768, 32767, None, None)
    assert (unsigned.decode(b"\xff\xff"), signed.decode(b"\xff\xff")) == (65535, -1)


def test_the_table_in_the_docs_says_what_the_data_files_say() -> None:
    lines = [line.strip("| \n").split("|") for line in DOCS.read_text(encoding="utf-8").splitlines() if "| X" in line]
    rows = {cells[0].strip(): [c.strip() for c in cells[1:]] for cells in lines}
    assert set(rows) == set(MODELS)
    for name, row in rows.items():
        m = servo_model(name)
        low, high = m.motor.voltage_range
        assert row == [
            str(m.number),
            f"{m.gear_ratio:g}",
            f"{low:g}-{high:g} V",
            f"{m.motor.stall_torque:g}",
            f"{m.motor.torque_constant:g}",
            f"{1000 * m.units['current'].scale:g} mA" if m.has_current else "none, load only",
            "all six" if len(m.modes) == 6 else "no current modes",
            str(m.fast_sync_read_since),
        ], name


@pytest.mark.parametrize(("name", "sibling"), [("XM430-W210", "XM430-W350"), ("XM540-W150", "XM540-W270")])
def test_siblings_differ_in_number_speed_and_motor_only(name: str, sibling: str) -> None:
    """The other tables know only one of each pair; what holds for that one holds for its sibling."""
    one, other = servo_model(name), servo_model(sibling)
    differing = {r for r in one.registers if one.registers[r] != other.registers.get(r)}
    assert differing == {"model_number", "velocity_limit"}
    assert set(one.registers) == set(other.registers)
    for field in (
        "units",
        "modes",
        "baudrates",
        "hardware_errors",
        "recommended",
        "indirect",
        "added",
        "ticks_per_turn",
    ):
        assert getattr(one, field) == getattr(other, field), field
