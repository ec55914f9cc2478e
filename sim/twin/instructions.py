"""What one servo does with an instruction, and what it replies."""

from __future__ import annotations

import struct
from collections.abc import Callable

from sim.twin.packets import Error, Instruction
from sim.twin.servo import SAFER_SINCE, Servo

_CLEAR_MULTI_TURN = b"\x01\x44\x58\x4c\x22"
_RESETS = {b"\xff": (), b"\x01": ("id",), b"\x02": ("id", "baud_rate")}  # option -> registers kept; manual
_LEVELS = {Instruction.PING: 0, Instruction.READ: 1}  # lowest Status Return Level that replies, otherwise 2; manual

Reply = tuple[int, bytes]
"""Error number and parameters."""


def execute(servo: Servo, instruction: int, params: bytes) -> Reply | None:
    """Do what an instruction says. The reply, alert bit included; None: this servo does not reply to it."""
    handler = _HANDLERS.get(instruction)
    error, reply = (Error.INSTRUCTION, b"") if handler is None else handler(servo, params)
    return (error | servo.alert, reply) if servo.return_level >= _LEVELS.get(instruction, 2) else None


def execute_by_secondary_id(servo: Servo, instruction: int, params: bytes) -> None:
    """Manual: through the secondary ID only RAM can be written, and nothing is answered."""
    if instruction in (Instruction.WRITE, Instruction.REG_WRITE) and len(params) > 2:
        fields = servo.memory.fields(params[0] | params[1] << 8, len(params) - 2)
        if isinstance(fields, int) or any(field.register.eeprom for field in fields):
            return
    elif instruction != Instruction.ACTION:
        return
    execute(servo, instruction, params)


def ping(servo: Servo, _params: bytes = b"") -> Reply:
    """Model number and firmware version."""
    return Error.NONE, servo.data.number.to_bytes(2, "little") + bytes((servo.firmware,))


def _read(servo: Servo, params: bytes) -> Reply:
    if len(params) != 4:
        return Error.DATA_LENGTH, b""
    address, length = struct.unpack("<HH", params)
    return servo.read(address, length)


def _write(servo: Servo, params: bytes) -> Reply:
    if len(params) < 3:
        return Error.DATA_LENGTH, b""
    return servo.write(params[0] | params[1] << 8, params[2:]), b""


def _reg_write(servo: Servo, params: bytes) -> Reply:
    """Assumption: the address is checked now, the values when the action comes."""
    if len(params) < 3:
        return Error.DATA_LENGTH, b""
    address = params[0] | params[1] << 8
    fields = servo.memory.fields(address, len(params) - 2)
    if isinstance(fields, int):
        return fields, b""
    if servo.eeprom_locked and any(field.register.eeprom for field in fields):
        return Error.ACCESS, b""
    servo.registered = (address, params[2:])
    servo.memory.set("registered_instruction", 1)
    return Error.NONE, b""


def _action(servo: Servo, _params: bytes) -> Reply:
    if servo.registered is None:
        return Error.INSTRUCTION, b""  # manual
    address, data = servo.registered
    servo.registered = None
    servo.memory.set("registered_instruction", 0)
    return servo.write(address, data), b""


def _factory_reset(servo: Servo, params: bytes) -> Reply:
    """Manual: then the servo reboots."""
    if params not in _RESETS:
        return Error.DATA_RANGE, b""
    servo.memory.reset("firmware_version", *_RESETS[params])
    servo.reboot_wanted = True
    return Error.NONE, b""


def _reboot(servo: Servo, _params: bytes) -> Reply:
    servo.reboot_wanted = True
    return Error.NONE, b""


def _clear(servo: Servo, params: bytes) -> Reply:
    """Manual: forget the turns, only at rest."""
    if servo.firmware < SAFER_SINCE:
        return Error.INSTRUCTION, b""
    if params != _CLEAR_MULTI_TURN:
        return Error.DATA_RANGE, b""
    if servo.plant.moving[servo.index]:
        return Error.RESULT_FAIL, b""
    servo.forget_turns()
    return Error.NONE, b""


_HANDLERS: dict[int, Callable[[Servo, bytes], Reply]] = {
    Instruction.PING: ping,
    Instruction.READ: _read,
    Instruction.WRITE: _write,
    Instruction.REG_WRITE: _reg_write,
    Instruction.ACTION: _action,
    Instruction.FACTORY_RESET: _factory_reset,
    Instruction.REBOOT: _reboot,
    Instruction.CLEAR: _clear,
}
