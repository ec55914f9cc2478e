"""The bus: one lock, one transaction at a time; fast group reads and writes, and slow register access by name."""

from __future__ import annotations

import errno
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeVar

from robot_runtime.bus.errors import BusError, CorruptReplyError, NoReplyError, PortVanishedError, VerifyError
from robot_runtime.bus.group_read import GroupRead
from robot_runtime.bus.group_write import GroupWrite
from robot_runtime.bus.port import Port
from robot_runtime.bus.sdk_link import Identity, SdkLink
from robot_runtime.bus.timing import HOST_MARGIN, SLOW_MARGIN, wire_time
from robot_runtime.servos import Register
from robot_runtime.servos.protocol import RETURN_DELAY_MAX

_LATE_REPLIES = 0.1
"""s after an incomplete read in which its replies may still come: a USB adapter holds them up to 16 ms, hubs longer."""

_SETTLE = 0.03
"""s to listen before a slow question is repeated: longer than adapters hold a reply, shorter than a servo watchdog."""

_T = TypeVar("_T")

_SLOW_TRIES = 3
"""Attempts of a slow transaction before its error is raised; one lost packet in a thousand is normal."""

_PLAIN_GROUPS = 256
"""Orders in which servos are asked again that are kept ready (1 MB); a bus that loses packets finds ever new ones."""

_FAST_RETRIES = 2
"""Further attempts of a group read inside its deadline."""


@dataclass(slots=True)
class BusStatistics:
    """What happened on the bus since it was opened."""

    reads: int = 0
    writes: int = 0
    retries: int = 0
    incomplete: int = 0  # group reads that ended with servos missing, retries included
    strays: int = 0  # bytes found where none were expected: late or foreign replies
    lost: dict[int, int] = field(default_factory=dict)  # replies lost, by servo


