"""Drift: does a calibration still hold on a short fresh log, and if not, what has changed?

What can drift is fitted anew, from the calibrated numbers on. A change counts when it is larger than both intervals
allow and large enough to matter. A calibration holds whose rollouts are as good as they were, and of whose numbers none
has changed that does not change by itself: behind its own position loop a joint whose horn has slipped follows its
goals as well as before, to another place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from calibration.errors import CalibrationError
from calibration.judging.acceptance import GOOD, ROLLOUT
from calibration.judging.examine import examine
from calibration.logs.load import Loaded, left_out
from calibration.logs.log import Log
from calibration.logs.modelled import as_modelled
from calibration.logs.windows import LONGEST_HOLE
from calibration.physics.fit import TWO_SIGMA, fit
from calibration.physics.identify import fine_rig, mean_error, thinned, windows_of
from calibration.physics.numbers import KINDS, Physics
from calibration.physics.rollout import Rig, rollout
from robot_runtime.arrays import Floats
from robot_runtime.calibrated.check import CELSIUS, VOLTS, by_files
from robot_runtime.calibrated.file import Calibration, Number
from robot_runtime.spec import ArmSpec

WORSE = 1.5
"""Times the error on the calibration's own held-out data up to which a fresh log is like it."""
SIGMAS = 3.0
"""Standard deviations, of both fits together, from which a change is no noise: one in 370, of a few dozen numbers."""
FACTOR, ANGLE, DELAY = 0.10, 0.005, 0.003
"""Share, rad and s from which a change is worth a word."""
WARMTH = 1.5
"""Times its friction that a joint may have, or have lost, while the arm is the one that it was: it is warm, or cold. An
envelope counts on no more of it (`robot_runtime.calibrated.friction`).
"""
ENOUGH = 40
"""Windows that are fitted to."""

ON = 1.0
"""s that a joint's torque must have been on: what swings freely says nothing of a motor."""

DRIFTING = ("torque_constant", "coulomb", "viscous", "load_friction", "offset", "delay")
"""Kinds of numbers that change while an arm stays the same arm."""
WARM = ("coulomb", "viscous", "load_friction")
"""Of these, what changes from one hour to the next."""
MEANING = {
    "torque_constant": "weaker or stronger motors: magnets warm up, supply voltage",
    "coulomb": "dry friction: wear, or a screw",
    "viscous": "grease: temperature",
    "load_friction": "friction under load: wear of the gears",
    "offset": "a horn slipped, or was mounted anew: robot-setup zero",
    "delay": "the bus or its host: robot-scan",
}


class Verdict(Enum):
    """How a check ended."""

    HOLDS = "holds"
    DRIFTED = "drifted"
    FOREIGN = "does not belong to this arm"


class NoRolloutsError(CalibrationError):
    """A calibration and logs that say nothing of each other.

    Example scenarios:
        - The log is of joints that were not calibrated, or were left out.
        - Torque was off throughout, or the log is too short for a rollout.
    """


class FittedToError(CalibrationError):
    """A log that the calibration itself was made from: numbers hold on what they were fitted to, drift or none.

    Example scenarios:
        - The recording that `fit` has just read is given to `check`.
    """


class OtherModelError(CalibrationError):
    """A calibration of another simulator model: its masses are shares of that one's.

    Example scenarios:
        - The arm's MJCF was edited after it was calibrated.
        - The log is of another arm.
    """


@dataclass(frozen=True, slots=True)
class Change:
    """One number that is not what it was."""

    label: str
    before: float
    now: float
    sigmas: float
    unit: str

    @property
    def lasts(self) -> bool:
        """Whether it is none that comes and goes with warmth."""
        ratio = self.now / self.before if self.label.rsplit(".", 1)[-1] in WARM else math.inf
        return not 1 / WARMTH <= ratio <= WARMTH

    @property
    def text(self) -> str:
        """In words."""
        kind = self.label.rsplit(".", 1)[-1]
        how = (
            f"{self.now / self.before - 1:+.0%}" if KINDS[kind].factor else f"{self.now - self.before:+.4f} {self.unit}"
        )
        return f"{self.label} {how} ({self.sigmas:.0f} sigma): {MEANING.get(kind, '')}"


