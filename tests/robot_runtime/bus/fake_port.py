"""A port in virtual time whose replies a test writes down."""

from __future__ import annotations

from collections.abc import Callable

from robot_runtime.bus.packets import BROADCAST, HEADER, STATUS, crc16, stuff

Reply = list[tuple[float, bytes]]
"""(seconds after the request, bytes)"""


def status(servo_id: int, data: bytes = b"", error: int = 0) -> bytes:
    """A status packet, built here once more and not by the code under test."""
    body = stuff(bytes((STATUS, error)) + data)
    head = HEADER + bytes((servo_id,)) + (len(body) + 2).to_bytes(2, "little") + body
    return head + crc16(head).to_bytes(2, "little")


def fast_status(servos: list[tuple[int, bytes, int]], announced: int | None = None) -> bytes:
    """A fast sync read reply of (ID, data, error); `announced`: how many servos the header promises."""
    length = len(servos[0][1])
    promised = 1 + (announced or len(servos)) * (length + 4)
    head = HEADER + bytes((BROADCAST,)) + promised.to_bytes(2, "little") + bytes((STATUS,))
    for servo_id, data, error in servos:
        head += bytes((error, servo_id)) + data
        head += crc16(head).to_bytes(2, "little")
    return head


class FakePort:
    """Answers each request with what `answer` says; time passes only while somebody waits."""

    name = "fake"
    adapter_latency = 0.001

    def __init__(self, answer: Callable[[bytes], Reply]) -> None:
        self.baudrate = 1_000_000
        self.time = 100.0
        self.sent: list[bytes] = []
        self.closed = False
        self._answer = answer
        self._coming: list[tuple[float, bytes]] = []

    def now(self) -> float:
        return self.time

    def sleep_until(self, time: float) -> None:
        self.time = max(self.time, time)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))
        self._coming += [(self.time + delay, chunk) for delay, chunk in self._answer(bytes(data))]
        self._coming.sort(key=lambda item: item[0])

    def read_into(self, buffer: memoryview, deadline: float) -> int:
        if not self._coming or self._coming[0][0] > deadline:
            self.time = max(self.time, deadline)
            return 0
        arrival, chunk = self._coming.pop(0)
        self.time = max(self.time, arrival)
        count = min(len(chunk), len(buffer))
        buffer[:count] = chunk[:count]
        if chunk[count:]:
            self._coming.insert(0, (arrival, chunk[count:]))
        return count

    def discard_input(self) -> int:
        waiting = [item for item in self._coming if item[0] <= self.time]
        self._coming = [item for item in self._coming if item[0] > self.time]
        return sum(len(chunk) for _, chunk in waiting)

    def set_baudrate(self, baudrate: int) -> None:
        self.baudrate = baudrate

    def close(self) -> None:
        self.closed = True