class Bus:
    """Dynamixel Protocol 2.0 over one port. Safe to use from several threads; every transaction holds the lock.

    Hot path: `read_group` and `write_group`. Everything else goes through dynamixel-sdk and takes its time.
    Methods raise PortVanishedError, besides what they name, when the port goes away.
    """

    def __init__(self, port: Port, return_delay: float = RETURN_DELAY_MAX) -> None:
        """Use this port; `return_delay` (s) is the longest that any servo is set to."""
        self.port = port
        self.return_delay = return_delay
        self.host_margin = HOST_MARGIN
        """s that a reply may come later than computed; preflight raises it where host or adapter are later."""
        self.statistics = BusStatistics()
        self._link = SdkLink(port)
        self._lock = threading.Lock()
        self._suspect_until = port.now() + _LATE_REPLIES
        self._wire_free = port.now()  # when the last write has left, as far as bytes and baud rate tell
        self._orders: dict[tuple[int, ...], tuple[int, ...]] = {}  # of groups that lacked servos: suspects last
        self._plain_groups: dict[tuple[int, int, tuple[int, ...]], GroupRead] = {}

    def __enter__(self) -> Self:
        """The bus itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the port."""
        self.close()

    def close(self) -> None:
        """Close the port. What the servos do then is the caller's to have settled: torque is not touched here."""
        self.port.close()

    @property
    def alerts(self) -> frozenset[int]:
        """Servos whose last slow reply carried the alert bit (Hardware Error Status is not zero)."""
        return frozenset(self._link.alerts)

    # -- hot path ------------------------------------------------------------------------------------------------------

    def expected_time(self, group: GroupRead) -> float:
        """Seconds that reading this group takes when all goes well."""
        replies = 1 if group.fast else len(group.ids)
        wire = wire_time(len(group.request) + group.size, self.port.baudrate)
        return wire + replies * self.return_delay + self.port.adapter_latency

    def read_group(self, group: GroupRead, deadline: float | None = None) -> int:
        """Read a group; return the servos that are missing, one bit each by position in `group.ids` (0: all came).

        What came is in the group, stamped with `received_at`; a missing servo keeps its last data. With a `deadline`
        (monotonic s), missing servos are asked again as long as that fits before it.
        """
        if not self._lock.acquire(blocking=False):
            patience = -1.0 if deadline is None else max(deadline - self.port.now(), 0.0)
            if not self._lock.acquire(timeout=patience):
                self.statistics.incomplete += 1  # somebody else's slow transaction took the whole cycle
                return (1 << len(group.ids)) - 1
        try:
            self.statistics.reads += 1
            missing = self._read_in_order(group, deadline) if self._orders else self._read_once(group, deadline)
            if missing:
                missing = self._retry(group, missing, deadline)
            if missing or self._orders:
                self._remember_order(group, missing)
        except BusError:
            raise
        except OSError as error:
            raise self._vanished(error) from error
        finally:
            self._lock.release()
        return missing

    def read_group_patiently(self, group: GroupRead, patience: float, tries: int) -> int:
        """Read a group up to so many times, `patience` s each; return the servos that never answered, one bit each."""
        missing = (1 << len(group.ids)) - 1
        for _ in range(tries):
            suspect_until = self._suspect_until
            missing &= self.read_group(group, self.port.now() + patience)
            if self._suspect_until != suspect_until:  # it lacked somebody, if only for a moment
                self.settle()
            if not missing:
                break
        return missing

    def settle(self) -> None:
        """Wait for late replies, and forget them: to the next question of the same length they would be an answer."""
        with self._transaction():
            self.port.sleep_until(self.port.now() + _SETTLE)
            self.statistics.strays += self.port.discard_input()

    def try_group(self, group: GroupRead) -> int:
        """Read a group in just the way it was prepared, once: for finding out what servos can do."""
        with self._transaction():
            return self._read_once(group, None)

    def write_group(self, group: GroupWrite, values: list[int]) -> None:
        """Send one value (register ticks) to each servo of the group. Broadcast: nobody confirms it.

        Raises struct.error when a value does not fit its register.
        """
        with self._lock:
            self.statistics.writes += 1
            packet = group.packet(values)
            try:
                self.port.write(packet)
            except BusError:
                raise
            except OSError as error:
                raise self._vanished(error) from error
            start = max(self.port.now(), self._wire_free)
            self._wire_free = start + wire_time(len(packet), self.port.baudrate)

    def _read_once(self, group: GroupRead, deadline: float | None) -> int:
        port = self.port
        start = port.now()
        suspect_until = self._suspect_until
        if start < suspect_until:  # only behind a read that went wrong can an old reply lie in wait
            self.statistics.strays += port.discard_input()
        self._suspect_until = math.inf  # should this read be broken off
        port.write(group.request)
        group.sent_at = start
        limit = max(start, self._wire_free) + self.expected_time(group) + self.host_margin
        if deadline is not None and deadline < limit:
            limit = deadline
        receive, size = group.receive, group.size
        count, missing = 0, -1
        while got := port.read_into(receive[count:] if count else receive, limit):
            count += got
            if count >= size:
                missing = group.accept(count)
                if missing == 0 or count == len(receive):
                    break  # complete; or more noise than any reply is long
        else:
            missing = group.accept(count)
        group.received_at, group.heard = port.now(), count
        clean = missing == 0 and count == size and suspect_until < math.inf
        self._suspect_until = suspect_until if clean else group.received_at + _LATE_REPLIES
        return missing

    def _read_in_order(self, group: GroupRead, deadline: float | None) -> int:
        """Read a group; after a read that lacked servos, by plain packets with the suspects last.

        Replies are chained: behind a silent servo the others may stay silent too, and a fast reply ends there. So the
        first servo that is missing is asked last from then on, until all answer again: one dead servo silences nobody.
        """
        order = self._orders.get(group.ids)
        if order is None:
            return self._read_once(group, deadline)
        plain = self._plain(group, order)
        missing = self._read_for(group, plain, deadline, (1 << len(group.ids)) - 1)
        group.sent_at = plain.sent_at
        return missing

    def _remember_order(self, group: GroupRead, missing: int) -> None:
        if not missing:
            self._orders.pop(group.ids, None)
            return
        lost = {servo_id for i, servo_id in enumerate(group.ids) if missing >> i & 1}
        order = self._orders.get(group.ids, group.ids)
        first = next(servo_id for servo_id in order if servo_id in lost)
        self._orders[group.ids] = (*(servo_id for servo_id in order if servo_id != first), first)

    def _retry(self, group: GroupRead, missing: int, deadline: float | None) -> int:
        """Ask the missing servos again, in plain packets, the first of them last, as long as that fits."""
        self._count_lost(group, missing)
        for _ in range(_FAST_RETRIES if deadline is not None else 0):
            first, *others = [servo_id for i, servo_id in enumerate(group.ids) if missing >> i & 1]
            again = self._plain(group, (*others, first))
            if deadline is not None and self.port.now() + self.expected_time(again) > deadline:
                break
            self.statistics.retries += 1
            missing = self._read_for(group, again, deadline, missing)
            if not missing:
                return 0
        self.statistics.incomplete += 1
        return missing

    def _read_for(self, group: GroupRead, other: GroupRead, deadline: float | None, missing: int) -> int:
        """Read another group for this one; returns what of `missing` is still missing."""
        still = self._read_once(other, deadline)
        for position, servo_id in enumerate(other.ids):
            if not still >> position & 1:
                index = group.ids.index(servo_id)
                group.store(index, other.errors[position], other.data(position))
                missing &= ~(1 << index)
        group.received_at = other.received_at  # who answered before took its sample before: `sent_at` stays
        return missing

    def _plain(self, group: GroupRead, ids: tuple[int, ...]) -> GroupRead:
        """The same registers of these servos, in this order, in plain packets."""
        key = (group.address, group.length, ids)
        if key not in self._plain_groups:
            if len(self._plain_groups) >= _PLAIN_GROUPS:
                self._plain_groups.clear()
            self._plain_groups[key] = GroupRead(ids, group.address, group.length, fast=False)
        return self._plain_groups[key]

    def _count_lost(self, group: GroupRead, missing: int) -> None:
        lost = self.statistics.lost
        for i, servo_id in enumerate(group.ids):
            if missing >> i & 1:
                lost[servo_id] = lost.get(servo_id, 0) + 1

    # -- slow path -----------------------------------------------------------------------------------------------------

    def set_baudrate(self, baudrate: int) -> None:
        """Change the speed of the host side.

        Raises:
            PortSettingError: the adapter does not do that rate.
        """
        with self._transaction():
            self.port.set_baudrate(baudrate)

    def ping(self, servo_id: int, tries: int = _SLOW_TRIES) -> Identity:
        """Model number of one servo.

        Raises:
            NoReplyError: nobody answers to this ID at this baud rate.
            CorruptReplyError: somebody does, but unintelligibly.
        """
        return self._slowly(tries, lambda: self._link.ping(servo_id))

    def broadcast_ping(self) -> dict[int, Identity]:
        """Everyone on the bus at this baud rate, by ID, with model number and firmware. Takes about 0.8 s."""
        return self._slowly(1, self._link.broadcast_ping)

    @property
    def heard(self) -> bytes:
        """Raw bytes of the last slow transaction's replies: more than its packets means that servos talk at once."""
        return self._link.heard

    def listen(self, packet: bytes, reply: int) -> bytes:
        """Send a packet as it is and return all that is heard while `reply` bytes could come: for diagnosis."""
        with self._transaction():
            port = self.port
            port.discard_input()
            port.write(packet)
            window = wire_time(len(packet) + reply, port.baudrate) + RETURN_DELAY_MAX + port.adapter_latency
            window += HOST_MARGIN
            deadline = port.now() + window + SLOW_MARGIN
            heard, chunk = b"", memoryview(bytearray(reply))
            while got := port.read_into(chunk, deadline):
                if not heard:
                    deadline = min(deadline, port.now() + window)
                heard += chunk[:got]
            return heard

    def read_bytes(self, servo_id: int, address: int, length: int) -> bytes:
        """Raw bytes of the control table.

        Raises:
            NoReplyError, CorruptReplyError: after three tries.
            ServoRefusedError: the servo will not.
        """
        return self._slowly(_SLOW_TRIES, lambda: self._link.read(servo_id, address, length))

    def read(self, servo_id: int, register: Register) -> int:
        """Value of one register, in its ticks. Raises as `read_bytes`."""
        return register.decode(self.read_bytes(servo_id, register.address, register.size))

    def write(self, servo_id: int, register: Register, value: int) -> None:
        """Write one register and wait for the servo's consent.

        Raises:
            NoReplyError, CorruptReplyError: after three tries.
            ServoRefusedError: out of range, read-only, or EEPROM locked by torque.
            OverflowError: the value does not fit the register; nothing was sent.
        """
        data = register.encode(value)
        what = f"set {register.name} to {value}"
        self._slowly(_SLOW_TRIES, lambda: self._link.write(servo_id, register.address, data, what))

    def write_verified(self, servo_id: int, register: Register, value: int) -> None:
        """Write one register and read it back.

        Raises:
            VerifyError: it holds something else.
            As `write`.
        """
        self.write(servo_id, register, value)
        if (found := self.read(servo_id, register)) != value:
            raise VerifyError(servo_id, f"servo {servo_id}: {register.name} was set to {value} but reads {found}")

    def write_bytes_verified(self, servo_id: int, address: int, data: bytes) -> None:
        """Write raw bytes of the control table (several registers at once) and read them back.

        Raises:
            VerifyError: they hold something else.
            As `write`.
        """
        what = f"write {len(data)} bytes at {address}"
        self._slowly(_SLOW_TRIES, lambda: self._link.write(servo_id, address, data, what))
        if self.read_bytes(servo_id, address, len(data)) != data:
            raise VerifyError(servo_id, f"servo {servo_id}: {len(data)} bytes at {address} did not stay as written")

    def reboot(self, servo_id: int) -> None:
        """Restart a servo: torque off, RAM registers back to their initial values, errors cleared.

        Raises NoReplyError, CorruptReplyError, ServoRefusedError.
        """
        self._slowly(1, lambda: self._link.reboot(servo_id))

    def clear_turns(self, servo_id: int) -> None:
        """Forget whole turns of a multi-turn position. Raises as `reboot`."""
        self._slowly(1, lambda: self._link.clear_turns(servo_id))

    def factory_reset(self, servo_id: int, *, keep_id: bool = True, keep_baudrate: bool = True) -> None:
        """Set EEPROM to factory values. Raises as `reboot`."""
        option = {(False, False): 0xFF, (True, False): 0x01, (True, True): 0x02}[keep_id, keep_baudrate]
        self._slowly(1, lambda: self._link.factory_reset(servo_id, option))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """The bus for one transaction off the hot path, which does the same without the cost of a generator."""
        with self._lock:
            try:
                yield
            except BusError:
                raise
            except OSError as error:
                raise self._vanished(error) from error

    def _vanished(self, error: OSError) -> PortVanishedError:
        """The error of ours that a port's own error means."""
        return PortVanishedError(error.errno or errno.EIO, "vanished; is the cable out?", self.port.name)

    def _slowly(self, tries: int, transaction: Callable[[], _T]) -> _T:
        """Try a slow transaction a few times; the last error is the one raised."""
        for attempt in range(1, tries + 1):
            try:
                with self._transaction():
                    return transaction()
            except (NoReplyError, CorruptReplyError):
                if attempt == tries:
                    raise
                self.settle()  # the first answer must not be taken for the second
        raise AssertionError("tries must be at least 1")
