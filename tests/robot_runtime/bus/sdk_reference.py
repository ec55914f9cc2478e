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
