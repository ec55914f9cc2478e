"""Ctrl-C and SIGTERM in a long computation: what runs is finished and saved; asked again, it ends at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def asked_to_stop(also: Callable[[], object] = lambda: None) -> Iterator[list[int]]:
    """A list that is no longer empty once Ctrl-C or SIGTERM came; then `also` is called. The second interrupts."""
    asked: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:
        if asked:
            signal.default_int_handler(number, frame)
        asked.append(number)
        also()

    for number in before:
        signal.signal(number, note)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
