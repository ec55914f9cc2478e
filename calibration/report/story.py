"""What a report shows: rollouts of held-out motion before and after, and the maps at work, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime

from calibration.judging.drift import joints_of, physics_of
from calibration.logs.load import Loaded
from calibration.logs.log import Log
from calibration.logs.modelled import as_modelled
from calibration.logs.splits import splits
from calibration.maps.export import flat
from calibration.maps.fit import sense_inputs
from calibration.maps.targets import Track, track
from calibration.physics.identify import fine_rig, windows_of
from calibration.physics.numbers import Physics
from calibration.physics.rollout import Rig, rollout
from robot_runtime.arrays import Floats
from robot_runtime.calibrated.file import Calibration, MapFile
from robot_runtime.spec import ArmSpec

SHOWN = 12.0
"""s of held-out motion in the pictures."""
CURVE = 61
"""Points of a map's curve."""


@dataclass(frozen=True, slots=True, eq=False)
class Tracking:
    """Half-second rollouts one behind the other; samples x joints, rad. A row of nan parts two of them."""

    time: Floats
    measured: Floats
    nominal: Floats
    calibrated: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Sensing:
    """Velocities over time; samples x joints, rad/s."""

    time: Floats
    register: Floats
    mapped: Floats
    wanted: Floats  # as the simulator's register will show it when a command has its effect


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A joint's map from torque (or the goal's distance) to command: at rest, and turning either way."""

    joint: str
    x: Floats
    nominal: Floats  # without a calibration
    mapped: tuple[Floats, Floats, Floats]  # turning back, at rest, turning on


@dataclass(frozen=True, slots=True, eq=False)
class Story:
    """Everything that is drawn."""

    calibration: Calibration
    joints: tuple[str, ...]
    held_out: str
    tracking: Tracking
    sensing: Sensing | None
    curves: tuple[Curve, ...]
    rig: Rig


def story(calibration: Calibration, loaded: Sequence[Loaded], spec: ArmSpec, threads: int = 2) -> Story:
    """Simulate the logs' held-out side with the data files' and with the calibration's numbers, and run the maps."""
    arm, loaded, _ = as_modelled(loaded, spec, joints_of(calibration))  # as the fit did, which said what is left
    rig = fine_rig(Rig.of(arm, joints_of(calibration)))
    names = rig.world.names
    logs = [one.log.select(names) for one in loaded]
    main = splits(loaded)[0]
    pieces = [unit.of(logs[unit.log]) for unit in main.test]
    known = physics_of(rig, calibration)
    sensing = None
    if "observation" in calibration.maps:
        sensing = _sensing(rig, pieces[0], calibration.maps["observation"], calibration)
    curves = _torque_curves(rig, calibration) if "torque" in calibration.maps else ()
    return Story(calibration, names, main.name, _tracking(rig, pieces, known, threads), sensing, curves, rig)


def _tracking(rig: Rig, pieces: Sequence[Log], known: Physics, threads: int) -> Tracking:
    windows = windows_of(rig, pieces)
    windows = windows.take(slice(0, round(SHOWN / 0.5)))
    none = np.zeros(0)
    before, after = (rollout(rig, physics, none, windows, threads)[0][0] for physics in (Physics(rig.world, ()), known))
    step = windows.step * windows.every
    time = windows.begin[:, None] - windows.begin[0] + np.arange(windows.q.shape[1]) * step
    measured = np.where(windows.weight > 0, windows.q, np.nan)

    def parted(values: Floats) -> Floats:
        gap = np.full((len(values), 1, *values.shape[2:]), np.nan)
        return np.asarray(np.concatenate([values, gap], axis=1).reshape(-1, *values.shape[2:]))

    ends = time[:, -1:] + 0.5 * step
    return Tracking(np.concatenate([time, ends], axis=1).ravel(), parted(measured), parted(before), parted(after))


def _sensing(rig: Rig, log: Log, file: MapFile, calibration: Calibration) -> Sensing:
    offsets = physics_of(rig, calibration).start["offset"]
    delay = calibration.physics["delay"].value if "delay" in calibration.physics else 0.0
    lag = max(joint.servo.motor.velocity_lag for joint in rig.world.joints)
    made: Track = track(rig, log, file.period, offsets, ahead=max(delay, 0.0) - lag, until=SHOWN / 3)
    lags = [round(seconds / file.period) for seconds in file.taps["q"]]
    mapped, n = run_map(file, np.nan_to_num(sense_inputs(made, lags))), len(file.joints)
    return Sensing(np.arange(len(made), dtype=float) * file.period, made.dq, mapped[:, n : 2 * n], made.wanted_dq)


def run_map(file: MapFile, inputs: Floats) -> Floats:
    """What a map gives for inputs as the fit makes them (samples x joints x ...)."""
    session = onnxruntime.InferenceSession(file.onnx, providers=["CPUExecutionProvider"])
    taps = len(next(iter(file.taps.values())))
    given = flat(inputs.reshape(len(inputs), -1), len(file.joints), taps, len(file.taps)).astype(np.float32)
    return np.array([session.run(["mapped"], {"history": row[np.newaxis]})[0][0] for row in given], dtype=float)


def _torque_curves(rig: Rig, calibration: Calibration) -> tuple[Curve, ...]:
    """Steady torque and speed, so that histories are constant."""
    file, laws = calibration.maps["torque"], rig.laws
    taps, n = len(file.taps["torque"]), len(file.joints)
    limits = [joint.limits for joint in rig.world.joints]
    most, speed = np.array([x.torque for x in limits]), 0.2 * np.array([x.velocity for x in limits])
    share = np.linspace(-0.8, 0.8, CURVE)
    supply = np.array([calibration.open_volts[i] for i in rig.world.index])
    resistance = np.array([j.servo.motor.resistance for j in rig.world.joints])
    torque = share[:, None] * most
    nominal = np.where(laws.current, torque, torque / laws.constant * resistance / supply)
    mapped = []
    for sense in (-1.0, 0.0, 1.0):
        x = np.zeros((CURVE, n, 2 * taps + 3))
        x[:, :, :taps] = torque[:, :, None]
        x[:, :, taps : 2 * taps] = (sense * speed)[:, None]
        x[:, :, 2 * taps] = supply
        mapped.append(run_map(file, x))
    return tuple(
        Curve(name, torque[:, i], nominal[:, i], (mapped[0][:, i], mapped[1][:, i], mapped[2][:, i]))
        for i, name in enumerate(rig.world.names)
    )
