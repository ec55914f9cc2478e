"""A twin behind a pseudo-terminal, in real time: any program that can open a serial port can talk to it."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import pty
import select
import socket
import struct
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from sim.twin.twin import Twin

BUSY_STEP = 0.001
IDLE_STEP = 0.01
"""s between two looks at the physics while there is traffic, and while there is none."""

BUSY_TIME = 0.5
"""s after the last instruction during which the bus counts as busy."""

SPIN = 0.00015
"""s before a reply is due from which the server stops sleeping: the kernel wakes a sleeper later than that."""

MAX_LAG = 0.1
"""s that the physics may lag behind the clock.

A machine too slow for real time makes the twin's clock run late, not the server hang.
"""


class TwinServer:
    """Serves one twin until it is told to stop. It prints nothing.

    The port is a pseudo-terminal. Its speed counts: a client with another speed than the servos hears nothing. Clients
    may come and go.
    """

    def __init__(self, twin: Twin, *, link: Path | None = None, on_port: Callable[[str], None] | None = None) -> None:
        """Open the port. `link` becomes a symbolic link to it; `on_port` is told each port, also the new one after a
        plug was put back.

        Raises OSError: no pseudo-terminal is left, or `link` is no symbolic link or that of a twin that is serving.
        """
        self.twin = twin
        self.port = ""
        """Path of the port; empty while it is unplugged."""
        self._link = link
        self._on_port = on_port
        self._master = self._slave = -1
        self._clients: _ClientWatch | None = None
        self._speed = 0
        self._origin = time.monotonic() - twin.time
        self._last_traffic = float("-inf")
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._stopping = False
        self._open()
        self._wake, self._waker = socket.socketpair()

    def serve(self) -> None:
        """Serve until `stop`, then close the port. Raises nothing that a client could cause."""
        try:
            self._tell_port()
            while not self._stopping:
                self._turn()
        finally:
            self._shut()
            self._wake.close()
            self._waker.close()

    def stop(self) -> None:
        """End `serve`, from any thread or signal handler. Stopping twice is harmless."""
        self._stopping = True
        with contextlib.suppress(OSError):
            self._waker.send(b"\0")

    def inject(self, fault: str) -> None:
        """Let a fault happen now, from any thread. Raises FaultSpecError."""
        with self._lock:
            self.twin.inject(fault)
        with contextlib.suppress(OSError):
            self._waker.send(b"\0")

    def __enter__(self) -> TwinServer:
        """Serve in a thread of its own."""
        self._thread = threading.Thread(target=self.serve, name="twin", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and wait for the end."""
        self.stop()
        if self._thread is not None:
            self._thread.join()

    # -- one turn of the loop ----------------------------------------------------------------------

    def _turn(self) -> None:
        with self._lock:
            wait = self._catch_up()
        client_watch = self._clients.fd if self._clients else -1
        listening = [fd for fd in (self._master, client_watch, self._wake.fileno()) if fd >= 0]
        readable, _, _ = select.select(listening, [], [], wait)
        if self._wake.fileno() in readable:
            self._wake.recv(64)
        if self._clients and client_watch in readable and self._clients.left():
            self._forget_client()
        if self._master in readable:
            with self._lock:
                self._receive()

    def _catch_up(self) -> float:
        """Bring the twin up to the clock and send what is due; how long there is nothing to do after that, in s."""
        twin, now = self.twin, self._now()
        twin.advance(now)
        if not twin.plugged:
            self._shut()
        elif self._master < 0:
            self._open()
            self._tell_port()
        else:
            self._send(twin.take())
        busy = now - self._last_traffic < BUSY_TIME
        wake = min(now + (BUSY_STEP if busy else IDLE_STEP), twin.due() - SPIN)
        return max(0.0, wake - self._now())

    def _now(self) -> float:
        """Twin time by the clock. It never runs more than MAX_LAG ahead of the physics."""
        now = time.monotonic() - self._origin
        if now - self.twin.time > MAX_LAG:
            self._origin += now - self.twin.time - MAX_LAG
            now = self.twin.time + MAX_LAG
        return now

    def _receive(self) -> None:
        try:
            data = os.read(self._master, 4096)
        except OSError:  # no client has the port open
            return
        speed = _speed(self._slave)
        if speed not in (0, self._speed):
            self._speed = self.twin.line.baudrate = speed
        now = self._now()
        self._last_traffic = now
        self.twin.transmit(data, now)
        self._send(self.twin.take(now))

    def _send(self, data: bytes) -> None:
        if data:
            # A client that does not read loses bytes, as with a real port; it cannot stop the arm.
            with contextlib.suppress(OSError):
                os.write(self._master, data)

    # -- the port ----------------------------------------------------------------------------------

    def _open(self) -> None:
        self._master, self._slave = pty.openpty()
        os.set_blocking(self._master, False)
        tty.setraw(self._slave)
        self._speed = self.twin.line.baudrate
        _set_speed(self._slave, self._speed)
        _mark(self._slave, self._link)
        self.port = os.ttyname(self._slave)
        self._clients = _ClientWatch.of(self.port)
        if self._link is not None:
            try:
                _point(self._link, self.port)
            except OSError:
                self._shut()
                raise

    def _tell_port(self) -> None:
        if self._on_port is not None:
            self._on_port(self.port)

    def _shut(self) -> None:
        """Close the port: clients that have it open get an error or an end of file."""
        if self._master < 0:
            return
        if self._link is not None and self._link.is_symlink() and str(self._link.readlink()) == self.port:
            self._link.unlink()
        if self._clients is not None:
            self._clients.close()
            self._clients = None
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1
        self.port = ""

    def _forget_client(self) -> None:
        """The last client is gone. What it left unread and its exclusive use would otherwise meet the next one."""
        termios.tcflush(self._slave, termios.TCIOFLUSH)
        fcntl.ioctl(self._slave, termios.TIOCNXCL)


