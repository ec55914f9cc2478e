"""The twin's own reader of `arm.toml`: which servos hang on the bus and how each turns its joint.

It reads what the twin needs and leaves the rest (limits, poses of the runtime, contracts) to the runtime's own
reader.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sim.twin.servo_data import load_servo

SHIPPED = Path(__file__).resolve().parents[2] / "models" / "arms"
"""Folder of the arms that ship, one folder an arm. A path, so that the runtime's packages stay unimported."""

HIGHEST_ID = 252
"""The highest ID that a servo can have; manual."""


class ArmFileError(ValueError):
    """An `arm.toml` cannot be used by the twin.

    Example scenarios:
        - No arm of that name ships and no file lies at that path.
        - A joint has no servo, or two servos share an ID.
        - A pose leaves out a joint.
    """


@dataclass(frozen=True, slots=True)
class TwinSecond:
    """What a joint's second servo has of its own; model, mode and gear are the joint's."""

    id: int
    sign: int  # +1: the angle grows with this servo's ticks
    offset: float  # rad, the joint's angle at this servo's middle tick


@dataclass(frozen=True, slots=True)
class TwinJoint:
    """One joint and the servo that turns it, or both of them."""

    name: str
    servo_id: int
    servo_model: str
    mode: str
    sign: int  # +1: the angle grows with the servo's ticks
    offset: float  # rad, the joint's angle at the servo's middle tick
    gear: float  # servo turns for one joint turn
    second: TwinSecond | None = None


@dataclass(frozen=True, slots=True)
class TwinServo:
    """One servo on the bus."""

    name: str  # its joint's, with `/2` behind it where it is the joint's second
    joint: int  # place of its joint in the arm
    id: int
    sign: int  # +1: the angle grows with its ticks
    offset: float  # rad, the joint's angle at its middle tick


