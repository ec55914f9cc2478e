"""Faults by name: what can go wrong on a bus and in a servo, when, where and how often.

A fault is written as `name:key=value,key=value`, such as `stuck-shaft:servo=13,at=2.5,for=1.0` or
`packet-lost:p=0.01`. All keys:

    servo   ID of the servo, or the name of its joint (`shoulder/2`: the second servo of that joint); without it all of
            them (some faults need one named)
    at      s of twin time at which it starts; without it at once
    for     s that it lasts; without it for good, or as long as `CATALOGUE` says
    p       probability for one packet (packet faults); without it 1
    way     packets it strikes: reply (default), instruction, both
    ...     what the fault itself takes, see `CATALOGUE`
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from sim.twin.line import Line
from sim.twin.packets import BROADCAST_ID, Packet
from sim.twin.routing import Piece
from sim.twin.servo import Servo
from sim.twin.timeline import Timeline

_WAYS = ("reply", "instruction", "both")


class FaultSpecError(ValueError):
    """A fault was described in a way that cannot be understood; the message says what is known."""


class Bench(Protocol):
    """What a fault may lay hands on. `Twin` is one."""

    servos: list[Servo]

    def unplug(self) -> None:
        """Pull the USB plug."""
        ...

    def plug_in(self) -> None:
        """Put the USB plug back."""
        ...

    def cut_power(self, servo: Servo) -> None:
        """Take the supply from a servo."""
        ...

    def restore_power(self, servo: Servo) -> None:
        """Give the supply back; the servo boots."""
        ...

    def silence(self, servo: Servo, silent: bool) -> None:
        """Break a servo's data line, or mend it."""
        ...

    def receive_noise(self, data: bytes) -> None:
        """Let the adapter receive bytes that nobody sent."""
        ...


@dataclass(frozen=True)
class Fault:
    """One fault, as described."""

    name: str
    servo: str | None = None
    at: float = 0.0  # s
    duration: float = math.inf  # s
    p: float = 1.0
    way: str = "reply"
    amount: float = 0.0  # what the fault's own key says
    servos: tuple[int, ...] = ()  # IDs, once the servos are known

    @property
    def kind(self) -> Kind:
        """What kind of fault it is."""
        return CATALOGUE[self.name]


@dataclass(frozen=True)
class Kind:
    """One line of the catalogue."""

    text: str
    packet: bool = False  # strikes packets rather than a servo
    needs_servo: bool = False
    amount: str | None = None  # the fault's own key
    default: float = 0.0  # of that key
    lasting: float = math.inf  # s, default duration
    start: Callable[[Bench, Servo, Fault], None] | None = None
    stop: Callable[[Bench, Servo], None] | None = None


def _drop_off(bench: Bench, _servo: Servo, _fault: Fault) -> None:
    bench.unplug()


def _dip(bench: Bench, servo: Servo, fault: Fault) -> None:
    nominal = max(float(s.data.motor["nominal_voltage"]) for s in bench.servos)
    servo.plant.set_supply(fault.amount or nominal / 2)


def _jump(_bench: Bench, servo: Servo, fault: Fault) -> None:
    servo.plant.encoder_jump(servo.index, int(fault.amount))


def _misread(_bench: Bench, servo: Servo, fault: Fault) -> None:
    servo.plant.misread(servo.index, int(fault.amount))


def _turn(_bench: Bench, servo: Servo, fault: Fault) -> None:
    servo.plant.hand(servo.index, fault.amount, fault.duration)


def _let_go(_bench: Bench, _servo: Servo) -> None:
    """Nothing: the hand lets go by itself when its time is over."""


def _keep_goal(keeps: bool) -> Callable[..., None]:
    def act(_bench: Bench, servo: Servo, _fault: Fault | None = None) -> None:
        servo.keeps_goal = keeps

    return act


