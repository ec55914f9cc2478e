"""A port to a twin in virtual time: time passes only while the host waits, as fast as the machine can compute it."""

from __future__ import annotations

import errno

from sim.twin.twin import Twin


class LockstepPort:
    """Looks like a serial port; behind it is the twin, in this process. Two runs with the same seed are the same, byte
    for byte.

    While the host computes, no time passes: what a slow host does to a control loop does not show here.
    """

    def __init__(self, twin: Twin) -> None:
        """Open the port of that twin. Raises OSError when it is unplugged."""
        if not twin.plugged:
            raise OSError(errno.ENOENT, "no such port: the twin is unplugged")
        self.twin = twin
        self.name = f"lockstep:{twin.arm.name}"
        self.baudrate = twin.line.baudrate
        """bit/s, speed of the host's side."""
        self.adapter_latency = twin.adapter.timing.latency_timer
        self._plug = twin.plug
        self._received = bytearray()

    def now(self) -> float:
        """Virtual time in seconds."""
        return self.twin.time

    def sleep_until(self, time: float) -> None:
        """Let virtual time pass up to `time`."""
        if time > self.twin.time:
            self.twin.advance(time)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send all bytes. Raises OSError when the port is gone."""
        self._check()
        self.twin.transmit(bytes(data))

    def read_into(self, buffer: memoryview, deadline: float) -> int:
        """Wait for at least one byte, put what is there into `buffer`, return how many; 0: deadline passed.

        Raises OSError when the port is gone.
        """
        twin, received = self.twin, self._received
        while not received:
            self._check()
            received += twin.take()
            if received:
                break
            if twin.time >= deadline:
                return 0
            twin.advance(min(max(twin.due(), twin.time), deadline))
        count = min(len(received), len(buffer))
        buffer[:count] = received[:count]
        del received[:count]
        return count

    def discard_input(self) -> int:
        """Throw away received bytes; return how many there were. Raises OSError when the port is gone."""
        self._check()
        count = len(self._received) + len(self.twin.take())
        self._received.clear()
        return count

    def set_baudrate(self, baudrate: int) -> None:
        """Change the speed of the host's side. Raises OSError when the port is gone."""
        self._check()
        self.baudrate = self.twin.line.baudrate = baudrate

    def close(self) -> None:
        """Let go of the port. Closing twice is harmless."""
        self._plug = 0
        self._received.clear()

    def _check(self) -> None:
        if self.twin.plug != self._plug:
            raise OSError(
                errno.EIO if self._plug else errno.EBADF, "the port is gone" if self._plug else "the port is closed"
            )
