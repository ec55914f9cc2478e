"""The firmware's rules, servo by servo, through the bus."""

from __future__ import annotations

import struct

import pytest

from sim.twin.packets import instruction_packet
from sim.twin.servo import BOOT_TIME
from sim.twin.servo_data import load_servo
from sim.twin.twin import Twin
from tests.sim.twin.bench import address, ask, bench_twin, read_packet, still, write_packet

ID = 11
MODEL = "XM430-W350"
CURRENT, VELOCITY, POSITION, EXTENDED, CURRENT_POSITION, PWM = 0, 1, 3, 4, 5, 16
OVERHEATING, VOLTAGE, OVERLOAD, ALERT = 0x04, 0x01, 0x20, 0x80
OK, FAIL, INSTRUCTION, RANGE, LENGTH, LIMIT, ACCESS = 0, 1, 2, 4, 5, 6, 7


def write(twin: Twin, register: str, value: int, *, servo_id: int = ID, model: str = MODEL) -> int:
    """Write a register over the bus; the error byte of the reply."""
    data = load_servo(model).registers[register].encode(value)
    reply = ask(twin, write_packet(servo_id, address(model, register), data))
    assert len(reply) == 11, reply
    return reply[8]


def value(twin: Twin, register: str, index: int = 0) -> int:
    return twin.servos[index].get(register)


def running(mode: int, **goals: int) -> Twin:
    """A twin whose first servo runs in that mode."""
    twin = bench_twin()
    assert write(twin, "operating_mode", mode) == OK
    for register, goal in goals.items():
        assert write(twin, register, goal) == OK
    assert write(twin, "torque_enable", 1) == OK
    return twin


# -- access --------------------------------------------------------------------------------------------


def test_error_numbers_of_a_write() -> None:
    twin = bench_twin()
    assert write(twin, "led", 1) == OK
    assert write(twin, "led", 2) == RANGE
    assert write(twin, "present_position", 1) == ACCESS
    assert write(twin, "goal_pwm", 886) == LIMIT
    assert write(twin, "goal_position", 4096) == LIMIT
    assert ask(twin, write_packet(ID, 116, b"\0\0"))[8] == LENGTH
    assert ask(twin, instruction_packet(ID, 0x77))[8] == INSTRUCTION
    assert ask(twin, instruction_packet(ID, 0x02, b"\0"))[8] == LENGTH


def test_error_numbers_of_a_read() -> None:
    twin = bench_twin()
    reply = ask(twin, read_packet(ID, 66, 1))
    assert (reply[8], len(reply)) == (ACCESS, 11), "an error comes without data"
    assert ask(twin, read_packet(ID, 600, 1))[8] == ACCESS


def test_eeprom_is_locked_while_the_torque_is_on() -> None:
    twin = bench_twin()
    assert write(twin, "torque_enable", 1) == OK
    assert write(twin, "operating_mode", PWM) == ACCESS
    assert write(twin, "homing_offset", 5) == ACCESS
    assert value(twin, "operating_mode") == POSITION
    assert write(twin, "led", 1) == OK, "RAM is not"
    assert write(twin, "torque_enable", 0) == OK
    assert write(twin, "homing_offset", 5) == OK


def test_of_several_registers_none_is_written_if_one_is_refused() -> None:
    twin = bench_twin()
    reply = ask(twin, write_packet(ID, address(MODEL, "goal_pwm"), struct.pack("<hh", 100, 2000)))
    assert reply[8] == LIMIT
    assert value(twin, "goal_pwm") == 885


def test_a_limit_bounds_goals_from_then_on() -> None:
    twin = bench_twin()
    assert write(twin, "current_limit", 100) == OK
    assert write(twin, "goal_current", 101) == LIMIT
    assert write(twin, "goal_current", -101) == LIMIT
    assert write(twin, "goal_current", -100) == OK
    assert write(twin, "max_position_limit", 3000) == OK
    assert write(twin, "goal_position", 3001) == LIMIT


def test_position_limits_hold_in_position_mode_only() -> None:
    twin = running(EXTENDED)
    assert write(twin, "goal_position", -5000) == OK
    assert write(twin, "goal_position", 1_048_576) == RANGE


