"""Logs that were not made by us: CSV or JSON, with a small mapping file that says what the columns are.

Nothing is guessed: a column without a unit, or a unit that is not known, is an error that names the line.
"""

from __future__ import annotations

import csv
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calibration.log import Floats, Log, make_log
from robot_runtime.flight.reader import FlightError, read_flight
from robot_runtime.spec import ArmSpec, ArmSpecError, JointSpec, load_arm
from robot_runtime.toml_lines import TomlLines
from robot_runtime.toml_table import TomlTable, TomlValueError

QUANTITIES: Mapping[str, str] = {
    "q": "angle",
    "dq": "speed",
    "command": "",  # as the joint's mode says
    "duty": "duty",
    "current": "current",
    "volts": "voltage",
    "temperature": "temperature",
    "torque_on": "flag",
}
"""What a joint's column can be, and what kind of unit it has."""

COMMANDS = {
    "position": "angle",
    "extended_position": "angle",
    "velocity": "speed",
    "current": "torque",
    "pwm": "duty",
}
"""Mode -> the kind of unit of its command."""

UNITS: Mapping[str, Mapping[str, float]] = {
    "angle": {"rad": 1.0, "deg": math.pi / 180, "turn": 2 * math.pi},
    "speed": {"rad/s": 1.0, "deg/s": math.pi / 180, "rpm": math.pi / 30},
    "torque": {"N·m": 1.0, "Nm": 1.0, "mNm": 1e-3},
    "duty": {"1": 1.0, "%": 0.01},
    "current": {"A": 1.0, "mA": 1e-3},
    "voltage": {"V": 1.0, "mV": 1e-3, "dV": 0.1},
    "temperature": {"degC": 1.0},
    "time": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9},
    "flag": {"": 1.0},
}
"""Kind -> unit -> its size in SI. Besides these: "tick" of the servo's registers, and "pwm" for ticks of its PWM."""


class LogError(ValueError):
    """A log, or its mapping, that cannot be used; says what, where and why."""


@dataclass(frozen=True, slots=True)
class Column:
    """Where a quantity stands, and how it becomes SI in the joint's sense."""

    name: str
    scale: float
    offset: float  # added after scaling
    wrap: float  # above half of it values are negative; 0: never

    def read(self, table: Mapping[str, Floats]) -> Floats:
        """The values."""
        values = table[self.name]
        if self.wrap:
            values = np.where(values >= self.wrap / 2, values - self.wrap, values)
        return values * self.scale + self.offset


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """A mapping file."""

    path: Path
    spec: ArmSpec
    rows: str
    time: Column
    joints: Mapping[str, Mapping[str, Column]]
    gains: Mapping[str, Mapping[str, str | float]]
    notes: Mapping[str, str]


