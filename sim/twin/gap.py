"""The reality gap: how this particular arm differs from what its data files say.

A gap is a TOML file; every key is optional and its absence means "as the data files say". Shipped: `mild` and
`harsh`. `random:SEED` draws one. See `sim/twin/gaps/mild.toml` for a file with every key explained.
"""

from __future__ import annotations

import re
import tomllib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

SHIPPED = Path(__file__).resolve().parent / "gaps"

_FACTORS = frozenset(
    ("link_mass", "torque_constant", "resistance", "armature", "coulomb", "viscous", "load_friction", "voltage_factor")
)
_SIGNED = frozenset(("offset", "current_bias", "ambient"))


LEAST_STALL = 0.9
"""Of a servo's stall torque, what gears of drawn gaps leave at least. The data files' shares are what gears must eat to
leave the stall torque that the maker's manual states; one that lacks more than a tenth of it is broken or another one.
It also keeps gears away from locking themselves: with an efficiency of e they let themselves be turned with 2 - 1 / e
(the classic estimate for gear trains and screws), nothing at a half, and these arms are moved by hand with torque off.
The worst servo here has 0.57, and 25 % come through backwards.
"""


class GapError(ValueError):
    """A gap file says something that cannot be.

    Example scenarios:
        - A key is misspelt: the message names the key, its line and the keys there are.
        - A factor is zero or negative, or a delay is.
        - It speaks of a joint that the arm does not have.
    """


@dataclass(frozen=True, slots=True)
class JointGap:
    """How one joint differs, both its servos alike where it has two. Factors multiply the figure of the servo data file
    or of the arm's MJCF.
    """

    link_mass: float = 1.0  # factor on mass and inertia of what this joint carries up to the next joint
    offset: float = 0.0  # rad, the joint stands this much further than arm.toml makes of its encoder
    torque_constant: float = 1.0  # factor
    resistance: float = 1.0  # factor, winding
    armature: float = 1.0  # factor, reflected rotor inertia
    coulomb: float = 1.0  # factor, dry gear friction
    viscous: float = 1.0  # factor
    load_friction: float = 1.0  # factor, share of the transmitted torque lost in the gears
    least_stall: float = 0.0  # share of the stall torque that the gears leave, whatever that factor is
    backlash: float | None = None  # rad at the joint, whole play; None: the servo data file's
    velocity_lag: float | None = None  # s, age of the velocity register's value; None: the servo data file's
    current_noise: float = 0.004  # A rms, estimate: one or two ticks, as a servo shows that holds still
    current_bias: float = 0.0  # A, added to the reading
    position_noise: float = 0.0  # ticks rms, before the encoder rounds

    def load_share(self, nominal: float) -> float:
        """Share of the transmitted torque that the gears eat, of a servo whose data file says `nominal`. Whatever the
        factor, they leave `least_stall` of its stall torque.
        """
        return min(self.load_friction * nominal, 1.0 - self.least_stall * (1.0 - nominal))


@dataclass(frozen=True, slots=True)
class SupplyGap:
    """The power supply and its cable."""

    voltage_factor: float = 1.0  # factor on the nominal voltage
    internal_resistance: float = (
        0.1  # ohm, supply and cable, shared by all servos of a rail; estimate: a metre of thin cable
    )


@dataclass(frozen=True, slots=True)
class BusGap:
    """The USB adapter between the program and the wire."""

    latency_timer: float = 0.001  # s, how long the adapter gathers bytes before it sends a short packet
    extra_delay: float = 0.0  # s, added to every reply (hubs, a busy host)
    frame: float = 0.000125  # s, USB frame: 1 ms at full speed, 125 µs at high speed
    reply_jitter: float = 0.0  # s, replies are late by a random share of this


@dataclass(frozen=True, slots=True)
class Gap:
    """The whole reality gap. `Gap()` is none: everything as the data files say."""

    name: str = "none"
    every: JointGap = field(default_factory=JointGap)
    joints: Mapping[str, JointGap] = field(default_factory=lambda: MappingProxyType({}))
    payload: float = 0.0  # kg at the tip
    command_delay: float = 0.0  # s between a goal's arrival and its effect
    ambient: float = 25.0  # °C
    supply: SupplyGap = field(default_factory=SupplyGap)
    bus: BusGap = field(default_factory=BusGap)
    seed: int | None = None  # drawn gaps: joints are drawn from it, each by its own name

    def joint(self, name: str) -> JointGap:
        """How that joint differs."""
        if self.seed is not None:
            return _drawn_joint(np.random.default_rng([self.seed, zlib.crc32(name.encode())]))
        return self.joints.get(name, self.every)

    def with_payload(self, mass: float) -> Gap:
        """The same with so much (kg) more at the tip."""
        return replace(self, payload=self.payload + mass)

    def check_joints(self, names: tuple[str, ...]) -> None:
        """Raise GapError if the gap speaks of a joint that is not among these."""
        if unknown := [name for name in self.joints if name not in names]:
            raise GapError(f"gap '{self.name}': no joint {', '.join(unknown)} in this arm; it has {', '.join(names)}")

    @classmethod
    def random(cls, seed: int) -> Gap:
        """Draw a gap: every joint differs on its own, within what is seen between a model and a hobby-servo arm.

        Masses ±20 %, friction 0.5-3x (what grows with load only as far as gears still turn: `LEAST_STALL`),
        torque constant ±15 %, offsets ±3 degrees, command delay 0-30 ms, backlash up to 1 degree, a velocity register
        up to 40 ms old.
        """
        draw = np.random.default_rng(seed)
        return cls(
            name=f"random:{seed}",
            payload=float(draw.uniform(0.0, 0.02)),
            command_delay=float(draw.uniform(0.0, 0.030)),
            ambient=float(draw.uniform(15.0, 35.0)),
            supply=SupplyGap(
                voltage_factor=float(draw.uniform(0.93, 1.03)), internal_resistance=float(draw.uniform(0.05, 0.5))
            ),
            seed=seed,
        )


