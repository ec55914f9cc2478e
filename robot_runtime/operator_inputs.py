"""What people and the computer ask of a flight: signals, the space bar, an emergency stop, a parent that is gone.

Nothing is done here but noticing. Handlers count, files are looked at every few cycles, and the loop is told by bits of
`Request`: so a request ends a flight in order, in the middle of no transaction, and replays from a recording.
"""

from __future__ import annotations

import atexit
import math
import os
import select
import signal
import sys
import termios
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from robot_runtime.estop import Estop, EstopError
from robot_runtime.flying import Inputs, Request
from robot_runtime.undisturbed import Patient, is_undisturbed

__all__ = ["EstopError", "Operator"]

LOOK_EVERY = 0.010
"""s between two looks at keys, parent and watchers: the bound within which they are noticed, besides the cycle.
Signals and the emergency stop are noticed every cycle."""

SECOND_REQUEST = 0.8
"""s of quiet between two requests to stop, from which the later one means: let go. A key that is held repeats itself
after 0.25 to 0.66 s and faster then (Linux console, X11), and must not drop the arm."""

PRESS_GAP = 0.15
"""s: arrivals further apart are presses of their own; a held key repeats itself every 0.03 to 0.1 s."""

PRESSES = 3
"""Presses of Ctrl-C, however quick, from which it means: let go. A held key makes two: itself, and its first repeat."""

_PATIENCE = 5
"""Signals that the loop may leave unseen before one of them breaks it off: it hangs."""

_SIGNALS = {
    signal.SIGINT: Request.CTRL_C,
    signal.SIGTSTP: Request.CTRL_C,  # Ctrl-Z would freeze the program with the arm in mid-air
    signal.SIGQUIT: Request.CTRL_C,  # Ctrl-\ would end it on the spot
    signal.SIGTERM: Request.SIGTERM,
    signal.SIGHUP: Request.SIGHUP,
}

_ASKS_AGAIN = {Request.CTRL_C: float(PRESSES), Request.SIGTERM: math.inf}
"""Said again, these mean: let go; each by itself, after the quiet or by so many presses. Whoever ends a session sends
SIGHUP and SIGTERM and means one stop, and the space bar means to stand still however often it is hit."""

_IGNORED = (signal.SIGTTIN, signal.SIGTTOU)
"""They would freeze a program in the background that touches its terminal."""

Watcher = Callable[[], int]
"""Asked at every look; answers bits of Request."""


