"""What can go wrong on the bus, one class each, so that nobody matches on text."""

from __future__ import annotations

from collections.abc import Iterable


class BusError(Exception):
    """Base of everything that the bus raises."""


class PortError(BusError, OSError):
    """The serial port itself cannot be used."""

    def __str__(self) -> str:
        """Port and problem, without the error number."""
        return f"{self.filename}: {self.strerror}" if self.filename else super().__str__()


class PortNotFoundError(PortError, FileNotFoundError):
    """No such port.

    Example scenarios:
        - The adapter is not plugged in, or came back as /dev/ttyUSB1.
        - The name has a typing error.
    """


class PortPermissionError(PortError, PermissionError):
    """The port exists, but this user may not open it.

    Example scenarios:
        - The user is not in the group that owns serial ports (`dialout` on Debian and Ubuntu).
    """


class PortInUseError(PortError, BlockingIOError):
    """Another program holds the port.

    Example scenarios:
        - A second robot-run, Dynamixel Wizard, or a modem manager has it open.
    """


class PortSettingError(PortError, ValueError):
    """The port does not take a setting.

    Example scenarios:
        - The adapter does not do the baud rate that was asked for.
        - The path is a file or a folder, not a serial port.
    """


class PortVanishedError(PortError, ConnectionError):
    """The port was there and is gone.

    Example scenarios:
        - The USB cable was pulled, the adapter lost power, the twin was stopped.
    """


class PortStuckError(PortError, TimeoutError):
    """The port is there and takes no bytes.

    Example scenarios:
        - The adapter hangs, or the computer is too busy to empty its buffer.
    """


class ServoError(BusError):
    """One servo did something wrong; `servo_id` says which."""

    def __init__(self, servo_id: int, message: str) -> None:
        super().__init__(message)
        self.servo_id = servo_id


class NoReplyError(ServoError, TimeoutError):
    """A servo did not answer in time.

    Example scenarios:
        - A cable is loose, the servo has no power, or it sits at another baud rate or ID.
        - Its status return level forbids an answer.
    """


class CorruptReplyError(ServoError):
    """Bytes came, but no intact packet.

    Example scenarios:
        - Two servos share one ID and talk at once.
        - Noise on a long cable, or a baud rate that is nearly right.
    """


class ServoRefusedError(ServoError):
    """A servo understood the instruction and refused it; `number` is the protocol's error number.

    Example scenarios:
        - Writing EEPROM while torque is on (7, access error).
        - Writing a goal after the Bus Watchdog has tripped (4, data range error).
    """

    def __init__(self, servo_id: int, number: int, what: str) -> None:
        meaning = STATUS_ERRORS.get(number, "unknown error")
        super().__init__(servo_id, f"servo {servo_id} refused to {what}: error {number}, {meaning}")
        self.number = number


class VerifyError(ServoError):
    """A register does not hold what was just written to it.

    Example scenarios:
        - Another program writes to the same servo.
        - The servo lost power in between.
    """


class DuplicateIdError(ServoError):
    """More than one servo answers to an ID.

    Example scenarios:
        - Two servos fresh from the box (both ID 1) are connected at once.
    """


class MissingServosError(BusError, ConnectionError):
    """Servos that should be there do not answer.

    Example scenarios:
        - The chain is interrupted behind the last servo that answers.
        - The arm has no power: nobody answers.
    """

    def __init__(self, missing: Iterable[int], message: str) -> None:
        super().__init__(message)
        self.missing = tuple(missing)


class WrongBaudError(MissingServosError):
    """The servos answer, but at another baud rate; `found` maps the rate to the IDs that answered there.

    Example scenarios:
        - Servos fresh from the box talk at 57600 bit/s, the arm's file says 1000000.
    """

    def __init__(self, missing: Iterable[int], found: dict[int, tuple[int, ...]], message: str) -> None:
        super().__init__(missing, message)
        self.found = found


STATUS_ERRORS = {
    1: "the servo failed to process the instruction",
    2: "the servo does not know the instruction",
    3: "the instruction arrived damaged (CRC)",
    4: "the value is out of range, or the servo's bus watchdog has tripped",
    5: "too few bytes for that register",
    6: "the value is beyond a limit set in the servo",
    7: "the register is read-only, undefined, or locked while torque is on",
}
"""Error numbers of a status packet. Source: ROBOTIS e-Manual, Protocol 2.0, 'Error'."""
