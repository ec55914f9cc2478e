"""ArmSpec: what an `arm.toml` says, validated, in SI units. An error names the file, the line and the key."""

from __future__ import annotations

import hashlib
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from robot_runtime.servos import ServoModel, UnknownServoError, servo_model
from robot_runtime.toml_lines import TomlLines

_MAX_ID = 252
_WATCHDOG_STEP = 0.02  # s, unit of the Bus Watchdog register
_WATCHDOG_MAX = 127 * _WATCHDOG_STEP


class ArmSpecError(ValueError):
    """An arm file that cannot be used; the message names file, line and key.

    Example scenarios:
        - A limit is missing, negative, or its two ends are swapped.
        - Two joints use one servo ID.
        - A pose lies outside the joint limits.
    """


class ArmNotFoundError(ArmSpecError, FileNotFoundError):
    """Neither the name of a shipped arm nor a path to an `arm.toml`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a joint may do. Angles in rad, torque at the joint, temperature inside the servo."""

    lower: float  # rad
    upper: float  # rad
    velocity: float  # rad/s
    acceleration: float  # rad/s²
    jerk: float  # rad/s³
    torque: float  # N·m
    temperature: float  # °C


@dataclass(frozen=True, slots=True)
class JointSpec:
    """One joint and the servo that moves it.

    Angle: q = sign (ticks - zero_tick) rad_per_tick / gear + offset. Torque: tau = sign gear kt current.
    """

    name: str
    servo_id: int
    servo: ServoModel
    mode: str
    sign: int
    offset: float  # rad
    gear: float  # servo turns for one joint turn
    homing_offset: int  # ticks, what the servo's Homing Offset register held when the joint was zeroed
    limits: Limits
    gains: Mapping[str, int]  # RAM registers written at start, in ticks

    @property
    def rad_per_tick(self) -> float:
        """Joint angle of one position tick, with its sign."""
        return self.sign * self.servo.radians_per_tick / self.gear

    def angle(self, ticks: float) -> float:
        """Joint angle (rad) at a servo position (ticks)."""
        return (ticks - self.servo.zero_tick) * self.rad_per_tick + self.offset

    def ticks(self, angle: float) -> int:
        """Servo position (ticks) nearest to a joint angle (rad)."""
        return round((angle - self.offset) / self.rad_per_tick) + self.servo.zero_tick

    @property
    def position_ticks(self) -> tuple[int, int]:
        """The joint's limits in servo ticks, lower first."""
        ends = sorted((self.ticks(self.limits.lower), self.ticks(self.limits.upper)))
        return ends[0], ends[1]

    @property
    def torque_per_ampere(self) -> float:
        """Joint torque of one ampere, with its sign."""
        return self.sign * self.gear * self.servo.motor.torque_constant


@dataclass(frozen=True, slots=True)
class BusSpec:
    """How the arm's bus is set."""

    baudrate: int  # bit/s
    watchdog: float  # s
    return_delay: float  # s

    @property
    def watchdog_ticks(self) -> int:
        """Value of the Bus Watchdog register: the time rounded up to its unit."""
        return math.ceil(round(self.watchdog / _WATCHDOG_STEP, 6))