@dataclass(frozen=True, slots=True)
class TwinArm:
    """An arm as the twin builds it."""

    name: str
    file: Path
    mjcf: Path
    tip: str  # the site that carries a payload
    baudrate: int  # bit/s
    supply: tuple[float, float]  # V, what the arm's supply may be
    joints: tuple[TwinJoint, ...]
    poses: Mapping[str, tuple[float, ...]]  # rad, in the order of the joints

    @classmethod
    def load(cls, name_or_path: str | Path) -> TwinArm:
        """Read a shipped arm by name, or any arm by the path of its folder or of its `arm.toml`.

        Raises:
            ArmFileError: there is no such arm, or its file lacks what the twin needs.
        """
        file = _find(name_or_path)
        try:
            data = tomllib.loads(file.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise ArmFileError(f"{file}: not valid TOML: {error}") from error
        except UnicodeDecodeError as error:
            raise ArmFileError(f"{file}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
        except OSError as error:
            raise ArmFileError(f"{file}: cannot be read: {error.strerror}") from error
        return _build(_Table(file, "", data))

    @property
    def servos(self) -> tuple[TwinServo, ...]:
        """All servos: the joints' first ones, which so have the places of their joints; behind them the second ones."""
        return _servos(self.joints)

    def pose(self, name: str) -> tuple[float, ...]:
        """Joint angles of a named pose. Raises ArmFileError that lists the poses."""
        if name not in self.poses:
            raise ArmFileError(f"{self.file}: no pose '{name}'; it has {', '.join(self.poses)}")
        return self.poses[name]


def _find(name_or_path: str | Path) -> Path:
    for candidate in (SHIPPED / name_or_path / "arm.toml", Path(name_or_path) / "arm.toml", Path(name_or_path)):
        if candidate.is_file():
            return candidate.resolve()
    shipped = ", ".join(sorted(p.parent.name for p in SHIPPED.glob("*/arm.toml")))
    raise ArmFileError(f"no arm '{name_or_path}': give a path to an arm.toml or its folder, or one of {shipped}")


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of the file, and what a message calls it. Every value is checked where it is taken."""

    file: Path
    name: str
    values: Mapping[str, Any]

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def error(self, what: str) -> ArmFileError:
        return ArmFileError(f"{self.file}: {self.name}{': ' if self.name else ''}{what}")

    def take(self, key: str, kind: type | tuple[type, ...], wanted: str) -> Any:
        if key not in self.values:
            raise self.error(f"missing key '{key}'")
        value = self.values[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(f"{key} must be {wanted}, not {value!r}")
        return value

    def table(self, key: str, name: str) -> _Table:
        return _Table(self.file, name, self.take(key, dict, "a table"))

    def text(self, key: str) -> str:
        return str(self.take(key, str, "text in quotes"))

    def whole(self, key: str) -> int:
        return int(self.take(key, int, "a whole number"))

    def number(self, key: str, default: float | None = None) -> float:
        if default is not None and key not in self.values:
            return default
        return self._finite(key, self.take(key, (int, float), "a number"))

    def pair(self, key: str) -> tuple[float, float]:
        values = self.take(key, list, "two numbers in brackets")
        if len(values) != 2 or any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in values):
            raise self.error(f"{key} must be two numbers in brackets, not {values!r}")
        return self._finite(key, values[0]), self._finite(key, values[1])

    def _finite(self, key: str, value: float) -> float:
        if not math.isfinite(value):
            raise self.error(f"{key} must be a finite number, not {value}")
        return float(value)


def _build(top: _Table) -> TwinArm:
    file = top.file
    entries = top.take("joint", list, "tables, each under a line [[joint]]")
    if not entries or not all(isinstance(entry, dict) for entry in entries):
        raise top.error(f"joint must be tables, each under a line [[joint]], not {entries!r}")
    joints = tuple(_joint(_Table(file, f"[[joint]] number {n}", entry)) for n, entry in enumerate(entries, 1))
    servos = _servos(joints)
    for what, values in (
        ("joints have the same name", [s.name for s in servos]),
        ("servos have the same id", [str(s.id) for s in servos]),
    ):
        if repeated := {v for v in values if values.count(v) > 1}:
            raise top.error(f"two {what}: {', '.join(sorted(repeated))}")
    arm, poses = top.table("arm", "[arm]"), top.table("poses", "[poses]")
    mjcf = file.parent / arm.text("mjcf")
    if not mjcf.is_file():
        raise arm.error(f"mjcf names {mjcf}, which does not exist")
    return TwinArm(
        name=arm.text("name"),
        file=file,
        mjcf=mjcf,
        tip=arm.text("tip"),
        baudrate=top.table("bus", "[bus]").whole("baudrate"),
        supply=top.table("supply", "[supply]").pair("voltage"),
        joints=joints,
        poses=MappingProxyType({name: _pose(poses, name, joints) for name in poses.values}),
    )


def _servos(joints: Sequence[TwinJoint]) -> tuple[TwinServo, ...]:
    places = list(enumerate(joints))
    first = [TwinServo(j.name, i, j.servo_id, j.sign, j.offset) for i, j in places]
    second = [TwinServo(f"{j.name}/2", i, s.id, s.sign, s.offset) for i, j in places if (s := j.second) is not None]
    return (*first, *second)


def _joint(entry: _Table) -> TwinJoint:
    name = entry.text("name")
    entry = replace(entry, name=f"joint '{name}'")
    servo = entry.table("servo", f"joint '{name}': servo")
    sign, offset = _sign(entry, 1), entry.number("offset", 0.0)
    joint = TwinJoint(
        name=name,
        servo_id=_id(servo),
        servo_model=servo.text("model"),
        mode=entry.text("mode"),
        sign=sign,
        offset=offset,
        gear=entry.number("gear", 1.0),
        second=_second(entry, sign, offset) if "second" in entry else None,
    )
    try:
        modes = load_servo(joint.servo_model).modes
    except ValueError as error:
        raise servo.error(str(error)) from error
    if joint.mode not in modes:
        raise entry.error(f"mode '{joint.mode}': {joint.servo_model} has {', '.join(modes)}")
    if joint.gear <= 0:
        raise entry.error(f"gear must be positive, not {joint.gear}")
    return joint


def _second(entry: _Table, sign: int, offset: float) -> TwinSecond:
    servo = entry.table("second", f"{entry.name}: second")
    # The two face one another: what is forward to the one is backward to the other.
    return TwinSecond(_id(servo), _sign(servo, -sign), servo.number("offset", offset))


def _id(servo: _Table) -> int:
    number = servo.whole("id")
    if not 0 <= number <= HIGHEST_ID:
        raise servo.error(f"id must be from 0 to {HIGHEST_ID}, not {number}")
    return number


def _sign(table: _Table, default: int) -> int:
    sign = table.whole("sign") if "sign" in table else default
    if sign not in (1, -1):
        raise table.error(f"sign must be 1 or -1, not {sign}")
    return sign


def _pose(poses: _Table, name: str, joints: tuple[TwinJoint, ...]) -> tuple[float, ...]:
    pose = replace(poses.table(name, ""), name=f"pose '{name}'")
    if missing := [j.name for j in joints if j.name not in pose]:
        raise ArmFileError(f"{poses.file}: pose '{name}' leaves out {', '.join(missing)}")
    return tuple(pose.number(j.name) for j in joints)
