"""arm.cal: everything that a calibration is, in one file: a zip of JSON and of its maps as ONNX. Nothing in it runs.

`calibration.json` says what was found, of which arm, on which data, and whether it was accepted; its digest covers all
members. The maps stand beside it under their kinds: `observation.onnx`, `torque.onnx`, `goal.onnx`.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from robot_runtime.calibrated.errors import (
    CalibrationDigestError,
    CalibrationVersionError,
    NotCalibrationError,
    TornCalibrationError,
)
from robot_runtime.calibrated.identity import Identity
from robot_runtime.policy.onnx_data import locations
from robot_runtime.typed_json import record

VERSION = 3
"""Of the file's form and of what its maps are (2: they know what the arm weighs; 3: goals go by their own speed,
torques pass at once; goal maps before could swing an arm); a reader refuses every other one.
"""

KINDS = ("observation", "torque", "goal")
"""Maps: measured -> as the simulator would sense it; torque -> command; goal -> goal. See `calibrated.maps`."""

LARGEST = 64 << 20
"""Bytes of the file, and of all that is in it: a calibration has a few hundred thousand."""

LONGEST = 10.0
"""s that a map may look back: those that are fitted look back a few tenths."""

_FACTS = "calibration.json"
_ZIP_BEGINS = b"PK\x03\x04"
_AGAIN = "calibrate again"
_NO_DATE = (1980, 1, 1, 0, 0, 0)
"""The same calibration makes the same file, to the last bit; when it was made its JSON says."""


@dataclass(frozen=True, slots=True)
class MapFile:
    """One map: the network, and what goes into it."""

    onnx: bytes = field(repr=False)
    joints: tuple[str, ...]  # in the order of the network
    period: float  # s, of the cycles that it was fitted at
    taps: Mapping[str, tuple[float, ...]]  # quantity -> s before now, newest first: see `calibrated.maps`
    bound: float  # novelty (standard deviations) from which on a joint is outside of what the map knows


@dataclass(frozen=True, slots=True)
class Number:
    """One identified number, in its unit."""

    value: float
    low: float  # 95 %
    high: float
    seen: bool  # whether the data, and not only the prior, say how large it is
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the acceptance table."""

    name: str
    split: str  # what was held out
    value: float
    bound: float
    passed: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Refined:
    """That the maps were trained further around one policy, and what that brought on held-out episodes."""

    policy: str  # SHA-256 (hex) of the policy that it holds for
    task: str
    steps: int
    seed: int
    episodes: int
    success: tuple[float, float]  # share, before and after
    error: tuple[float, float]  # m or rad at the end of an episode, before and after


