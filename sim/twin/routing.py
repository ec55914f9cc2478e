"""Who answers an instruction packet, with what, and in which order.

Assumptions about what the manual leaves open, all of them the less comfortable choice:

- Sync, bulk and fast reads are chains: each servo waits for the one named before it, so that one that does not answer
  silences those behind it (as reported in ROBOTIS-GIT/DynamixelSDK#331; for fast reads it follows from the running CRC
  that every servo has to check).
- Replies to a broadcast ping come in the order of the IDs, each in a slot of its own.
- A servo that hears an instruction to itself with a wrong CRC answers with a CRC error.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sim.twin.instructions import execute, execute_by_secondary_id, ping
from sim.twin.packets import (
    BROADCAST_ID,
    HIGHEST_ID,
    MAX_LENGTH,
    Block,
    Error,
    Instruction,
    Packet,
    fast_status_length,
    fast_status_parts,
    status_packet,
)
from sim.twin.servo import SAFER_SINCE, Servo

PING_SLOT = 14
"""Bytes of time that a broadcast ping leaves for each ID: those of a reply. Assumption."""


class Piece(NamedTuple):
    """Bytes that one servo sends."""

    servo_id: int
    data: bytes
    pause: float  # s, return delay before them
    silence: int = 0  # bytes' worth of time in which nobody sends, before them


class Read(NamedTuple):
    """One entry of a sync or bulk read."""

    servo_id: int
    address: int
    length: int


class Router:
    """Hands packets to the servos that hear them and collects what they send."""

    def __init__(self, seed: int = 0) -> None:
        """Start with no servo that hears anything."""
        self.hearing: list[Servo] = []
        self._by_id: dict[int, list[Servo]] = {}
        self._random = random.Random(f"{seed}/collisions")
        self._groups = {
            Instruction.SYNC_READ: lambda params: self._chain(_sync_reads(params)),
            Instruction.FAST_SYNC_READ: lambda params: self._fast_chain(_sync_reads(params)),
            Instruction.BULK_READ: lambda params: self._chain(_bulk_reads(params)),
            Instruction.FAST_BULK_READ: lambda params: self._fast_chain(_bulk_reads(params)),
            Instruction.SYNC_WRITE: self._sync_write,
            Instruction.BULK_WRITE: self._bulk_write,
        }

    def listen(self, servos: Iterable[Servo]) -> None:
        """From now on these servos hear what goes over the wire."""
        self.hearing = list(servos)
        self._by_id = {}
        for servo in self.hearing:
            self._by_id.setdefault(servo.id, []).append(servo)

    def answer(self, packet: Packet) -> list[Piece]:
        """Let the servos act on a packet; what they send, in order."""
        if not packet.intact:
            return self._crc_errors(packet)
        group = self._groups.get(packet.instruction)
        if group is not None:
            return group(packet.params) if packet.id == BROADCAST_ID else []
        if packet.id == BROADCAST_ID:
            return self._broadcast(packet)
        return self._single(packet)

    def garble(self, parts: Sequence[bytes]) -> bytes:
        """What several senders at once make of their bytes: one alone pulls the wire low, and they are out of step."""
        mixed = bytearray(self._random.randbytes(max(map(len, parts))))
        for part in parts:
            for index, byte in enumerate(part):
                mixed[index] &= byte
        return bytes(mixed)

    def _merge(self, answers: Sequence[tuple[Servo, bytes]]) -> list[Piece]:
        """What is heard when these servos answer at once: normally there is only one."""
        if not answers:
            return []
        servo, data = answers[0]
        if len(answers) > 1:
            data = self.garble([data for _, data in answers])
        return [Piece(servo.id, data, servo.return_delay)]

    # -- to one ID, and to all ---------------------------------------------------------------------

    def _crc_errors(self, packet: Packet) -> list[Piece]:
        return self._merge(
            [
                (servo, status_packet(packet.id, Error.CRC | servo.alert))
                for servo in self._by_id.get(packet.id, ())
                if servo.return_level == 2
            ]
        )

    def _single(self, packet: Packet) -> list[Piece]:
        answers = []
        for servo in self._by_id.get(packet.id, ()):
            reply = execute(servo, packet.instruction, packet.params)
            if reply is not None:
                answers.append((servo, status_packet(packet.id, *reply)))
        for servo in self.hearing:
            if servo.secondary_id == packet.id <= HIGHEST_ID and servo.id != packet.id:
                execute_by_secondary_id(servo, packet.instruction, packet.params)
        return self._merge(answers)

    def _broadcast(self, packet: Packet) -> list[Piece]:
        if packet.instruction == Instruction.PING:
            return self._broadcast_ping()
        if packet.instruction == Instruction.READ:
            return []  # manual
        everything = packet.instruction == Instruction.FACTORY_RESET and packet.params == b"\xff"
        for servo in list(self.hearing):
            if everything and servo.firmware >= SAFER_SINCE:
                continue  # manual
            execute(servo, packet.instruction, packet.params)
        return []

    def _broadcast_ping(self) -> list[Piece]:
        pieces = []
        slot = 0
        for servo_id, servos in sorted(self._by_id.items()):
            answers = []
            for servo in servos:
                error, params = ping(servo)
                answers.append((servo, status_packet(servo_id, error | servo.alert, params)))
            pieces += [piece._replace(silence=(servo_id - slot) * PING_SLOT) for piece in self._merge(answers)]
            slot = servo_id + 1
        return pieces

    # -- to a group --------------------------------------------------------------------------------

    def _chain(self, reads: Iterable[Read]) -> list[Piece]:
        pieces = []
        for servo_id, address, length in reads:
            answers = []
            for servo in self._by_id.get(servo_id, ()):
                if servo.return_level >= 1:
                    error, data = servo.read(address, length)
                    answers.append((servo, status_packet(servo_id, error | servo.alert, data)))
            if not answers:
                break
            pieces += self._merge(answers)
        return pieces

    def _fast_chain(self, reads: Sequence[Read]) -> list[Piece]:
        blocks: list[Block] = []
        doubled = False
        for servo_id, address, length in reads:
            servos = [s for s in self._by_id.get(servo_id, ()) if s.return_level >= 1 and s.has_fast_reads]
            if not servos or doubled:
                break
            error, data = servos[0].read(address, length)
            # Assumption: a servo that cannot read fills its place with zeros, or the announced length would be wrong.
            blocks.append(Block(error | servos[0].alert, servo_id, data or bytes(length)))
            doubled = len(servos) > 1
        announced = fast_status_length(read.length for read in reads)
        if not blocks or announced > MAX_LENGTH:
            return []
        parts = fast_status_parts(blocks, announced)
        if doubled:
            parts[-1] = self.garble([parts[-1]])
        # Only the first servo waits its return delay: the others fall in behind it at once.
        delays = [self._by_id[blocks[0].id][0].return_delay, *[0.0] * (len(blocks) - 1)]
        return [Piece(block.id, part, delay) for block, part, delay in zip(blocks, parts, delays, strict=True)]

    def _sync_write(self, params: bytes) -> list[Piece]:
        if len(params) > 4:
            address = params[0] | params[1] << 8
            length = params[2] | params[3] << 8
            # Assumption: what is left over after the last whole entry is ignored.
            for at in range(4, len(params) - length, length + 1):
                for servo in self._by_id.get(params[at], ()):
                    servo.write(address, params[at + 1 : at + 1 + length])
        return []

    def _bulk_write(self, params: bytes) -> list[Piece]:
        at = 0
        while at + 5 <= len(params):
            address = params[at + 1] | params[at + 2] << 8
            end = at + 5 + (params[at + 3] | params[at + 4] << 8)
            if end <= len(params):
                for servo in self._by_id.get(params[at], ()):
                    servo.write(address, params[at + 5 : end])
            at = end
        return []


def _sync_reads(params: bytes) -> list[Read]:
    """Manual: an ID counts once."""
    if len(params) < 5:
        return []
    address = params[0] | params[1] << 8
    length = params[2] | params[3] << 8
    return [Read(servo_id, address, length) for servo_id in dict.fromkeys(params[4:])]


def _bulk_reads(params: bytes) -> list[Read]:
    reads: dict[int, Read] = {}
    for at in range(0, len(params) - 4, 5):
        servo_id, address_low, address_high, length_low, length_high = params[at : at + 5]
        reads.setdefault(servo_id, Read(servo_id, address_low | address_high << 8, length_low | length_high << 8))
    return list(reads.values())
