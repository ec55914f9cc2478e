"""Excitation: what an arm is to do while it is recorded, segment by segment, as joint angles on the bus's own grid.

Every segment begins and ends at rest in the start pose. So each of them can be flown alone, in any order, and a
recording that was interrupted goes on with the ones that are missing.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from calibration.errors import CalibrationError
from robot_runtime.arrays import Floats
from robot_runtime.spec import ArmSpec

Gains = Mapping[str, Mapping[str, int]]
"""Joint -> gain register -> value, where a part has others than the arm file's."""

KINDS = ("sweep", "cruise", "fourier", "chirp", "replay")
"""What a segment is made to show: see docs/commands/robot-calibrate.md."""
CHECK = "-check"
"""Ends the names of segments that are for judging a fit, not for making it."""
FILE = "excitation.npz"


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """One piece of motion. `q`: samples x joints of the arm, rad; the first and the last row are the start pose."""

    name: str
    kind: str
    joints: tuple[str, ...]  # that move
    q: Floats
    part: str = ""  # recorded with that part's gains and load

    def duration(self, period: float) -> float:
        """In s."""
        return (len(self.q) - 1) * period

    def speeds(self, period: float) -> Floats:
        """rad/s, samples x joints."""
        return np.asarray(np.gradient(self.q, period, axis=0))


@dataclass(frozen=True, slots=True, eq=False)
class Excitation:
    """All segments for one arm. A part is flown with its own gains or load; most excitations have one, called ''."""

    arm: str
    digest: str  # of the arm file and its MJCF
    level: str
    period: float  # s, of the bus, and of the samples
    start: Floats  # rad
    segments: tuple[Segment, ...]
    gains: Mapping[str, Gains] = field(default_factory=dict)  # part -> gains
    loads: Mapping[str, float] = field(default_factory=dict)  # part -> kg hung at the tip for it
    notes: Mapping[str, Any] = field(default_factory=dict)  # how it was made: condition number, clearance

    @property
    def parts(self) -> tuple[str, ...]:
        """In the order of recording."""
        return tuple(dict.fromkeys(s.part for s in self.segments))

    @property
    def by_load(self) -> list[tuple[float, list[str]]]:
        """Kg at the tip, and the parts that are recorded with it, in order."""
        return [(load, list(parts)) for load, parts in groupby(self.parts, lambda part: self.loads.get(part, 0.0))]

    @property
    def seconds(self) -> float:
        """Of motion in all."""
        return sum(s.duration(self.period) for s in self.segments)

    def without(self, done: Sequence[str]) -> Excitation:
        """What is still to do."""
        return replace(self, segments=tuple(s for s in self.segments if s.name not in done))

    def of(self, part: str) -> Excitation:
        """One part."""
        return replace(self, segments=tuple(s for s in self.segments if s.part == part))

    def save(self, folder: Path) -> None:
        """Write it into a folder, as numbers and JSON."""
        about = {
            "arm": self.arm,
            "digest": self.digest,
            "level": self.level,
            "period": self.period,
            "gains": self.gains,
            "loads": self.loads,
            "notes": self.notes,
            "segments": [{"name": s.name, "kind": s.kind, "joints": s.joints, "part": s.part} for s in self.segments],
        }
        arrays = {f"q{i}": s.q for i, s in enumerate(self.segments)}
        told: dict[str, Any] = {"about": np.array(json.dumps(about)), "start": self.start, **arrays}
        np.savez_compressed(folder / FILE, **told)

    @classmethod
    def load(cls, folder: Path) -> Excitation:
        """Read what `save` wrote.

        Raises:
            CalibrationError: it is not there, or it is not that.
        """
        try:
            with (folder / FILE).open("rb") as data, np.load(data, allow_pickle=False) as file:
                about = json.loads(str(file["about"]))
                segments = tuple(
                    Segment(s["name"], s["kind"], tuple(s["joints"]), file[f"q{i}"], s["part"])
                    for i, s in enumerate(about.pop("segments"))
                )
                return cls(start=file["start"], segments=segments, **about)
        except FileNotFoundError:
            raise CalibrationError(f"{folder}: no recording to go on with (it has no {FILE})") from None
        except (ValueError, KeyError, TypeError, EOFError, BadZipFile, zlib.error) as error:
            raise CalibrationError(f"{folder / FILE}: damaged: {error}") from error

    def check(self, spec: ArmSpec) -> None:
        """Whether it is for this arm, as it is.

        Raises:
            CalibrationError: it is not.
        """
        if (self.arm, self.digest) != (spec.name, spec.digest):
            raise CalibrationError(
                f"this excitation was made for {self.arm} as its files were then; {spec.path} is {spec.name}, or has "
                "changed since: begin a new recording"
            )
