"""What an instruction finds at an address."""

from __future__ import annotations

import pytest

from sim.twin.control_table import ControlTable
from sim.twin.packets import Error
from sim.twin.servo_data import load_servo


@pytest.fixture
def table() -> ControlTable:
    return ControlTable(load_servo("XM430-W350"), 45)


def test_initial_bytes_are_the_manuals(table: ControlTable) -> None:
    memory = table.initial_bytes()
    assert memory[0:2] == (1020).to_bytes(2, "little")
    assert memory[7] == 1
    assert memory[9] == 250
    assert memory[168:170] == (224).to_bytes(2, "little"), "indirect address 1 points to indirect data 1"
    assert memory[222:224] == (251).to_bytes(2, "little")


@pytest.mark.parametrize(
    ("address", "length", "error"),
    [
        (132, 4, Error.NONE),
        (126, 10, Error.NONE),
        (64, 20, Error.NONE),  # over the holes at 66 and 71
        (0, 0, Error.DATA_LENGTH),
        (66, 1, Error.ACCESS),  # not defined
        (250, 3, Error.ACCESS),  # beyond the end
        (60_000, 1, Error.ACCESS),
    ],
)
def test_read_errors(table: ControlTable, address: int, length: int, error: int) -> None:
    assert table.read_error(address, length) == error


@pytest.mark.parametrize(
    ("address", "length", "result"),
    [
        (116, 4, ["goal_position"]),
        (100, 4, ["goal_pwm", "goal_current"]),
        (116, 2, Error.DATA_LENGTH),
        (118, 2, Error.DATA_LENGTH),
        (132, 4, Error.ACCESS),  # read only
        (66, 1, Error.ACCESS),  # not defined
        (64, 3, Error.ACCESS),  # torque enable, LED, and a hole
        (116, 0, Error.DATA_LENGTH),
        (251, 2, Error.ACCESS),  # beyond the end
    ],
)
def test_fields_of_a_write(table: ControlTable, address: int, length: int, result: list[str] | int) -> None:
    fields = table.fields(range(address, address + length))
    assert fields == result if isinstance(fields, int) else [f.register.name for f in fields] == result


def test_a_register_that_the_firmware_does_not_have_is_not_there() -> None:
    data = load_servo("XM430-W350")
    since = data.registers["startup_configuration"].since
    assert ControlTable(data, since).read_error(60, 1) == Error.NONE
    assert ControlTable(data, since - 1).read_error(60, 1) == Error.ACCESS
