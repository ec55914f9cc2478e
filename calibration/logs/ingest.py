"""Logs that were not made by us: CSV or JSON, with a small mapping file that says what the columns are.

Nothing is guessed: a column without a unit, or a unit that is not known, is an error that names the line.
"""

from __future__ import annotations

import csv
import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibration.logs.log import Log, make_log
from robot_runtime.arrays import Floats
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


ASKED_AGAIN = 1.8
"""Times the usual time of a read from which on somebody was asked a second time in it."""


class LogError(ValueError):
    """A log, or its mapping, that cannot be used; says what, where and why."""


_WORDS = {"": math.nan, "none": math.nan, "null": math.nan, "true": 1.0, "false": 0.0}
"""What loggers write for nothing, and for flags."""


@dataclass(frozen=True, slots=True)
class Table:
    """A log as it stands in its file."""

    path: Path
    columns: Mapping[str, Sequence[object]]
    where: Sequence[str]  # of each row, for messages
    top: Mapping[str, object]  # what the file says besides its rows
    findings: tuple[str, ...] = ()

    def numbers(self, name: str) -> Floats:
        """A column; nan where nothing was measured.

        Raises:
            LogError: something in it is neither a number nor empty.
        """
        return np.array([self._number(name, row, value) for row, value in enumerate(self.columns[name])])

    def gain(self, name: str) -> float:
        """A number that the file says once, for all rows. Raises LogError."""
        value = self.top.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            keys = f"it has {', '.join(self.top) or 'none'}" if value is None else f"it is {value!r:.40}"
            raise LogError(f"{self.path}: no number under the key '{name}', which the mapping's gains name; {keys}")
        return float(value)

    def _number(self, name: str, row: int, value: object) -> float:
        if isinstance(value, str) and (word := value.strip().lower()) in _WORDS:
            return _WORDS[word]
        try:
            number = math.nan if value is None else float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError) as error:
            raise LogError(
                f"{self.path}: {self.where[row]}: column {name}: {value!r:.40} is no number (write 0.5, not 0,5; leave "
                "empty what was not measured)"
            ) from error
        return math.nan if math.isinf(number) else number


@dataclass(frozen=True, slots=True)
class Column:
    """Where a quantity stands, and how it becomes SI in the joint's sense."""

    name: str
    scale: float
    offset: float  # added after scaling
    wrap: float  # above half of it values are negative; 0: never

    def read(self, table: Table) -> Floats:
        """The values. Raises LogError where one is no number."""
        values = table.numbers(self.name)
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
        text = path.read_text(encoding="utf-8-sig")
        file = TomlTable(path, tomllib.loads(text), TomlLines(text))
        return _mapping(file)
    except TomlValueError as error:
        raise LogError(str(error)) from error
    except OSError as error:
        raise LogError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LogError(f"{path}: not valid TOML: {error}") from error


def _mapping(file: TomlTable) -> ColumnMap:
    arm = file.text("arm")
    beside = file.file.parent / arm
    try:
        spec = load_arm(beside if beside.exists() else arm)
    except ArmSpecError as error:
        raise file.error("arm", str(error)) from error
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
                gains[name] = {g: _gain(gain, g, joint) for g in gain.keys()}  # noqa: SIM118
            elif key in QUANTITIES:
                kind = QUANTITIES[key] or COMMANDS.get(joint.mode, "")
                if not kind:
                    raise table.error(key, f"commands of mode '{joint.mode}' cannot be calibrated")
                if key == "current" and not joint.servo.has_current:
                    raise table.error(key, f"{joint.servo.name} measures no current: leave it out")
                columns[key] = _column(table.table(key), kind, joint)
            else:
                raise table.error(key, f"unknown; known: {', '.join((*QUANTITIES, 'gains'))}")
        for needed in ("q", "command"):
            if needed not in columns:
                raise table.error(needed, "missing: no calibration without it")
        if shared := [key for key in columns if key != "q" and columns[key].name == columns["q"].name]:
            raise table.error(shared[0], f"column '{columns['q'].name}' is q's already")
        joints[name] = columns
    if not joints:
        raise tables.error("", f"names no joint; {spec.path} has {', '.join(spec.joint_names)}")
    notes = file.table("notes", {})
    said = {key: notes.text(key) for key in notes.keys()}  # noqa: SIM118
    file.finish()
    return ColumnMap(file.file, spec, rows, time, joints, gains, said)


