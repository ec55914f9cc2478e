"""A serial port opened for this program alone: pyserial sets it up, the file descriptor carries the bytes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import struct
import sys
import termios
import time
from pathlib import Path

import serial
from serial.tools import list_ports

from robot_runtime.bus.errors import (
    PortError,
    PortInUseError,
    PortNotFoundError,
    PortPermissionError,
    PortSettingError,
    PortStuckError,
    PortVanishedError,
)
from robot_runtime.bus.latency_timer import LatencyTimer, prepare_latency_timer

_WRITE_PATIENCE = 0.1
"""s to wait for room in the driver's output buffer; a packet is far smaller than the buffer (4 KiB)."""

_GONE = {errno.EIO, errno.ENXIO, errno.ENODEV, errno.EBADF, errno.EPIPE}
"""What reading or writing a port that was unplugged answers (Linux: EIO; macOS: ENXIO)."""

_OFF = 0.03
"""Share by which an adapter's rate may differ from the one asked for: chips divide a clock. Servos take 3 %."""

_TCGETS2 = 0x802C542A
_TERMIOS2 = struct.Struct("4I20s2I")
"""Linux's `struct termios2`, whose last two numbers are the rates in bit/s; the request is that of x86 and ARM."""


class SerialPort:
    """A real serial port, or the twin's pseudo-terminal: the runtime cannot tell and does not ask.

    Fulfils `robot_runtime.bus.port.Port`.
    """

    def __init__(self, name: str, baudrate: int) -> None:
        """Open `name` for nobody else to open, at `baudrate` bit/s, and its USB latency timer at 1 ms where it has one.

        Raises:
            PortNotFoundError: no such port.
            PortPermissionError: not this user's to open.
            PortInUseError: another program holds it.
            PortSettingError: not a serial port, or not at that baud rate.
        """
        self.name = name
        self.baudrate = baudrate
        self._serial = _open(name, baudrate)
        self._fd: int = self._serial.fileno()
        try:
            # pyserial's lock keeps those out that ask for it; this, everybody but root.
            fcntl.ioctl(self._fd, termios.TIOCEXCL)
            self._require_rate(baudrate)
        except PortError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise self._gone(error) from error
        self._count = bytearray(4)
        os.set_blocking(self._fd, False)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self.latency_timer: LatencyTimer = prepare_latency_timer(name, self._serial)
        self.adapter_latency = self.latency_timer.seconds
        self.spin = 0.0
        """s before the end of a `sleep_until` from which the clock is watched instead of slept on: sleeps end late."""

    def now(self) -> float:
        """Monotonic time in seconds."""
        return time.monotonic()

    def sleep_until(self, time_s: float) -> None:
        """Wait until `now()` reaches `time_s`; return at once if it has passed."""
        delay = time_s - self.spin - time.monotonic()
        if delay > 0:
            time.sleep(delay)
        while time.monotonic() < time_s:
            pass

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send all bytes.

        Raises:
            PortVanishedError: the port is gone.
            PortStuckError: it takes no more bytes.
        """
        try:
            sent = self._send(data)
            while sent < len(data):
                if not select.select([], [self._fd], [], _WRITE_PATIENCE)[1]:
                    raise PortStuckError(
                        errno.EAGAIN, "takes no more bytes; is the adapter stuck? Replug it", self.name
                    )
                sent += self._send(data[sent:])
        except PortError:
            raise
        except (OSError, ValueError) as error:
            raise self._gone(error) from error

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        """As many bytes as there is room for."""
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0

    def read_into(self, buffer: memoryview, deadline: float) -> int:
        """Wait for bytes until `deadline`, put what is there into `buffer`, return how many; 0: deadline passed.

        Raises:
            PortVanishedError: the port is gone.
        """
        try:
            while self._wait(deadline - time.monotonic()):
                try:
                    count = os.readv(self._fd, [buffer])
                    break
                except BlockingIOError:  # woken for nothing
                    continue
            else:
                return 0
        except (OSError, ValueError) as error:
            raise self._gone(error) from error
        if count == 0 and len(buffer):
            raise PortVanishedError(errno.EIO, "hung up; is the cable out?", self.name)
        return count

    def _wait(self, seconds: float) -> bool:
        """Whether bytes arrive in time. `poll` is cheaper but knows only milliseconds: `select` does the rest."""
        whole = int(seconds * 1e3)
        if whole > 0:
            started = time.monotonic()
            if self._poll.poll(whole):
                return True
            seconds -= time.monotonic() - started
        return bool(select.select([self._fd], [], [], max(seconds, 0.0))[0])

    def discard_input(self) -> int:
        """Throw away received bytes; return how many there were.

        Raises:
            PortVanishedError: the port is gone.
        """
        try:
            fcntl.ioctl(self._fd, termios.FIONREAD, self._count)
            waiting = struct.unpack("i", self._count)[0]
            if waiting:
                termios.tcflush(self._fd, termios.TCIFLUSH)
        except (OSError, ValueError, termios.error) as error:
            raise self._gone(error) from error
        return int(waiting)

    def set_baudrate(self, baudrate: int) -> None:
        """Change the speed of the host side.

        Raises:
            PortVanishedError: the port is gone.
            PortSettingError: the adapter does not do that rate.
        """
        try:
            self._serial.baudrate = baudrate
        except (OSError, termios.error, ValueError) as error:
            cause = error.__context__ if isinstance(error.__context__, termios.error) else error  # pyserial hides it
            number = cause.args[0] if cause.args else None
            if number in _GONE or not self._serial.is_open:
                raise self._gone(cause) from error
            raise PortSettingError(errno.EINVAL, f"does not do {baudrate} bit/s: {error}", self.name) from error
        try:
            self._require_rate(baudrate)
        except PortError:
            raise
        except OSError as error:
            raise self._gone(error) from error
        self.baudrate = baudrate

    def _require_rate(self, baudrate: int) -> None:
        """Some chips fall back to another rate without an error: an FT232R asked for 4 Mbit/s does 9600 bit/s."""
        actual = line_rate(self._fd)
        if actual and abs(actual - baudrate) > _OFF * baudrate:
            raise PortSettingError(errno.EINVAL, f"does not do {baudrate} bit/s, it took {actual} instead", self.name)

    def close(self) -> None:
        """Let go of the port. Closing twice is harmless."""
        if self._serial.is_open:
            with contextlib.suppress(OSError):  # it may be gone
                fcntl.ioctl(self._fd, termios.TIOCNXCL)
        self._serial.close()

    def _gone(self, error: Exception) -> PortError:
        """The port error that this failure of the system means."""
        number = error.args[0] if error.args and isinstance(error.args[0], int) else errno.EIO
        if number in _GONE or not self._serial.is_open:
            return PortVanishedError(number, "vanished; is the cable out, or the adapter without power?", self.name)
        return PortError(number, os.strerror(number), self.name)


def line_rate(fd: int) -> int:
    """The rate that the driver has set, bit/s; 0: the system does not say."""
    if sys.platform != "linux":
        return 0
    data = bytearray(_TERMIOS2.size)
    fcntl.ioctl(fd, _TCGETS2, data)
    return int(_TERMIOS2.unpack(data)[6])


def _open(name: str, baudrate: int) -> serial.Serial:
    if not Path(name).exists():
        known = ", ".join(sorted(p.device for p in list_ports.comports())) or "none"
        raise PortNotFoundError(errno.ENOENT, f"no such port; is the adapter plugged in? Ports here: {known}", name)
    try:
        return serial.Serial(name, baudrate, timeout=0, exclusive=True)
    except ValueError as error:
        raise PortSettingError(errno.EINVAL, f"does not do {baudrate} bit/s", name) from error
    except serial.SerialException as error:
        raise _open_error(name, error.errno) from error


def _open_error(name: str, number: int | None) -> PortError:
    match number:
        case errno.EACCES | errno.EPERM:
            try:
                owner = Path(name).group()
            except (KeyError, OSError):
                owner = "dialout"
            cure = f"run 'sudo usermod -aG {owner} $USER' and log in again"
            if owner in ("root", "wheel"):  # no group to be in
                cure = "it belongs to the system; is it the right port? Else a udev rule gives it to the group dialout"
            return PortPermissionError(errno.EACCES, f"not yours to open; {cure}", name)
        case errno.EAGAIN | errno.EBUSY:
            return PortInUseError(
                errno.EBUSY, f"in use by {_holders(name) or 'another program'}; stop that first", name
            )
        case errno.ENOENT | errno.ENODEV | errno.ENXIO:
            return PortNotFoundError(errno.ENOENT, "went away while it was opened; plug it in again", name)
        case _:
            reason = os.strerror(number) if number else "it takes no serial settings"
            return PortSettingError(number or errno.ENOTTY, f"not a usable serial port: {reason}", name)


def _holders(name: str) -> str:
    """Programs that have the port open, as far as this user may see (Linux)."""
    target, found = Path(name).resolve(), []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if link.readlink() == target and (pid := link.parts[2]) != str(os.getpid()):
                found.append(f"{Path('/proc', pid, 'comm').read_text().strip()} (process {pid})")
        except OSError:
            continue  # a process that just ended, or another user's
    return ", ".join(dict.fromkeys(found))
