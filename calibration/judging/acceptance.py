"""Acceptance: what a calibration must show, on data that it never saw, before the runtime takes it.

Each row has a figure, its bound and, where it failed, what to do. Bounds and where they come from: docs/calibration.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from calibration.judging.closed_loop import Flown
from calibration.maps.modules import TorqueMap
from calibration.maps.residuals import LEVELS, Choice
from calibration.physics.fit import Fitted, in_words
from robot_runtime.arrays import Flags, Floats
from robot_runtime.calibrated.file import Row

ROLLOUT = 0.6
"""Times the error of the simulator as it comes, over half a second."""
GOOD = 0.004
"""rad: a simulator that is nearer than that needs no calibration; gears alone have as much play."""
VELOCITY = 0.08
"""rms error of the mapped velocity, of its spread. Filters without lag leave 0.05 on real servos; looking a delay ahead
costs half as much again."""
FLICKER = 2.0
"""Times the error of a line through 40 ms of angles that flicker, which the velocity's error may have besides: what
looks at no sample behind it, and ahead, knows half as much."""
COMMAND = 0.05
"""Squared error of the mapped command, of its variance, on moving joints."""
DELAY = 0.005
"""s by which segments may disagree about the delay, or the bus's cycle where that is longer."""
SLOPE = (0.5, 2.0)
"""Times the physics' slope of command over torque that the torque map's may have: positive, and no surprise."""
UNTOLD = 2.0
"""Standard deviations of the prior by which masses, payload and offsets may leave the data files where the data do not
tell (where they tell half, more: `_honest`). There the prior should hold them: they can make up for each other in every
pose of an arm; then rollouts are as good, and the tip is millimetres off."""
WEIGHING = ("link_mass", "payload", "offset")
TURNS = 0.2
"""Standard deviations of the prior that offsets must have gone with it for it to matter: masses that make up for each
other move no tip."""
SWING = 0.010
"""rad that a joint at rest may go and come back, in closed loop: six steps of the usual encoder. Maps that stand leave
less than 1 mrad, those that swing made 367 and more.
"""

ADVICE: Mapping[str, str] = {
    "rollouts": "record longer (--level full), free of table and cables; check masses and arm file",
    "error": "this joint got worse, not better: look for backlash, contact or a slipping horn, and record more of it",
    "velocity": "look for lost replies and a loose encoder in the log; record again, with slow and fast motion",
    "command": "record more motion of that joint, in both directions; look for play in its gears or a slipping horn",
    "delay": "the bus was irregular: find lost replies or a busy host (robot-scan, docs/realtime.md); record again",
    "bounds": "a figure ended where none can be: wrong servo model, gear or gains in arm.toml, or another arm's log",
    "untold": "numbers that make up for each other ran away together: record with a known weight at the tip"
    " (--payload); check masses and arm file",
    "slope": "the torque map bends the wrong way: record more motion of that joint, then fit again",
    "residual": "",
    "closed": "with these maps the arm would swing: fly without --calibration; record longer (--level full), and fit"
    " again; a position joint rings less with a lower position_p_gain in arm.toml",
}
"""Row -> what to do when it fails."""


@dataclass(frozen=True, slots=True)
class Rollouts:
    """Errors of half-second rollouts on held-out data, rad, by joint."""

    nominal: Floats
    fitted: Floats


