"""The USB adapter between the bus and the host: bytes that came in leave in portions, and late.

Modelled after FTDI's chips: received bytes wait in the chip until 62 of them are together or the latency timer, which
starts with the first byte, has run out; then the next USB frame takes them along. Assumption: the real timer restarts
in ways that are not documented.
"""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass

PORTION = 62
"""Bytes of payload in one full-speed USB packet of an FTDI chip (64 less two status bytes)."""


@dataclass(frozen=True, slots=True)
class AdapterTiming:
    """How the adapter delays what it receives. All zero: a UART on the board, bytes are there when their packet is."""

    latency_timer: float = 0.0  # s
    frame: float = 0.0  # s, distance of USB frames
    extra_delay: float = 0.0  # s, on every portion
    jitter: float = 0.0  # s, every portion is late by a random share of this


@dataclass(slots=True)
class _Burst:
    """Bytes on the wire, one behind the other."""

    start: float
    byte_time: float
    data: bytearray

    def arrival(self, index: int) -> float:
        return self.start + (index + 1) * self.byte_time

    def arrived(self, time: float) -> int:
        if self.byte_time == 0.0:
            return len(self.data) if self.start <= time else 0
        # A hundredth of a byte makes up for rounding.
        return min(len(self.data), max(0, math.floor((time - self.start) / self.byte_time + 0.01)))


class Adapter:
    """Takes what servos send; hands it to the host when its time has come."""

    def __init__(self, timing: AdapterTiming, seed: int = 0) -> None:
        """Start with nothing received."""
        self.timing = timing
        self._random = random.Random(f"{seed}/adapter")
        self._waiting: deque[_Burst] = deque()  # on the wire or in the chip
        self._delivered: deque[tuple[float, bytes]] = deque()  # on the way to the host, or there
        self._last_delivery = 0.0
        self._flush_at = math.inf

    def receive(self, start: float, byte_time: float, data: bytes) -> None:
        """Bytes come over the wire, the first one beginning at `start`."""
        self._waiting.append(_Burst(start, byte_time, bytearray(data)))
        if len(self._waiting) > 1 and start < self._waiting[-2].start:  # overtook a reply that is late
            self._waiting = deque(sorted(self._waiting, key=lambda burst: burst.start))
        self._flush_at = self._next_flush()

    def due(self) -> float:
        """When there will be something to do or to fetch, in s; inf: never, as things stand."""
        return min(self._flush_at, self._delivered[0][0] if self._delivered else math.inf)

    def take(self, now: float) -> bytes:
        """What the host can read by now."""
        while self._flush_at <= now:
            self._flush()
        delivered = self._delivered
        if not delivered or delivered[0][0] > now:
            return b""
        portions = []
        while delivered and delivered[0][0] <= now:
            portions.append(delivered.popleft()[1])
        return b"".join(portions)

    def spoil(self, since: float) -> None:
        """Another sender spoke over the wire since then: what was still to come is garbled."""
        for burst in self._waiting:
            for index in range(burst.arrived(since), len(burst.data)):
                burst.data[index] &= self._random.randrange(256)
        self._flush_at = self._next_flush()

    def clear(self) -> None:
        """Forget everything, as when the adapter loses its supply."""
        self._waiting.clear()
        self._delivered.clear()
        self._flush_at = math.inf

    def _next_flush(self) -> float:
        if not self._waiting:
            return math.inf
        first = self._waiting[0]
        if self.timing.latency_timer == 0.0:
            return first.arrival(len(first.data) - 1)
        timeout = first.arrival(0) + self.timing.latency_timer
        count = 0
        for burst in self._waiting:
            if count + len(burst.data) >= PORTION:
                return min(timeout, burst.arrival(PORTION - count - 1))
            count += len(burst.data)
        return timeout

    def _flush(self) -> None:
        time = self._flush_at
        portion = bytearray()
        while self._waiting and len(portion) < PORTION:
            burst = self._waiting[0]
            whole = self.timing.latency_timer == 0.0
            count = burst.arrived(time) if whole else min(burst.arrived(time), PORTION - len(portion))
            if count == len(burst.data):
                portion += burst.data
                self._waiting.popleft()
                continue
            if not whole:
                portion += burst.data[:count]
                burst.start += count * burst.byte_time
                del burst.data[:count]
            break
        self._flush_at = self._next_flush()
        if not portion:  # by rounding, the byte that was due is not there yet
            self._flush_at = max(self._flush_at, math.nextafter(time, math.inf))
        else:
            self._last_delivery = max(self._last_delivery, self._delivery_time(time))
            self._delivered.append((self._last_delivery, bytes(portion)))

    def _delivery_time(self, time: float) -> float:
        timing = self.timing
        if timing.frame > 0.0:
            time = math.ceil(time / timing.frame - 1e-6) * timing.frame
        if timing.jitter > 0.0:
            time += self._random.uniform(0.0, timing.jitter)
        return time + timing.extra_delay
