"""The twin's reader of the servo data files."""

from __future__ import annotations

import tomllib

import pytest

from sim.twin.servo_data import FOLDER, load_servo, parse_servo


@pytest.mark.parametrize("model", sorted(f.stem.upper() for f in FOLDER.glob("*.toml")))
def test_every_shipped_model_loads(model: str) -> None:
    data = load_servo(model)
    assert data.name == model
    assert data.registers["model_number"].initial == data.number
    assert data.registers["present_position"].signed
    assert data.baudrates[57_600] == data.registers["baud_rate"].initial, "shipped at 57600"
    assert {"overload", "overheating", "input_voltage"} <= data.hardware_errors.keys()


def test_an_unknown_model_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="XM430-W350"):
        load_servo("XM430-W360")


def test_values_survive_encoding_and_what_does_not_fit_saturates() -> None:
    register = load_servo("XM430-W350").registers["goal_current"]
    assert register.decode(register.encode(-5)) == -5
    assert register.decode(register.encode(1 << 20)) == 32767


def test_the_firmware_decides_where_the_indirect_block_lies() -> None:
    data = load_servo("XL330-M288")
    since, newer = data.variants[0]
    assert data.indirect_for(since - 1) == data.indirect
    assert data.indirect_for(since) == newer


def test_only_what_is_known_can_be_measured_as_current() -> None:
    assert load_servo("XL330-M077").senses_supply
    assert not load_servo("XM430-W350").senses_supply
    data = tomllib.loads((FOLDER / "xl330-m288.toml").read_text(encoding="utf-8"))
    data["motor"]["current_sensed"] = "rail"
    with pytest.raises(KeyError, match="rail"):
        parse_servo(data)
