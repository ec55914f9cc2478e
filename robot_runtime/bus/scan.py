"""Finding every servo on a bus: all baud rates, all IDs, unknown models, and servos that share an ID."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from robot_runtime.bus.bus import Bus
from robot_runtime.bus.errors import CorruptReplyError, NoReplyError, PortSettingError, ServoRefusedError
from robot_runtime.bus.packets import STATUS_OVERHEAD, Instruction, instruction_packet, status_packets
from robot_runtime.servos import (
    Register,
    ServoModel,
    UnknownServoError,
    servo_baudrates,
    servo_model_by_number,
)
from robot_runtime.servos.protocol import FIRMWARE, HIGHEST_ID, IDENTITY, decode_identity

_LIKELY = (1_000_000, 57_600, 2_000_000, 3_000_000, 4_000_000, 115_200)
"""bit/s, most likely first: what arms are set to, then the factory's."""

_PING_REPLY = STATUS_OVERHEAD + 3
"""Bytes of a ping reply: model number and firmware."""

_LOOKS = 8
"""Times that a servo is asked for live registers, to hear whether it is alone at its ID."""

_SHARED = 3
"""Damaged replies out of `_LOOKS` that mean a second servo: noise alone damages one reply in hundreds."""

_LIVE = (120, 16)
"""Address and bytes of Realtime Tick to Present Position: two servos never agree on these. All X-series models."""

Progress = Callable[[int, int, int], None]
"""Told before each baud rate: the rate, how many are done, how many there are."""


@dataclass(frozen=True, slots=True)
class FoundServo:
    """What answered at one ID and baud rate."""

    servo_id: int
    baudrate: int  # bit/s
    model_number: int | None  # None: nothing intact was heard
    firmware: int | None
    model: ServoModel | None  # None: no data file has this number
    shared: bool  # more than one servo answers to this ID
    damaged: int  # damaged or lost replies out of `looks`
    looks: int
    values: Mapping[str, int] = field(default_factory=dict)  # registers in ticks; empty when shared or unknown


@dataclass(frozen=True, slots=True)
class Scan:
    """What was found, and where was looked."""

    servos: tuple[FoundServo, ...]
    baudrates: tuple[int, ...]  # bit/s, tried
    skipped: tuple[int, ...]  # bit/s, which the adapter does not do


def known_baudrates() -> tuple[int, ...]:
    """All baud rates that any known servo model does, likely ones first."""
    return tuple(dict.fromkeys([*_LIKELY, *servo_baudrates()]))


def scan(bus: Bus, baudrates: Sequence[int] | None = None, progress: Progress | None = None) -> Scan:
    """Find every servo at these baud rates (default: all known ones) and read its registers.

    Nothing is written. Takes about a second a baud rate. The port is left at the rate that it had.

    Raises:
        PortVanishedError: the port went away.
    """
    rates = tuple(baudrates) if baudrates is not None else known_baudrates()
    before = bus.port.baudrate
    found: list[FoundServo] = []
    skipped = []
    try:
        for i, rate in enumerate(rates):
            if progress is not None:
                progress(rate, i, len(rates))
            try:
                bus.set_baudrate(rate)
            except PortSettingError:
                skipped.append(rate)
                continue
            found += scan_here(bus)
    finally:
        bus.set_baudrate(before)
    tried = tuple(rate for rate in rates if rate not in skipped)
    return Scan(tuple(sorted(found, key=lambda s: (s.servo_id, s.baudrate))), tried, tuple(skipped))


def scan_here(bus: Bus) -> tuple[FoundServo, ...]:
    """Find every servo at the port's present baud rate. Raises PortVanishedError."""
    numbers, clear = _call(bus)
    if numbers or not clear:  # once more: a lost reply must not hide a servo
        again, clear_again = _call(bus)
        numbers, clear = numbers | again, clear and clear_again
    ids = set(numbers)
    if not clear:  # somebody spoke, but not intelligibly: ask one by one
        ids |= {i for i in range(HIGHEST_ID + 1) if i not in numbers and _speaks(bus, i)}
    return tuple(_look_at(bus, servo_id, numbers.get(servo_id)) for servo_id in sorted(ids))