def test_a_mode_or_speed_that_does_not_exist_is_refused() -> None:
    twin = bench_twin()
    assert write(twin, "operating_mode", 2) == RANGE
    twin = bench_twin(("XL430-W250",))
    assert write(twin, "operating_mode", CURRENT, model="XL430-W250") == RANGE, "it has no current sensor"


# -- modes and torque ----------------------------------------------------------------------------------


def test_a_new_mode_resets_gains_profile_and_goals() -> None:
    twin = bench_twin()
    for register, other in (
        ("position_p_gain", 1),
        ("profile_velocity", 7),
        ("profile_acceleration", 8),
        ("goal_pwm", 9),
    ):
        assert write(twin, register, other) == OK
    assert write(twin, "operating_mode", EXTENDED) == OK
    assert value(twin, "position_p_gain") == 800
    assert value(twin, "profile_velocity") == value(twin, "profile_acceleration") == 0
    assert value(twin, "goal_pwm") == 885
    assert value(twin, "goal_current") == 1193
    assert value(twin, "goal_velocity") == value(twin, "velocity_limit")
    plant = still(twin)
    assert (plant.mode[0], plant.position_p_gain[0], plant.profile_velocity[0]) == (EXTENDED, 800, 0)


@pytest.mark.parametrize(("mode", "goal"), [(CURRENT, "goal_current"), (VELOCITY, "goal_velocity"), (PWM, "goal_pwm")])
def test_the_goal_that_a_mode_follows_starts_at_0(mode: int, goal: str) -> None:
    twin = bench_twin()
    assert write(twin, "operating_mode", mode) == OK
    assert value(twin, goal) == 0


def test_writing_the_same_mode_again_resets_nothing() -> None:
    twin = bench_twin()
    assert write(twin, "position_p_gain", 1) == OK
    assert write(twin, "operating_mode", POSITION) == OK
    assert value(twin, "position_p_gain") == 1


@pytest.mark.parametrize("mode", [POSITION, EXTENDED, CURRENT_POSITION])
def test_torque_on_holds_where_the_shaft_is(mode: int) -> None:
    twin = bench_twin()
    write(twin, "operating_mode", mode)
    assert write(twin, "goal_position", 100) == OK
    still(twin).turn(0, 1500)
    assert write(twin, "torque_enable", 1) == OK
    assert value(twin, "goal_position") == still(twin).goal_position[0] == 1500
    assert still(twin).torque_on[0]


def test_torque_on_when_it_is_on_changes_nothing() -> None:
    twin = running(POSITION)
    assert write(twin, "goal_position", 100) == OK
    assert write(twin, "torque_enable", 1) == OK
    assert value(twin, "goal_position") == 100


@pytest.mark.parametrize(("mode", "position"), [(POSITION, 404), (EXTENDED, 4500)])
def test_torque_on_in_position_mode_forgets_turns(mode: int, position: int) -> None:
    twin = bench_twin()
    write(twin, "operating_mode", mode)
    still(twin).turn(0, 4500)
    write(twin, "torque_enable", 1)
    assert value(twin, "present_position") == value(twin, "goal_position") == position


def test_velocity_current_and_pwm_goals_survive_torque_on() -> None:
    assert still(running(VELOCITY, goal_velocity=40)).goal_velocity[0] == 40
    assert still(running(CURRENT, goal_current=-7)).goal_current[0] == -7


def test_a_goal_can_switch_the_torque_on() -> None:
    twin = bench_twin()
    assert write(twin, "drive_mode", 0x08) == OK
    assert write(twin, "goal_position", 1000) == OK
    assert (value(twin, "torque_enable"), value(twin, "goal_position")) == (1, 1000)
    old = bench_twin(firmware={ID: 44})
    assert write(old, "drive_mode", 0x08) == OK
    assert write(old, "goal_position", 1000) == OK
    assert value(old, "torque_enable") == 0, "firmware before the fast reads does not know that bit"


def test_the_plant_learns_what_it_needs() -> None:
    twin = bench_twin()
    for register, other in (("homing_offset", -5), ("velocity_limit", 99), ("drive_mode", 1)):
        assert write(twin, register, other) == OK
        assert getattr(still(twin), register)[0] == other