@dataclass(frozen=True, slots=True)
class Checked:
    """What a fresh log says of a calibration."""

    verdict: Verdict
    joints: tuple[str, ...]
    nominal: Floats  # rad, error of half-second rollouts with the data files' numbers, by joint
    calibrated: Floats  # with the calibration's
    then: Floats  # what the calibration reached on its own held-out data; nan: it does not say
    changes: tuple[Change, ...]
    surroundings: tuple[str, ...]  # voltage and temperature outside of what it saw
    accepted: bool  # what it was when it was made
    differences: tuple[str, ...] = ()  # between the arm that was calibrated and this one, as robot-run would say
    untold: tuple[str, ...] = ()  # joints whose zero this log, or the calibration's own, does not tell
    not_used: tuple[str, ...] = ()  # of the logs, and why


def check(
    calibration: Calibration,
    loaded: Sequence[Loaded],
    spec: ArmSpec,
    *,
    threads: int = 2,
    progress: Callable[[str], None] = lambda _: None,
) -> Checked:
    """Judge a calibration by fresh logs.

    Raises:
        OtherModelError: the arm file or a log is of another MJCF than the calibration.
        RefusedLogError: the logs are not worth judging by.
        FittedToError: the calibration was made from one of them.
        NotModelledError: joints that were not calibrated moved throughout.
        NoRolloutsError, NoWindowError: they are of joints that were not calibrated, too short, or torque was off.
    """
    names = joints_of(calibration)
    if not names or any(name not in one.log.joints for one in loaded for name in names):
        raise NoRolloutsError(
            f"the calibration is of {', '.join(names) or 'no joint'}; the log has {', '.join(loaded[0].log.joints)}"
        )
    if stood := [name for name in names if name in left_out(loaded)]:
        raise NoRolloutsError(f"the log has {', '.join(stood)} left out, which the calibration is of")
    _require_fresh(calibration, loaded)
    differences = _differences(calibration, loaded, spec)
    arm, loaded, not_used = as_modelled(loaded, spec, names)
    rig = fine_rig(Rig.of(arm, names))
    names = rig.world.names
    logs = [one.log.select(names) for one in loaded]
    if idle := [name for i, name in enumerate(names) if sum(_seconds_on(log, i) for log in logs) < ON]:
        raise NoRolloutsError(
            f"torque was on for less than {ON:g} s ({', '.join(idle)}): too short, or was it off throughout?"
        )
    examine(loaded, rig, shortest=0.0)
    windows = thinned(windows_of(rig, logs), ENOUGH)
    known = physics_of(rig, calibration)

    def error(physics: Physics) -> Floats:
        q, _ = rollout(rig, physics, np.zeros(0), windows, threads)
        return mean_error(np.where(windows.weight > 0, q[0] - windows.q, np.nan)[:, 1:])

    progress("rollouts")
    nominal, calibrated = error(Physics(rig.world, ())), error(known)
    then = np.array([_then(calibration, name) for name in names])
    kinds = [k for k in DRIFTING if any(label.rsplit(".", 1)[-1] == k for label in calibration.physics)]
    progress("looking for what has changed")
    found = fit(rig, windows, kinds, start=known.start, threads=threads, progress=progress)
    changes = []
    for label, value in found.values.items():
        if (was := calibration.physics.get(label)) is not None:
            low, high = found.interval[label]
            change = _change(label, was, Number(value, low, high, found.seen[label], was.unit))
            changes += [change] if change is not None else []
    changes.sort(key=lambda c: -c.sigmas)
    zeros = {name: f"{name}.offset" for name in names if f"{name}.offset" in calibration.physics}
    untold = [name for name, label in zeros.items() if not (found.seen[label] and calibration.physics[label].seen)]
    return Checked(
        Verdict.FOREIGN if differences else _verdict(nominal, calibrated, then, changes),
        names,
        nominal,
        calibrated,
        then,
        tuple(changes),
        _surroundings(calibration, loaded, names),
        calibration.accepted,
        differences,
        tuple(untold),
        not_used,
    )


