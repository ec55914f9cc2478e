"""The whole way: logs of an arm -> physics, maps, a verdict on data that was held out, and an arm.cal."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np

from calibration.errors import CalibrationError
from calibration.judging.acceptance import Rollouts, accepted, judge, slopes_of
from calibration.judging.closed_loop import fly
from calibration.judging.examine import RefusedLogError, examine
from calibration.judging.strength import weaknesses
from calibration.judging.tip_doubt import tip_doubt
from calibration.logs.load import Loaded, left_out, told_apart
from calibration.logs.log import Log
from calibration.logs.modelled import as_modelled
from calibration.logs.splits import Split, splits
from calibration.logs.windows import Windows, open_volts, position_gains
from calibration.maps.fit import TORQUE_HISTORY, lags_of, torque_inputs
from calibration.maps.stage import Mapped, MapStage, files_of, fit_maps
from calibration.physics.fit import Fitted
from calibration.physics.identify import (
    alike_of,
    delays,
    errors,
    fine_rig,
    identify,
    mean_error,
    numbers_of,
    unseen,
    windows_of,
)
from calibration.physics.joints import fitted_joints
from calibration.physics.law import POSITION_MODES
from calibration.physics.rollout import Rig
from robot_runtime.arrays import Floats
from robot_runtime.calibrated.file import Calibration
from robot_runtime.calibrated.identity import Identity
from robot_runtime.spec import ArmSpec

SLOPE_SAMPLES = 2000
ROUND = (10.0, 1.0)
"""Hz: rates of buses are multiples of these, the first rather than the second."""
SCATTER = 1e-3
"""Share by which the rate that stamps show may be off: a microsecond at 1 kHz."""

Tell = Callable[[str], None]


class UnwritableNameError(CalibrationError):
    """A name that no file can hold: it shows only once the calibration is written, minutes later.

    Example scenarios:
        - A log comes from a disk whose file names are in Latin-1.
    """


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Half-second rollouts on what was held out: windows x samples x joints, rad; nan where nothing was measured."""

    windows: Windows
    nominal: Floats  # errors
    fitted: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """A calibration, and what the report shows of how it came about."""

    calibration: Calibration
    rig: Rig
    fitted: Fitted
    mapped: Mapped
    split: Split
    held_out: HeldOut
    findings: tuple[str, ...]
    logs: tuple[Log, ...]  # of the calibrated joints

    @property
    def accepted(self) -> bool:
        """The verdict."""
        return self.calibration.accepted