# -- Bus Watchdog --------------------------------------------------------------------------------------


def tripped(mode: int, **goals: int) -> Twin:
    twin = running(mode, **goals)
    assert write(twin, "bus_watchdog", 3) == OK
    twin.advance(twin.time + 0.1)
    return twin


def test_the_watchdog_trips_after_its_time_and_not_before() -> None:
    twin = running(CURRENT, goal_current=50)
    write(twin, "bus_watchdog", 3)
    heard = twin.servos[0].heard_at
    twin.advance(heard + 0.059)
    assert value(twin, "bus_watchdog") == 3
    twin.advance(heard + 0.062)
    assert value(twin, "bus_watchdog") == -1
    assert ask(twin, read_packet(ID, 98, 1))[9] == 255


def test_any_instruction_on_the_bus_keeps_the_watchdog_quiet() -> None:
    twin = running(CURRENT)
    write(twin, "bus_watchdog", 3)
    for _ in range(10):
        ask(twin, instruction_packet(13, 0x01), wait=0.05)
    assert value(twin, "bus_watchdog") == 3
    for _ in range(10):
        ask(twin, b"\xff\xff\xfd\x00garbage", wait=0.05)
    assert value(twin, "bus_watchdog") == -1, "noise is no instruction"


def test_the_watchdog_sleeps_while_the_torque_is_off() -> None:
    twin = bench_twin()
    write(twin, "bus_watchdog", 3)
    twin.advance(twin.time + 1.0)
    assert value(twin, "bus_watchdog") == 3


@pytest.mark.parametrize(
    ("mode", "goal", "before"),
    [(CURRENT, "goal_current", 50), (PWM, "goal_pwm", 50), (VELOCITY, "goal_velocity", 50)],
)
def test_a_trip_takes_the_drive_away(mode: int, goal: str, before: int) -> None:
    twin = tripped(mode, **{goal: before})
    assert getattr(still(twin), goal)[0] == value(twin, goal) == 0
    assert value(twin, "torque_enable") == 1, "the servo stops; the torque stays on"


@pytest.mark.parametrize("mode", [POSITION, EXTENDED, CURRENT_POSITION])
def test_a_trip_holds_the_position_where_it_is(mode: int) -> None:
    twin = running(mode)
    write(twin, "profile_velocity", 33)
    write(twin, "goal_position", 3000)
    write(twin, "bus_watchdog", 3)
    still(twin).turn(0, 2222)
    twin.advance(twin.time + 0.1)
    plant = still(twin)
    assert plant.goal_position[0] == value(twin, "goal_position") == 2222
    assert plant.profile_velocity[0] == 0
    assert value(twin, "profile_velocity") == 33, "the profile counts as 0 and is kept"


def test_goals_are_read_only_until_the_watchdog_is_cleared() -> None:
    twin = tripped(CURRENT, goal_current=50)
    for goal in ("goal_pwm", "goal_current", "goal_velocity", "goal_position"):
        assert write(twin, goal, 1) == RANGE
    assert write(twin, "bus_watchdog", 5) == RANGE
    assert write(twin, "led", 1) == OK
    assert write(twin, "bus_watchdog", 0) == OK
    assert value(twin, "goal_current") == 0
    assert write(twin, "goal_current", 1) == OK


def test_clearing_the_watchdog_gives_the_profile_back() -> None:
    twin = running(POSITION)
    write(twin, "profile_velocity", 33)
    write(twin, "bus_watchdog", 3)
    twin.advance(twin.time + 0.1)
    assert write(twin, "bus_watchdog", 0) == OK
    assert still(twin).profile_velocity[0] == 33


# -- protection ----------------------------------------------------------------------------------------


def test_overheating_shuts_down_and_only_a_reboot_helps() -> None:
    twin = running(CURRENT)
    still(twin).set_temperature(0, 81)
    twin.advance(twin.time + 0.1)
    assert value(twin, "hardware_error_status") == OVERHEATING
    assert value(twin, "torque_enable") == 0
    assert not still(twin).torque_on[0]
    still(twin).set_temperature(0, 30)
    assert write(twin, "torque_enable", 1) == FAIL | ALERT
    assert value(twin, "torque_enable") == 0
    ask(twin, instruction_packet(ID, 0x08))
    twin.advance(twin.time + 1.0)
    assert value(twin, "hardware_error_status") == 0
    assert write(twin, "torque_enable", 1) == OK


