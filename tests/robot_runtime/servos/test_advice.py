"""What the registers say about a servo: every setting that hurts control is named, with what to do."""

from __future__ import annotations

import pytest

from robot_runtime.servos import servo_model, servo_model_names
from robot_runtime.servos.advice import Finding, ServoReading, Severity, advise

XL = servo_model("XL330-M288")
XM = servo_model("XM430-W350")


def reading(model=XM, firmware: int = 60, baudrate: int = 1_000_000, **values: int) -> ServoReading:  # type: ignore[no-untyped-def]
    """A servo as set-up leaves it, at rest, except for these values."""
    model = model.for_firmware(firmware)
    volts = round(model.motor.nominal_voltage / 0.1)
    sound = {r.name: r.initial or 0 for r in model.registers.values()} | dict(model.recommended)
    sound |= {"present_input_voltage": volts, "present_temperature": 30, "bus_watchdog": 5}
    return ServoReading(7, model, firmware, baudrate, sound | values)


def only(servo: ServoReading) -> Finding:
    (finding,) = advise(servo)
    return finding


@pytest.mark.parametrize("name", servo_model_names())
def test_a_servo_as_set_up_leaves_it_has_nothing_wrong(name: str) -> None:
    assert advise(reading(servo_model(name))) == ()


@pytest.mark.parametrize(
    ("values", "severity", "what", "word"),
    [
        ({"return_delay_time": 250}, Severity.WARNING, "return delay 500 µs (250, the factory's)", "robot-setup arm"),
        ({"return_delay_time": 10}, Severity.WARNING, "return delay 20 µs (10)", "robot-setup arm"),
        ({"drive_mode": 0b0001}, Severity.WARNING, "drive mode reversed", "robot-setup arm"),
        ({"drive_mode": 0b0100}, Severity.WARNING, "time-based profile", "robot-setup arm"),
        ({"drive_mode": 0b1000}, Severity.WARNING, "torque on by goal", "robot-setup arm"),
        ({"shutdown": 0b010100}, Severity.WARNING, "does not shut down on overload", "robot-setup arm"),
        ({"status_return_level": 1}, Severity.WARNING, "status return level 1", "robot-setup reboot --id 7"),
        ({"secondary_id": 3}, Severity.WARNING, "secondary ID 3", "robot-setup arm"),
        ({"startup_configuration": 1}, Severity.WARNING, "torque on at power-up", "robot-setup arm"),
        ({"startup_configuration": 2}, Severity.WARNING, "restores RAM at power-up", "robot-setup arm"),
        ({"homing_offset": 500}, Severity.NOTE, "homing offset 500", "robot-setup zero"),
        ({"homing_offset": 1500}, Severity.WARNING, "homing offset 1500", "robot-setup zero"),
        (
            {"min_position_limit": 3000, "max_position_limit": 1000},
            Severity.WARNING,
            "position limits 3000 to 1000",
            "robot-setup arm",
        ),
        ({"current_limit": 0}, Severity.WARNING, "current limit 0", "robot-setup arm"),
        ({"pwm_limit": 0}, Severity.WARNING, "pwm limit 0", "robot-setup arm"),
        ({"torque_enable": 1}, Severity.NOTE, "torque is on", "robot-setup release"),
        ({"bus_watchdog": 0}, Severity.NOTE, "bus watchdog off", "runtime arms it"),
        ({"bus_watchdog": -1}, Severity.NOTE, "bus watchdog has tripped", "runtime clears it"),
        ({"present_input_voltage": 160}, Severity.ERROR, "supply 16.0 V", "right rail"),
        ({"present_input_voltage": 80}, Severity.WARNING, "supply 8.0 V", "power supply"),
        ({"present_temperature": 75}, Severity.WARNING, "75 °C", "cool"),
        ({"present_temperature": 81}, Severity.ERROR, "81 °C", "cool"),
    ],
)
def test_each_bad_setting_is_one_finding(values: dict[str, int], severity: Severity, what: str, word: str) -> None:
    finding = only(reading(**values))
    assert (finding.severity, finding.what) == (severity, what)
    assert word in finding.fix
    assert finding.why


def test_homing_offset_beyond_a_quarter_turn_only_matters_in_position_mode() -> None:
    assert only(reading(homing_offset=1500, operating_mode=XM.modes["current"])).severity is Severity.NOTE


def test_a_hardware_error_is_decoded_and_told_how_to_clear() -> None:
    finding = only(reading(hardware_error_status=0b100100))
    assert finding.severity is Severity.ERROR
    assert finding.what == "hardware error: overheating, overload"
    assert "shut itself down" in finding.why
    assert "20 minutes" in finding.fix
    assert "robot-setup reboot --id 7" in finding.fix


def test_an_error_that_the_servo_ignores_is_not_called_a_shutdown() -> None:
    finding = next(f for f in advise(reading(hardware_error_status=1, shutdown=0b110100)))
    assert "shut itself down" not in finding.why


def test_twelve_volts_on_a_five_volt_servo() -> None:
    finding = only(reading(XL, present_input_voltage=121))
    assert finding.severity is Severity.ERROR
    assert "3.7 to 6 V" in finding.why


def test_a_supply_a_little_above_its_rating_is_no_finding() -> None:
    assert advise(reading(servo_model("XL430-W250"), present_input_voltage=123)) == ()  # 12.3 V of a "12 V" supply


@pytest.mark.parametrize("baudrate", [9600, 57600, 115200])
def test_slow_baud_rates_say_what_a_cycle_takes(baudrate: int) -> None:
    finding = only(reading(baudrate=baudrate))
    assert finding.what == f"slow: {baudrate} bit/s"
    assert f"{10 * (20 + 6 * 21) / baudrate * 1e3:.0f} ms" in finding.why


def test_firmware_without_fast_sync_read_and_firmware_nobody_looked_at() -> None:
    since, oldest = XM.fast_sync_read_since, XM.oldest_firmware
    assert "no Fast Sync Read" in only(reading(firmware=since - 1)).what
    assert f"older than {oldest}" in only(reading(firmware=oldest - 1)).what
    assert advise(reading(firmware=since)) == ()


def test_registers_that_could_not_be_read_are_not_judged() -> None:
    assert advise(ServoReading(1, XL, 60, 1_000_000, {})) == ()


def test_the_worst_comes_first() -> None:
    severities = [f.severity for f in advise(reading(bus_watchdog=0, return_delay_time=250, hardware_error_status=32))]
    assert severities == [Severity.ERROR, Severity.WARNING, Severity.NOTE]