def calibrate(
    loaded: Sequence[Loaded],
    spec: ArmSpec,
    *,
    name: str = "",
    period: float | None = None,
    threads: int = 2,
    progress: Tell = lambda _: None,
    known: Callable[[Rig], Fitted] | None = None,
) -> Result:
    """Fit and judge. `name`: what the user calls this arm. `period`: s, of the bus; default: the flights', else 5 ms.
    `known`: what the numbers truly are, of a twin: to see what more a fit that errs in nothing would bring.

    Raises:
        RefusedLogError, NotModelledError, NoWindowError: the logs cannot be fitted, and why.
        UnwritableNameError: of a log, or of the arm.
        ArmSpecError: the arm's MJCF cannot be used, or lacks what is to be fitted.
        MapExportError: a map could not be written down.
    """
    loaded = told_apart(loaded)
    identity = identity_of(loaded, spec, name)
    _require_writable(identity.name, *(one.log.name for one in loaded))
    names = _joints(loaded, spec)
    arm, loaded, not_used = as_modelled(loaded, spec, names)
    rig = Rig.of(arm, names)
    progress("examining the logs")
    try:
        findings = (*not_used, *findings_of(loaded, rig))
    except RefusedLogError as error:  # of too little motion, perhaps: this may be why
        raise RefusedLogError("\n  ".join([str(error), *not_used])) from error
    logs = tuple(one.log.select(names) for one in loaded)
    every = splits(loaded)
    main = every[0]
    if not main.train:
        told = "only segments that are for judging are left of them; record again, or go on with --resume"
        raise RefusedLogError("\n  ".join([f"these logs cannot be fitted: {told}", *not_used]))
    train = [unit.of(logs[unit.log]) for unit in main.train]
    seconds = sum(log.duration for log in train)
    progress(f"physics: fitted to {len(main.train)} pieces, {seconds:.0f} s; held out: {main.name}")
    fine, pieces = fine_rig(rig), [unit.of(logs[unit.log]) for unit in main.test]
    windows = windows_of(fine, pieces)  # before minutes of fitting: there may be none
    fitted = known(fine) if known else identify(rig, train, threads=threads, progress=progress)
    if doubt := tip_doubt(fitted, rig).text:
        findings = (*findings, doubt)
    rig = fine
    held = HeldOut(windows, errors(rig, windows, None, threads), errors(rig, windows, fitted, threads))
    spread = delays(rig, train, fitted, threads).spread
    volts = _open_volts(logs, rig)
    findings = (*findings, *(one.text for one in weaknesses(rig, fitted.numbers(), volts)))
    stage = MapStage(rig, logs, fitted, volts, period or _period(loaded))
    mapped = fit_maps(stage, every, progress)
    slopes = {}
    if mapped.torque is not None:
        lags = lags_of(TORQUE_HISTORY, stage.period)
        inputs = np.concatenate(
            [torque_inputs(t, lags, volts)[rows & t.moving.any(axis=1)] for t, rows in stage.parts(main.test)]
        )
        slopes = slopes_of(mapped.torque, inputs[:: max(1, len(inputs) // SLOPE_SAMPLES)], names)
    maps = files_of(mapped, rig)
    progress("closed loop")
    driven = not {"torque", "goal"}.isdisjoint(maps)
    rows = judge(
        main.name,
        names,
        Rollouts(mean_error(held.nominal), mean_error(held.fitted)),
        fitted,
        spread,
        mapped.choices,
        mapped.errors,
        slopes,
        stage.flicker(main),
        stage.period,
        fly(rig, stage.numbers, volts, maps, pieces) if driven else None,
    )
    calibration = Calibration(
        identity=identity,
        maps=maps,
        physics=numbers_of(fitted),
        alike=alike_of(fitted),
        acceptance=rows,
        accepted=accepted(rows),
        volts=_range([log.volts for log in logs], spec.supply),
        celsius=_range([log.temperature for log in logs], (0.0, min(j.limits.temperature for j in rig.world.joints))),
        logs={log.name: one.digest for one, log in zip(loaded, logs, strict=True)},
        created=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        versions=_versions(),
        open_volts=_for_arm(volts, rig),
        notes=_notes(fitted, findings),
    )
    return Result(calibration, rig, fitted, mapped, main, held, findings, logs)


def _require_writable(*names: str) -> None:
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise UnwritableNameError(
                f"{name!a}: a name that is not UTF-8 fits in no calibration; rename it"
            ) from error


def identity_of(loaded: Sequence[Loaded], spec: ArmSpec, name: str = "") -> Identity:
    """The arm that was recorded, as it is to fly. Its gains are the arm file's, which the maps are made for, and not
    those of a recording: a log brings its own to the fit, whose numbers have none in them.
    """
    recorded = (one.identity for one in loaded if one.identity is not None)
    found = next(recorded, Identity.of_spec(spec)).with_gains_of(spec)
    return replace(found, name=name or found.name)


def findings_of(loaded: Sequence[Loaded], rig: Rig) -> tuple[str, ...]:
    """What is odd but can be worked with, in words: joints that were left out, or that a mapping leaves out, first.

    Raises:
        RefusedLogError: the logs cannot be fitted.
    """
    stood = tuple(f"{name} keeps its data file's numbers: {one.text}" for name, one in left_out(loaded).items())
    stood += tuple(
        f"{name} keeps its data file's numbers, and is taken to stand at {at:.3f} rad: {lacking[0]} has no columns of"
        " it; map them, and it is fitted too"
        for name, at in zip(rig.world.spec.joint_names, rig.world.spec.poses["home"], strict=True)
        if (lacking := [one.log.name for one in loaded if name not in one.log.joints])
    )
    position = rig.laws.position
    mixed = ("some joints take goals and others torques: no map drives them, and no closed loop is judged",)
    odd = examine(loaded, rig)
    if silent := _without_speed(loaded, rig):
        raise RefusedLogError(
            f"these logs cannot be fitted: they have no speed of {', '.join(silent)}, and an observation map is fitted"
            " to the servos' velocity registers: log them, and map their columns (dq)"
        )
    return (*stood, *_other_gains(loaded, rig), *odd, *(mixed if position.any() and not position.all() else ()))


def _other_gains(loaded: Sequence[Loaded], rig: Rig) -> list[str]:
    """Position joints that no log has with the arm file's gains: a recording gives more to those that trail."""
    found = []
    logged = [position_gains(one.log.select(rig.world.names)) for one in loaded]
    for k, register in enumerate(("position_p_gain", "position_d_gain")):
        for i, joint in enumerate(rig.world.joints):
            own, flown = joint.gain(register), {float(gains[k][i]) for gains in logged}
            if joint.mode not in POSITION_MODES or not flown or any(np.isnan(g) or g == own for g in flown):
                continue
            found.append(
                f"{joint.name} was recorded with {register} {' and '.join(f'{g:g}' for g in sorted(flown))}, and "
                f"{rig.world.spec.path.name} has {own}: its maps are made, judged and flown with {own}; to fly with "
                "another, write that into the file and fit again"
            )
    return found


def _without_speed(loaded: Sequence[Loaded], rig: Rig) -> list[str]:
    """Joints without a speed; empty as soon as one log has them all."""
    names = rig.world.names
    logs = [one.log.select(names) for one in loaded]
    silent = [{n for n, dq in zip(names, log.dq.T, strict=True) if not np.isfinite(dq).any()} for log in logs]
    return [n for n in names if n in set().union(*silent)] if all(silent) else []


def _joints(loaded: Sequence[Loaded], spec: ArmSpec) -> tuple[str, ...]:
    """That can be fitted, that every log has and none left out.

    Raises:
        RefusedLogError: there is none.
    """
    logs, out = [one.log.joints for one in loaded], left_out(loaded)
    found = tuple(name for name in fitted_joints(spec) if name not in out and all(name in n for n in logs))
    if not found:
        raise RefusedLogError("these logs cannot be fitted: no joint in them moved that a law is known for")
    return found


def _period(loaded: Sequence[Loaded]) -> float:
    """The flights' own; logs that others made say nothing of our bus.

    A bus has a rate that somebody asked for, and stamps scatter: the roundest rate that they allow. It must be that
    rate to the last digit, as a policy's is to divide it and a map's history is whole cycles of it.
    """
    ours = [one.log for one in loaded if one.identity is not None or one.spans]
    if not ours:
        return 0.005
    steps = np.diff(ours[0].time)
    near = np.abs(steps / np.median(steps) - 1.0) < 0.5  # no cycle was skipped; their mean knows no grain of a clock
    rate = 1.0 / float(steps[near].mean())
    rounded = (round(rate / unit) * unit for unit in ROUND)
    return 1.0 / next((one for one in rounded if abs(one - rate) <= SCATTER * rate), round(rate, 2))


def _open_volts(logs: Sequence[Log], rig: Rig) -> Floats:
    found = np.array([open_volts(log) for log in logs])
    return np.array(
        [
            float(np.median(seen[np.isfinite(seen)])) if np.isfinite(seen).any() else nominal
            for seen, nominal in zip(found.T, rig.laws.nominal_volts, strict=True)
        ]
    )


def _for_arm(volts: Floats, rig: Rig) -> tuple[float, ...]:
    """Of all joints of the arm; nominal where a joint was not calibrated."""
    every = [j.servo.motor.nominal_voltage for j in rig.world.spec.joints]
    for i, value in zip(rig.world.index, volts, strict=True):
        every[i] = float(value)
    return tuple(every)


def _range(values: Sequence[Floats], otherwise: tuple[float, float]) -> tuple[float, float]:
    """Lowest and highest that was measured."""
    every = np.concatenate([v.ravel() for v in values])
    every = every[np.isfinite(every)]
    return (float(every.min()), float(every.max())) if len(every) else otherwise


def _notes(fitted: Fitted, findings: Sequence[str]) -> tuple[str, ...]:
    told = [f"not told apart, left near the data file's: {', '.join(unseen(fitted))}"] if unseen(fitted) else []
    return (*told, *findings)


def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("mujoco", "torch", "numpy", "onnx")}
    return {"python": platform.python_version(), **packages}
