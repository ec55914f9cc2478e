"""Signals wait while torque is switched, whichever thread the kernel gives them to; nothing here depends on time."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from robot_runtime.flying import Inputs
from robot_runtime.operator_inputs import Operator
from robot_runtime.undisturbed import is_undisturbed, undisturbed
from sim.twin import LockstepPort
from tests.robot_runtime.flights import Script, fly_twin

TORQUE_ENABLE = b"\x40\x00"


class Elsewhere:
    """A thread, such as libraries have, that takes the signals of this process."""

    def __init__(self) -> None:
        self._asked: queue.Queue[int] = queue.Queue()
        self._taken: queue.Queue[int] = queue.Queue()
        self.thread = threading.Thread(target=self._take, daemon=True)
        self.thread.start()

    def _take(self) -> None:
        while number := self._asked.get():
            signal.raise_signal(number)  # the handler of C runs here, Python's in the main thread
            self._taken.put(number)

    def signal(self, number: int) -> None:
        self._asked.put(number)
        self._taken.get()

    def end(self) -> None:
        self._asked.put(0)
        self.thread.join()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    found = Elsewhere()
    yield found
    found.end()


def test_what_another_thread_took_is_handled_afterwards(elsewhere: Elsewhere) -> None:
    before = signal.getsignal(signal.SIGINT)
    done: list[bool] = []

    @undisturbed()
    @undisturbed()
    def hammered() -> None:
        for _ in range(3):
            elsewhere.signal(signal.SIGINT)
        done.append(is_undisturbed())

    with pytest.raises(KeyboardInterrupt):
        hammered()
    assert done == [True]
    assert not is_undisturbed()
    assert signal.getsignal(signal.SIGINT) is before


def test_each_handler_is_back_and_hears_of_its_own_signal(elsewhere: Elsewhere) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with undisturbed():
            elsewhere.signal(signal.SIGTERM)
            elsewhere.signal(signal.SIGTERM)
            assert heard == []
        assert heard == [signal.SIGTERM]
        elsewhere.signal(signal.SIGTERM)
        assert heard == [signal.SIGTERM] * 2
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_handler_that_was_told_to_ignore_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with undisturbed():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_wait_for_nothing() -> None:
    """Python runs no handler in them."""
    seen: list[bool] = []

    def look() -> None:
        with undisturbed():
            seen.append(is_undisturbed())

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [False]


class Hammered:
    """The twin's port, and somebody who holds Ctrl-C from when torque is switched on, or off."""

    def __init__(self, port: LockstepPort, elsewhere: Elsewhere, switch: int) -> None:
        self._port, self._elsewhere, self._switch = port, elsewhere, switch
        self.left = 0

    def write(self, data: bytes) -> None:
        if bytes(data)[8:10] == TORQUE_ENABLE and data[13] == self._switch and not self.left:
            self.left = 40
        self._hammer()
        self._port.write(data)

    def read_into(self, buffer: memoryview, deadline: float) -> int:
        self._hammer()
        return self._port.read_into(buffer, deadline)

    def _hammer(self) -> None:
        if self.left > 1:
            self.left -= 1
            self._elsewhere.signal(signal.SIGINT)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


@pytest.mark.parametrize("switch", [1, 0])
def test_a_held_key_breaks_neither_torque_on_nor_torque_off(tmp_path: Path, elsewhere: Elsewhere, switch: int) -> None:
    class Asked(Script):
        def sample(self, inputs: Inputs, now: float) -> None:
            operator.sample(inputs, now)

    with Operator(keys=False, parent=False) as operator:
        flown = fly_twin(
            tmp_path,
            "xl330-pendulum",
            inputs=Asked(),
            duration=0.2,
            port=lambda port: Hammered(port, elsewhere, switch),
        )
    assert not any(flown.twin.drives.torque_on)
    assert "lowered to rest, torque off" in flown.verdict.outcome
    kinds = [fault.kind.name for fault in flown.verdict.faults]
    assert kinds == (["operator-stop"] if switch else [])


def test_without_an_operator_too(tmp_path: Path, elsewhere: Elsewhere) -> None:
    twins: list[LockstepPort] = []

    def port(of: LockstepPort) -> Hammered:
        twins.append(of)
        return Hammered(of, elsewhere, 0)

    with pytest.raises(KeyboardInterrupt):
        fly_twin(tmp_path, "xl330-pendulum", duration=0.2, port=port)
    drives: Any = twins[0].twin.drives
    assert not any(drives.torque_on)