def judge(
    split: str,
    joints: Sequence[str],
    rollouts: Rollouts,
    fitted: Fitted,
    delay_spread: float | None,
    choices: Mapping[str, Choice],
    left_over: Mapping[str, Floats],
    slopes: Mapping[str, tuple[float, float]],
    flicker: Floats,
    period: float,
    flown: Flown | None = None,
) -> tuple[Row, ...]:
    """The table. `left_over`: map -> its error over its spread, a joint's. `slopes`: joint -> lowest and highest slope
    of its torque map, in the physics' own. `flicker`: error of a line through the angles, a joint's, of its velocity's
    spread: what the encoder makes of it. `period`: s, of the bus. `flown`: in closed loop; None: no map drives these
    joints. `delay_spread`: s, as `Delays` has it.
    """
    rows = [_rollout_row(split, joints, rollouts)]
    for joint, before, after in zip(joints, rollouts.nominal, rollouts.fitted, strict=True):
        bound = max(float(before), GOOD)
        note = f"rad; {before:.4f} with the data files' numbers"
        rows.append(Row(f"error of {joint}", split, float(after), bound, bool(after <= bound), note))
    velocity, command = np.hypot(VELOCITY, FLICKER * flicker), np.full(len(joints), COMMAND)
    for kind, name, bounds in (("observation", "velocity", velocity), ("torque", "command", command)):
        if kind in left_over:
            rows.append(_map_row(split, joints, left_over[kind], name, bounds))
    rows.append(_delay_row(delay_spread, max(DELAY, period)))
    rows.append(_bounds_row(fitted))
    rows.append(_untold_row(fitted))
    if slopes:
        low, high = min(s[0] for s in slopes.values()), max(s[1] for s in slopes.values())
        fine = low >= SLOPE[0] and high <= SLOPE[1]
        rows.append(
            Row(
                "slope", split, low, SLOPE[0], fine, f"{low:.2f} to {high:.2f} times the physics', at most {SLOPE[1]:g}"
            )
        )
    if flown is not None:
        rows.append(_closed_row(split, joints, flown))
    rows += [_residual_row(kind, choice) for kind, choice in choices.items()]
    return tuple(rows)


def accepted(rows: Sequence[Row]) -> bool:
    """Whether every row passed."""
    return all(row.passed for row in rows)


def advice(rows: Sequence[Row]) -> tuple[str, ...]:
    """What failed, and what to do about it."""
    return tuple(
        f"{row.name}: {row.value:.3g}, bound {row.bound:.3g} ({row.note}). {ADVICE[row.name.split(' ')[0]]}"
        for row in rows
        if not row.passed
    )


def _rollout_row(split: str, joints: Sequence[str], rollouts: Rollouts) -> Row:
    before, after = float(np.mean(rollouts.nominal)), float(np.mean(rollouts.fitted))
    ratio = after / max(before, 1e-9)
    near = after <= GOOD and after <= before * (1.0 + ROLLOUT / 10)
    worst = int(np.argmax(rollouts.fitted))
    note = f"{before * 1e3:.1f} to {after * 1e3:.1f} mrad, worst {joints[worst]} {rollouts.fitted[worst] * 1e3:.1f}"
    if near and ratio > ROLLOUT:
        note += f"; under {GOOD * 1e3:g} mrad there is nothing to gain"
    return Row("rollouts", split, ratio, ROLLOUT, bool(ratio <= ROLLOUT or near), note)


def _delay_row(spread: float | None, bound: float) -> Row:
    """One piece agrees with itself: that is no failure, and no proof either."""
    told = "s" if spread is not None else "not judged: one piece tells nothing of it; record several, or fit more logs"
    spread = spread or 0.0
    return Row("delay", "between segments", spread, bound, spread <= bound, told)


def _untold_row(fitted: Fitted) -> Row:
    """How far what weighs went where the data tell nothing.

    Directions that are known equally badly have no axes of their own: any rotation of them is as good, and one axis of
    it shows a part of what ran away. So z is taken along all of them at once.
    """
    entries = fitted.physics.entries
    weighs = np.array([entry.kind.name in WEIGHING for entry in entries])
    offsets = np.array([entry.kind.name == "offset" for entry in entries])
    unseen = np.array([one.weights for one in fitted.combinations if not one.seen]).reshape(-1, len(entries)).T
    went = unseen @ (unseen.T @ fitted.z)
    far, bound = float(np.linalg.norm(went[weighs])), UNTOLD
    if not far or float(np.linalg.norm(went[offsets])) < TURNS:
        return Row("untold", "training", 0.0, bound, passed=True, note="where the data tell nothing, no offset went")
    bound = max(bound, _honest(fitted.covariance, unseen, weighs))
    told = in_words(went / float(np.linalg.norm(went)), fitted.physics.labels)
    return Row("untold", "training", far, bound, far <= bound, f"prior standard deviations along {told}")