def _gain(table: TomlTable, register: str, joint: JointSpec) -> str | float:
    if register not in joint.servo.registers:
        raise table.error(register, f"no register of {joint.servo.name}")
    value = table.get(register, (str, int, float), "a key of the file, or a number")
    return value if isinstance(value, str) else table.number(register, "ticks")


def _column(table: TomlTable, kind: str, joint: JointSpec | None) -> Column:
    name = table.text("column")
    unit = "" if kind == "flag" else table.text("unit")
    scale = _scale(table, kind, unit, joint)
    table.default("sign", 1)
    sign = table.integer("sign", -1, 1)
    if sign == 0:
        raise table.error("sign", "expected -1 or 1, found 0")
    wrap = table.positive("wrap", "as the column counts", most=2**32) if "wrap" in table.keys() else 0.0  # noqa: SIM118
    column = Column(name, scale * sign, table.number("offset", "in SI units", 0.0), wrap)
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
        table = _csv(path) if path.suffix.lower() == ".csv" else _json(path, mapping.rows)
    except OSError as error:
        raise LogError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise LogError(f"{path}: not a text in UTF-8: {error}") from error
    except LogError:
        raise
    except (csv.Error, ValueError, RecursionError) as error:
        raise LogError(f"{path}: not a table of numbers: {error}") from error
    wanted = {c.name for columns in mapping.joints.values() for c in columns.values()} | {mapping.time.name}
    if missing := sorted(wanted - set(table.columns)):
        raise LogError(f"{path}: no column {', '.join(missing)}; it has {', '.join(table.columns) or 'none'}")
    time = _clock(table, mapping.time)
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
    log = make_log(
        path.stem,
        names,
        [s.mode for s in specs],
        time,
        q,
        command,
        gains=tuple(
            {k: table.gain(v) if isinstance(v, str) else v for k, v in mapping.gains.get(n, {}).items()} for n in names
        ),
        load=0.0,
        source=str(path),
        notes={key: str(table.top.get(name, "")) for key, name in mapping.notes.items()},
        findings=table.findings,
        **columns,
    )
    timed = np.isfinite(time)
    if timed.all():
        return log
    nothing = np.zeros((int(timed.sum()), len(names)), dtype=bool)
    return log.cut(np.flatnonzero(timed)).without(nothing, f"{int((~timed).sum())} samples without a time left out")


def _clock(table: Table, column: Column) -> Floats:
    """When the samples were taken; some may say nothing."""
    time = column.read(table)
    known = time[np.isfinite(time)]
    if len(known) < 2:
        raise LogError(f"{table.path}: {len(known)} samples with a time ('{column.name}') are no log")
    back = int((np.diff(known) <= 0).sum())
    if back > len(known) / 2:
        raise LogError(
            f"{table.path}: the time in column '{column.name}' does not ascend in {back} of {len(known) - 1} steps: is "
            "it the clock?"
        )
    return time


