"""What a servo's registers say about how fit it is for control: findings, each with its reason and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from robot_runtime.servos.model import ServoModel
from robot_runtime.servos.protocol import (
    ANSWER_EVERYTHING,
    HIGHEST_ID,
    RAM_RESTORE,
    REVERSED,
    TIME_PROFILE,
    TORQUE_AT_POWER_UP,
    TORQUE_BY_GOAL,
)

SLOW_BAUDRATE = 115_200
"""bit/s, up to which a bus is too slow for control: one read of 6 servos takes 13 ms there, 1.5 ms at 1 Mbit/s."""

_READ_BITS = 10 * (20 + 6 * 21)
"""Bits on the wire when current, velocity and position of 6 servos are read: request 20 bytes, 21 bytes a reply."""

_SINGLE_TURN_HOMING = 1024
"""ticks: position mode ignores a homing offset beyond this. Source: e-Manual."""

_WARM = 10
"""°C below the temperature limit from which a servo at rest counts as warm."""


class Severity(StrEnum):
    """How bad a finding is."""

    NOTE = "note"  # worth knowing, nothing to do
    WARNING = "warning"  # control suffers
    ERROR = "error"  # the servo cannot be used, or must not

    @property
    def is_problem(self) -> bool:
        """Whether something should be done."""
        return self is not Severity.NOTE


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was seen."""

    severity: Severity
    what: str
    why: str
    fix: str


@dataclass(frozen=True, slots=True)
class ServoReading:
    """A servo as it was read: registers in ticks; those that could not be read are absent."""

    servo_id: int
    model: ServoModel
    firmware: int
    baudrate: int
    values: Mapping[str, int]

    def si(self, register: str) -> float | None:
        """Value of a register in SI units; None if it was not read or has no unit."""
        unit = self.model.registers[register].unit if register in self.model.registers else None
        return self.values[register] * unit.scale if register in self.values and unit else None

    @property
    def mode(self) -> str | None:
        """Name of the operating mode; None if it was not read or has no name."""
        value = self.values.get("operating_mode")
        return next((name for name, number in self.model.modes.items() if number == value), None)


def advise(servo: ServoReading) -> tuple[Finding, ...]:
    """Everything there is to say about this servo, the worst first."""
    found = [finding for check in _CHECKS for finding in check(servo)]
    order = [Severity.ERROR, Severity.WARNING, Severity.NOTE]
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


def _hardware_error(servo: ServoReading) -> Iterator[Finding]:
    status = servo.values.get("hardware_error_status", 0)
    if not status:
        return
    names = servo.model.error_names(status)
    down = bool(status & servo.values.get("shutdown", 0))
    yield Finding(
        Severity.ERROR,
        f"hardware error: {', '.join(name.replace('_', ' ') for name in names) or f'unknown bits {status:#04x}'}",
        "the servo has shut itself down and takes no torque until it is rebooted" if down else "the alert bit is set",
        " ".join([*(_CURES[n] for n in names if n in _CURES), f"Then 'robot-setup reboot --id {servo.servo_id}'."]),
    )


_CURES = {
    "input_voltage": "Measure the supply under load.",
    "overheating": "Let it cool for 20 minutes.",
    "motor_encoder": "If it comes back after a reboot, the servo needs repair.",
    "electrical_shock": "Look for a short circuit or a supply that is too weak.",
    "overload": "Free what blocks the joint, or lower its load.",
}


def _supply(servo: ServoReading) -> Iterator[Finding]:
    volts = servo.si("present_input_voltage")
    least, most = servo.model.motor.tolerated_voltage
    if volts is None or least <= volts <= most:
        return
    low, high = servo.model.motor.voltage_range
    harm = "it may be damaged" if volts > high else "it may reset under load"
    yield Finding(
        Severity.ERROR if volts > high else Severity.WARNING,
        f"supply {volts:.1f} V",
        f"a {servo.model.name} is rated for {low:g} to {high:g} V; {harm}",
        "Check the power supply, and that this servo hangs on the right rail.",
    )


def _temperature(servo: ServoReading) -> Iterator[Finding]:
    celsius, limit = servo.si("present_temperature"), servo.si("temperature_limit")
    if celsius is None or limit is None or celsius < limit - _WARM:
        return
    yield Finding(
        Severity.ERROR if celsius >= limit else Severity.WARNING,
        f"{celsius:.0f} °C",
        f"it shuts itself down at {limit:.0f} °C",
        "Let it cool; look for a joint that holds a load all the time.",
    )


def _drive_mode(servo: ServoReading) -> Iterator[Finding]:
    mode = servo.values.get("drive_mode", 0)
    if mode & REVERSED:
        yield Finding(
            Severity.WARNING,
            "drive mode reversed",
            "signs belong into the arm file, in one place; the arm is refused",
            _SET,
        )
    if mode & TORQUE_BY_GOAL:
        yield Finding(Severity.WARNING, "torque on by goal", "any goal that is written switches torque on", _SET)
    if mode & TIME_PROFILE:
        yield Finding(Severity.WARNING, "time-based profile", "profile registers mean milliseconds, not speeds", _SET)


_SET = "'robot-setup arm' sets this."


def _baudrate(servo: ServoReading) -> Iterator[Finding]:
    if servo.baudrate <= SLOW_BAUDRATE:
        slow, fast = _READ_BITS / servo.baudrate * 1e3, _READ_BITS / 1_000_000 * 1e3
        yield Finding(
            Severity.WARNING,
            f"slow: {servo.baudrate} bit/s",
            f"reading 6 servos takes {slow:.0f} ms on the wire, {fast:.1f} ms at 1 Mbit/s",
            "'robot-setup arm' or 'robot-setup baud' sets this.",
        )