def speaks(bus: Bus, servo_id: int) -> bool:
    """Whether anybody at all answers to this ID at the port's present baud rate, intelligibly or not."""
    return any(_speaks(bus, servo_id) for _ in range(3))


def as_laid_out(bus: Bus, servo_id: int, model: ServoModel) -> ServoModel:
    """The model as this servo's firmware lays it out.

    Raises:
        ServoError: the servo does not answer.
    """
    return model.for_firmware(bus.read_bytes(servo_id, *FIRMWARE)[0])


def read_registers(bus: Bus, servo_id: int, model: ServoModel) -> dict[str, int]:
    """All registers of the model that the servo lets itself be asked for, by name, in ticks.

    Raises:
        NoReplyError, CorruptReplyError: it stopped answering.
    """
    values: dict[str, int] = {}
    for run in _runs(model):
        start = run[0].address
        try:
            data = bus.read_bytes(servo_id, start, run[-1].end - start)
        except ServoRefusedError:
            values |= _one_by_one(bus, servo_id, run)
            continue
        values |= {r.name: r.decode(data[r.address - start :]) for r in run}
    return values


def _speaks(bus: Bus, servo_id: int) -> bool:
    return bool(bus.listen(instruction_packet(servo_id, Instruction.PING), _PING_REPLY))


def _call(bus: Bus) -> tuple[dict[int, int], bool]:
    """Model numbers of those who answered a broadcast ping, by ID; and whether nothing else was heard."""
    try:
        answered = bus.broadcast_ping()
    except CorruptReplyError:
        answered = {}
    return {i: identity.model_number for i, identity in answered.items()}, len(bus.heard) == len(answered) * _PING_REPLY


def _look_at(bus: Bus, servo_id: int, number: int | None) -> FoundServo:
    rate = bus.port.baudrate
    address, length = _LIVE
    ask = instruction_packet(servo_id, Instruction.READ, address.to_bytes(2, "little") + length.to_bytes(2, "little"))
    heard = [bus.listen(ask, 2 * (STATUS_OVERHEAD + length)) for _ in range(_LOOKS)]
    damaged = sum(not _is_one_reply(raw, servo_id) for raw in heard)
    shared = sum(bool(raw) and not _is_one_reply(raw, servo_id) for raw in heard) >= _SHARED
    firmware, values, model = None, {}, None
    if not shared and damaged < _LOOKS:
        try:
            number, firmware = decode_identity(bus.read_bytes(servo_id, *IDENTITY))
            model = _model(number, firmware)
            if model is not None:
                values = read_registers(bus, servo_id, model)
        except (NoReplyError, CorruptReplyError, ServoRefusedError):
            damaged = _LOOKS
    return FoundServo(servo_id, rate, number, firmware, model, shared, damaged, _LOOKS, values)


def _is_one_reply(raw: bytes, servo_id: int) -> bool:
    """Exactly one intact packet of this servo, and not a byte beside it."""
    packets = list(status_packets(raw))
    if len(packets) != 1 or packets[0].servo_id != servo_id:
        return False
    return len(raw) == 7 + int.from_bytes(raw[5:7], "little")


def _model(number: int, firmware: int) -> ServoModel | None:
    try:
        return servo_model_by_number(number).for_firmware(firmware)
    except UnknownServoError:
        return None


def _runs(model: ServoModel) -> Iterator[list[Register]]:
    """Registers that lie behind one another without a gap: undefined addresses are not touched."""
    ordered = sorted(model.registers.values(), key=lambda r: r.address)
    ends = itertools.accumulate((r.end for r in ordered), max)
    starts = [0, *(i + 1 for i, end in enumerate(ends) if i + 1 < len(ordered) and ordered[i + 1].address > end)]
    for first, last in itertools.pairwise([*starts, len(ordered)]):
        yield ordered[first:last]


def _one_by_one(bus: Bus, servo_id: int, run: Sequence[Register]) -> dict[str, int]:
    """A firmware that lacks one register of a run refuses the run; what it has is read by itself."""
    values = {}
    for register in run:
        try:
            values[register.name] = bus.read(servo_id, register)
        except ServoRefusedError:
            continue
    return values
