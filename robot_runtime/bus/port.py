"""What the bus needs of a serial port: bytes out, bytes in until a deadline, and the clock of those deadlines."""

from __future__ import annotations

from typing import Protocol


class Port(Protocol):
    """A byte stream with a clock. `SerialPort` is the real one; the lock-step twin has one in virtual time."""

    @property
    def name(self) -> str:
        """What the port is called, for messages."""
        ...

    @property
    def baudrate(self) -> int:
        """Speed of the host side, bit/s."""
        ...

    @property
    def adapter_latency(self) -> float:
        """How long the USB adapter may sit on received bytes, s."""
        ...

    def now(self) -> float:
        """Monotonic time in seconds."""
        ...

    def sleep_until(self, time: float) -> None:
        """Wait until `now()` reaches `time`; return at once if it has passed."""
        ...

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send all bytes. Raises PortVanishedError, or OSError that means it; PortStuckError where there is no room."""
        ...

    def read_into(self, buffer: memoryview, deadline: float) -> int:
        """Wait until at least one byte is there, put what is there into `buffer`, return how many; 0: deadline passed.

        Raises PortVanishedError, or OSError that means it.
        """
        ...

    def discard_input(self) -> int:
        """Throw away received bytes; return how many there were. Raises PortVanishedError, or OSError that means it."""
        ...

    def set_baudrate(self, baudrate: int) -> None:
        """Change the speed of the host side. Raises PortVanishedError or PortSettingError."""
        ...

    def close(self) -> None:
        """Let go of the port. Closing twice is harmless."""
        ...
