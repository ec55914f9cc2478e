"""How one read transaction a cycle brings motion always and health every few cycles, with what the servos can do.

Motion is 10 contiguous bytes (current, velocity, position), of all servos 12 (their duty in front of that) where one of
them measures its supply's current: its torque is computed from its duty. Health comes by a longer read in place of it:

- indirect: 16 bytes, or 18, mapped together at start (motion, voltage, temperature, hardware error, torque enable,
  watchdog). Needs as many indirect addresses at the same place in every servo.
- direct: 27 contiguous bytes from Realtime Tick to Present Temperature. Works on any mixture of models; a hardware
  error then shows as the alert bit, and a restart as a tick that started over. What a servo does by itself (torque
  off, watchdog tripped) is asked between the health reads, by a short transaction of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from numpy.typing import NDArray

from robot_runtime.bus import GroupRead
from robot_runtime.servos import Indirect, ServoModel

MOTION_ADDRESS, MOTION_LENGTH = 126, 10
"""Present Current (XL430: Load), Velocity, Position: the same on every X-series servo; a test checks the data files."""

_DUTY_LENGTH = 2
"""Present PWM, right before: on every X-series servo, too."""

_DIRECT_ADDRESS, _DIRECT_LENGTH = 120, 27

_TORQUE_ENABLE, _BUS_WATCHDOG = 64, 98

_MAPPED_HEALTH = (
    ("voltage", 144, 2),
    ("temperature", 146, 1),
    ("hardware_error", 70, 1),
    ("torque_enable", 64, 1),
    ("watchdog", 98, 1),
)
"""What the indirect block holds behind motion, in order: name, address, bytes."""

_HEALTH_LENGTH = sum(length for _, _, length in _MAPPED_HEALTH)
_OFFSETS = {name: sum(n for _, _, n in _MAPPED_HEALTH[:i]) for i, (name, _, _) in enumerate(_MAPPED_HEALTH)}


@dataclass(frozen=True, slots=True)
class MotionFields:
    """Live views of the motion registers in a group's frame, and all of them as plain numbers."""

    current: NDArray[Any]
    velocity: NDArray[Any]
    position: NDArray[Any]
    ticks: Callable[[], tuple[int, ...]]
    """Current, velocity, position of the first servo, then of the next."""
    duties: Callable[[], tuple[int, ...]] | None
    """PWM of one servo after the other; None where no servo's torque needs it."""

    @classmethod
    def of(cls, group: GroupRead, offset: int, before: int) -> MotionFields:
        """Views when the current starts `offset` bytes into the data. `before`: bytes of the duty in front of it."""
        return cls(
            group.field(offset, "<i2"),
            group.field(offset + 2, "<i4"),
            group.field(offset + 6, "<i4"),
            group.reader(offset, "hii"),
            group.reader(offset - before, "h") if before else None,
        )


@dataclass(frozen=True, slots=True)
class HealthFields:
    """Live views of the health registers; a field that the plan does not carry is None."""

    voltage: NDArray[Any]
    temperature: NDArray[Any]
    hardware_error: NDArray[Any] | None
    torque_enable: NDArray[Any] | None
    watchdog: NDArray[Any] | None
    realtime_tick: NDArray[Any] | None
    servos: Callable[[], Iterator[Any]]
    """The same as plain numbers, servo by servo."""


@dataclass(frozen=True, slots=True)
class PlannedRead:
    """A prepared read, and where motion lies in it."""

    group: GroupRead
    motion: MotionFields
    has_health: bool = False


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """The prepared reads of an arm, and the words that say what was decided."""

    motion: tuple[PlannedRead, PlannedRead]
    """Two that differ in length by a byte and take turns: a reply that is a cycle late never passes for a new one."""
    full: PlannedRead
    health: HealthFields
    apart: tuple[GroupRead, ...]
    """Torque Enable and Bus Watchdog, where the health read does not carry them; else empty."""
    mapping: tuple[int, bytes] | None
    """What to write into every servo's indirect addresses, and where; None in the direct plan."""
    description: str


