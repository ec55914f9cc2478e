"""An emergency stop: a descriptor or a path, looked at every cycle. What cannot be told for sure counts as pressed."""

from __future__ import annotations

import errno
import os
import select
import stat
from pathlib import Path

_RELEASED = b"1"
"""What the value file of an emergency stop says while the arm may move; a broken wire reads 0."""


class EstopError(OSError):
    """The emergency stop that was named cannot be used; the arm does not start without it.

    Example scenarios:
        - No such file, or no open file descriptor of that number.
        - Its value file does not say 1: it is pressed, or its wire is broken.
        - A named pipe that nobody has open for writing: who should press it does not run.
    """


class Estop:
    """A pipe, socket, terminal or device is pressed by any byte, its end, or a hangup; a value file, as of a GPIO line,
    by saying anything but 1. What has a path is pressed as well when that leads to another file or to none: whoever
    writes there then is not heard in the one that is open.
    """

    def __init__(self, name: int | str | Path) -> None:
        """`name`: the number of an open file descriptor, or a path.

        Raises:
            EstopError: it cannot be used, or is pressed.
        """
        self._path = None if isinstance(name, int) else os.path.abspath(name)  # noqa: PTH100 (links stay links)
        try:
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
            self._fd = name if isinstance(name, int) else os.open(name, flags)
        except OSError as error:
            raise _unusable(name, error.errno, error.strerror) from error
        try:
            self._take(name)
        except BaseException:
            self.close()
            raise

    def pressed(self) -> bool:
        """Whether it is. Microseconds, so every cycle."""
        if self._poll is not None:
            return bool(self._poll.poll(0)) or self._is_another()
        return not _released(self._fd) or self._is_another()

    def close(self) -> None:
        """Close what was opened here."""
        if self._path is not None:
            os.close(self._fd)

    def _take(self, name: int | str | Path) -> None:
        try:
            found = os.fstat(self._fd)
        except OSError as error:
            raise _unusable(name, error.errno, error.strerror) from error
        kind = found.st_mode
        self._file = found.st_dev, found.st_ino
        self._poll: select.poll | None = None
        if stat.S_ISREG(kind):
            if not _released(self._fd):
                what = "the emergency stop is pressed, or its wire is broken: its file does not say 1"
                raise EstopError(0, what, str(name))
            return
        if not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) or stat.S_ISCHR(kind)):
            what = "it is a folder" if stat.S_ISDIR(kind) else "it is no pipe, no device, and no file with a value"
            raise _unusable(name, errno.EISDIR if stat.S_ISDIR(kind) else errno.EINVAL, what)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN | select.POLLPRI)
        if self._path is not None and stat.S_ISFIFO(kind) and not self._poll.poll(0) and _has_no_writer(self._fd):
            what = "nobody has this pipe open for writing; start the program that would press it first"
            raise _unusable(name, errno.EPIPE, what)

    def _is_another(self) -> bool:
        """Whether its path leads elsewhere than to what is open."""
        if self._path is None:
            return False
        try:
            found = os.stat(self._path)  # noqa: PTH116 (a third of the time)
        except OSError:
            return True
        return (found.st_dev, found.st_ino) != self._file


def _unusable(name: int | str | Path, number: int | None, what: str | None) -> EstopError:
    return EstopError(number or errno.EINVAL, f"the emergency stop cannot be used: {what}", str(name))


def _released(fd: int) -> bool:
    try:
        return os.pread(fd, 8, 0).strip() == _RELEASED
    except OSError:
        return False


def _has_no_writer(fd: int) -> bool:
    """Of an empty pipe that does not block. Until the first one came, poll says nothing of it."""
    try:
        return not os.read(fd, 1)
    except BlockingIOError:
        return False
