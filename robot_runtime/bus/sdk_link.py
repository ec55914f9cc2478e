"""dynamixel-sdk over our port: its packets, our clock, our timeouts, and typed errors instead of result codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import dynamixel_sdk as sdk

from robot_runtime.bus.errors import CorruptReplyError, NoReplyError, PortError, ServoRefusedError
from robot_runtime.bus.packets import STATUS_OVERHEAD, Instruction, instruction_packet, status_packets
from robot_runtime.bus.port import Port
from robot_runtime.bus.timing import HOST_MARGIN, SLOW_MARGIN, wire_time
from robot_runtime.servos.protocol import RETURN_DELAY_MAX

_ALERT = 0x80

_DAMAGED_INSTRUCTION = 3
"""Error number of a servo that found a wrong CRC in what it was told: worth another try."""


class SdkPort:
    """What the SDK calls a PortHandler, on top of ours.

    The SDK's own waits 34 ms for every lost reply, spins while it waits, and sets that again on every packet. This one
    computes the deadline from bytes and baud rate, sleeps in the kernel until then, and works in virtual time.
    """

    def __init__(self, port: Port) -> None:
        """Borrow the port; closing it stays the owner's business."""
        self._port = port
        self._deadline = 0.0
        self._written = 0
        self.received = b""  # raw bytes since the last packet went out
        self.is_using = False

    def getBaudRate(self) -> int:  # noqa: N802 (the SDK's name)
        """Bit/s."""
        return self._port.baudrate

    def clearPort(self) -> None:  # noqa: N802
        """Drop what an older transaction left behind."""
        self._port.discard_input()

    def writePort(self, packet: list[int] | bytes) -> int:  # noqa: N802
        """Send a packet, return how many bytes went out."""
        self._port.write(bytes(packet))
        self._written = len(packet)
        self.received = b""
        return len(packet)

    def readPort(self, length: int) -> bytes:  # noqa: N802
        """At most `length` bytes; waits for the first until the packet's deadline."""
        if length <= 0:
            return b""
        buffer = bytearray(length)
        chunk = bytes(buffer[: self._port.read_into(memoryview(buffer), self._deadline)])
        self.received += chunk
        return chunk

    def setPacketTimeout(self, length: int) -> None:  # noqa: N802
        """A reply of `length` bytes is awaited from now."""
        wire = wire_time(self._written + length, self._port.baudrate)
        patience = RETURN_DELAY_MAX + self._port.adapter_latency + HOST_MARGIN + SLOW_MARGIN
        self._deadline = self._port.now() + wire + patience

    def setPacketTimeoutMillis(self, milliseconds: float) -> None:  # noqa: N802
        """A broadcast's replies are awaited so long (the SDK knows how servos take turns)."""
        self._deadline = self._port.now() + milliseconds * 1e-3 + self._port.adapter_latency

    def isPacketTimeout(self) -> bool:  # noqa: N802
        """Whether the deadline has passed."""
        return self._port.now() >= self._deadline


@dataclass(frozen=True, slots=True)
class Identity:
    """What a servo says of itself to a ping."""

    model_number: int
    firmware: int | None