class _ClientWatch:
    """Notices when the last client closes the port (Linux; elsewhere nothing is noticed)."""

    _OPEN, _CLOSE = 0x20, 0x18  # inotify events: opened; closed after writing or without
    _EVENT = struct.Struct("iIII")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._open = 0

    @classmethod
    def of(cls, path: str) -> _ClientWatch | None:
        libc = ctypes.CDLL(None, use_errno=True)
        if not sys.platform.startswith("linux") or not hasattr(libc, "inotify_init1"):
            return None
        fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if fd < 0 or libc.inotify_add_watch(fd, path.encode(), cls._OPEN | cls._CLOSE) < 0:
            return None
        return cls(fd)

    def left(self) -> bool:
        """Whether the last client has left by the events that are waiting. Equal ones in a row are told once: two who
        open the port in the same moment count as one.
        """
        data = os.read(self.fd, 4096)
        at, closed = 0, False
        while at < len(data):
            _, mask, _, name = self._EVENT.unpack_from(data, at)
            at += self._EVENT.size + name
            if mask & self._OPEN:
                self._open += 1
            elif mask & self._CLOSE:
                self._open -= 1
                closed = True
        return closed and self._open <= 0

    def close(self) -> None:
        os.close(self.fd)


# Linux's own interface to any speed; the portable one knows only a list of them.
_TCGETS2, _TCSETS2, _BOTHER, _CBAUD = 0x802C542A, 0x402C542B, 0o010000, 0o010017
_TERMIOS2 = struct.Struct("4I20s2I")


def _speed(fd: int) -> int:
    """The speed that the client has set, bit/s; 0: not known."""
    if sys.platform.startswith("linux"):
        data = bytearray(_TERMIOS2.size)
        fcntl.ioctl(fd, _TCGETS2, data)
        return int(_TERMIOS2.unpack(data)[6])
    named = termios.tcgetattr(fd)[5]
    return next((int(name[1:]) for name in dir(termios) if name[1:].isdecimal() and getattr(termios, name) == named), 0)


def _set_speed(fd: int, speed: int) -> None:
    if sys.platform.startswith("linux"):
        data = bytearray(_TERMIOS2.size)
        fcntl.ioctl(fd, _TCGETS2, data)
        iflag, oflag, cflag, lflag, rest, _, _ = _TERMIOS2.unpack(data)
        cflag = cflag & ~_CBAUD | _BOTHER
        fcntl.ioctl(fd, _TCSETS2, _TERMIOS2.pack(iflag, oflag, cflag, lflag, rest, speed, speed))


# A lock of the open file (Linux): no client's closing ends it, it ends with the twin, and it leaves `flock`, with which
# clients claim a port, alone. It stands at a place that the link's name gives: so a link that a killed twin left behind
# can be told from one in use, even after the kernel has given the port's name to somebody else, another twin included.
_LOCK = struct.Struct("hhqqi0q")
_LOCKS = Path("/proc/locks")


def _place(link: Path | None) -> int:
    """Where the lock of a twin with this link stands."""
    if link is None:
        return 0
    name = bytes(link.parent.resolve() / link.name)
    return 1 + int.from_bytes(hashlib.sha256(name).digest()[:6], "big")


def _mark(fd: int, link: Path | None) -> None:
    """Mark the port as one that a twin serves by this link."""
    if sys.platform.startswith("linux"):
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _LOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, _place(link), 1, 0))


def _is_served(link: Path) -> bool:
    """Whether a twin serves the port of this link, by the list of all locks: opening it would look like a client's
    coming and going to whoever serves it. So it is taken to be where Linux does not show that list; elsewhere not.
    """
    try:
        stat = link.stat()
    except OSError:
        return False
    try:
        locks = _LOCKS.read_text(encoding="ascii")
    except OSError:
        return sys.platform.startswith("linux")
    port = f"{os.major(stat.st_dev):02x}:{os.minor(stat.st_dev):02x}:{stat.st_ino}"
    here = [port, str(_place(link))]
    return any(" OFDLCK " in line and line.split()[-3:-1] == here for line in locks.splitlines())


def _point(link: Path, port: str) -> None:
    """Make `link` a symbolic link to the port, replacing an older link but nothing else, and none that is in use."""
    if link.exists() and not link.is_symlink():
        raise FileExistsError(f"{link} exists and is no symbolic link; choose another name for the port")
    # The kernel gives names again: a link that was left behind may already point to the new port.
    if link.is_symlink() and str(link.readlink()) != port and _is_served(link):
        raise FileExistsError(
            f"{link} is the link of another twin, which serves {link.readlink()}; stop it or choose another name"
        )
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.symlink_to(port)
    fresh.replace(link)