def test_the_alert_bit_is_in_every_reply_of_that_servo() -> None:
    twin = running(CURRENT)
    still(twin).set_temperature(0, 81)
    twin.advance(twin.time + 0.1)
    assert ask(twin, instruction_packet(ID, 0x01))[8] == ALERT
    assert ask(twin, read_packet(ID, 132, 4))[8] == ALERT
    assert write(twin, "present_position", 0) == ACCESS | ALERT
    assert ask(twin, read_packet(12, 132, 4))[8] == 0


def test_a_voltage_error_shuts_down_only_if_the_mask_says_so() -> None:
    twin = running(CURRENT)
    still(twin).set_supply(9.0)
    twin.advance(twin.time + 0.1)
    assert value(twin, "hardware_error_status") == VOLTAGE
    assert value(twin, "torque_enable") == 1
    still(twin).set_supply(None)
    twin.advance(twin.time + 0.1)
    assert value(twin, "hardware_error_status") == VOLTAGE, "it stays until the reboot"

    masked = bench_twin()
    assert write(masked, "shutdown", 0x35) == OK
    assert write(masked, "torque_enable", 1) == OK
    still(masked).set_supply(9.0)
    masked.advance(masked.time + 0.1)
    assert value(masked, "torque_enable") == 0


@pytest.mark.parametrize(("share", "low", "high"), [(0.41, 4.0, 8.0), (1.0, 0.5, 2.5)])
def test_a_lasting_load_is_an_overload(share: float, low: float, high: float) -> None:
    twin = running(CURRENT)
    start = twin.time
    still(twin).present_current[0] = round(share * 2.3 / 0.00269)
    while not value(twin, "hardware_error_status"):
        twin.advance(twin.time + 0.1)
        assert twin.time < start + high
    assert value(twin, "hardware_error_status") == OVERLOAD
    assert twin.time - start > low
    assert value(twin, "torque_enable") == 0


def test_a_load_that_the_servo_can_carry_is_none() -> None:
    twin = running(CURRENT)
    still(twin).present_current[0] = round(0.3 * 2.3 / 0.00269)
    twin.advance(twin.time + 30.0)
    assert value(twin, "hardware_error_status") == 0


def test_a_wheel_at_full_speed_is_not_overloaded() -> None:
    twin = bench_twin(("XL430-W250",))
    assert write(twin, "torque_enable", 1, model="XL430-W250") == OK
    still(twin).present_current[0] = 1000
    still(twin).present_velocity[0] = round(57 / 0.229)
    twin.advance(twin.time + 30.0)
    assert value(twin, "hardware_error_status") == 0


def test_a_servo_without_current_sensor_goes_by_its_load() -> None:
    twin = bench_twin(("XL430-W250",))
    assert write(twin, "torque_enable", 1, model="XL430-W250") == OK
    still(twin).present_current[0] = 1000
    twin.advance(twin.time + 3.0)
    assert value(twin, "hardware_error_status") == OVERLOAD


# -- reboot, reset, clear ------------------------------------------------------------------------------


def test_a_reboot_answers_then_is_silent_then_back_with_fresh_ram() -> None:
    twin = running(CURRENT)
    write(twin, "led", 1)
    write(twin, "position_p_gain", 5)
    assert ask(twin, instruction_packet(ID, 0x08), wait=0.002) == instruction_status(ID)
    assert not still(twin).torque_on[0]
    assert ask(twin, instruction_packet(ID, 0x01)) == b""
    assert ask(twin, instruction_packet(12, 0x01)) != b"", "the others go on"
    twin.advance(twin.time + BOOT_TIME)
    assert ask(twin, instruction_packet(ID, 0x01)) != b""
    assert (value(twin, "led"), value(twin, "torque_enable"), value(twin, "position_p_gain")) == (0, 0, 800)
    assert value(twin, "operating_mode") == CURRENT, "EEPROM is kept"


def instruction_status(servo_id: int) -> bytes:
    from sim.twin.packets import status_packet

    return status_packet(servo_id, 0)