def _return_delay(servo: ServoReading) -> Iterator[Finding]:
    ticks = servo.values.get("return_delay_time", 0)
    delay = servo.si("return_delay_time")
    if delay is not None and ticks > servo.model.recommended.get("return_delay_time", 0):
        factory = ", the factory's" if ticks == servo.model.registers["return_delay_time"].initial else ""
        yield Finding(
            Severity.WARNING,
            f"return delay {delay * 1e6:.0f} µs ({ticks}{factory})",
            "the servo waits that long before every reply: 6 servos lose 6 times that in every cycle",
            _SET,
        )


def _firmware(servo: ServoReading) -> Iterator[Finding]:
    model = servo.model
    update = "Update it with DYNAMIXEL Wizard 2.0."
    if servo.firmware < model.oldest_firmware:
        yield Finding(
            Severity.WARNING,
            f"firmware {servo.firmware} is older than {model.oldest_firmware}",
            "what such a servo does was not looked at; its registers may differ",
            update,
        )
    elif not model.has_fast_sync_read(servo.firmware):
        yield Finding(
            Severity.WARNING,
            f"firmware {servo.firmware} has no Fast Sync Read",
            f"a reply of its own from every servo costs time; {model.fast_sync_read_since} and newer answer together",
            update,
        )


def _shutdown(servo: ServoReading) -> Iterator[Finding]:
    if "shutdown" not in servo.values or "shutdown" not in servo.model.recommended:
        return
    missing = servo.model.recommended["shutdown"] & ~servo.values["shutdown"]
    if missing:
        names = ", ".join(name.replace("_", " ") for name in servo.model.error_names(missing))
        yield Finding(
            Severity.WARNING, f"does not shut down on {names}", "the factory has it do so, to save itself", _SET
        )


def _status_return_level(servo: ServoReading) -> Iterator[Finding]:
    level = servo.values.get("status_return_level", ANSWER_EVERYTHING)
    if level != ANSWER_EVERYTHING:
        yield Finding(
            Severity.WARNING,
            f"status return level {level}",
            "writes are not confirmed, so nobody notices one that was lost",
            f"A reboot restores it: 'robot-setup reboot --id {servo.servo_id}'.",
        )


def _secondary_id(servo: ServoReading) -> Iterator[Finding]:
    second = servo.values.get("secondary_id", 255)
    if second <= HIGHEST_ID:  # anything above switches the second ID off
        why = "it also obeys what is written to that ID, unwatched"
        fix = "Clear it: 'robot-setup arm'. Where both turn one joint, the arm file names it: second = { id = ... }."
        yield Finding(Severity.WARNING, f"secondary ID {second}", why, fix)


def _startup(servo: ServoReading) -> Iterator[Finding]:
    value = servo.values.get("startup_configuration", 0)
    if value & TORQUE_AT_POWER_UP:
        yield Finding(
            Severity.WARNING, "torque on at power-up", "the arm stiffens, or moves, before anyone asked", _SET
        )
    if value & RAM_RESTORE:
        yield Finding(
            Severity.WARNING, "restores RAM at power-up", "gains and goals of an older session come back", _SET
        )


def _position(servo: ServoReading) -> Iterator[Finding]:
    values = servo.values
    homing = values.get("homing_offset", 0)
    if servo.mode == "position" and abs(homing) > _SINGLE_TURN_HOMING:
        yield Finding(
            Severity.WARNING,
            f"homing offset {homing}",
            f"position mode ignores offsets beyond ±{_SINGLE_TURN_HOMING}, other modes do not",
            "'robot-setup zero' sets this.",
        )
    elif homing:
        yield Finding(
            Severity.NOTE,
            f"homing offset {homing}",
            "another program has shifted this servo's positions; the arm file must say the same",
            "'robot-setup zero' settles it.",
        )
    low, high = values.get("min_position_limit", 0), values.get("max_position_limit", 4095)
    if low >= high:
        yield Finding(
            Severity.WARNING,
            f"position limits {low} to {high}",
            "they leave no room: every goal in position mode is refused",
            _SET,
        )


def _limits(servo: ServoReading) -> Iterator[Finding]:
    for register in ("pwm_limit", "current_limit"):
        if servo.values.get(register) == 0:
            yield Finding(Severity.WARNING, f"{register.replace('_', ' ')} 0", "the servo cannot move", _SET)


def _watchdog(servo: ServoReading) -> Iterator[Finding]:
    value = servo.values.get("bus_watchdog")
    if value == 0:
        yield Finding(
            Severity.NOTE,
            "bus watchdog off",
            "if the host dies the servo goes on with its last goal; it is off after every power-up",
            "Nothing to do: the runtime arms it at every torque-on.",
        )
    elif value is not None and value < 0:
        yield Finding(
            Severity.NOTE,
            "bus watchdog has tripped",
            "an earlier program fell silent with torque on; goals are refused until it is cleared",
            "Nothing to do: the runtime clears it at start.",
        )


def _torque(servo: ServoReading) -> Iterator[Finding]:
    if servo.values.get("torque_enable"):
        yield Finding(
            Severity.NOTE,
            "torque is on",
            "it holds; its EEPROM is locked while it does",
            "'robot-setup release' lets go; support the arm first.",
        )


_CHECKS: tuple[Callable[[ServoReading], Iterator[Finding]], ...] = (
    _hardware_error,
    _supply,
    _temperature,
    _drive_mode,
    _baudrate,
    _return_delay,
    _firmware,
    _shutdown,
    _status_return_level,
    _secondary_id,
    _startup,
    _position,
    _limits,
    _torque,
    _watchdog,
)
