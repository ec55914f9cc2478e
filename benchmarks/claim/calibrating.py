"""Supervised calibration of an arm from so many seconds of its motion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from calibration.errors import CalibrationError
from calibration.excitation import Excitation, plan
from calibration.excitation.segment import FILE
from calibration.logs.load import load
from calibration.pipeline import calibrate
from calibration.recording.record import record_on_twin
from robot_runtime.calibrated.file import Calibration
from robot_runtime.spec import ArmSpec

SHORT = ("fourier-1", "fourier-2-check", "fourier-4")
PLANS: Mapping[float, tuple[str, tuple[str, ...]]] = {25: ("quick", SHORT), 60: ("quick", ())}
"""s, about -> level of the recording, and which of its segments (none named: all). What is held out to judge the fit is
motion too and counts; the shorter one has a segment bare and one with the weight to fit to, and one to judge by."""
WEIGHT = 0.2
"""kg, known, that hangs at the tip in the last part of the whole recording (`robot-calibrate record --payload`)."""


class NotFlownError(CalibrationError):
    """The arm could not be recorded to the end: it cannot be flown like this at all.

    Example scenarios:
        - A drawn gap leaves a joint so much friction that it does not move within its torque limit.
    """


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What it took and how it is judged."""

    motion: float  # s
    accepted: bool
    refused_for: tuple[str, ...]


def record(spec: ArmSpec, gap: Path, seconds: float, seed: int, folder: Path, plans: Path) -> Excitation:
    """Record on the arm; what is there is not recorded again. `seed`: of the twin's noise.

    Raises:
        NotFlownError: the recording ended early, and why.
    """
    level, wanted = PLANS[seconds]
    excitation = planned(spec, level, WEIGHT, plans / level)
    if wanted:
        excitation = excitation.without([s.name for s in excitation.segments if s.name not in wanted])
    recording = record_on_twin(spec, str(gap), excitation, folder, seed=seed)
    if not recording.complete:
        raise NotFlownError("; ".join(v.text for v in recording.verdicts) or "not recorded to the end")
    return excitation


def fit(spec: ArmSpec, folder: Path, excitation: Excitation, out: Path) -> Calibrated:
    """Fit to what was recorded, as `robot-calibrate fit` does; what is there is not fitted again.

    Raises:
        CalibrationError: it cannot be fitted.
    """
    if not out.exists():
        calibrate(load([folder], spec), spec, threads=1).calibration.write(out)
    found = Calibration.read(out)
    refused = tuple(row.name for row in found.acceptance if not row.passed)
    return Calibrated(excitation.seconds, found.accepted, refused)


def planned(spec: ArmSpec, level: str, payload: float, folder: Path) -> Excitation:
    """The plan in this folder, made if there is none; `payload`: kg, known."""
    if not (folder / FILE).exists():
        folder.mkdir(parents=True, exist_ok=True)
        plan(spec, level, payload=payload).save(folder)
    return Excitation.load(folder)
