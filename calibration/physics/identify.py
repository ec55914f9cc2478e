"""Identify: the physics of an arm from its training logs, in two rounds, with what to say of the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.logs.log import Log
from calibration.logs.windows import NoWindowError, Windows, cut
from calibration.physics.fit import Fitted, Problem, fit
from calibration.physics.law import FINE
from calibration.physics.numbers import KINDS, Physics
from calibration.physics.rollout import Rig, rollout
from robot_runtime.arrays import Floats
from robot_runtime.calibrated.file import Number
from sim.worlds.arm import payload_inertia

WINDOW = 0.5
"""s: long enough to see friction and weight, short enough for errors to stay linear."""
SAMPLED = 0.01
"""s between two angles that are compared."""
MOST_WINDOWS, FEWEST_WINDOWS = 90, 50
"""That are fitted to: of a longer log they are taken evenly."""
WORK = 3200
"""Windows times fitted numbers: what minutes allow."""

PAIRS = 16
"""Of arms that the data allow as well: a forecast flies them all, and they are a third of arm.cal (4 kB)."""
DIGITS = 5
"""Of their numbers."""

_ALWAYS = (
    "torque_constant",
    "armature",
    "coulomb",
    "viscous",
    "load_friction",
    "offset",
    "link_mass",
    "delay",
    "payload",
)
_BY_VOLTAGE = ("resistance", "supply_resistance")
"""Of joints whose servo sets a duty; a current controller makes up for both."""


def kinds_for(rig: Rig, carried: bool = True) -> tuple[str, ...]:
    """What is fitted. `carried`: also what the arm carries; no use where the model is a rig's own."""
    kinds = [k for k in _ALWAYS if carried or k not in ("link_mass", "payload")]
    return tuple(kinds) if rig.laws.current.all() else (*kinds, *_BY_VOLTAGE)


def identify(
    rig: Rig,
    logs: Sequence[Log],
    *,
    kinds: Sequence[str] | None = None,
    threads: int = 2,
    progress: Callable[[str], None] = lambda _: None,
) -> Fitted:
    """Fit the physics to these logs (of the rig's joints)."""
    chosen = tuple(kinds or kinds_for(rig))
    joints = len(rig.world.joints)
    numbers = sum(joints if KINDS[kind].each else 1 for kind in chosen)
    most = int(np.clip(WORK / numbers, FEWEST_WINDOWS, MOST_WINDOWS))
    fine = fine_rig(rig)
    rough = None if fine is rig else (rig, thinned(windows_of(rig, logs), most))
    windows = thinned(windows_of(fine, logs), most)
    return fit(fine, windows, chosen, rough=rough, threads=threads, progress=progress)


def fine_rig(rig: Rig) -> Rig:
    """The rig at the steps that its servos' laws need."""
    laws, world = rig.laws, rig.world
    if world.model.opt.timestep <= FINE or not np.any(laws.default_d[laws.position]):
        return rig
    return Rig.of(world.spec, world.names, FINE)


def windows_of(rig: Rig, logs: Sequence[Log], length: float = WINDOW) -> Windows:
    """Windows end to end, for the rig's steps; logs that are too short for one are left out.

    Raises:
        NoWindowError: all are.
    """
    step = float(rig.world.model.opt.timestep)
    return cut([log for log in logs if log.duration >= length], length, step=step, every=round(SAMPLED / step))


def thinned(windows: Windows, most: int = MOST_WINDOWS) -> Windows:
    """No more than so many, evenly."""
    if len(windows) <= most:
        return windows
    return windows.take(np.linspace(0, len(windows) - 1, most).astype(np.intp))


def numbers_of(fitted: Fitted) -> dict[str, Number]:
    """As they go into arm.cal."""
    units = {entry.label: KINDS[entry.kind.name].unit for entry in fitted.physics.entries}
    return {
        label: Number(fitted.values[label], *fitted.interval[label], fitted.seen[label], units[label])
        for label in fitted.physics.labels
    }


def alike_of(fitted: Fitted) -> tuple[tuple[float, ...], ...]:
    """Other arms that the data allow as well, as they go into arm.cal."""
    return tuple(tuple(float(f"{value:.{DIGITS}g}") for value in row) for row in fitted.alike(PAIRS))


def errors(rig: Rig, windows: Windows, fitted: Fitted | None, threads: int = 2) -> Floats:
    """rad, of the rollouts (windows x samples x joints), nan where nothing was measured; None: as the files say."""
    physics = Physics(rig.world, ()) if fitted is None else fitted.physics
    z = np.zeros(0) if fitted is None else fitted.z
    q, _ = rollout(rig, physics, z, windows, threads)
    error: Floats = np.where(windows.weight > 0, q[0] - windows.q, np.nan)[:, 1:]
    return error


def mean_error(error: Floats) -> Floats:
    """rad, a joint's mean absolute error."""
    found: Floats = np.nanmean(np.abs(error), axis=(0, 1))
    return found


@dataclass(frozen=True, slots=True)
class Delays:
    """s: what each log alone says of the delay, all other numbers kept."""

    values: tuple[float, ...]

    @property
    def spread(self) -> float | None:
        """From the least to the most; None: fewer than two logs say something, and cannot disagree."""
        return max(self.values) - min(self.values) if len(self.values) > 1 else None


def delays(rig: Rig, logs: Sequence[Log], fitted: Fitted, threads: int = 2) -> Delays:
    """One step towards the best delay of each log on its own."""
    column = fitted.physics.labels.index("delay")
    step = fitted.physics.step()[column]
    found = []
    for log in logs:
        try:
            windows = windows_of(rig, [log])
        except NoWindowError:
            continue  # too short or too torn to say anything
        problem = Problem(rig, fitted.physics, thinned(windows, 20), fitted.scale, threads)
        moved = np.stack([fitted.z, fitted.z])
        moved[1, column] += step
        before, after = problem.errors(moved) * problem.weight
        slope = (after - before) / step
        weight = problem.trust(before)
        z = fitted.z[column] - float((weight * slope * before).sum() / max(float((weight * slope**2).sum()), 1e-12))
        there = fitted.z.copy()
        there[column] = z
        found.append(float(fitted.physics.values(there)[column]))
    return Delays(tuple(found))


def unseen(fitted: Fitted) -> tuple[str, ...]:
    """Labels of numbers that the data did not tell apart from others, or say nothing of."""
    return tuple(label for label, seen in fitted.seen.items() if not seen)


def heavier(rig: Rig, numbers: Mapping[str, Floats]) -> Rig:
    """The same rig with the masses that were found."""
    found = Rig.of(rig.world.spec, rig.world.names, rig.world.model.opt.timestep)
    model, payload = found.world.model, numbers["payload"][0]
    for bodies, factor in zip(found.world.carried, numbers["link_mass"], strict=True):
        model.body_mass[bodies] *= factor
        model.body_inertia[bodies] *= factor
    model.body_mass[found.world.payload] += payload
    model.body_inertia[found.world.payload] += payload_inertia(payload)
    return found
