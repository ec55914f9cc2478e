"""The twin's own reader of `arm.toml`: which servos hang on the bus and how each turns its joint.

It reads what the twin needs and leaves the rest (limits, poses of the runtime, contracts) to the runtime's own
reader.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

SHIPPED = Path(__file__).resolve().parents[2] / "models" / "arms"
"""Folder of the arms that ship, one folder an arm. A path, so that the runtime's packages stay unimported."""


class ArmFileError(ValueError):
    """An `arm.toml` cannot be used by the twin.

    Example scenarios:
        - No arm of that name ships and no file lies at that path.
        - A joint has no servo, or two joints share a servo ID.
        - A pose leaves out a joint.
    """


@dataclass(frozen=True, slots=True)
class TwinJoint:
    """One joint and the servo that turns it."""

    name: str
    servo_id: int
    servo_model: str
    mode: str
    sign: int  # +1: the angle grows with the servo's ticks
    offset: float  # rad, the joint's angle at the servo's middle tick
    gear: float  # servo turns for one joint turn


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
        try:
            return _build(data, file)
        except KeyError as error:
            raise ArmFileError(f"{file}: missing key {error}") from error

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


def _build(data: Mapping[str, Any], file: Path) -> TwinArm:
    joints = tuple(_joint(entry, file) for entry in data["joint"])
    for what, values in (("name", [j.name for j in joints]), ("servo id", [str(j.servo_id) for j in joints])):
        if repeated := {v for v in values if values.count(v) > 1}:
            raise ArmFileError(f"{file}: two joints have the same {what}: {', '.join(sorted(repeated))}")
    mjcf = file.parent / data["arm"]["mjcf"]
    if not mjcf.is_file():
        raise ArmFileError(f"{file}: [arm] mjcf names {mjcf}, which does not exist")
    low, high = data["supply"]["voltage"]
    return TwinArm(
        name=data["arm"]["name"],
        file=file,
        mjcf=mjcf,
        tip=data["arm"]["tip"],
        baudrate=data["bus"]["baudrate"],
        supply=(float(low), float(high)),
        joints=joints,
        poses=MappingProxyType({name: _pose(name, angles, joints, file) for name, angles in data["poses"].items()}),
    )


def _joint(entry: Mapping[str, Any], file: Path) -> TwinJoint:
    joint = TwinJoint(
        name=entry["name"],
        servo_id=entry["servo"]["id"],
        servo_model=entry["servo"]["model"],
        mode=entry["mode"],
        sign=entry.get("sign", 1),
        offset=float(entry.get("offset", 0.0)),
        gear=float(entry.get("gear", 1.0)),
    )
    if joint.sign not in (1, -1):
        raise ArmFileError(f"{file}: joint '{joint.name}': sign must be 1 or -1, not {joint.sign}")
    if joint.gear <= 0:
        raise ArmFileError(f"{file}: joint '{joint.name}': gear must be positive, not {joint.gear}")
    return joint


def _pose(name: str, angles: Mapping[str, float], joints: tuple[TwinJoint, ...], file: Path) -> tuple[float, ...]:
    if missing := [j.name for j in joints if j.name not in angles]:
        raise ArmFileError(f"{file}: pose '{name}' leaves out {', '.join(missing)}")
    return tuple(float(angles[j.name]) for j in joints)
