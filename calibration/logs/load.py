"""Loading: what a user points at (a recording's folder, flights, CSV or JSON) as cleaned logs, with their segments."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from calibration.errors import CalibrationError
from calibration.excitation.spans import INDEX, Span, segments_of
from calibration.logs.clean import clean, without_pauses
from calibration.logs.ingest import ColumnMap, LogError, flight_log, read_log
from calibration.logs.log import Log
from calibration.logs.twice import Fingerprint, shared
from robot_runtime.arrays import Flags
from robot_runtime.calibrated.identity import Identity
from robot_runtime.flight.reader import FlightError, read_flight
from robot_runtime.spec import ArmSpec, ArmSpecError, load_arm

TWICE = 0.05
"""Share of a log's motion that another may have too: none should."""
_EXTRACTED: list[TemporaryDirectory[str]] = []
"""Arms that came out of flights: their MJCF is read again and again, until the program ends."""


class UnfinishedRecordingError(CalibrationError):
    """A recording of which parts were never flown.

    Example scenarios:
        - The emergency stop was pressed after half a minute, and nobody went on.
    """

    exit_code = 1


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A joint that did not move when it was pushed, and was left where it stood."""

    at: float  # rad
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """One log, where it came from and what it consists of."""

    log: Log  # cleaned; joints in their arm's order
    file: Path | None
    digest: str  # SHA-256 of the file; "": there is none
    identity: Identity | None  # of the arm that was recorded; None: the log does not say
    spans: tuple[Span, ...] = ()  # segments; empty: it has none
    left_out: Mapping[str, LeftOut] = field(default_factory=dict)  # joint -> why it cannot be fitted

    def rows(self, span: Span) -> Flags:
        """Which samples lie in a segment."""
        return np.asarray((self.log.time >= span.begin) & (self.log.time <= span.end))


def load(
    paths: Sequence[Path], spec: ArmSpec, mapping: ColumnMap | None = None, *, partial: bool = False
) -> list[Loaded]:
    """Read logs. A folder stands for the recording in it, and must be complete unless `partial`.

    Raises:
        LogError, FlightError, OSError: a file cannot be used.
        UnfinishedRecordingError: parts of a recording are missing.
    """
    if mapping is not None and mapping.spec.digest != spec.digest:
        raise LogError(f"{mapping.path} is for the arm {mapping.spec.path}, --arm says {spec.path}: give one of them")
    found = [_load(file, spec, mapping) for path in paths for file in _files(path, partial=partial)]
    if not found:
        raise _nothing(paths)
    prints = [Fingerprint.of(each.log) for each in found]
    for (one, mine), (other, theirs) in combinations(zip(found, prints, strict=True), 2):
        if (one.digest and one.digest == other.digest) or shared(mine, theirs) > TWICE:
            raise LogError(
                f"{other.file}: the same log as {one.file}, or part of it is; what is held out would be fitted to, too"
            )
    return told_apart(found)


def told_apart(loaded: Sequence[Loaded]) -> list[Loaded]:
    """The same logs under names of their own: files of equal names get their folder's in front, or else a number."""
    names = [one.log.name for one in loaded]
    named = [
        f"{one.file.resolve().parent.name}/{name}" if one.file is not None and names.count(name) > 1 else name
        for one, name in zip(loaded, names, strict=True)
    ]
    taken: set[str] = set()
    found = []
    for one, name in zip(loaded, named, strict=True):
        free = (each for k in count(1) if (each := name if k == 1 else f"{name} ({k})") not in taken)
        taken.add(each := next(free))
        found.append(replace(one, log=replace(one.log, name=each)))
    return found


def _nothing(paths: Sequence[Path]) -> LogError:
    where = ", ".join(map(str, paths))
    return LogError(
        f"{where}: no whole segment; give flights, a recording's folder (a recording that was "
        "broken off goes on with `robot-calibrate record --resume FOLDER`), or CSV or JSON with --mapping"
    )


def _files(path: Path, *, partial: bool) -> list[Path]:
    if not path.exists():
        raise LogError(f"{path}: no such file or folder")
    if not path.is_dir():
        return [path]
    index = path / INDEX
    if not index.exists():
        flights = sorted(path.glob("*.mcap"))
        if not flights:
            raise LogError(f"{path}: neither a recording nor flights are in this folder")
        return flights
    try:
        data = json.loads(index.read_text(encoding="utf-8"))
        missing, flights = list(data["missing"]), [path / str(f["file"]) for f in data["flights"] if f["whole"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LogError(f"{index}: damaged: {error}") from error
    if missing and not partial:
        raise UnfinishedRecordingError(
            f"{path}: half a recording, never flown to the end: {', '.join(missing)}; go on with "
            f"`robot-calibrate record --resume {path}`, or fit what there is with --partial"
        )
    return flights


def _load(file: Path, spec: ArmSpec, mapping: ColumnMap | None) -> Loaded:
    if file.suffix.lower() == ".mcap":
        log = clean(flight_log(file, spec), spec.joints)
        flight = read_flight(file)
        spans = tuple(s for s in segments_of(flight) if s.whole)
        left_out = _left_out(flight.metadata.get("recording", {}))
        return Loaded(log, file, _digest(file), _identity(flight.metadata.get("identity")), spans, left_out)
    if mapping is None:
        raise LogError(f"{file}: not a flight; a CSV or JSON log needs --mapping FILE, which says what its columns are")
    log = read_log(file, mapping)
    joints = [mapping.spec.joints[mapping.spec.joint_names.index(name)] for name in log.joints]
    return Loaded(without_pauses(clean(log, joints)), file, _digest(file), None)


def left_out(loaded: Sequence[Loaded]) -> dict[str, LeftOut]:
    """Joints that any of these recordings left out."""
    return {name: one for each in loaded for name, one in each.left_out.items()}


def _left_out(recording: Mapping[str, str]) -> dict[str, LeftOut]:
    try:
        notes = json.loads(recording.get("gentler", "[]"))
        return {str(n["joint"]): LeftOut(float(n["at_rad"]), str(n["text"])) for n in notes if n["left_out"]}
    except (ValueError, TypeError, KeyError) as error:
        raise FlightError(f"what the recording says of joints that were left out is damaged: {error}") from error


def _identity(data: object) -> Identity | None:
    """From a flight's metadata, whose values are JSON texts."""
    if not isinstance(data, dict):
        return None
    try:
        return Identity.from_json({key: _value(text) for key, text in data.items()})
    except (KeyError, TypeError, ValueError) as error:
        raise FlightError(f"the flight's record of its arm is damaged: {error}") from error


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text  # a plain word


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def arm_of(paths: Sequence[Path], mapping: ColumnMap | None = None) -> ArmSpec:
    """The arm that the logs are of: the one that a flight carries, or the mapping's.

    Raises:
        LogError, FlightError, ArmSpecError, OSError: nobody says which, or its files cannot be used.
    """
    if mapping is not None:
        return mapping.spec
    files = [file for path in paths for file in _files(path, partial=True)]
    if not files:
        raise _nothing(paths)
    file = files[0]
    if file.suffix.lower() != ".mcap":
        raise LogError(f"{file}: not a flight; a CSV or JSON log needs --mapping FILE, which says what its columns are")
    folder = TemporaryDirectory(prefix="arm-")
    _EXTRACTED.append(folder)
    flight = read_flight(file)
    flight.extract(Path(folder.name))
    try:
        return load_arm(Path(folder.name) / "arm")
    except ArmSpecError as error:
        why = "; ".join(flight.damage) or "nobody put it in, or another version did"
        raise LogError(f"{file}: the arm that it carries cannot be used ({why}); name it with --arm") from error
