"""From tracks to fitted maps, and what they score. Histories are in seconds and become taps of the loop's period."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from calibration.maps.modules import PHYSICS, GoalMap, ObservationMap, TorqueMap
from calibration.maps.targets import Track, tapped
from calibration.maps.training import Budget, Samples, fit_ensemble, fit_inverse, fit_linear, joined, normalise
from calibration.physics.law import POSITION_MODES
from calibration.physics.rollout import Rig
from robot_runtime.arrays import Flags, Floats

TORQUE_HISTORY = (0.0, 0.010, 0.020, 0.030, 0.040, 0.050, 0.065, 0.080, 0.100, 0.120)
"""s before now of the torque map's taps."""
SENSE_HISTORY = tuple(0.005 * i for i in range(10))
"""s before now of the observation map's taps: as far as a velocity register of 20 ms lag looks back."""
GOAL_HISTORY = (0.0, 0.05, 0.10)
"""s before now of the goal map's taps: a goal's speed is what it did from the last to the first."""
AUTHORITY = 0.3
"""Share of the command's limit that a residual may have."""
GOAL_AUTHORITY = 0.15
"""rad by which a goal may be moved, besides the offset: three times what a stiff servo lags and sags."""
FASTEST = 1.0
"""Times the joint's velocity limit: the largest correction of a velocity."""
PRACTISED = 1.0
"""Weight of all practice, of the recording's."""

Part = tuple[Track, Flags]
"""A track, and which of its samples to use."""


def lags_of(history: Sequence[float], period: float) -> tuple[int, ...]:
    """Whole periods, each once."""
    return tuple(sorted({round(seconds / period) for seconds in history}))


def whole(track: Track) -> Part:
    """All of it."""
    return track, np.ones(len(track), dtype=bool)


def torque_inputs(track: Track, lags: Sequence[int], volts: Floats) -> Floats:
    """(samples, joints, 2 taps + 3), as TorqueMap takes them. `volts`: V of each joint's supply without load,
    where the track does not know its own.
    """
    parts = [tapped(track.torque, lags), tapped(track.true_dq, lags), _now(track, volts)]
    return np.concatenate(parts, axis=2)


def sense_inputs(track: Track, lags: Sequence[int]) -> Floats:
    """(samples, joints, 3 taps), as ObservationMap takes them. The command of a sample goes out after it was read: the
    newest that can be known is the one before.
    """
    known = [lag + 1 for lag in lags]
    return np.concatenate([tapped(track.q, lags), tapped(track.dq, lags), tapped(track.command, known)], axis=2)