def load_mapping(path: str | Path) -> ColumnMap:
    """Read a mapping file.

    Raises:
        LogError: it cannot be used; the message names file, line and key.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        file = TomlTable(path, tomllib.loads(text), TomlLines(text))
        return _mapping(file)
    except OSError as error:
        raise LogError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LogError(f"{path}: not valid TOML: {error}") from error
    except (TomlValueError, ArmSpecError) as error:
        raise LogError(str(error)) from error


def _mapping(file: TomlTable) -> ColumnMap:
    arm = file.text("arm")
    beside = file.file.parent / arm
    spec = load_arm(beside if beside.exists() else arm)
    file.default("rows", "")
    rows = file.text("rows")
    time = _column(file.table("time"), "time", None)
    joints: dict[str, dict[str, Column]] = {}
    gains: dict[str, dict[str, str | float]] = {}
    tables = file.table("joint")
    for name in tables.keys():  # noqa: SIM118 (a reader is not a mapping)
        if name not in spec.joint_names:
            raise tables.error(name, f"no such joint; {spec.path} has {', '.join(spec.joint_names)}")
        joint = spec.joints[spec.joint_names.index(name)]
        table = tables.table(name)
        columns = {}
        for key in table.keys():  # noqa: SIM118
            if key == "gains":
                gain = table.table(key)
                gains[name] = {g: gain.get(g, (str, int, float), "a key of the file, or a number") for g in gain.keys()}  # noqa: SIM118
            elif key in QUANTITIES:
                kind = QUANTITIES[key] or COMMANDS.get(joint.mode, "")
                if not kind:
                    raise table.error(key, f"commands of mode '{joint.mode}' cannot be calibrated")
                columns[key] = _column(table.table(key), kind, joint)
            else:
                raise table.error(key, f"unknown; known: {', '.join((*QUANTITIES, 'gains'))}")
        for needed in ("q", "command"):
            if needed not in columns:
                raise table.error(needed, "missing: no calibration without it")
        joints[name] = columns
    notes = file.table("notes", {})
    said = {key: notes.text(key) for key in notes.keys()}  # noqa: SIM118
    file.finish()
    return ColumnMap(file.file, spec, rows, time, joints, gains, said)


def _column(table: TomlTable, kind: str, joint: JointSpec | None) -> Column:
    name = table.text("column")
    unit = "" if kind == "flag" else table.text("unit")
    scale = _scale(table, kind, unit, joint)
    table.default("sign", 1)
    sign = table.integer("sign", -1, 1)
    column = Column(
        name, scale * sign, table.number("offset", "in SI units", 0.0), table.number("wrap", "", 0.0, most=2**32)
    )
    table.finish()
    return column


def _scale(table: TomlTable, kind: str, unit: str, joint: JointSpec | None) -> float:
    if joint is not None and unit in ("tick", "pwm"):
        name = {"angle": "position", "speed": "velocity", "duty": "pwm", "torque": "current", "current": "current"}.get(
            kind, kind
        )
        if name in joint.servo.units:
            scale = joint.servo.units[name].scale
            turn = joint.sign / joint.gear if kind in ("angle", "speed") else joint.sign
            return scale * turn * (joint.gear * joint.servo.motor.torque_constant if kind == "torque" else 1.0)
    if unit not in UNITS[kind]:
        raise table.error("unit", f"expected one of {', '.join(UNITS[kind])} or tick, found '{unit}'")
    return UNITS[kind][unit]


def read_log(path: str | Path, mapping: ColumnMap) -> Log:
    """Read a CSV or JSON log.

    Raises:
        LogError: it lacks a column, holds no samples, or its time does not ascend.
    """
    path = Path(path)
    try:
        table, top = _csv(path) if path.suffix.lower() == ".csv" else _json(path, mapping.rows)
    except OSError as error:
        raise LogError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise LogError(f"{path}: not a table of numbers: {error}") from error
    wanted = {c.name for columns in mapping.joints.values() for c in columns.values()} | {mapping.time.name}
    if missing := sorted(wanted - set(table)):
        raise LogError(f"{path}: no column {', '.join(missing)}; it has {', '.join(table)}")
    time = mapping.time.read(table)
    if len(time) < 2:
        raise LogError(f"{path}: {len(time)} samples are no log")
    names = tuple(mapping.joints)
    specs = [mapping.spec.joints[mapping.spec.joint_names.index(n)] for n in names]
    columns: dict[str, Floats] = {}
    for key in QUANTITIES:
        if any(key in mapping.joints[n] for n in names):
            nothing = np.full(len(time), 1.0 if key == "torque_on" else np.nan)
            columns[key] = np.stack(
                [mapping.joints[n][key].read(table) if key in mapping.joints[n] else nothing for n in names], axis=1
            )
    q, command = columns.pop("q"), columns.pop("command")
    return make_log(
        path.stem,
        names,
        [s.mode for s in specs],
        time,
        q,
        command,
        gains=tuple(
            {k: float(top[v] if isinstance(v, str) else v) for k, v in mapping.gains.get(n, {}).items()} for n in names
        ),
        source=str(path),
        notes={key: str(top.get(name, "")) for key, name in mapping.notes.items()},
        **columns,  # type: ignore[arg-type]
    )


def _csv(path: Path) -> tuple[dict[str, Floats], dict[str, Any]]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        return {}, {}
    return {key: np.array([_number(row[key]) for row in rows]) for key in rows[0] if key is not None}, {}


def _json(path: Path, at: str) -> tuple[dict[str, Floats], dict[str, Any]]:
    data = json.loads(path.read_text(encoding="utf-8"))
    rows = data[at] if at else data
    keys = rows[0].keys() if rows else ()
    numbers = {key: np.array([_number(row.get(key)) for row in rows]) for key in keys}
    return numbers, data if isinstance(data, dict) else {}


def _number(value: object) -> float:
    """A number, or nan for anything else: a column that is not asked for may be text."""
    if isinstance(value, bool | int | float):
        return float(value)
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan


def flight_log(path: Path, spec: ArmSpec) -> Log:
    """A recorded flight of this arm as a log. Joints that were held had no command: their samples are not valid then.

    Raises:
        LogError: the file is no flight, or one of other joints.
    """
    try:
        flight = read_flight(path)
    except FlightError as error:
        raise LogError(str(error)) from error
    if flight.layout.joints != spec.joint_names:
        raise LogError(
            f"{path}: a flight of {', '.join(flight.layout.joints)}; {spec.path} has {', '.join(spec.joint_names)}"
        )
    if not len(flight):
        raise LogError(
            f"{path}: a flight without a single cycle; {(flight.verdict or {}).get('text', 'nobody says why')}"
        )
    constant = np.array([j.gear * j.servo.motor.torque_constant for j in spec.joints])
    by_duty = np.array([mode == "pwm" for mode in flight.layout.modes])
    return make_log(
        path.stem,
        spec.joint_names,
        flight.layout.modes,
        flight["stamp"].max(axis=1),
        flight["q"],
        flight["command"],
        sent=flight["written"],
        gains=_flown_gains(flight.metadata.get("recording", {}), spec),
        source=str(path),
        notes=dict(flight.verdict or {}),
        findings=tuple(flight.damage),
        dq=flight["dq"],
        duty=np.where(by_duty, flight["command"], np.nan),
        current=flight["tau"] / constant,
        volts=flight["voltage"],
        temperature=flight["temperature"],
        torque_on=flight["torque_on"],
        valid=flight["fresh"] & ~flight["held"],
    )


def _flown_gains(recording: Mapping[str, str], spec: ArmSpec) -> list[dict[str, float]]:
    """Gain registers of each joint: a recording may have other ones than the arm file."""
    try:
        other = json.loads(recording.get("gains", "{}"))
        return [{**j.gains, **{k: float(v) for k, v in other.get(j.name, {}).items()}} for j in spec.joints]
    except (ValueError, TypeError, AttributeError) as error:
        raise LogError(f"the recording's gains are no gains: {error}") from error