@dataclass(frozen=True, slots=True)
class Calibration:
    """What `robot-calibrate` found of one arm."""

    identity: Identity
    maps: Mapping[str, MapFile]  # by kind; without a map of its kind, a joint is driven by the servo's nominal physics
    physics: Mapping[str, Number]  # by label: 'shoulder.coulomb', 'delay'
    acceptance: tuple[Row, ...]
    accepted: bool
    volts: tuple[float, float]  # V, lowest and highest of the logs
    celsius: tuple[float, float]  # °C
    logs: Mapping[str, str]  # name -> SHA-256 of the file
    created: str  # ISO 8601, UTC
    versions: Mapping[str, str]  # of the software that made it
    alike: tuple[tuple[float, ...], ...] = ()  # arms that the data allow as well, in `physics` order
    open_volts: tuple[float, ...] = ()  # V a joint of the arm: supply without load, as the torque map was fitted with
    notes: tuple[str, ...] = ()  # for people: what was not told apart, what was left out
    refined: Refined | None = None  # None: the maps hold for every policy
    digest: str = ""  # SHA-256 (hex) of all of it; `read` and `write` set it

    def write(self, path: Path) -> Self:
        """Write it, replacing a file that is there only once it is complete; returns it with its digest."""
        members, digest = self._members()
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                info = zipfile.ZipInfo(name, _NO_DATE)
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, content)
        part = path.with_name(f"{path.name}.part")
        try:
            part.write_bytes(data.getvalue())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)  # of a full disk, or an interruption
        return self._with(digest)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and check a file.

        Raises:
            OSError: it cannot be read.
            NotCalibrationError, TornCalibrationError: it is something else, or damaged.
            CalibrationVersionError: it is of a later version.
            CalibrationDigestError: somebody has edited it.
        """
        with path.open("rb") as file:
            members = _unzip(path, file.read(LARGEST + 1))
        try:
            facts = json.loads(members[_FACTS])
            version = facts["version"]
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise NotCalibrationError(f"{path}: a zip file, but no calibration: it says no version") from error
        if type(version) is not int or version != VERSION:
            later = not isinstance(version, int) or version > VERSION
            raise CalibrationVersionError(
                f"{path}: a calibration of version {version!r:.20}, this software knows {VERSION}; "
                + (f"update it, or {_AGAIN} with this one" if later else f"{_AGAIN} with this one")
            )
        try:
            found = cls._from_json(facts, members)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            what = f"it has no {error.args[0]}" if isinstance(error, KeyError) else error
            raise TornCalibrationError(f"{path}: incomplete, or damaged: {what}; copy it again, or {_AGAIN}") from error
        for kind, map_file in found.maps.items():
            _require_whole(path, kind, map_file.onnx)
        if found._members()[1] != facts.get("digest"):
            raise CalibrationDigestError(
                f"{path}: its content is not what its digest says: it was edited after it was made; a calibration is "
                "made by robot-calibrate only, calibrate again"
            )
        return found._with(str(facts["digest"]))

    def _with(self, digest: str) -> Self:
        return type(self)(**{name: getattr(self, name) for name in self.__slots__ if name != "digest"}, digest=digest)

    def _members(self) -> tuple[dict[str, bytes], str]:
        """The files in the zip, and the digest over them that the JSON among them carries."""
        facts: dict[str, Any] = {
            "version": VERSION,
            "identity": self.identity.as_json(),
            "maps": {kind: {k: v for k, v in asdict(m).items() if k != "onnx"} for kind, m in self.maps.items()},
            "physics": {label: asdict(number) for label, number in self.physics.items()},
            "acceptance": [asdict(row) for row in self.acceptance],
            **{name: getattr(self, name) for name in _PLAIN},
            **({} if self.refined is None else {"refined": asdict(self.refined)}),
            **({"alike": self.alike} if self.alike else {}),  # files before it keep their digest
        }
        members = {f"{kind}.onnx": self.maps[kind].onnx for kind in KINDS if kind in self.maps}
        digest = hashlib.sha256(_text(facts))
        for name, content in members.items():
            digest.update(b"\0" + name.encode() + b"\0" + content)
        facts["digest"] = digest.hexdigest()
        return {_FACTS: _text(facts), **members}, facts["digest"]

    @classmethod
    def _from_json(cls, facts: Mapping[str, Any], members: Mapping[str, bytes]) -> Self:
        maps = {kind: {**told, "onnx": members[f"{kind}.onnx"]} for kind, told in facts["maps"].items()}
        found = record(cls, {**{key: facts[key] for key in facts if key != "version"}, "maps": maps})
        if wrong := next(_wrong(found), None):
            raise ValueError(wrong)
        return found


_PLAIN = ("accepted", "volts", "celsius", "logs", "created", "versions", "open_volts", "notes")
"""Fields of a calibration that are JSON as they are."""


def _wrong(found: Calibration) -> Iterator[str]:
    """Numbers that nothing can be done with. Comparisons are false for what is no number."""
    for kind, one in found.maps.items():
        if kind not in KINDS:
            yield f"a map of kind '{kind}'"
        if not one.joints or len(set(one.joints)) < len(one.joints):
            yield f"the {kind} map is for the joints {list(one.joints)}"
        if not all(taps and all(0.0 <= seconds <= LONGEST for seconds in taps) for taps in one.taps.values()):
            yield f"the {kind} map looks back {dict(one.taps)} s"
        if not (0.0 < one.period < LONGEST and 0.0 < one.bound < math.inf):
            yield f"the {kind} map has a period of {one.period} s and a bound of {one.bound}"
    for name, (low, high) in (("volts", found.volts), ("celsius", found.celsius)):
        if not -math.inf < low <= high < math.inf:
            yield f"{name} from {low} to {high}"
    numbers = [(label, number.value) for label, number in found.physics.items()]
    numbers += [("a supply without load", volts) for volts in found.open_volts]
    numbers += [("a number of an arm alike", value) for row in found.alike for value in row]
    yield from (f"{label} is {value}" for label, value in numbers if not math.isfinite(value))
    if wrong := [len(row) for row in found.alike if len(row) != len(found.physics)]:
        yield f"an arm alike has {wrong[0]} numbers, not {len(found.physics)}"


def _require_whole(path: Path, kind: str, onnx: bytes) -> None:
    """Refuse a map that keeps its weights elsewhere: no digest covers those."""
    try:
        elsewhere = locations(onnx)
    except (IndexError, UnicodeDecodeError, RecursionError) as error:
        raise TornCalibrationError(f"{path}: its {kind}.onnx is no ONNX network; copy it again, or {_AGAIN}") from error
    if elsewhere:
        raise NotCalibrationError(
            f"{path}: its {kind}.onnx keeps weights in '{elsewhere[0]}', outside of this file, where no digest "
            f"covers them; {_AGAIN}"
        )


def _text(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts, indent=1, ensure_ascii=False).encode()


def _unzip(path: Path, data: bytes) -> dict[str, bytes]:
    if not data.startswith(_ZIP_BEGINS):
        raise NotCalibrationError(f"{path}: not a calibration; give the arm.cal that robot-calibrate wrote")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if _FACTS not in archive.namelist():
                return {}
            _require_ours(path, entries, len(data))
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, UnicodeDecodeError) as error:
        raise TornCalibrationError(f"{path}: damaged ({error}); copy it again, or {_AGAIN}") from error


def _require_ours(path: Path, entries: list[zipfile.ZipInfo], size: int) -> None:
    """Refuse what `write` does not write, before anything of it is unpacked."""
    names = [entry.filename for entry in entries]
    ours = {_FACTS, *(f"{kind}.onnx" for kind in KINDS)}
    if strange := [name for name in names if name not in ours or names.count(name) > 1]:
        what = f"holds '{strange[0]}', which is no part of one, or is there twice"
    elif max(size, sum(entry.file_size for entry in entries)) > LARGEST:
        what = f"holds more than {LARGEST >> 20} MB"
    elif any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
        what = "is packed in a way that calibrations are not"
    else:
        return
    raise NotCalibrationError(f"{path}: not a calibration as robot-calibrate writes it: it {what}; {_AGAIN}")