class Operator(Patient):
    """Notices requests between `with` and its end; then handlers and terminal are as they were.

    Enter it when somebody looks at `sample`, and not before: Ctrl-C does nothing else any more. A request stays.
    `estop` is the number of an open file descriptor, or a path; what presses it, `Estop` says.
    """

    def __init__(
        self,
        *,
        keys: bool = True,
        estop: int | str | Path | None = None,
        watchers: Sequence[Watcher] = (),
        parent: bool = True,
        typed: int | None = None,
    ) -> None:
        """`keys`: the space bar stops. `parent`: the end of the program that started this one stops.

        `typed`: a descriptor that somebody else reads; if it is a terminal, what is typed is theirs, and no key stops.
        """
        self._keys = keys and not (typed is not None and os.isatty(typed))
        self._estop_name, self._watchers = estop, tuple(watchers)
        self._parent = os.getppid() if parent else None
        self._bits = 0  # a plain number: flags cost a microsecond an operation
        self._arrived = dict.fromkeys(_SIGNALS, 0)  # counted by the handler
        self._seen = dict.fromkeys(_SIGNALS, 0)  # told to the loop
        self._unseen = 0
        self._asked = {request: _Asked(presses) for request, presses in _ASKS_AGAIN.items()}
        self._next_look = -math.inf
        self._poll = select.poll()
        self._terminal: int | None = None
        self._estop: Estop | None = None
        self._is_over = False
        self._undo: list[Callable[[], object]] = []

    def __enter__(self) -> Self:
        """Take signals, keys and emergency stop.

        Raises:
            EstopError: it cannot be used.
        """
        try:
            self._take_estop()
            for number in _SIGNALS:
                self._handle(number, self._on_signal)
            for number in _IGNORED:
                self._handle(number, signal.SIG_IGN)
            if self._keys:
                self._take_terminal()
        except BaseException:
            self.close()
            raise
        atexit.register(self.close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Handlers and terminal back."""
        self.close()

    def close(self) -> None:
        """Handlers and terminal back. Closing twice is harmless."""
        while self._undo:
            self._undo.pop()()
        atexit.unregister(self.close)

    def let_finish(self) -> None:
        """The flight is over: what is still to be told ends by itself, and no signal breaks it off any more."""
        self._is_over = True

    @property
    def listens_to_keys(self) -> bool:
        """Whether the space bar is heard: there is a terminal, and this program is in front of it."""
        return self._terminal is not None

    def sample(self, inputs: Inputs, now: float) -> None:
        """Add what was requested to `inputs.request`; `now` is the port's clock (s)."""
        if self._unseen:
            self._take_signals(now)
        if self._estop is not None and self._estop.pressed():
            self._bits |= int(Request.ESTOP)
            self._estop = None  # it has said what it can say
        if now >= self._next_look:
            self._next_look = now + LOOK_EVERY
            self._look()
        inputs.request |= self._bits

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._arrived[signal.Signals(number)] += 1
        self._unseen += 1
        if is_undisturbed() or self._is_over:
            self._unseen = 1
        elif self._unseen > _PATIENCE:
            self._unseen = 1  # whoever cleans up then is not broken off by the next one
            raise KeyboardInterrupt

    def _take_signals(self, now: float) -> None:
        self._unseen = 0
        for number, request in _SIGNALS.items():
            if self._arrived[number] != self._seen[number]:
                self._seen[number] = self._arrived[number]
                self._request(request, now)

    def _request(self, request: Request, now: float) -> None:
        asked = self._asked.get(request)
        if asked is not None and asked.again(now):
            self._bits |= int(Request.LET_GO)
        self._bits |= int(request)

    def _look(self) -> None:
        for fd, _ in self._poll.poll(0):
            self._take_keys(fd)
        if self._parent is not None and os.getppid() != self._parent:
            self._bits |= int(Request.PARENT_GONE)
        for watcher in self._watchers:
            self._bits |= int(watcher())

    def _take_keys(self, fd: int) -> None:
        try:
            typed = os.read(fd, 64)
        except OSError:
            typed = b""
        if not typed:  # the terminal has gone, or this program is in the background now
            self._poll.unregister(fd)
        elif b" " in typed:
            self._bits |= int(Request.SPACE)

    def _handle(self, number: signal.Signals, handler: Any) -> None:
        before = signal.signal(number, handler)
        self._undo.append(lambda: signal.signal(number, signal.SIG_DFL if before is None else before))

    def _take_terminal(self) -> None:
        """Keys one by one, unseen, without waiting; Ctrl-C still makes a signal. Only from the foreground."""
        fd = _open_terminal(self._undo)
        if fd is None or not _in_front(fd):
            return
        before = termios.tcgetattr(fd)
        self._undo.append(lambda: _restore(fd, before))
        changed = termios.tcgetattr(fd)
        changed[3] &= ~(termios.ICANON | termios.ECHO)
        changed[6][termios.VMIN] = changed[6][termios.VTIME] = 0
        termios.tcsetattr(fd, termios.TCSANOW, changed)
        self._poll.register(fd, select.POLLIN)
        self._terminal = fd

    def _take_estop(self) -> None:
        if self._estop_name is not None:
            self._estop = estop = Estop(self._estop_name)
            self._undo.append(estop.close)


class _Asked:
    """How often one kind of stop was asked for, and when."""

    def __init__(self, enough: float) -> None:
        self._enough = enough
        self._last = -math.inf
        self._presses = 0

    def again(self, now: float) -> bool:
        """It is asked for now; whether that means: let go."""
        quiet = now - self._last
        self._last = now
        self._presses += quiet > PRESS_GAP
        return (self._presses > 1 and quiet >= SECOND_REQUEST) or self._presses >= self._enough


def _open_terminal(undo: list[Callable[[], object]]) -> int | None:
    """Standard input, or the terminal behind it when that carries something else."""
    if sys.stdin is not None and sys.stdin.isatty():
        return sys.stdin.fileno()
    try:
        fd = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return None
    undo.append(lambda: os.close(fd))
    return fd


def _in_front(fd: int) -> bool:
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False


def _restore(fd: int, attributes: list[Any]) -> None:
    try:
        termios.tcsetattr(fd, termios.TCSANOW, attributes)
    except termios.error:
        return  # the terminal is gone, and its settings with it