CATALOGUE: dict[str, Kind] = {
    "packet-lost": Kind("a packet never arrives", packet=True),
    "packet-flipped": Kind("bits of a packet are flipped; bits=N of them", packet=True, amount="bits", default=1),
    "packet-late": Kind("a reply comes late; by=S seconds", packet=True, amount="by", default=0.02),
    "garbage": Kind(
        "noise before a reply, or with at= a burst of its own; bytes=N", packet=True, amount="bytes", default=16
    ),
    "servo-dead": Kind(
        "the servo loses its supply for good", needs_servo=True, start=lambda bench, servo, _: bench.cut_power(servo)
    ),
    "servo-silent": Kind(
        "the servo's data line breaks: deaf and mute, but it keeps driving",
        needs_servo=True,
        lasting=0.5,
        start=lambda bench, servo, _: bench.silence(servo, True),  # noqa: FBT003
        stop=lambda bench, servo: bench.silence(servo, False),  # noqa: FBT003
    ),
    "stuck-shaft": Kind(
        "the shaft is blocked",
        needs_servo=True,
        start=lambda _, servo, __: servo.plant.stick(servo.index, True),  # noqa: FBT003
        stop=lambda _, servo: servo.plant.stick(servo.index, False),  # noqa: FBT003
    ),
    "hot": Kind(
        "the motor is that hot; celsius=T (it cools by itself)",
        needs_servo=True,
        amount="celsius",
        default=90.0,
        start=lambda _, servo, fault: servo.plant.set_temperature(servo.index, fault.amount),
    ),
    "overload": Kind(
        "the servo finds its load too high for too long", needs_servo=True, start=lambda _, servo, __: servo.overload()
    ),
    "voltage-dip": Kind(
        "the supply of all servos falls; volts=V (else to half)",
        amount="volts",
        lasting=0.2,
        start=_dip,
        stop=lambda _, servo: servo.plant.set_supply(None),
    ),
    "brown-out": Kind(
        "the servo's supply fails for a moment: it reboots without a word",
        needs_servo=True,
        lasting=0.01,
        start=lambda bench, servo, _: bench.cut_power(servo),
        stop=lambda bench, servo: bench.restore_power(servo),
    ),
    "power-cycled": Kind(
        "the servos are switched off and on",
        lasting=0.5,
        start=lambda bench, servo, _: bench.cut_power(servo),
        stop=lambda bench, servo: bench.restore_power(servo),
    ),
    "unplugged": Kind(
        "the USB plug is pulled: the port is gone", start=_drop_off, stop=lambda bench, _: bench.plug_in()
    ),
    "encoder-jump": Kind(
        "the encoder reads another angle from now on; ticks=N",
        needs_servo=True,
        amount="ticks",
        default=512,
        start=_jump,
    ),
    "encoder-glitch": Kind(
        "the position register shows ticks=N more for a moment, 5 ms if not said otherwise",
        needs_servo=True,
        amount="ticks",
        default=512,
        lasting=0.005,
        start=_misread,
        stop=lambda _bench, servo: servo.plant.misread(servo.index, 0),
    ),
    "hand": Kind(
        "a hand turns the joint by rad=R within its stops, then lets go; 0: holds it",
        needs_servo=True,
        amount="rad",
        default=0.5,
        lasting=2.0,
        start=_turn,
        stop=_let_go,
    ),
    "stale-goal": Kind(
        "torque-on drives to the old Goal Position instead of holding where the shaft is",
        start=_keep_goal(keeps=True),
        stop=_keep_goal(keeps=False),
    ),
}
_ONCE = frozenset({"voltage-dip", "unplugged"})  # strike the arm, not each servo


def parse_fault(spec: str) -> Fault:
    """Read a fault's description. Raises FaultSpecError that lists what is known."""
    name, _, rest = spec.strip().partition(":")
    kind = CATALOGUE.get(name)
    if kind is None:
        raise FaultSpecError(f"unknown fault '{name}'; known: {', '.join(CATALOGUE)}")
    keys = _keys(kind)
    values: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in rest.split(","))):
        key, equals, value = item.partition("=")
        if not equals or key not in keys or key in values:
            raise FaultSpecError(
                f"fault '{spec}': cannot use '{item}'; {name} takes each of {', '.join(keys)} once, as key=value"
            )
        values[key] = value
    if kind.needs_servo and "servo" not in values:
        raise FaultSpecError(f"fault '{spec}': say which servo, as in {name}:servo=1")
    way = values.get("way", "reply")
    if way not in _WAYS:
        raise FaultSpecError(f"fault '{spec}': way={way}; known: {', '.join(_WAYS)}")
    p = _number(spec, values, "p", 1.0)
    if p > 1.0:
        raise FaultSpecError(f"fault '{spec}': p={values['p']} is a probability, from 0 to 1")
    return Fault(
        name=name,
        servo=values.get("servo"),
        at=_number(spec, values, "at", 0.0),
        duration=_number(spec, values, "for", kind.lasting),
        p=p,
        way=way,
        amount=_number(spec, values, kind.amount, kind.default, signed=True) if kind.amount else 0.0,
    )


def _keys(kind: Kind) -> list[str]:
    """The keys that a kind of fault takes."""
    keys = ["servo", "at"]
    if kind.packet or kind.stop is not None:
        keys.append("for")
    if kind.packet:
        keys += ["p", "way"]
    if kind.amount:
        keys.append(kind.amount)
    return keys


def _number(spec: str, values: dict[str, str], key: str, default: float, *, signed: bool = False) -> float:
    text = values.get(key)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (value < 0.0 and not signed):
        raise FaultSpecError(f"fault '{spec}': {key}={text} is not a {'number' if signed else 'number from 0 up'}")
    return value