class SdkLink:
    """The transactions that need no speed, done by the SDK. Not locked: `Bus` is the one that calls it."""

    def __init__(self, port: Port) -> None:
        """Speak over this port."""
        self._sdk_port = SdkPort(port)
        self._packets: Any = sdk.PacketHandler(2.0)
        self.alerts: set[int] = set()

    @property
    def heard(self) -> bytes:
        """Raw bytes that came in since the last packet went out."""
        return self._sdk_port.received

    def ping(self, servo_id: int) -> Identity:
        """Model number of one servo. Raises NoReplyError, CorruptReplyError, PortError."""
        number, result, error = self._guard(servo_id, self._packets.ping, servo_id)
        self._judge(servo_id, result, error, "answer a ping")
        return Identity(number, None)

    def broadcast_ping(self) -> dict[int, Identity]:
        """Everyone who answers, by ID; takes about 0.8 s because of the turns that servos take. Raises PortError."""
        replies, _ = self._guard(sdk.BROADCAST_ID, self._packets.broadcastPing)
        return {servo_id: Identity(number, firmware) for servo_id, (number, firmware) in replies.items()}

    def read(self, servo_id: int, address: int, length: int) -> bytes:
        """Raises NoReplyError, CorruptReplyError, ServoRefusedError, PortError."""
        _, result, error = self._guard(servo_id, self._packets.readTxRx, servo_id, address, length)
        self._judge(servo_id, result, error, f"read {length} bytes at {address}")
        # The SDK (4.1.0) unstuffs in place and misreads what it has just moved: its bytes are unstuffed here instead.
        data = next((p.parameters for p in status_packets(self._sdk_port.received) if p.servo_id == servo_id), b"")
        if len(data) != length:
            raise CorruptReplyError(servo_id, f"servo {servo_id} sent {len(data)} bytes instead of {length}")
        return data

    def write(self, servo_id: int, address: int, data: bytes, what: str) -> None:
        """Raises NoReplyError, CorruptReplyError, ServoRefusedError, PortError."""
        # The SDK (4.1.0) stuffs a copy of a packet and sends the original: a write is packed here, the SDK listens.
        packet = instruction_packet(servo_id, Instruction.WRITE, address.to_bytes(2, "little") + data)
        self._sdk_port.clearPort()
        self._sdk_port.writePort(packet)
        self._sdk_port.setPacketTimeout(STATUS_OVERHEAD)
        _, result, error = self._guard(servo_id, self._packets.readRx, servo_id, 0)
        self._judge(servo_id, result, error, what)

    def reboot(self, servo_id: int) -> None:
        """Raises NoReplyError, CorruptReplyError, ServoRefusedError, PortError."""
        result, error = self._guard(servo_id, self._packets.reboot, servo_id)
        self._judge(servo_id, result, error, "reboot")

    def clear_turns(self, servo_id: int) -> None:
        """Raises NoReplyError, CorruptReplyError, ServoRefusedError, PortError."""
        result, error = self._guard(servo_id, self._packets.clearMultiTurn, servo_id)
        self._judge(servo_id, result, error, "clear its turn count")

    def factory_reset(self, servo_id: int, option: int) -> None:
        """Raises NoReplyError, CorruptReplyError, ServoRefusedError, PortError."""
        result, error = self._guard(servo_id, self._packets.factoryReset, servo_id, option)
        self._judge(servo_id, result, error, "reset to factory settings")

    def _guard(self, servo_id: int, call: Any, *arguments: Any) -> tuple[Any, ...]:
        """Call the SDK, which indexes past the end of some damaged packets and forgets to release its flag then."""
        self._sdk_port.is_using = False
        try:
            return cast("tuple[Any, ...]", call(self._sdk_port, *arguments))
        except (IndexError, TypeError, ValueError) as error:
            if isinstance(error, PortError):
                raise
            raise CorruptReplyError(servo_id, _corrupt(servo_id)) from error

    def _judge(self, servo_id: int, result: int, error: int, what: str) -> None:
        if result == sdk.COMM_RX_TIMEOUT:
            raise NoReplyError(
                servo_id,
                f"servo {servo_id} does not answer (asked to {what}); check its cable, power, ID and baud rate",
            )
        if result != sdk.COMM_SUCCESS:
            raise CorruptReplyError(servo_id, _corrupt(servo_id))
        if error & _ALERT:
            self.alerts.add(servo_id)
        else:
            self.alerts.discard(servo_id)
        if error & ~_ALERT == _DAMAGED_INSTRUCTION:
            raise CorruptReplyError(servo_id, f"servo {servo_id} heard the instruction to {what} damaged: a bad cable?")
        if error & ~_ALERT:
            raise ServoRefusedError(servo_id, error & ~_ALERT, what)


def _corrupt(servo_id: int) -> str:
    return (
        f"servo {servo_id} answered, but damaged; two servos may share this ID, or the cable or baud rate "
        "is not quite right"
    )
