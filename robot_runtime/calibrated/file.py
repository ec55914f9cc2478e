"""arm.cal: everything that a calibration is, in one file: a zip of JSON and of its maps as ONNX. Nothing in it runs.

`calibration.json` says what was found, of which arm, on which data, and whether it was accepted; its digest covers all
members. The maps stand beside it under their kinds: `observation.onnx`, `torque.onnx`, `goal.onnx`.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
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

VERSION = 1
"""Of the file's form; a reader refuses a later one."""

KINDS = ("observation", "torque", "goal")
"""Maps: measured -> as the simulator would sense it; torque -> command; goal -> goal. See `calibrated.maps`."""

_FACTS = "calibration.json"
_ZIP_BEGINS = b"PK\x03\x04"
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
    open_volts: tuple[float, ...] = ()  # V a joint of the arm: supply without load, as the torque map was fitted with
    notes: tuple[str, ...] = ()  # for people: what was not told apart, what was left out
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
        part.write_bytes(data.getvalue())
        part.replace(path)
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
        members = _unzip(path, path.read_bytes())
        try:
            facts = json.loads(members[_FACTS])
            version = facts["version"]
        except (KeyError, TypeError, ValueError) as error:
            raise NotCalibrationError(f"{path}: a zip file, but no calibration: it says no version") from error
        if not isinstance(version, int) or version > VERSION:
            raise CalibrationVersionError(
                f"{path}: a calibration of version {version}, this software knows {VERSION}; update it, or calibrate "
                "again with this one"
            )
        try:
            found = cls._from_json(facts, members)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TornCalibrationError(f"{path}: incomplete ({error}); copy it again, or calibrate again") from error
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
        }
        members = {f"{kind}.onnx": self.maps[kind].onnx for kind in KINDS if kind in self.maps}
        digest = hashlib.sha256(_text(facts))
        for name, content in members.items():
            digest.update(b"\0" + name.encode() + b"\0" + content)
        facts["digest"] = digest.hexdigest()
        return {_FACTS: _text(facts), **members}, facts["digest"]

    @classmethod
    def _from_json(cls, facts: Mapping[str, Any], members: Mapping[str, bytes]) -> Self:
        maps = {}
        for kind, told in facts["maps"].items():
            if kind not in KINDS:
                raise ValueError(f"a map of kind '{kind}'")
            taps = {quantity: tuple(seconds) for quantity, seconds in told["taps"].items()}
            joints = tuple(told["joints"])
            maps[kind] = MapFile(members[f"{kind}.onnx"], joints, told["period"], taps, told["bound"])
        plain = {name: facts[name] for name in _PLAIN}
        for name in ("volts", "celsius", "open_volts", "notes"):
            plain[name] = tuple(plain[name])
        return cls(
            identity=Identity.from_json(facts["identity"]),
            maps=maps,
            physics={label: Number(**number) for label, number in facts["physics"].items()},
            acceptance=tuple(Row(**row) for row in facts["acceptance"]),
            **plain,
        )


_PLAIN = ("accepted", "volts", "celsius", "logs", "created", "versions", "open_volts", "notes")
"""Fields of a calibration that are JSON as they are."""


def _text(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts, indent=1, ensure_ascii=False).encode()


def _unzip(path: Path, data: bytes) -> dict[str, bytes]:
    if not data.startswith(_ZIP_BEGINS):
        raise NotCalibrationError(f"{path}: not a calibration; give the arm.cal that robot-calibrate wrote")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise TornCalibrationError(f"{path}: damaged ({error}); copy it again, or calibrate again") from error
