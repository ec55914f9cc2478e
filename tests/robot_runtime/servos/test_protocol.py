"""What is said of all servos holds for every data file."""

from __future__ import annotations

import pytest

from robot_runtime.servos import protocol, servo_model, servo_model_names


@pytest.mark.parametrize("name", servo_model_names())
def test_every_model_has_its_identity_where_the_protocol_puts_it(name: str) -> None:
    model = servo_model(name)
    number, firmware = model.register("model_number"), model.register("firmware_version")
    assert (number.address, number.size) == protocol.MODEL_NUMBER
    assert (firmware.address, firmware.size) == protocol.FIRMWARE
    assert (number.address, firmware.end) == protocol.IDENTITY
    assert protocol.decode_identity(number.encode(model.number) + bytes(4) + firmware.encode(44)) == (model.number, 44)


@pytest.mark.parametrize("name", servo_model_names())
def test_every_model_has_the_return_delay_of_the_protocol(name: str) -> None:
    register = servo_model(name).register("return_delay_time")
    assert register.unit is not None
    assert register.unit.scale == protocol.RETURN_DELAY_STEP
    assert register.maximum * register.unit.scale == protocol.RETURN_DELAY_MAX