def test_a_reboot_forgets_turns() -> None:
    twin = bench_twin()
    write(twin, "operating_mode", EXTENDED)
    still(twin).turn(0, 9000)
    twin.line.reboot(twin.servos[0], twin.time)
    assert value(twin, "present_position") == 9000 - 8192


def test_startup_torque_on() -> None:
    twin = bench_twin()
    assert write(twin, "startup_configuration", 1) == OK
    ask(twin, instruction_packet(ID, 0x08))
    assert value(twin, "torque_enable") == 1
    assert still(twin).torque_on[0]
    assert value(twin, "goal_position") == value(twin, "present_position")


@pytest.mark.parametrize(
    ("option", "servo_id", "speed"), [(0xFF, 1, 57_600), (0x01, ID, 57_600), (0x02, ID, 1_000_000)]
)
def test_factory_reset_keeps_what_the_option_says(option: int, servo_id: int, speed: int) -> None:
    twin = bench_twin()
    write(twin, "homing_offset", 77)
    assert ask(twin, instruction_packet(ID, 0x06, bytes([option]))) == instruction_status(ID), "answers as it was"
    twin.advance(twin.time + 1.0)
    twin.line.baudrate = speed
    assert ask(twin, instruction_packet(servo_id, 0x01)) != b""
    assert value(twin, "homing_offset") == 0
    assert value(twin, "return_delay_time") == 250
    assert value(twin, "firmware_version") == twin.servos[0].firmware


def test_factory_reset_with_another_option_is_refused() -> None:
    twin = bench_twin()
    assert ask(twin, instruction_packet(ID, 0x06, b"\x07"))[8] == RANGE
    assert value(twin, "id") == ID


def test_clear_brings_the_position_into_one_turn() -> None:
    twin = running(EXTENDED)
    still(twin).turn(0, -100)
    clear = instruction_packet(ID, 0x10, bytes.fromhex("014458 4C22"))
    still(twin).moving[0] = 1
    assert ask(twin, clear)[8] == FAIL
    still(twin).moving[0] = 0
    assert ask(twin, clear)[8] == OK
    assert value(twin, "present_position") == value(twin, "goal_position") == 3996
    assert ask(twin, instruction_packet(ID, 0x10, b"\x01DXL!"))[8] == RANGE
    assert ask(bench_twin(firmware={ID: 41}), clear)[8] == INSTRUCTION


# -- registered writes, return level -------------------------------------------------------------------


def test_a_registered_write_waits_for_the_action() -> None:
    twin = bench_twin()
    assert ask(twin, instruction_packet(ID, 0x05))[8] == INSTRUCTION, "nothing is registered"
    assert ask(twin, instruction_packet(ID, 0x04, b"\x41\x00\x01"))[8] == OK
    assert (value(twin, "led"), value(twin, "registered_instruction")) == (0, 1)
    assert ask(twin, instruction_packet(ID, 0x05))[8] == OK
    assert (value(twin, "led"), value(twin, "registered_instruction")) == (1, 0)


def test_a_registered_write_is_checked() -> None:
    twin = bench_twin()
    assert ask(twin, instruction_packet(ID, 0x04, struct.pack("<HI", 132, 0)))[8] == ACCESS
    assert ask(twin, instruction_packet(ID, 0x04, b"\x41\x00\x07"))[8] == OK
    assert ask(twin, instruction_packet(ID, 0x05))[8] == RANGE
    write(twin, "torque_enable", 1)
    assert ask(twin, instruction_packet(ID, 0x04, b"\x0b\x00\x00"))[8] == ACCESS, "EEPROM is locked"


@pytest.mark.parametrize(("level", "answers"), [(0, (True, False, False)), (1, (True, True, False)), (2, (True,) * 3)])
def test_the_return_level_decides_what_is_answered(level: int, answers: tuple[bool, ...]) -> None:
    twin = bench_twin()
    ask(twin, write_packet(ID, 68, bytes([level])))
    packets = (instruction_packet(ID, 0x01), read_packet(ID, 132, 4), write_packet(ID, 65, b"\1"))
    assert tuple(bool(ask(twin, packet)) for packet in packets) == answers
    assert value(twin, "led") == 1, "what is not answered is done nevertheless"