def _differences(calibration: Calibration, loaded: Sequence[Loaded], spec: ArmSpec) -> tuple[str, ...]:
    """For which robot-run would refuse the calibration on the arm of this file and these logs.

    Gains count where no log has the calibrated ones: a recording may have a part with others.
    """
    identity, here = calibration.identity, by_files(calibration, spec)
    recorded = [one.identity for one in loaded if one.identity is not None]
    for found in (here, *recorded):
        if (found.spec, found.mjcf_digest) != (identity.spec, identity.mjcf_digest):
            raise OtherModelError(
                f"the calibration is of {identity.spec} ({identity.mjcf_digest[:12]}), this is {found.spec} "
                f"({found.mjcf_digest[:12]}), another MJCF, of which its masses are no shares: give the arm's files of "
                "that day (--arm), or calibrate it again"
            )
    told: dict[str, str] = {}
    everywhere = [{what for what, *_ in identity.differences(found)} for found in recorded]
    for found in (here, *recorded):
        for what, now, was in identity.differences(found):
            passing = what.endswith(": gains") and found is not here and not all(what in each for each in everywhere)
            if not passing:
                told.setdefault(what, f"{what} {now}, calibrated with {was}")
    return tuple(told.values())


def _require_fresh(calibration: Calibration, loaded: Sequence[Loaded]) -> None:
    known = set(calibration.logs.values())
    if old := [str(one.file or one.log.name) for one in loaded if one.digest and one.digest in known]:
        raise FittedToError(
            f"{', '.join(old)}: among the logs that this calibration was made from, which prove nothing of drift; "
            "record a fresh one (robot-calibrate record) and give that"
        )


def joints_of(calibration: Calibration) -> tuple[str, ...]:
    """That it speaks of."""
    return tuple(dict.fromkeys(label.rsplit(".", 1)[0] for label in calibration.physics if "." in label))


def physics_of(rig: Rig, calibration: Calibration) -> Physics:
    """The calibration's numbers, nothing of them fitted; the data files' where it has none."""
    start = {name: value.copy() for name, value in Physics(rig.world, ()).nominal.items()}
    for label, number in calibration.physics.items():
        joint, _, kind = label.rpartition(".")
        if kind in start:
            start[kind][rig.world.names.index(joint) if joint else 0] = number.value
    return Physics(rig.world, (), start)


def _seconds_on(log: Log, i: int) -> float:
    on = (log.valid & log.torque_on)[:-1, i]
    return float(np.minimum(np.diff(log.time), LONGEST_HOLE)[on].sum())


def _then(calibration: Calibration, joint: str) -> float:
    return next((row.value for row in calibration.acceptance if row.name == f"error of {joint}"), math.nan)


def _change(label: str, was: Number, now: Number) -> Change | None:
    """The change, if it is neither noise nor small."""
    kind = KINDS[label.rsplit(".", 1)[-1]]
    if not (was.seen and now.seen):
        return None

    def scaled(value: float) -> float:
        return math.log(max(value, 1e-12)) if kind.factor else value

    sigma = math.hypot(
        *((scaled(n.high) - scaled(n.low)) / (2 * TWO_SIGMA) for n in (was, now)),
    )
    moved = scaled(now.value) - scaled(was.value)
    least = FACTOR if kind.factor else DELAY if kind.name == "delay" else ANGLE
    sigmas = abs(moved) / max(sigma, 1e-12)
    return Change(label, was.value, now.value, sigmas, kind.unit) if sigmas > SIGMAS and abs(moved) > least else None


def _verdict(nominal: Floats, calibrated: Floats, then: Floats, changes: Sequence[Change]) -> Verdict:
    """By the errors first: what has no number (play, a cable that pulls) drifts as well."""
    bound = np.fmax(WORSE * then, GOOD)
    if (calibrated <= bound).all():
        return Verdict.DRIFTED if any(change.lasts for change in changes) else Verdict.HOLDS
    if calibrated.mean() > max(ROLLOUT * nominal.mean(), GOOD):
        return Verdict.FOREIGN
    return Verdict.DRIFTED


def _surroundings(calibration: Calibration, loaded: Sequence[Loaded], names: Sequence[str]) -> tuple[str, ...]:
    found = []
    for what, unit, slack, (low, high) in (
        ("volts", "V", VOLTS, calibration.volts),
        ("temperature", "°C", CELSIUS, calibration.celsius),
    ):
        every = np.concatenate([getattr(one.log.select(names), what).ravel() for one in loaded])
        every = every[np.isfinite(every)]
        if len(every) and (every.min() < low - slack or every.max() > high + slack):
            found.append(
                f"{what}: {every.min():.1f} to {every.max():.1f} {unit}, calibrated between {low:.1f} and {high:.1f}"
            )
    return tuple(found)
