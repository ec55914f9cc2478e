"""ArmSpec: what an `arm.toml` says, validated, in SI units. An error names the file, the line and the key."""

from __future__ import annotations

import contextlib
import hashlib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from xml.parsers import expat

from robot_runtime.servos import ServoModel, UnknownServoError, servo_model
from robot_runtime.servos.protocol import HIGHEST_ID, RETURN_DELAY_MAX
from robot_runtime.toml_lines import TomlLines
from robot_runtime.toml_table import TomlTable, TomlValueError

_MOST_VOLTS = 60.0
_MOST_ANGLE = 256 * 2 * math.pi  # rad, as far as a servo counts its turns
_MOST_GEAR = 1000.0
_DEGREES = 4  # turns of a servo that wraps after one: a range as wide is no mistake of an offset

_MARK = "\ufeff"  # which some editors put in front of a file

_LISTED = 8  # files of a folder, in messages

_BEYOND_NOMINAL = 1.5
"""Times what the servo does at its nominal voltage: nothing that its supply could make of it goes further."""

ASSEMBLED_WITHIN = 0.04
"""rad, standard deviation: how far from its mark a horn is put on, before anybody has settled the joint's zero."""

LIMIT_SLACK = 0.05
"""rad: how far outside its limits a joint may stand at torque-on, and those in its servo reach: gears give, hands are
inexact."""

SPLIT = 0.05
"""rad: two servos on one axle read alike but for horns, play and the moment between their samples: 0.01 rad. Beyond
this one of them has lost its place, or its horn slips, and in position modes they push against each other."""

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
class Facing:
    """What the second servo at a joint has of its own; all else is the joint's, as that is now."""

    servo_id: int
    sign: int
    offset: float  # rad
    homing_offset: int  # ticks