@dataclass(frozen=True, slots=True)
class ArmSpec:
    """An arm as its file describes it. Arrays everywhere else follow the order of `joints`."""

    name: str
    description: str
    path: Path
    mjcf: Path
    tip: str
    bus: BusSpec
    supply: tuple[float, float]  # V
    joints: tuple[JointSpec, ...]
    poses: Mapping[str, tuple[float, ...]]  # rad, by name; `home` and `rest` are always there
    digest: str  # SHA-256 of arm.toml and MJCF, hex

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Joint names in order."""
        return tuple(j.name for j in self.joints)

    @property
    def servo_ids(self) -> tuple[int, ...]:
        """Servo IDs in order."""
        return tuple(j.servo_id for j in self.joints)


def shipped_arms() -> tuple[str, ...]:
    """Names of the arms that come with the project."""
    folder = resources.files("models") / "arms"
    return tuple(sorted(d.name for d in folder.iterdir() if (d / "arm.toml").is_file()))


def load_arm(name_or_path: str | Path, *, zeroed: bool = True) -> ArmSpec:
    """Read a shipped arm by name, or an `arm.toml` (or the folder that holds one) by path.

    `zeroed=False` lets pass that an encoder wraps inside a joint's range: for setting up an arm that has no zero yet.

    Raises:
        ArmNotFoundError: there is no such arm.
        ArmSpecError: the file cannot be used; the message says where and why.
    """
    path = _find(name_or_path)
    text = path.read_text(encoding="utf-8")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ArmSpecError(f"{path}: not valid TOML: {error}") from error
    return _build(_Reader(path, data, TomlLines(text)), zeroed=zeroed)


def _find(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.is_dir() and (path / "arm.toml").is_file():
        return path / "arm.toml"
    if path.is_file():
        return path
    if len(path.parts) == 1 and str(name_or_path) in shipped_arms():
        with resources.as_file(resources.files("models") / "arms" / str(name_or_path) / "arm.toml") as file:
            return file
    known = ", ".join(shipped_arms())
    raise ArmNotFoundError(f"no arm '{name_or_path}': neither a path to an arm.toml nor one of {known}")


class _Reader:
    """A table of the file that knows where it stands, and takes note of the keys that were asked for."""

    def __init__(self, file: Path, data: dict[str, Any], lines: TomlLines, at: tuple[str | int, ...] = ()) -> None:
        self.file, self._data, self._lines, self._at = file, data, lines, at
        self._asked: set[str] = set()

    def error(self, key: str, problem: str) -> ArmSpecError:
        """The error to raise about a key of this table."""
        path = (*self._at, key) if key else self._at
        line = self._lines.line(path)
        name = ".".join(str(part + 1) if isinstance(part, int) else part for part in path)
        return ArmSpecError(f"{self.file}:{line or 1}: {name}: {problem}")

    def get(self, key: str, kind: type | tuple[type, ...], expected: str, default: Any = None) -> Any:
        """Value of a key, of the right type."""
        self._asked.add(key)
        if key not in self._data:
            if default is None:
                raise self.error(key, f"missing; expected {expected}")
            return default
        value = self._data[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.error(key, f"expected {expected}, found {value!r}")
        return value

    def text(self, key: str) -> str:
        return str(self.get(key, str, "a text"))

    def integer(self, key: str, low: int, high: int) -> int:
        value = int(self.get(key, int, f"a whole number from {low} to {high}"))
        if not low <= value <= high:
            raise self.error(key, f"expected {low} to {high}, found {value}")
        return value

    def number(self, key: str, unit: str, default: float | None = None) -> float:
        value = float(self.get(key, (int, float), f"a number ({unit})", default))
        if not math.isfinite(value):
            raise self.error(key, f"expected a finite number ({unit}), found {value}")
        return value

    def positive(self, key: str, unit: str, default: float | None = None) -> float:
        value = self.number(key, unit, default)
        if value <= 0:
            raise self.error(key, f"expected a number above 0 ({unit}), found {value}")
        return value

    def interval(self, key: str, unit: str) -> tuple[float, float]:
        value = self.get(key, list, f"[low, high] ({unit})")
        if len(value) != 2 or not all(isinstance(v, int | float) and math.isfinite(v) for v in value):
            raise self.error(key, f"expected [low, high] ({unit}), found {value}")
        if value[0] >= value[1]:
            raise self.error(key, f"the low end {value[0]} is not below the high end {value[1]}")
        return float(value[0]), float(value[1])

    def table(self, key: str, default: dict[str, Any] | None = None) -> _Reader:
        value = self.get(key, dict, "a table", default)
        return _Reader(self.file, value, self._lines, (*self._at, key))

    def tables(self, key: str) -> Iterator[_Reader]:
        value = self.get(key, list, f"at least one [[{key}]]")
        for i, item in enumerate(value):
            yield _Reader(self.file, item, self._lines, (*self._at, key, i))

    def keys(self) -> tuple[str, ...]:
        return tuple(self._data)

    def finish(self) -> None:
        """Complain about keys that nobody asked for: most often a typing error."""
        for key in self._data:
            if key not in self._asked:
                raise self.error(key, f"unknown key; known here: {', '.join(sorted(self._asked))}")


def _build(file: _Reader, *, zeroed: bool) -> ArmSpec:
    arm = file.table("arm")
    name, description, tip, mjcf_name = arm.text("name"), arm.text("description"), arm.text("tip"), arm.text("mjcf")
    mjcf = file.file.parent / mjcf_name
    if not mjcf.is_file():
        raise arm.error("mjcf", f"no file '{mjcf_name}' beside the arm file")
    arm.finish()
    bus, supply = _bus(file.table("bus")), file.table("supply")
    voltage = supply.interval("voltage", "V")
    supply.finish()
    joints = _joints(file, bus, zeroed=zeroed)
    poses = _poses(file.table("poses"), joints)
    file.finish()
    digest = hashlib.sha256(file.file.read_bytes() + b"\0" + mjcf.read_bytes()).hexdigest()
    return ArmSpec(name, description, file.file, mjcf, tip, bus, voltage, joints, poses, digest)


def _bus(table: _Reader) -> BusSpec:
    baudrate = table.integer("baudrate", 9600, 4_500_000)
    watchdog = table.positive("watchdog", "s")
    if not _WATCHDOG_STEP <= watchdog <= _WATCHDOG_MAX:
        raise table.error("watchdog", f"expected {_WATCHDOG_STEP} to {_WATCHDOG_MAX} s, found {watchdog}")
    return_delay = table.number("return_delay", "s", 0.0)
    if not 0 <= return_delay <= 254 * 2e-6:
        raise table.error("return_delay", f"expected 0 to 0.000508 s, found {return_delay}")
    table.finish()
    return BusSpec(baudrate, watchdog, return_delay)


def _joints(file: _Reader, bus: BusSpec, *, zeroed: bool) -> tuple[JointSpec, ...]:
    joints: list[JointSpec] = []
    for table in file.tables("joint"):
        joint = _joint(table, bus)
        if zeroed:
            _check_range(table, joint)
        for other in joints:
            if other.name == joint.name:
                raise table.error("name", f"'{joint.name}' is the name of an earlier joint too")
            if other.servo_id == joint.servo_id:
                raise table.error("servo", f"ID {joint.servo_id} already moves joint '{other.name}'")
        joints.append(joint)
    if not joints:
        raise file.error("joint", "expected at least one [[joint]]")
    return tuple(joints)


def _joint(table: _Reader, bus: BusSpec) -> JointSpec:
    name = table.text("name")
    servo = table.table("servo")
    servo_id = servo.integer("id", 0, _MAX_ID)
    try:
        model = servo_model(servo.text("model"))
    except UnknownServoError as error:
        raise servo.error("model", str(error)) from error
    servo.finish()
    if bus.baudrate not in model.baudrates:
        raise servo.error("model", f"{model.name} cannot do {bus.baudrate} bit/s; it does {list(model.baudrates)}")
    mode = table.text("mode")
    if mode not in model.modes:
        raise table.error("mode", f"{model.name} has no mode '{mode}'; it has {', '.join(model.modes)}")
    sign = table.integer("sign", -1, 1)
    if sign == 0:
        raise table.error("sign", "expected 1 or -1, found 0")
    joint = JointSpec(
        name=name,
        servo_id=servo_id,
        servo=model,
        mode=mode,
        sign=sign,
        offset=table.number("offset", "rad"),
        gear=table.positive("gear", "servo turns for one joint turn", 1.0),
        homing_offset=int(table.get("homing_offset", int, "a whole number of ticks", 0)),
        limits=_limits(table.table("limits")),
        gains=_gains(table.table("gains", {}), model),
    )
    table.finish()
    return joint


def _limits(table: _Reader) -> Limits:
    lower, upper = table.interval("position", "rad")
    limits = Limits(
        lower=lower,
        upper=upper,
        velocity=table.positive("velocity", "rad/s"),
        acceleration=table.positive("acceleration", "rad/s²"),
        jerk=table.positive("jerk", "rad/s³"),
        torque=table.positive("torque", "N·m"),
        temperature=table.positive("temperature", "°C"),
    )
    table.finish()
    return limits


def _gains(table: _Reader, model: ServoModel) -> Mapping[str, int]:
    gains = {}
    for key in table.keys():  # noqa: SIM118 (a reader is not a mapping)
        register = model.registers.get(key)
        if register is None or not register.writable or register.eeprom:
            raise table.error(key, f"{model.name} has no writable RAM register of that name")
        gains[key] = table.integer(key, register.minimum, register.maximum)
    return MappingProxyType(gains)


def _check_range(table: _Reader, joint: JointSpec) -> None:
    """Outside extended position mode, a servo's position wraps after one turn: the joint's range must not."""
    low, high = joint.position_ticks
    turn = joint.servo.ticks_per_turn
    if joint.mode != "extended_position" and not 0 <= low < high < turn:
        raise table.error(
            "limits",
            f"the range is {low} to {high} in servo ticks, and the encoder wraps at 0 and {turn}: run "
            "'robot-setup zero', shift the offset, narrow the range, or use mode 'extended_position'",
        )


def _poses(table: _Reader, joints: tuple[JointSpec, ...]) -> Mapping[str, tuple[float, ...]]:
    poses = {}
    for name in dict.fromkeys(("home", "rest", *table.keys())):
        pose = table.table(name)
        angles = []
        for joint in joints:
            angle = pose.number(joint.name, "rad")
            if not joint.limits.lower <= angle <= joint.limits.upper:
                limits = f"{joint.limits.lower} to {joint.limits.upper}"
                raise pose.error(joint.name, f"{angle} rad is outside the joint's limits, {limits}")
            angles.append(angle)
        pose.finish()
        poses[name] = tuple(angles)
    return MappingProxyType(poses)