def _drawn_joint(draw: np.random.Generator) -> JointGap:
    def between(low: float, high: float) -> float:
        return float(draw.uniform(low, high))

    def friction() -> float:
        return float(np.exp(draw.uniform(np.log(0.5), np.log(3.0))))  # as likely to halve as to double

    return JointGap(
        link_mass=between(0.8, 1.2),
        offset=np.deg2rad(between(-3.0, 3.0)),
        torque_constant=between(0.85, 1.15),
        resistance=between(0.85, 1.15),
        armature=between(0.7, 1.5),
        coulomb=friction(),
        viscous=friction(),
        load_friction=friction(),
        least_stall=LEAST_STALL,
        backlash=np.deg2rad(between(0.0, 1.0)),
        velocity_lag=between(0.010, 0.040),
        current_noise=between(0.002, 0.012),
        current_bias=between(-0.01, 0.01),
        position_noise=between(0.0, 0.7),
    )


def load_gap(name_or_path: str | Path) -> Gap:
    """Read a shipped gap by name (`none`, `mild`, `harsh`), any gap by its path, or draw one with `random:SEED`.

    Raises:
        GapError: there is no such gap, or a key or a value in it is wrong; the message names key and line.
    """
    text = str(name_or_path)
    if text == "none":
        return Gap()
    if match := re.fullmatch(r"random:(\d+)", text):
        return Gap.random(int(match[1]))
    for file in (SHIPPED / f"{text}.toml", Path(name_or_path)):
        if file.is_file():
            return _Reader(file).gap()
    shipped = ", ".join(sorted(f.stem for f in SHIPPED.glob("*.toml")))
    raise GapError(f"no gap '{text}': give a path to a gap.toml, random:SEED, or one of none, {shipped}")


class _Reader:
    """Turns one file into a Gap; keeps the text, to say on which line an error stands."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._text = file.read_text(encoding="utf-8")

    def gap(self) -> Gap:
        try:
            data = tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            raise GapError(f"{self._file}: not valid TOML: {error}") from error
        tables = {key: data.pop(key, {}) for key in ("all", "joint", "supply", "bus")}
        top = self._checked(data, {"name", "payload", "command_delay", "ambient"}, "")
        every = self._filled(JointGap(), tables["all"], "all")
        return Gap(
            name=str(top.pop("name", self._file.stem)),
            every=every,
            joints=MappingProxyType(
                {name: self._filled(every, table, f"joint.{name}") for name, table in tables["joint"].items()}
            ),
            supply=self._filled(SupplyGap(), tables["supply"], "supply"),
            bus=self._filled(BusGap(), tables["bus"], "bus"),
            **top,
        )

    def _filled(self, base: Any, table: Mapping[str, Any], where: str) -> Any:
        if not isinstance(table, Mapping):
            raise GapError(f"{self._file}: '{where}' must be a table")
        return replace(base, **self._checked(table, {f.name for f in fields(base)}, where))

    def _checked(self, table: Mapping[str, Any], known: set[str], where: str) -> dict[str, Any]:
        for key, value in table.items():
            place = f"{self._file}, line {self._line(where, key)}: key '{key}'" + (f" in [{where}]" if where else "")
            if key not in known:
                raise GapError(f"{place} is not known; known: {', '.join(sorted(known))}")
            if key == "name":
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise GapError(f"{place} must be a number, not {value!r}")
            if key in _FACTORS and value <= 0:
                raise GapError(f"{place} is a factor and must be positive, not {value}")
            if key not in _SIGNED and value < 0:
                raise GapError(f"{place} must not be negative, but is {value}")
        return {key: value if key == "name" else float(value) for key, value in table.items()}

    def _line(self, where: str, key: str) -> int:
        """Line on which a key of a table stands; tomllib does not tell."""
        table = ""
        for number, line in enumerate(self._text.splitlines(), start=1):
            if header := re.match(r"\s*\[([^\[\]]+)\]", line):
                table = ".".join(part.strip().strip("\"'") for part in header[1].split("."))
                if f"{where}.{key}".lstrip(".") == table:
                    return number
            elif table == where and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[.=]", line):
                return number
        return 1