@dataclass(frozen=True, slots=True)
class JointSpec:
    """One joint and the servo that moves it.

    Angle: q = sign (ticks - zero_tick) rad_per_tick / gear + offset. Torque: tau = sign gear kt current.

    Where two servos sit on the joint's axle, `servo` is a model of both together (`ServoModel.doubled`).
    """

    name: str
    servo_id: int
    servo: ServoModel
    mode: str
    sign: int
    offset: float  # rad
    zero_within: float  # rad, standard deviation of what the offset may be off by
    gear: float  # servo turns for one joint turn
    homing_offset: int  # ticks, what the servo's Homing Offset register held when the joint was zeroed
    limits: Limits
    gains: Mapping[str, int]  # RAM registers written at start, in ticks
    turn_is_known: bool = False  # somebody sees to it that it is within the turn of its zero when it gets power
    facing: Facing | None = None  # a second servo on the joint's axle
    is_second: bool = False

    @property
    def second(self) -> JointSpec | None:
        """The same joint as its second servo turns it: with that one's ID, sign and offset."""
        if self.facing is None:
            return None
        own = self.facing
        return replace(
            self,
            servo_id=own.servo_id,
            sign=own.sign,
            offset=own.offset,
            homing_offset=own.homing_offset,
            facing=None,
            is_second=True,
        )

    @property
    def servo_ids(self) -> tuple[int, ...]:
        """The one servo that moves it, or both."""
        return (self.servo_id,) if self.facing is None else (self.servo_id, self.facing.servo_id)

    @property
    def moved_by(self) -> str:
        """In words: "servo 2", or "servos 2 and 3"."""
        return f"servo{'s' if self.facing else ''} {' and '.join(map(str, self.servo_ids))}"

    @property
    def servos_named(self) -> str:
        """What moves it, in words: "an XM540-W270", or "two XM540-W270 each"."""
        return f"two {self.servo.name} each" if self.facing else f"one {self.servo.name}"

    @property
    def servo_label(self) -> str:
        """What this servo is called where every servo needs a name of its own; the twin calls it so, too."""
        return f"{self.name}/2" if self.is_second else self.name

    @property
    def rad_per_tick(self) -> float:
        """Joint angle of one position tick, with its sign."""
        return self.sign * self.servo.radians_per_tick / self.gear

    def gain(self, register: str) -> int:
        """In ticks, as it is in a run: as the arm file sets it, else as the servo starts; 0 where it has none."""
        known = self.servo.registers.get(register)
        return self.gains.get(register, (known.initial or 0) if known else 0)

    def angle(self, ticks: float) -> float:
        """Joint angle (rad) at a servo position (ticks)."""
        return (ticks - self.servo.zero_tick) * self.rad_per_tick + self.offset

    def ticks(self, angle: float) -> int:
        """Servo position (ticks) nearest to a joint angle (rad)."""
        return round((angle - self.offset) / self.rad_per_tick) + self.servo.zero_tick

    def may_stand(self, angle: float) -> bool:
        """Whether torque may come on with the joint at this angle (rad)."""
        return self.limits.lower - LIMIT_SLACK <= angle <= self.limits.upper + LIMIT_SLACK

    def is_turns_off(self, angle: float) -> bool:
        """Whether the joint might stand where it may, had its encoder not lost or won a whole servo turn or two."""
        turn = 2 * math.pi / self.gear
        return any(self.may_stand(angle + k * turn) for k in (-2, -1, 1, 2))

    @property
    def position_ticks(self) -> tuple[int, int]:
        """The joint's limits in servo ticks, lower first."""
        ends = sorted((self.ticks(self.limits.lower), self.ticks(self.limits.upper)))
        return ends[0], ends[1]

    @property
    def torque_per_ampere(self) -> float:
        """Joint torque of one ampere, with its sign."""
        return self.sign * self.gear * self.servo.motor.torque_constant

    @property
    def current_bound(self) -> int:
        """Ticks of current, as its servo measures it, beyond which a standing joint would push with more than its
        torque limit.

        A servo that measures its supply's current shows I² R / V for I in its motor: little, so at least a tick. V: the
        highest that it is rated for, because at a lower one the same bound only leaves the joint weaker; and so it does
        in a servo that should bound its motor's current after all.
        """
        amperes, tick = self.limits.torque / abs(self.torque_per_ampere), self.servo.units["current"].scale
        if not self.servo.senses_supply:
            return int(amperes / tick)
        motor = self.servo.motor
        return max(int(amperes * min(amperes * motor.resistance / motor.voltage_range[1], 1.0) / tick), 1)


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
    power: float  # W, electrical, of all motors together
    joints: tuple[JointSpec, ...]
    poses: Mapping[str, tuple[float, ...]]  # rad, by name; `home` and `rest` are always there
    digest: str  # SHA-256 of arm.toml and MJCF, hex
    mjcf_digest: str  # SHA-256 of the MJCF alone: what a policy was trained in, whatever the zero of this arm
    load: float = 0.0  # kg that were hung at the tip, for now, besides what the MJCF has

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Joint names in order."""
        return tuple(j.name for j in self.joints)

    @property
    def servos(self) -> tuple[JointSpec, ...]:
        """Every servo, as the joint that it turns: those of the joints in order, then the second ones in order."""
        return (*self.joints, *(second for j in self.joints if (second := j.second) is not None))

    @property
    def turned_by(self) -> tuple[int, ...]:
        """Which joint each of `servos` turns, by its place in `joints`."""
        return (*range(len(self.joints)), *(i for i, j in enumerate(self.joints) if j.facing is not None))

    def who(self, joint: int, servo: int) -> str:
        """In words: one of `servos` that turns this joint, or (below 0) what turns it."""
        if servo < 0 or self.joints[joint].facing is None:
            return self.joints[joint].moved_by
        return f"servo {self.servos[servo].servo_id}, one of two"

    @property
    def servo_ids(self) -> tuple[int, ...]:
        """IDs of `servos`."""
        return tuple(j.servo_id for j in self.servos)


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
    try:
        text = path.read_text(encoding="utf-8")
        if text.startswith(_MARK):
            raise ArmSpecError(f"{path}: begins with a byte order mark; save it as UTF-8 without one")
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ArmSpecError(f"{path}: not valid TOML: {error}") from error
    try:
        return _build(TomlTable(path, data, TomlLines(text)), zeroed=zeroed)
    except TomlValueError as error:
        raise ArmSpecError(str(error)) from error


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
    if path.is_dir():
        lies = ", ".join(sorted(file.name for file in path.iterdir())[:_LISTED]) or "nothing"
        raise ArmNotFoundError(f"no arm.toml in the folder {path}; there is {lies}")
    raise ArmNotFoundError(f"no arm '{name_or_path}': neither a path to an arm.toml nor one of {known}")


def _build(file: TomlTable, *, zeroed: bool) -> ArmSpec:
    arm = file.table("arm")
    name, description, tip, mjcf_name = arm.text("name"), arm.text("description"), arm.text("tip"), arm.text("mjcf")
    mjcf = file.file.parent / mjcf_name
    if not mjcf.is_file():
        raise arm.error("mjcf", f"no file '{mjcf_name}' beside the arm file")
    arm.finish()
    bus, supply = _bus(file.table("bus")), file.table("supply")
    voltage = supply.interval("voltage", "V", 1.0, _MOST_VOLTS)
    joints = _joints(file, bus, zeroed=zeroed)
    # What the torque limits can draw at most: a motor takes current in proportion to its torque, at the full voltage.
    supply.default("power", sum(j.limits.torque * j.servo.motor.no_load_speed / j.gear for j in joints))
    power = supply.positive("power", "W")
    supply.finish()
    for joint in joints:
        low, high = joint.servo.motor.voltage_range
        if voltage[0] > high or voltage[1] < low:
            rated = f"joint '{joint.name}' has a {joint.servo.name}, which is for {low:g} to {high:g} V"
            raise supply.error("voltage", f"{voltage[0]:g} to {voltage[1]:g} V; {rated}")
    poses = _poses(file.table("poses"), joints)
    file.finish()
    body = mjcf.read_bytes()
    _check_numbers(mjcf, body)
    digest = hashlib.sha256(file.file.read_bytes() + b"\0" + body).hexdigest()
    mjcf_digest = hashlib.sha256(body).hexdigest()
    return ArmSpec(name, description, file.file, mjcf, tip, bus, voltage, power, joints, poses, digest, mjcf_digest)


_MJCF_NUMBERS = {
    *("mass", "density", "diaginertia", "fullinertia", "armature", "damping", "frictionloss"),
    *("pos", "quat", "euler", "axisangle", "xyaxes", "zaxis", "axis", "size", "fromto"),
}
"""Attributes of a body and of what it is made of."""


def _check_numbers(mjcf: Path, text: bytes) -> None:
    """MuJoCo takes a mass of NaN for one that was not said, or for a mass; and a URDF for an arm on no table."""
    parser = expat.ParserCreate()
    bodies: list[str] = []

    def begin(tag: str, attributes: dict[str, str]) -> None:
        if tag == "robot":
            raise ArmSpecError(f"{mjcf}: a URDF, not an MJCF; docs/arms.md says how to make one of it")
        if tag == "body":
            bodies.append(attributes.get("name", "without a name"))
        for key in _MJCF_NUMBERS & attributes.keys():
            if any(map(_is_no_number, attributes[key].split())):
                body = f"body '{bodies[-1]}': " if bodies else ""
                where = f"{mjcf}:{parser.CurrentLineNumber}: {body}<{tag}> {key}"
                raise ArmSpecError(f"{where}: expected finite numbers, found '{attributes[key]}'")

    def end(tag: str) -> None:
        if tag == "body":
            bodies.pop()

    parser.StartElementHandler, parser.EndElementHandler = begin, end
    with contextlib.suppress(expat.ExpatError, LookupError):  # MuJoCo says more of it
        parser.Parse(text)


def _is_no_number(word: str) -> bool:
    try:
        return not math.isfinite(float(word))
    except ValueError:
        return False  # MuJoCo says so


def _bus(table: TomlTable) -> BusSpec:
    baudrate = table.integer("baudrate", 9600, 4_500_000)
    watchdog = table.positive("watchdog", "s")
    if not _WATCHDOG_STEP <= watchdog <= _WATCHDOG_MAX:
        raise table.error("watchdog", f"expected {_WATCHDOG_STEP} to {_WATCHDOG_MAX} s, found {watchdog}")
    return_delay = table.number("return_delay", "s", 0.0)
    if not 0 <= return_delay <= RETURN_DELAY_MAX:
        raise table.error("return_delay", f"expected 0 to {RETURN_DELAY_MAX:g} s, found {return_delay}")
    table.finish()
    return BusSpec(baudrate, watchdog, return_delay)


def _joints(file: TomlTable, bus: BusSpec, *, zeroed: bool) -> tuple[JointSpec, ...]:
    joints: list[JointSpec] = []
    for table in file.tables("joint"):
        joint = _joint(table, bus)
        if zeroed:
            _check_range(table, "limits", joint)
        if zeroed and (second := joint.second) is not None:
            _check_range(table, "second", second)
        for other in joints:
            if other.name == joint.name:
                raise table.error("name", f"'{joint.name}' is the name of an earlier joint too")
            for servo_id in joint.servo_ids:
                if servo_id in other.servo_ids:
                    key = "servo" if servo_id == joint.servo_id else "second"
                    raise table.error(key, f"ID {servo_id} already moves joint '{other.name}'")
        joints.append(joint)
    if not joints:
        raise file.error("joint", "expected at least one [[joint]]")
    return tuple(joints)


def _joint(table: TomlTable, bus: BusSpec) -> JointSpec:
    name = table.text("name")
    has_second = "second" in table
    servo, second = table.table("servo"), table.table("second", {})
    servo_id = servo.integer("id", 0, HIGHEST_ID)
    try:
        model = servo_model(servo.text("model"))
    except UnknownServoError as error:
        raise servo.error("model", str(error)) from error
    servo.finish()
    if has_second:
        model = model.doubled()
    if bus.baudrate not in model.baudrates:
        raise servo.error("model", f"{model.name} cannot do {bus.baudrate} bit/s; it does {list(model.baudrates)}")
    mode = table.text("mode")
    if mode not in model.modes:
        raise table.error("mode", f"{model.name} has no mode '{mode}'; it has {', '.join(model.modes)}")
    if mode == "current" and model.senses_supply:
        raise table.error(
            "mode",
            f"{model.name} measures its supply's current, not its motor's: in mode 'current' its torque would not be "
            "what is asked for, at low speed several times as much; use 'pwm', in which torques are made by duties",
        )
    sign = _sign(table)
    gear = table.positive("gear", "servo turns for one joint turn", 1.0, most=_MOST_GEAR)
    joint = JointSpec(
        name=name,
        servo_id=servo_id,
        servo=model,
        mode=mode,
        sign=sign,
        offset=table.number("offset", "rad", most=_MOST_ANGLE),
        zero_within=table.positive("zero_within", "rad", ASSEMBLED_WITHIN, most=_MOST_ANGLE),
        gear=gear,
        homing_offset=_homing_offset(table, model),
        limits=_limits(table.table("limits"), model, gear),
        gains=_gains(table.table("gains", {}), model),
        turn_is_known=table.get("turn_is_known", bool, "true or false", False),
    )
    table.finish()
    return replace(joint, facing=_facing(second, joint)) if has_second else joint


def _facing(table: TomlTable, joint: JointSpec) -> Facing:
    """The second servo. Two that face one another turn opposite ways."""
    table.default("sign", -joint.sign)
    second = Facing(
        servo_id=table.integer("id", 0, HIGHEST_ID),
        sign=_sign(table),
        offset=table.number("offset", "rad", joint.offset, most=_MOST_ANGLE),
        homing_offset=_homing_offset(table, joint.servo),
    )
    if second.servo_id == joint.servo_id:
        raise table.error("id", f"{joint.servo_id} is the first servo's; a second one needs an ID of its own")
    table.finish()
    return second


def _sign(table: TomlTable) -> int:
    sign = table.integer("sign", -1, 1)
    if sign == 0:
        raise table.error("sign", "expected 1 or -1, found 0")
    return sign


def _homing_offset(table: TomlTable, model: ServoModel) -> int:
    register = model.register("homing_offset")
    table.default("homing_offset", 0)
    return table.integer("homing_offset", register.minimum, register.maximum)


def _limits(table: TomlTable, model: ServoModel, gear: float) -> Limits:
    """Limits of a joint; what the servo can never reach, even without anything to carry, would be no limit at all."""
    lower, upper = table.interval("position", "rad", -_MOST_ANGLE, _MOST_ANGLE)
    motor = model.motor
    limits = Limits(
        lower=lower,
        upper=upper,
        velocity=table.positive("velocity", "rad/s", most=_BEYOND_NOMINAL * motor.no_load_speed / gear),
        acceleration=table.positive(
            "acceleration", "rad/s²", most=_BEYOND_NOMINAL * motor.stall_torque / (motor.armature * gear)
        ),
        jerk=table.positive("jerk", "rad/s³", most=1e9),
        torque=table.positive("torque", "N·m", most=_BEYOND_NOMINAL * motor.stall_torque * gear),
        temperature=table.positive("temperature", "°C", most=model.register("temperature_limit").maximum),
    )
    table.finish()
    return limits


def _gains(table: TomlTable, model: ServoModel) -> Mapping[str, int]:
    gains = {}
    for key in table.keys():  # noqa: SIM118 (a reader is not a mapping)
        register = model.registers.get(key)
        if register is None or not key.endswith("_gain"):
            known = ", ".join(name for name in model.registers if name.endswith("_gain"))
            raise table.error(key, f"not a gain of {model.name}; it has {known}")
        gains[key] = table.integer(key, register.minimum, register.maximum)
    return MappingProxyType(gains)


def _check_range(table: TomlTable, key: str, joint: JointSpec) -> None:
    """Outside extended position mode, a servo's position wraps after one turn: the joint's range must not.

    In that mode it begins within one turn at power-up, wherever the joint is: a range may not hold both places.
    """
    low, high = joint.position_ticks
    turn = joint.servo.ticks_per_turn
    wraps = joint.mode != "extended_position"
    if wraps and high - low > _DEGREES * turn:
        width = joint.limits.upper - joint.limits.lower
        raise table.error(key, f"the range is {width:g} rad wide, {(high - low) / turn:.0f} turns: are these degrees?")
    if wraps and not 0 <= low < high < turn:
        raise table.error(
            key,
            f"the range is {low} to {high} in servo ticks, and the encoder wraps at 0 and {turn}: run "
            "'robot-setup zero', shift the offset, narrow the range, or use mode 'extended_position'",
        )
    if high - low >= turn and not joint.turn_is_known:
        raise table.error(
            key,
            f"the range is {high - low} servo ticks, a turn has {turn}: after power-up nobody can tell which turn the "
            "joint is in. Narrow the range; or see to it that its servo only ever gets power within the turn of its "
            "zero, and write turn_is_known = true",
        )


def _poses(table: TomlTable, joints: tuple[JointSpec, ...]) -> Mapping[str, tuple[float, ...]]:
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