def fit_torque_map(
    rig: Rig,
    numbers: Mapping[str, Floats],
    parts: Sequence[Part],
    volts: Floats,
    *,
    friction: bool = True,
    duty: bool = False,
    linear: bool = True,
    network: bool = True,
    tuned: TorqueMap | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> TorqueMap:
    """Fit a torque map to tracks. `tuned`: one of the same tracks, whose physics are taken over.

    numbers: Fitted.numbers(); friction: as in `targets.track`; duty: the map gives duties whatever the joints' modes
    (their own position loops make duties too, and say so in a register). linear, network: which residuals are added.
    """
    joints, laws = len(rig.world.joints), rig.laws
    lags = lags_of(TORQUE_HISTORY, parts[0][0].period)
    pwm = np.ones(joints) if duty else (~laws.current).astype(float)
    physics = map_physics(rig, numbers, friction=friction)
    torch.manual_seed(seed)
    found = TorqueMap(joints, len(lags), physics, pwm=_tensor(pwm))
    inputs, wanted, weight = _gather(
        parts,
        lambda t: torque_inputs(t, lags, volts),
        lambda t: t.duty if duty else t.cause,
        lambda t: t.moving,
    )
    if tuned is None:
        fit_inverse(found, inputs, wanted, weight)
    else:
        found.load_state_dict({k: v for k, v in tuned.state_dict().items() if k in PHYSICS}, strict=False)
    most = np.where(pwm > 0, 1.0, [j.limits.torque for j in rig.world.joints]) * AUTHORITY
    with torch.no_grad():
        features, command = found.parts(inputs)
        normalise(found.residual, features, weight)
        fit_linear(found.residual, features, wanted - command, weight, _tensor(most), zero=not linear)
    if network:
        fit_ensemble(found.residual, features, wanted - command, weight, budget=budget, seed=seed, progress=progress)
    return found


def map_physics(rig: Rig, numbers: Mapping[str, Floats], *, friction: bool = True) -> dict[str, Tensor]:
    """The numbers of a torque map: the simulator's friction (if it has any), and the arm's friction and motors."""
    joints, sim, on = len(rig.world.joints), rig.world.model, float(friction)
    physics = {
        "sim_coulomb": np.array(sim.dof_frictionloss) * on,
        "sim_viscous": np.array(sim.dof_damping).reshape(joints, -1)[:, 0] * on,
        "sim_load": np.array([j.servo.motor.load_friction for j in rig.world.joints]) * on,
        "coulomb": numbers["coulomb"],
        "viscous": numbers["viscous"],
        "load": numbers["load_friction"],
        "constant": numbers["torque_constant"],
        "nominal_constant": rig.laws.constant,
        "resistance": numbers["resistance"],
        "supply": np.broadcast_to(numbers["supply_resistance"], joints),
    }
    return {name: _tensor(value) for name, value in physics.items()}


def make_goal_map(rig: Rig, numbers: Mapping[str, Floats], period: float) -> GoalMap:
    """The goal map of these numbers, of a bus of this period (s); nothing in it is learnt."""
    joints, laws, physics = rig.world.joints, rig.laws, map_physics(rig, numbers)
    simulated = {
        "offset": numbers["offset"],
        "gain": laws.default_p * laws.p_unit,
        "authority": np.full(len(joints), GOAL_AUTHORITY),
        "sim_volts": laws.nominal_volts,
        "sim_constant": laws.constant,
        "sim_resistance": np.array([j.servo.motor.resistance for j in joints]),
    }
    lags = [lag * period for lag in lags_of(GOAL_HISTORY, period)]
    return GoalMap(len(joints), lags, physics | {name: _tensor(value) for name, value in simulated.items()})


def goal_inputs(track: Track, lags: Sequence[int], volts: Floats) -> Floats:
    """(samples, joints, 3 taps + 3), as a GoalMap takes them, in the simulator's frame."""
    moved = (np.nan_to_num(track.command), track.true_q, track.true_dq)
    return np.concatenate([*(tapped(values, lags) for values in moved), _now(track, volts)], axis=2)


def _now(track: Track, volts: Floats) -> Floats:
    """What has no history: volts, extra torque, weight. A duty made its torque from what the supply was that day."""
    if track.open_volts is not None:
        volts = np.where(np.isnan(track.open_volts), volts, track.open_volts)
    nothing = np.zeros_like(track.q)
    known = [nothing if values is None else values for values in (track.extra, track.weight)]
    return np.stack([np.broadcast_to(volts, track.q.shape), *known], axis=2)


def fit_observation_map(
    rig: Rig,
    numbers: Mapping[str, Floats],
    parts: Sequence[Part],
    *,
    practised: Sequence[Track] = (),
    lead: float = 0.0,
    still: Floats | None = None,
    linear: bool = True,
    network: bool = True,
    budget: Budget | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> ObservationMap:
    """Fit an observation map to tracks. `lead`: s from a reading to the effect of what a policy makes of it.

    practised: `practice`'s; all together they have PRACTISED of the tracks' weight. still: rad, see `ObservationMap`;
    what is learnt is learnt of joints that move.
    """
    joints = rig.world.joints
    period = parts[0][0].period
    lags = lags_of(SENSE_HISTORY, period)
    relative = np.array([float(j.mode in POSITION_MODES) for j in joints])
    torch.manual_seed(seed)
    offset = _tensor(numbers["offset"])
    found = ObservationMap(len(joints), len(lags), offset, lead, relative=_tensor(relative), period=period)
    if still is not None:
        found.still.copy_(_tensor(still).reshape(-1, 1, 1))
    most = np.array([FASTEST * j.limits.velocity for j in joints])

    def left_over(parts: Sequence[Part], *, known: bool = False) -> Samples:
        inputs, wanted, weight = _sensed(parts, lags)
        features, _, register = found.features(inputs)
        if known:
            normalise(found.residual, features, weight)  # rests as well
        return features, wanted - register, weight * found.moves(inputs)

    with torch.no_grad():
        samples = left_over(parts, known=True)
        if practised:
            x, y, weight = left_over([whole(one) for one in practised])
            share = PRACTISED * samples[2].sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1.0)
            samples = joined(samples, (x, y, share * weight))
        fit_linear(found.residual, *samples, _tensor(most), zero=not linear)
    if network:
        fit_ensemble(found.residual, *samples, budget=budget, seed=seed, progress=progress)
    return found


def torque_scores(found: TorqueMap, parts: Sequence[Part], volts: Floats, *, duty: bool = False) -> dict[str, Floats]:
    """A joint's error over its variance on these samples: of physics alone and of the whole map."""
    lags = lags_of(TORQUE_HISTORY, parts[0][0].period)
    inputs, wanted, weight = _gather(
        parts,
        lambda t: torque_inputs(t, lags, volts),
        lambda t: t.duty if duty else t.cause,
        lambda t: t.moving,
    )
    with torch.no_grad():
        physics = found.parts(inputs)[1]
        mapped = found(inputs)[:, : found.joints].T[..., None]
    return {"physics": _normalised(physics, wanted, weight), "map": _normalised(mapped, wanted, weight)}


def sense_scores(found: ObservationMap, parts: Sequence[Part]) -> dict[str, Floats]:
    """A joint's velocity error, rad/s rms: of the register and of the map; and how much the velocity varies."""
    inputs, wanted, weight = _sensed(parts, lags_of(SENSE_HISTORY, parts[0][0].period))
    n = found.joints
    with torch.no_grad():
        register = found.features(inputs)[2]
        mapped = found(inputs)[:, n : 2 * n].T[..., None]
        spread = _rms(wanted - (weight * wanted).sum(1, keepdim=True) / weight.sum(1, keepdim=True), weight)
    return {"register": _rms(register - wanted, weight), "map": _rms(mapped - wanted, weight), "spread": spread}


def _sensed(parts: Sequence[Part], lags: Sequence[int]) -> Samples:
    """What an observation map takes and is to give."""
    return _gather(parts, lambda t: sense_inputs(t, lags), lambda t: t.wanted_dq, lambda t: t.usable)


def _gather(
    parts: Sequence[Part],
    inputs: Callable[[Track], Floats],
    wanted: Callable[[Track], Floats],
    usable: Callable[[Track], Flags],
) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs (samples, joints * taps), targets and weights (joints, samples, 1); nan has no weight."""
    x = np.concatenate([inputs(track)[rows].reshape(int(rows.sum()), -1) for track, rows in parts])
    y = np.concatenate([wanted(track)[rows] for track, rows in parts])
    good = np.concatenate([usable(track)[rows] for track, rows in parts]) & np.isfinite(y)
    rows = good.any(axis=1) & np.isfinite(x).all(axis=1)
    targets, weights = np.nan_to_num(y[rows]).T[..., None], good[rows].T[..., None].astype(float)
    return _tensor(x[rows]), _tensor(targets), _tensor(weights)


def _tensor(values: npt.ArrayLike) -> Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float32)


def _rms(error: Tensor, weight: Tensor) -> Floats:
    value: Floats = ((weight * error**2).sum(1) / weight.sum(1)).sqrt()[:, 0].numpy().astype(float)
    return value


def _normalised(value: Tensor, wanted: Tensor, weight: Tensor) -> Floats:
    mean = (weight * wanted).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
    return _rms(value - wanted, weight) ** 2 / _rms(wanted - mean, weight) ** 2
