"""The control table of one servo model: which register owns which byte, and what an instruction finds at an address."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

from sim.twin.packets import Error
from sim.twin.servo_data import IndirectData, RegisterData, ServoData

RAM_START = 64
"""First address of the RAM area. Manual: indirect addresses may point to 64 and up."""


class Field(NamedTuple):
    """One register inside the data of an instruction."""

    register: RegisterData
    offset: int  # of its first byte in the data
    end: int


class ControlTable:
    """The layout of one model at one firmware version. It holds no values: those are each servo's own."""

    def __init__(self, data: ServoData, firmware: int) -> None:
        """Lay the registers of this firmware out, with the indirect block that the data file describes."""
        self.indirect = data.indirect_for(firmware)
        named = [r for r in data.registers.values() if firmware >= r.since]
        self.size = max(*(r.address + r.size for r in named), self.indirect.data + self.indirect.count)
        self.registers = {r.name: r for r in (*named, *_indirect_registers(self.indirect, self.size))}
        self.owners: list[RegisterData | None] = [None] * self.size
        for register in self.registers.values():
            for address in range(register.address, register.address + register.size):
                self.owners[address] = register

    def is_indirect_data(self, address: int) -> bool:
        """Whether that byte stands for another one."""
        return 0 <= address - self.indirect.data < self.indirect.count

    def touches_indirect(self, address: int, length: int) -> bool:
        """Whether a range of addresses reaches into the indirect data."""
        return address < self.indirect.data + self.indirect.count and address + length > self.indirect.data

    def initial_bytes(self) -> bytearray:
        """The table as shipped; registers whose initial value the manual leaves open hold 0."""
        memory = bytearray(self.size)
        for r in self.registers.values():
            memory[r.address : r.address + r.size] = r.encode(r.initial or 0)
        return memory

    def read_error(self, address: int, length: int) -> int:
        """The error number that a read of this range gets.

        Manual: an address that is not defined, or a range beyond the table, is an access error. Assumption: holes
        between two registers read as 0, as the vendor's own tool relies on when it reads whole tables.
        """
        if length == 0:
            return Error.DATA_LENGTH
        if address + length > self.size or self.owners[address] is None:
            return Error.ACCESS
        return Error.NONE

    def fields(self, addresses: Sequence[int]) -> list[Field] | int:
        """The registers that data bytes for these addresses fill, or the error number.

        Manual: read-only and undefined addresses are access errors; a register filled in part is a data length error.
        Assumption: so is data that starts in the middle of a register.
        """
        fields = []
        offset = 0
        while offset < len(addresses):
            address = addresses[offset]
            register = self.owners[address] if address < self.size else None
            if register is None or not register.writable:
                return Error.ACCESS
            end = offset + register.size
            if list(addresses[offset:end]) != list(range(register.address, register.address + register.size)):
                return Error.DATA_LENGTH
            fields.append(Field(register, offset, end))
            offset = end
        return fields or Error.DATA_LENGTH


@functools.cache
def _indirect_registers(block: IndirectData, size: int) -> tuple[RegisterData, ...]:
    """Indirect address n points to indirect data n at first: that byte then is just a byte of memory."""
    registers = []
    for n in range(block.count):
        address, cell = block.address + 2 * n, block.data + n
        registers += [
            _ram(f"indirect_address_{n + 1}", address, 2, RAM_START, size - 1, cell),
            _ram(f"indirect_data_{n + 1}", cell, 1, 0, 255, 0),
        ]
    return tuple(registers)


def _ram(name: str, address: int, size: int, minimum: int, maximum: int, initial: int) -> RegisterData:
    return RegisterData(
        name=name,
        address=address,
        size=size,
        signed=False,
        writable=True,
        eeprom=False,
        minimum=minimum,
        maximum=maximum,
        initial=initial,
        limited_by=None,
        scale=None,
    )