def plan_reads(ids: Sequence[int], models: Sequence[ServoModel], firmware: Sequence[int], *, fast: bool) -> ReadPlan:
    """Choose the reads for these servos. `models` are as their firmware lays them out."""
    before = _DUTY_LENGTH if any(m.senses_supply for m in models) else 0
    start, length = MOTION_ADDRESS - before, before + MOTION_LENGTH
    turns = [GroupRead(ids, start, length + extra, fast=fast) for extra in (0, 1)]
    one, other = (PlannedRead(group, MotionFields.of(group, before, before)) for group in turns)
    kind = "fast sync read" if fast else f"sync read ({_why_not_fast(ids, models, firmware)})"
    blocks = {(m.indirect.address, m.indirect.data) for m in models}
    mapped = length + _HEALTH_LENGTH
    if len(blocks) == 1 and all(m.indirect.count >= mapped for m in models):
        full, health = _indirect(ids, models[0].indirect, length, fast=fast)
        mapping = (models[0].indirect.address, _sources(("motion", start, length), *_MAPPED_HEALTH))
        planned = PlannedRead(full, MotionFields.of(full, before, before), has_health=True)
        return ReadPlan((one, other), planned, health, (), mapping, f"{kind}; health by {mapped} indirect bytes")
    full = GroupRead(ids, _DIRECT_ADDRESS, _DIRECT_LENGTH, fast=fast)
    health = HealthFields(
        voltage=full.field(24, "<u2"),
        temperature=full.field(26, "u1"),
        hardware_error=None,
        torque_enable=None,
        watchdog=None,
        realtime_tick=full.field(0, "<u2"),
        servos=_by_servo(full.reader(0, "H22xHB"), (1, 2, None, None, None, 0)),
    )
    planned = PlannedRead(full, MotionFields.of(full, MOTION_ADDRESS - _DIRECT_ADDRESS, before), has_health=True)
    why = "these servos have no common indirect block"
    apart = tuple(GroupRead(ids, address, 1, fast=fast) for address in (_TORQUE_ENABLE, _BUS_WATCHDOG))
    told = f"{kind}; health by {_DIRECT_LENGTH} contiguous bytes, torque and watchdog apart ({why})"
    return ReadPlan((one, other), planned, health, apart, None, told)


def _indirect(ids: Sequence[int], block: Indirect, motion: int, *, fast: bool) -> tuple[GroupRead, HealthFields]:
    """`motion`: how many bytes of it come first."""
    full = GroupRead(ids, block.data, motion + _HEALTH_LENGTH, fast=fast)
    return full, HealthFields(
        voltage=full.field(motion + _OFFSETS["voltage"], "<u2"),
        temperature=full.field(motion + _OFFSETS["temperature"], "u1"),
        hardware_error=full.field(motion + _OFFSETS["hardware_error"], "u1"),
        torque_enable=full.field(motion + _OFFSETS["torque_enable"], "u1"),
        watchdog=full.field(motion + _OFFSETS["watchdog"], "u1"),
        realtime_tick=None,
        servos=_by_servo(full.reader(motion + _OFFSETS["voltage"], "HBBBB"), (0, 1, 2, 3, 4, None)),
    )


def _by_servo(read: Callable[[], tuple[int, ...]], places: tuple[int | None, ...]) -> Callable[[], Iterator[Any]]:
    """Quantities of one servo after another. `places`: where each is among the numbers of a servo; None: nowhere."""
    width = sum(place is not None for place in places)

    def servos() -> Iterator[Any]:
        values = read()
        return zip(*(repeat(None) if k is None else values[k::width] for k in places), strict=False)

    return servos


def _sources(*mapped: tuple[str, int, int]) -> bytes:
    """Addresses of the mapped bytes, two bytes each, as the indirect address registers hold them."""
    return b"".join((start + i).to_bytes(2, "little") for _, start, length in mapped for i in range(length))


def _why_not_fast(ids: Sequence[int], models: Sequence[ServoModel], firmware: Sequence[int]) -> str:
    old = [
        f"servo {i} has firmware {version}, needs {model.fast_sync_read_since}"
        for i, model, version in zip(ids, models, firmware, strict=True)
        if not model.has_fast_sync_read(version)
    ]
    return ", ".join(old) or "fast sync read was not answered"
