"""The wire: it carries instructions to the servos and their replies back, one at a time, at a speed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from sim.twin.adapter import Adapter
from sim.twin.packets import InstructionParser, Packet
from sim.twin.plant import Sampler
from sim.twin.routing import Piece, Router
from sim.twin.servo import BOOT_TIME, Servo
from sim.twin.timeline import Timeline

BITS_PER_BYTE = 10
"""Start bit, eight data bits, stop bit."""

BAUD_TOLERANCE = 0.03
"""Manual: a baud rate error below 3 % does no harm."""

SILENCE = 0.02
"""s of silence inside a packet after which a servo gives it up. Assumption."""

_OVERHEAD = 10  # bytes of an instruction packet around its parameters
_ROUNDING = 1e-9  # s


class Disturbance(Protocol):
    """What may happen to packets on their way."""

    def instruction(self, packet: Packet) -> Packet | None:
        """The packet as the servos hear it; None: they do not."""
        ...

    def replies(self, pieces: list[Piece]) -> list[Piece]:
        """The pieces as the host hears them."""
        ...


class Line:
    """Servos on one half-duplex bus, and the adapter that ties them to the host."""

    def __init__(
        self,
        servos: Sequence[Servo],
        sampler: Sampler,
        adapter: Adapter,
        timeline: Timeline,
        *,
        baudrate: int,
        wire_time: bool = True,
        seed: int = 0,
    ) -> None:
        """Connect the servos. `wire_time=False`: bytes and return delays take no time, and replies come at once."""
        self.adapter = adapter
        self.wire_time = wire_time
        self.disturbance: Disturbance | None = None
        self.watchdog_due = 0.0
        """s, before which no Bus Watchdog can trip."""
        self._servos = list(servos)
        self._sampler = sampler
        self._timeline = timeline
        self._router = Router(seed)
        self._parser = InstructionParser()
        self._stale = True  # who hears has to be found out anew
        self._host_until = 0.0  # s, end of what the host sends
        self._reply_from = self._reply_until = 0.0  # s, the last replies on the wire
        self._baudrate = baudrate
        self._byte_time = 0.0
        for servo in self._servos:
            servo.on_change = self._changed
        self.baudrate = baudrate

    # -- the host's side ---------------------------------------------------------------------------

    @property
    def baudrate(self) -> int:
        """Speed of the host's side, bit/s."""
        return self._baudrate

    @baudrate.setter
    def baudrate(self, baudrate: int) -> None:
        self._baudrate = baudrate
        self._byte_time = BITS_PER_BYTE / baudrate if self.wire_time else 0.0
        self._parser.reset()
        self._stale = True

    def transmit(self, data: bytes, now: float) -> None:
        """The host sends these bytes."""
        if now - self._host_until > SILENCE:
            self._parser.reset()
        start = max(now, self._host_until)
        if start < self._reply_until - _ROUNDING:
            self.adapter.spoil(start)
        self._host_until = start + len(data) * self._byte_time
        for packet in self._parser.feed(data):
            if self.wire_time:
                self._timeline.put(start + packet.end * self._byte_time, self._arrive, packet)
            else:
                self._execute(packet, now)

    # -- time --------------------------------------------------------------------------------------

    def check_watchdogs(self, now: float) -> None:
        """Let every Bus Watchdog trip whose time is over."""
        due = math.inf
        for servo in self._servos:
            deadline = servo.heard_at + servo.watchdog_period
            if deadline <= now:
                servo.trip_watchdog()
            elif deadline < due:
                due = deadline
        self.watchdog_due = due

    def reboot(self, servo: Servo, now: float) -> None:
        """Start a servo anew; it is deaf and mute until it has booted."""
        servo.boot()
        servo.booting_until = now + BOOT_TIME
        self._changed()
        self._timeline.put(servo.booting_until, self._changed)

    def _changed(self) -> None:
        self._stale = True
        self.watchdog_due = 0.0

    # -- packets -----------------------------------------------------------------------------------

    def _arrive(self, packet: Packet) -> None:
        now = self._timeline.now
        began = now - (len(packet.params) + _OVERHEAD) * self._byte_time
        if began < self._reply_until - _ROUNDING and now > self._reply_from + _ROUNDING:
            return  # a reply was on the wire at the same time: nobody understood either
        self._execute(packet, now)

    def _execute(self, packet: Packet, now: float) -> None:
        """A packet has gone over the wire to its end: let the servos act on it, and put their replies on the wire."""
        if self._stale:
            self._find_hearing(now)
        if self.disturbance is not None:
            heard = self.disturbance.instruction(packet)
            if heard is None:
                return
            packet = heard
        if packet.intact:
            for servo in self._router.hearing:
                servo.heard_at = now
        self._sampler.forget()
        pieces = self._router.answer(packet)
        if pieces:
            self._reply(pieces, now)
        for servo in self._router.hearing:
            if servo.reboot_wanted:
                self.reboot(servo, now)

    def _find_hearing(self, now: float) -> None:
        margin = BAUD_TOLERANCE * self._baudrate
        self._router.listen(
            servo
            for servo in self._servos
            if servo.connected
            and servo.booting_until <= now + _ROUNDING
            and abs(servo.baudrate - self._baudrate) < margin
        )
        self._stale = False

    def _reply(self, pieces: list[Piece], now: float) -> None:
        if not self.wire_time:
            pieces = [piece._replace(pause=0.0) for piece in pieces]
        if self.disturbance is not None:
            pieces = self.disturbance.replies(pieces)
        start = end = now
        run = b""  # bytes without a gap between them
        for piece in pieces:
            pause = piece.pause + piece.silence * self._byte_time
            if pause > 0.0:
                self._send(run, start)
                run, start = b"", end + pause
                end = start
            jammed = end < self._host_until - _ROUNDING
            run += self._router.garble([piece.data]) if jammed else piece.data
            end += len(piece.data) * self._byte_time
        self._send(run, start)
        self._reply_from, self._reply_until = now + pieces[0].pause, end

    def _send(self, data: bytes, start: float) -> None:
        if data:
            self.adapter.receive(start, self._byte_time, data)