def _csv(path: Path) -> Table:
    with path.open(newline="", encoding="utf-8-sig") as file:  # some programs begin a file with a mark of its encoding
        reader = csv.reader(file)
        header = [name.strip() for name in next(reader, [])]
        rows = [(f"line {reader.line_num}", row) for row in reader if row]
    if not rows:
        raise LogError(f"{path}: empty: a line of column names, then a line a sample")
    if len(header) == 1 and (mark := next((m for m in ";\t" if m in header[0]), "")):
        raise LogError(f"{path}: its columns are apart by {mark!r}; write commas between columns and points in numbers")
    if twice := [name for name in header if name and header.count(name) > 1]:
        raise LogError(f"{path}: column {twice[0]} is there {header.count(twice[0])} times; which one is meant?")
    for line, row in rows:
        if any(cell.strip() for cell in row[len(header) :]):
            raise LogError(
                f"{path}: {line}: {len(row)} values, and {len(header)} columns have names: decimal commas? write points"
            )
    torn = len(rows[-1][1]) < len(header)
    whole = rows[: len(rows) - torn]
    columns = {name: [row[k] if k < len(row) else None for _, row in whole] for k, name in enumerate(header)}
    findings = ("the last line breaks off and is left out",) if torn else ()
    return Table(path, columns, [line for line, _ in whole], {}, findings)


def _json(path: Path, at: str) -> Table:
    data = json.loads(path.read_text(encoding="utf-8-sig"))
    top = data if isinstance(data, dict) else {}
    if at and at not in top:
        raise LogError(f"{path}: no key '{at}', where the mapping's rows are; it has {', '.join(top) or 'none'}")
    rows = top[at] if at else data
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        where = f"under '{at}' is" if at else "it is"
        raise LogError(f"{path}: {where} no list of samples, each a table; the mapping says in 'rows' where they are")
    keys = dict.fromkeys(key for row in rows for key in row)
    where_rows = [f"sample {k}" for k in range(1, len(rows) + 1)]
    return Table(path, {key: [row.get(key) for row in rows] for key in keys}, where_rows, top)


def flight_log(path: Path, spec: ArmSpec) -> Log:
    """A recorded flight of this arm as a log.

    Raises:
        LogError: the file is no flight, or one of other joints.
    """
    try:
        flight = read_flight(path)
    except FlightError as error:
        raise LogError(str(error)) from error
    if flight.layout.joints != spec.joint_names:
        raise LogError(
            f"{path}: a flight of {', '.join(flight.layout.joints)}; {spec.name} has {', '.join(spec.joint_names)}"
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
        _sampled(flight["begin"], flight["stamp"].max(axis=1)),
        flight["q"],
        flight["command"],
        sent=flight["written"],
        gains=_flown_gains(flight.metadata.get("recording", {}), spec),
        load=_flown_load(flight.metadata.get("recording", {})),
        source=str(path),
        notes=dict(flight.verdict or {}),
        findings=tuple(flight.damage),
        dq=flight["dq"],
        duty=np.where(by_duty, flight["command"], np.nan),
        current=flight["tau"] / constant,
        volts=flight["voltage"],
        temperature=flight["temperature"],
        torque_on=flight["torque_on"],
        valid=flight["fresh"],
    )


def _sampled(asked: Floats, answered: Floats) -> Floats:
    """When the samples of each cycle were taken (s), but for a constant that the delay takes up.

    Servos sample when they are asked. When their answers are heard is up to the adapter and the host as well, and says
    less: by replies that came up to 2 ms late an arm's delay was found 5 ms too long, its viscous friction by half too
    large. Whoever had to be asked again, which takes as long again, answers by the clock.
    """
    took = answered - asked
    usual = float(np.median(took))
    return np.where(took > ASKED_AGAIN * usual, answered, asked + usual)


def _flown_gains(recording: Mapping[str, str], spec: ArmSpec) -> list[dict[str, float]]:
    """Gain registers of each joint: a recording may have other ones than the arm file."""
    try:
        other = json.loads(recording.get("gains", "{}"))
        return [{**j.gains, **{k: float(v) for k, v in other.get(j.name, {}).items()}} for j in spec.joints]
    except (ValueError, TypeError, AttributeError) as error:
        raise LogError(f"the recording's gains are no gains: {error}") from error


def _flown_load(recording: Mapping[str, str]) -> float:
    """Kg that hung at the tip."""
    try:
        return float(json.loads(recording.get("payload_kg", "0")))
    except (ValueError, TypeError) as error:
        raise LogError(f"the recording's payload is no weight: {error}") from error
