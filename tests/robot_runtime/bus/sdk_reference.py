"""The packets that dynamixel-sdk means to send.

Its txPacket stuffs a copy and sends the original (4.1.0: `addStuffing` rebinds its argument and its result is dropped),
so the reference takes what `addStuffing` returns and adds the CRC as txPacket does.
"""

from __future__ import annotations

from typing import Any

import dynamixel_sdk as sdk


class RecordingPort:
    """What the SDK asks of a port when it sends; `sent` is the packet as it should have been."""

    is_using = False
    sent = b""

    def clearPort(self) -> None: ...

    def setPacketTimeout(self, length: int) -> None: ...

    def writePort(self, packet: Any) -> int:
        handler = sdk.PacketHandler(2.0)
        stuffed = list(handler.addStuffing(list(packet)))
        crc = handler.updateCRC(0, stuffed, len(stuffed) - 2)
        self.sent = bytes(stuffed[:-2]) + crc.to_bytes(2, "little")
        return len(packet)


class Playback:
    """What the SDK asks of a port when it receives."""

    is_using = False

    def __init__(self, stream: bytes) -> None:
        self._stream = stream

    def readPort(self, length: int) -> bytes:
        chunk, self._stream = self._stream[: max(length, 0)], self._stream[max(length, 0) :]
        return chunk

    def isPacketTimeout(self) -> bool:
        return not self._stream