def _honest(covariance: Floats, unseen: Floats, weighs: Flags) -> float:
    """How far what weighs may go along all unseen directions of an arm that is as the prior says: as likely as two
    standard deviations are along one.

    Data that narrow the prior's variance to v take z by the rest, 1 - v, to where this arm is; what they say nothing of
    stays. A sum of squares of several sizes is about a chi square of fewer (Satterthwaite's), whose quantile is Wilson
    and Hilferty's.
    """
    moved = unseen.T @ (np.eye(len(covariance)) - covariance) @ unseen
    variance = (unseen @ moved @ unseen.T)[np.ix_(weighs, weighs)]
    mean, spread = float(np.trace(variance)), float(np.sum(variance**2))
    if mean <= 0.0:
        return 0.0
    part = 2.0 * spread / (9.0 * mean**2)
    normal = NormalDist()
    deviations = normal.inv_cdf(2.0 * normal.cdf(UNTOLD) - 1.0)
    return float(np.sqrt(mean) * (1.0 - part + deviations * np.sqrt(part)) ** 1.5)


def _bounds_row(fitted: Fitted) -> Row:
    """Nature's bounds are no failure, but whoever reads a number should know that one is where it stands."""
    stuck, natural = (", ".join(labels) for labels in (fitted.at_bound, fitted.at_natural_bound))
    note = stuck or ("no other number on a bound" if natural else "no number on a bound")
    if natural:
        note += f"; {natural} at its lower bound, as good as nothing"
    return Row("bounds", "training", len(fitted.at_bound), 0, not stuck, note)


def _map_row(split: str, joints: Sequence[str], errors: Floats, name: str, bounds: Floats) -> Row:
    worst = int(np.argmax(errors / bounds))  # nan before all others
    value, bound = float(errors[worst]), float(bounds[worst])
    if np.isnan(value):
        return Row(
            name, split, value, bound, passed=False, note=f"{joints[worst]} hardly moves there: nothing to judge by"
        )
    return Row(name, split, value, bound, value <= bound, f"worst {joints[worst]}, mean {np.mean(errors):.4f}")


def _closed_row(split: str, joints: Sequence[str], flown: Flown) -> Row:
    worst = int(np.argmax(flown.swing))
    swing, apart, without = float(flown.swing[worst]), 1e3 * flown.apart[worst], 1e3 * flown.without[worst]
    note = f"rad of swing at rest, worst {joints[worst]}: {apart:.1f} mrad rms from the simulator's motion"
    return Row("closed loop", split, swing, SWING, swing <= SWING, f"{note}, {without:.1f} without maps")


def _residual_row(kind: str, choice: Choice) -> Row:
    """Says what ships; physics alone is no failure."""
    tried = [level for level in LEVELS[1:] if choice.gains(level)]
    told = "; ".join(f"{level} {min(choice.gains(level).values()):+.0%} at worst" for level in tried)
    least = min(choice.gains(choice.level).values()) if choice.level != LEVELS[0] else 0.0
    return Row("residual", "every split", least, 0.0, passed=True, note=f"{kind} map: {choice.level} ships ({told})")


def slopes_of(torque: TorqueMap, inputs: Floats, joints: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Slope of command over all torque taps together, as a factor of the physics' own: 1st and 99th percentile.

    Negative as well where both fall as torque grows: a map may agree with its physics and push the wrong way.
    """
    import torch  # noqa: PLC0415 (the table is read without it, too)

    n, taps = torque.joints, torque.taps
    x = torch.tensor(inputs.reshape(len(inputs), n, -1), dtype=torch.float32)
    step = torch.zeros_like(x)
    step[:, :, :taps] = 0.02 * x[:, :, :taps].std(dim=(0, 2), keepdim=True).clamp(min=1e-4)
    with torch.no_grad():
        flat = [(x + sign * step).reshape(len(x), -1) for sign in (1.0, -1.0)]
        whole = (torque(flat[0]) - torque(flat[1]))[:, :n].numpy()
        alone = (torque.parts(flat[0])[1] - torque.parts(flat[1])[1])[:, :, 0].T.numpy()
    alone = np.where(np.abs(alone) < 1e-9, np.nan, alone)
    ratio = np.minimum(whole / alone, whole / np.abs(alone))
    low, high = np.nanpercentile(ratio, [1, 99], axis=0)
    return {name: (float(a), float(b)) for name, a, b in zip(joints, low, high, strict=True)}
