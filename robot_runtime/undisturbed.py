"""Moments that no signal breaks into: half a torque-off is worse than a late one.

The kernel's mask does not do: it holds for one thread, any other that there is (libraries for numbers start some) takes
the signal, and Python runs its handler in the main thread all the same. So it is the handlers that wait.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP, signal.SIGQUIT)

_depth = 0


class Patient:
    """Base of those whose handlers raise nothing while `is_undisturbed`: they stay in place, and hear at once."""


def is_undisturbed() -> bool:
    """Whether a handler should only take notice."""
    return _depth > 0


@contextmanager
def undisturbed() -> Iterator[None]:
    """Signals wait until the end, and are handled then, one of each kind. In the main thread, where handlers run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    global _depth  # noqa: PLW0603 (as global as signals are)
    came: list[int] = []

    def later(number: int, _frame: FrameType | None) -> None:
        if number not in came:
            came.append(number)

    _depth += 1
    try:
        with ExitStack() as handlers:  # each goes back, whatever another one of them raises then
            for number in _SIGNALS:
                handler = signal.getsignal(number)
                if handler in (signal.SIG_IGN, None) or isinstance(getattr(handler, "__self__", None), Patient):
                    continue
                handlers.callback(signal.signal, number, handler)
                signal.signal(number, later)
            yield
    finally:
        _depth -= 1
        for late in came:
            signal.raise_signal(late)
