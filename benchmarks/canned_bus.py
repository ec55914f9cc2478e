"""A bus that answers reads with canned bytes from behind a pseudo-terminal: as little work as Python allows.

With a baud rate it keeps wire time: bytes of requests, replies and writes take turns on one half-duplex line. What the
pseudo-terminal itself takes comes on top of that, so `head_start` lets replies leave earlier by as much.
"""

from __future__ import annotations

import contextlib
import gc
import os
import time
import tty
from collections.abc import Callable
from functools import lru_cache
from multiprocessing import Event, Process
from multiprocessing.synchronize import Event as EventType

from robot_runtime.bus.packets import BROADCAST, HEADER, STATUS, Instruction, crc16, stuff

_BITS = 10

_STARTS_WITHIN = 60.0
"""s that the responder may take: it may have a whole arm to load."""

Answer = Callable[[bytes], bytes]
"""Request -> reply."""


def _status(servo_id: int, parameters: bytes) -> bytes:
    body = stuff(bytes((STATUS, 0)) + parameters)
    head = HEADER + bytes((servo_id,)) + (len(body) + 2).to_bytes(2, "little") + body
    return head + crc16(head).to_bytes(2, "little")


def _fast_status(ids: bytes, data: bytes) -> bytes:
    head = HEADER + bytes((BROADCAST,)) + (1 + len(ids) * (len(data) + 4)).to_bytes(2, "little") + bytes((STATUS,))
    for servo_id in ids:
        head += bytes((0, servo_id)) + data
        head += crc16(head).to_bytes(2, "little")
    return head


@lru_cache(1000)
def _reply(request: bytes) -> bytes:
    """What servos would answer: registers hold the low byte of their address."""
    kind, parameters = request[7], request[8:-2]
    if kind in (Instruction.SYNC_READ, Instruction.FAST_SYNC_READ):
        address, length = int.from_bytes(parameters[:2], "little"), int.from_bytes(parameters[2:4], "little")
        data, ids = bytes((address + i) % 251 for i in range(length)), parameters[4:]
        if kind == Instruction.FAST_SYNC_READ:
            return _fast_status(ids, data)
        return b"".join(_status(servo_id, data) for servo_id in ids)
    if kind == Instruction.PING and request[4] != BROADCAST:
        return _status(request[4], bytes((0xB0, 0x04, 52)))  # XL330-M288
    if kind in (Instruction.READ, Instruction.WRITE) and request[4] != BROADCAST:
        return _status(request[4], bytes(int.from_bytes(parameters[2:4], "little") if kind == Instruction.READ else 0))
    return b""


def _canned() -> Answer:
    return _reply


def _serve(
    master: int,
    baudrate: int | None,
    head_start: float,
    ready: EventType,
    stop: EventType,
    make_answer: Callable[[], Answer],
    blocks: bool,
) -> None:
    answer = make_answer()
    ready.set()
    gc.disable()
    os.set_blocking(master, blocks)
    pending = b""
    line_free = 0.0
    byte_time = _BITS / baudrate if baudrate else 0.0
    while not stop.is_set():
        try:
            pending += os.read(master, 4096)
        except BlockingIOError:
            continue
        except OSError:
            return
        while len(pending) >= 7 and len(pending) >= (size := 7 + int.from_bytes(pending[5:7], "little")):
            request, pending = pending[:size], pending[size:]
            line_free = max(time.perf_counter(), line_free)
            reply = answer(request)
            line_free += (size + len(reply)) * byte_time
            if reply:
                while baudrate and time.perf_counter() < line_free - head_start:
                    pass
                os.write(master, reply)


class CannedBus:
    """Runs the responder in a process of its own; `port` is where to connect."""

    def __init__(
        self,
        baudrate: int | None = None,
        head_start: float = 0.0,
        make_answer: Callable[[], Answer] = _canned,
        priority: int = 0,
    ) -> None:
        """`make_answer` is called in the process; `priority`: of SCHED_FIFO, where the system allows it;
        it then sleeps between requests, because the system stops those who never do.
        """
        self._master, self._slave = os.openpty()
        tty.setraw(self._master)
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._stop, ready = Event(), Event()
        blocks = baudrate is None or priority > 0
        arguments = (self._master, baudrate, head_start, ready, self._stop, make_answer, blocks)
        self._process = Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        if priority:
            with contextlib.suppress(OSError):
                os.sched_setscheduler(self._process.pid or 0, os.SCHED_FIFO, os.sched_param(priority))
        if not ready.wait(_STARTS_WITHIN):
            raise RuntimeError(f"the responder did not start within {_STARTS_WITHIN:g} s")

    def __enter__(self) -> CannedBus:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._process.terminate()
        self._process.join()
        os.close(self._master)
        os.close(self._slave)
