"""The servos' side of Dynamixel Protocol 2.0 behind a pseudo-terminal, written from the manual.

A second opinion: it shares nothing with the runtime or its twin. CRC and stuffing are the SDK's own functions.
Source: ROBOTIS e-Manual, Protocol 2.0; Fast Sync Read as the SDK and rustypot both accept it.

Not modelled: baud rates (a pseudo-terminal passes bytes at any), wire time, return delay, collisions,
Reg Write, Action, Factory Reset, Clear and the bulk reads.
"""

from __future__ import annotations

import os
import select
import threading
import tty
from enum import IntEnum
from typing import Any

from dynamixel_sdk.protocol2_packet_handler import Protocol2PacketHandler

from tests.second_slave.servo import Servo

BROADCAST, STATUS = 0xFE, 0x55
UNKNOWN_INSTRUCTION, BAD_CRC = 2, 3
HEADER, LOOKS_LIKE_HEADER = b"\xff\xff\xfd\x00", b"\xff\xff\xfd"
SHORTEST, LONGEST = 10, 1024
"""Bytes of a packet; what claims to be longer was no header."""


class Instruction(IntEnum):
    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REBOOT = 0x08
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83
    FAST_SYNC_READ = 0x8A
    BULK_WRITE = 0x93


_sdk: Any = Protocol2PacketHandler()


def crc(data: bytes) -> bytes:
    return int(_sdk.updateCRC(0, data, len(data))).to_bytes(2, "little")


def status_packet(servo_id: int, error: int, data: bytes = b"") -> bytes:
    plain = [*HEADER, servo_id, *(len(data) + 4).to_bytes(2, "little"), STATUS, error, *data, 0, 0]
    stuffed = bytes(_sdk.addStuffing(plain))[:-2]
    return stuffed + crc(stuffed)


def unstuff(wire: bytes) -> bytes:
    """Without the byte that follows every FF FF FD on the wire."""
    plain, i = bytearray(), 0
    while i < len(wire):
        plain.append(wire[i])
        i += 2 if wire[max(i - 2, 0) : i + 1] == LOOKS_LIKE_HEADER else 1
    return bytes(plain)


def span(parameters: bytes) -> tuple[int, int]:
    """Address and length, as most instructions start."""
    return int.from_bytes(parameters[:2], "little"), int.from_bytes(parameters[2:4], "little")


class Slave:
    """Servos behind a pseudo-terminal named `port`, served by a thread until `close`."""

    def __init__(self, *servos: Servo) -> None:
        self.servos = servos
        self.heard: list[int] = []  # instructions, in order
        self._master, self._terminal = os.openpty()
        tty.setraw(self._terminal)
        self.port = os.ttyname(self._terminal)
        self._stopped, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        os.write(self._stop, b"x")
        self._thread.join()
        for fd in (self._master, self._terminal, self._stopped, self._stop):
            os.close(fd)

    def _serve(self) -> None:
        stream = b""
        while True:
            ready, _, _ = select.select([self._master, self._stopped], [], [])
            if self._stopped in ready:
                return
            reply, stream = self.take(stream + os.read(self._master, 4096))
            if reply:
                os.write(self._master, reply)

    def take(self, stream: bytes) -> tuple[bytes, bytes]:
        """Replies to the packets in the stream, and the bytes that still wait for their rest."""
        replies = b""
        while HEADER in stream:
            stream = stream[stream.index(HEADER) :]
            end = 7 + int.from_bytes(stream[5:7], "little")
            if len(stream) >= 7 and not SHORTEST <= end <= LONGEST:
                stream = stream[1:]
            elif len(stream) < max(end, SHORTEST):
                break
            else:
                replies += self.answer(stream[:end])
                stream = stream[end:]
        return replies, stream if HEADER in stream else stream[1 - len(HEADER) :]

    def answer(self, packet: bytes) -> bytes:
        """Everything that this instruction packet makes the servos say."""
        present = {servo["id"]: servo for servo in self.servos if not servo.silent}
        target, body = packet[4], unstuff(packet[7:-2])
        if crc(packet[:-2]) != packet[-2:]:
            return status_packet(target, BAD_CRC | present[target].alert) if target in present else b""
        self.heard.append(body[0])
        for servo in present.values():
            servo.tick()
        if target == BROADCAST:
            return self._everyone(present, body[0], body[1:])
        return self._one(target, present[target], body[0], body[1:]) if target in present else b""

    def _one(self, servo_id: int, servo: Servo, instruction: int, parameters: bytes) -> bytes:
        level = servo["status_return_level"]
        match instruction:
            case Instruction.PING:
                return status_packet(servo_id, servo.alert, self._identity(servo))
            case Instruction.READ:
                error, data = servo.read(*span(parameters))
                return status_packet(servo_id, error, b"" if error & 0x7F else data) if level >= 1 else b""
            case Instruction.WRITE:
                error = servo.write(int.from_bytes(parameters[:2], "little"), parameters[2:])
            case Instruction.REBOOT:
                error = servo.alert
                servo.reboot()
            case _:
                error = UNKNOWN_INSTRUCTION | servo.alert
        return status_packet(servo_id, error) if level == 2 else b""

    def _everyone(self, present: dict[int, Servo], instruction: int, parameters: bytes) -> bytes:
        """Broadcast: writes are not confirmed, reads are answered in turn."""
        match instruction:
            case Instruction.PING:
                return b"".join(status_packet(i, s.alert, self._identity(s)) for i, s in sorted(present.items()))
            case Instruction.SYNC_READ:
                asked = [i for i in parameters[4:] if i in present and present[i]["status_return_level"] >= 1]
                return b"".join(status_packet(i, *present[i].read(*span(parameters))) for i in asked)
            case Instruction.FAST_SYNC_READ:
                return self._fast_reply(present, parameters)
            case Instruction.SYNC_WRITE:
                self._sync_write(present, parameters)
            case Instruction.BULK_WRITE:
                self._bulk_write(present, parameters)
            case Instruction.WRITE:
                for servo in present.values():
                    servo.write(int.from_bytes(parameters[:2], "little"), parameters[2:])
            case Instruction.REBOOT:
                for servo in present.values():
                    servo.reboot()
        return b""

    @staticmethod
    def _identity(servo: Servo) -> bytes:
        return servo["model_number"].to_bytes(2, "little") + bytes((servo.firmware,))

    @staticmethod
    def _fast_reply(present: dict[int, Servo], parameters: bytes) -> bytes:
        """One packet that all servos append to; who is absent breaks the chain: those behind wait in vain."""
        address, length = span(parameters)
        ids = parameters[4:]
        head = HEADER + bytes((BROADCAST,)) + (1 + len(ids) * (length + 4)).to_bytes(2, "little") + bytes((STATUS,))
        reply = head
        for servo_id in ids:
            servo = present.get(servo_id)
            if servo is None or not servo.fast:
                break
            error, data = servo.read(address, length)
            reply += bytes((error, servo_id)) + data
            reply += crc(reply)
        return reply if reply != head else b""

    @staticmethod
    def _sync_write(present: dict[int, Servo], parameters: bytes) -> None:
        address, length = span(parameters)
        for at in range(4, len(parameters), 1 + length):
            if servo := present.get(parameters[at]):
                servo.write(address, parameters[at + 1 : at + 1 + length])

    @staticmethod
    def _bulk_write(present: dict[int, Servo], parameters: bytes) -> None:
        while parameters:
            address, length = span(parameters[1:])
            if servo := present.get(parameters[0]):
                servo.write(address, parameters[5 : 5 + length])
            parameters = parameters[5 + length :]