def fault_help() -> str:
    """The catalogue as text, one line a fault; `for=S` is the default duration of a fault that has one."""
    width = max(map(len, CATALOGUE))
    lines = []
    for name, kind in CATALOGUE.items():
        lasting = f"for={kind.lasting:g}" if math.isfinite(kind.lasting) else "for"
        keys = ", ".join(lasting if key == "for" else key for key in _keys(kind))
        lines.append(f"  {name:{width}}  {kind.text} ({keys})")
    return "\n".join(lines)


@dataclass
class PacketFaults:
    """The packet faults that are at work, and the dice they throw."""

    seed: int
    active: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Seed the dice."""
        self._random = random.Random(f"{self.seed}/faults")

    def instruction(self, packet: Packet) -> Packet | None:
        """The packet as the servos hear it; None: they do not."""
        for fault in self.active:
            elsewhere = fault.servos and packet.id != BROADCAST_ID and packet.id not in fault.servos
            if fault.way == "reply" or elsewhere or self._random.random() >= fault.p:
                continue
            if fault.name == "packet-lost":
                return None
            if fault.name in ("packet-flipped", "garbage"):
                packet = packet._replace(intact=False)
        return packet

    def replies(self, pieces: list[Piece]) -> list[Piece]:
        """The pieces as the host hears them."""
        for fault in self.active:
            if fault.way != "instruction":
                pieces = [self._struck(fault, piece) for piece in pieces]
        return pieces

    def noise(self, count: int) -> bytes:
        """That many random bytes."""
        return self._random.randbytes(count)

    def _struck(self, fault: Fault, piece: Piece) -> Piece:
        if (fault.servos and piece.servo_id not in fault.servos) or self._random.random() >= fault.p:
            return piece
        if fault.name == "packet-lost":
            return piece._replace(data=b"", silence=piece.silence + len(piece.data))
        if fault.name == "packet-late":
            return piece._replace(pause=piece.pause + fault.amount)
        if fault.name == "garbage":
            noise = self.noise(max(1, int(fault.amount)))
            return piece._replace(data=noise + piece.data)
        data = bytearray(piece.data)
        for bit in self._random.sample(range(8 * len(data)), min(8 * len(data), max(1, int(fault.amount)))):
            data[bit >> 3] ^= 1 << (bit & 7)
        return piece._replace(data=bytes(data))


class FaultBox:
    """The faults of one twin: it starts and stops them when their time has come."""

    def __init__(self, bench: Bench, named: Mapping[str, Servo], line: Line, timeline: Timeline, seed: int) -> None:
        """`named` has every servo by the name of its joint; a joint's second one has `/2` behind it."""
        self._bench = bench
        self._named = named
        self._line = line
        self._timeline = timeline
        self._packets = PacketFaults(seed)

    def add(self, fault: Fault, now: float) -> None:
        """Let a fault happen, its times counted from `now`. Raises FaultSpecError for a servo that is not there."""
        targets = self._targets(fault)
        begin, end = now + fault.at, now + fault.at + fault.duration
        put = self._timeline.put
        if fault.name == "garbage" and fault.at > 0.0 and fault.p == 1.0 and math.isinf(fault.duration):
            put(begin, self._burst, max(1, int(fault.amount)))
        elif fault.kind.packet:
            struck = replace(fault, servos=tuple(s.id for s in targets) if fault.servo else ())
            put(begin, self._strike, struck)
            if math.isfinite(end):
                put(end, self._spare, struck)
        else:
            for servo in targets[:1] if fault.name in _ONCE else targets:
                if fault.kind.start is not None:
                    put(begin, fault.kind.start, self._bench, servo, fault)
                if fault.kind.stop is not None and math.isfinite(end):
                    put(end, fault.kind.stop, self._bench, servo)

    def _burst(self, count: int) -> None:
        self._bench.receive_noise(self._packets.noise(count))

    def _strike(self, fault: Fault) -> None:
        self._packets.active.append(fault)
        self._line.disturbance = self._packets

    def _spare(self, fault: Fault) -> None:
        self._packets.active.remove(fault)
        self._line.disturbance = self._packets if self._packets.active else None

    def _targets(self, fault: Fault) -> list[Servo]:
        servos = self._bench.servos
        if fault.servo is None:
            return servos
        if fault.servo in self._named:
            return [self._named[fault.servo]]
        found = [s for s in servos if str(s.id) == fault.servo]
        if not found:
            known = ", ".join(f"{servo.id} ({name})" for name, servo in self._named.items())
            raise FaultSpecError(f"fault {fault.name}: no servo '{fault.servo}'; there are {known}")
        return found
