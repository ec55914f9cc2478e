"""The physics fit: bounded, robust least squares over rollout windows, with intervals that know what was not seen.

Residuals within a window belong together, so a window counts as a few independent numbers. Where stretches of log
disagree by more than that, because windows start a little wrong or gears have play, they count less: the prior keeps
what they do not really tell. Intervals add up what the errors' size says and how far z would go with one stretch or
another left out (a jackknife).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from mujoco import minimize

from calibration.logs.windows import Windows
from calibration.physics.numbers import Physics
from calibration.physics.rollout import Rig, rollout
from robot_runtime.arrays import Floats

INDEPENDENT = 4.0
"""Independent numbers that a window's trace of one joint is worth: offset, slope and a bend or two."""
OUTLIER = 7.0
"""Of a joint's usual error (`error_scale`): beyond it an error counts linearly instead of squared. Large errors tell
much of a real servo, of what it does near the supply's limit: with 2, 3, 4, 5 and 7 an unseen gain of a real XL330 was
88, 74, 60, 51 and 46 mrad off over whole logs.
"""
FLOOR = 0.0008
"""rad: no error is told from less than half a tick of a 12-bit encoder."""
KNOWN = 0.35
"""Share of the prior's standard deviation below which a combination counts as seen in the data."""
MODEL_ERROR = 0.01
"""Standard deviation that no number is known better than, whatever the data say: no model is that true. Of a factor; of
others in units of `UNIT`."""
LOOP_ERROR = 0.03
"""The same of joints whose servo holds a loop of its own: what it makes of ticks and play is not all in the model. With
1 % the Koch's narrow combinations held the truth 7 times of 10, with 3 % more than 9 (docs/calibration.md).
"""
UNIT = 0.05
"""rad, s, kg: half a milliradian, half a millisecond and half a gram are as good as one percent."""
TWO_SIGMA = 1.96
FIRST_WINDOWS, FIRST_STEPS = 30, 8
"""Of the first round: few windows come near quickly, and near is where all of them are worth their time."""
LAST_STEPS = 12
"""Of the second round. With 6, half of what a fit to a real XL330 needs, whole logs were 59 instead of 44 mrad off."""
DOUBTFUL = 1.5
"""Times the disagreement that independent windows would have, from which the data count less."""
TURNS = 2
"""Times that steps are turned before the last round: the first are planned by differences of one number at a time."""
STEP_SHARE = 0.2
"""Of the standard deviation of what is known together: a difference over what is still likely. With 0.5 a fit to a real
XL330 stopped short of its best."""
ON_BOUND = 1e-3
"""Of z: nearer to a bound than that, a number stands on it."""
TOLERANCE = 1e-2
"""Prior standard deviations by which a last step may still move z."""


class PseudoHuber(minimize.Norm):  # type: ignore[misc]
    """Squared near zero, linear from `outlier` on; the last `plain` residuals (the prior) are squared."""

    def __init__(self, outlier: float, plain: int) -> None:
        """`outlier`: in units of a residual; `plain`: residuals at the end that stay squared."""
        self._outlier, self._plain = outlier, plain

    def _squared(self, r: Floats) -> Floats:
        """Square of each residual's bend: 0 for the plain ones."""
        bend: Floats = (r / self._outlier) ** 2
        bend[len(r) - self._plain :] = 0.0
        return bend

    def value(self, r: Floats) -> np.float64:
        """Sum over all residuals."""
        bend, plain = self._squared(r), slice(len(r) - self._plain, None)
        return np.float64(np.sum(self._outlier**2 * (np.sqrt(1 + bend) - 1)) + 0.5 * np.sum(r[plain] ** 2))

    def grad_hess(self, r: Floats, proj: Floats) -> tuple[Floats, Floats]:
        """Gauss-Newton: each residual with its weight."""
        weight = self.weight(r)
        return proj.T @ (weight * r), proj.T @ (weight * proj)

    def weight(self, r: Floats) -> Floats:
        """Of each residual, 1 or less."""
        weight: Floats = 1 / np.sqrt(1 + self._squared(r))
        return weight


@dataclass(frozen=True, slots=True, eq=False)
class Combination:
    """A direction in the space of parameters: a product of powers of factors, plus shares of the others."""

    weights: Floats  # unit vector in z
    sigma: float  # posterior, in prior standard deviations
    seen: bool  # the data say something of it

    def text(self, labels: tuple[str, ...], most: int = 4) -> str:
        """In words, the largest parts first."""
        return in_words(self.weights, labels, most)


def in_words(direction: Floats, labels: tuple[str, ...], most: int = 4) -> str:
    """A unit vector in z, the largest parts first."""
    order = np.argsort(-np.abs(direction))[:most]
    return " ".join(f"{direction[i]:+.2f} {labels[i]}" for i in order if abs(direction[i]) > 0.15)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What a fit found."""

    physics: Physics
    z: Floats
    covariance: Floats  # of z
    scale: Floats  # rad, a joint's usual error
    condition: float  # of the scaled Jacobian, without the prior
    iterations: int
    cost: tuple[float, float]  # before, after
    at_bound: tuple[str, ...]
    history: tuple[float, ...] = field(default=())
    doubt: float = 1.0

    @property
    def values(self) -> Mapping[str, float]:
        """By label, in their units."""
        return dict(zip(self.physics.labels, map(float, self.physics.values(self.z)), strict=True))

    @property
    def at_natural_bound(self) -> tuple[str, ...]:
        """Numbers where nature ends: no sign of a wrong arm (`at_bound`), but no measured figure either."""
        low, _ = self.physics.bounds
        entries = zip(self.physics.entries, self.z, low, strict=True)
        return tuple(entry.label for entry, z, least in entries if entry.kind.natural and z - least < ON_BOUND)

    @property
    def interval(self) -> Mapping[str, tuple[float, float]]:
        """95 %, by label, in their units."""
        reach = TWO_SIGMA * np.sqrt(np.diag(self.covariance))
        low, high = self.physics.values(self.z - reach), self.physics.values(self.z + reach)
        return {k: (float(a), float(b)) for k, a, b in zip(self.physics.labels, low, high, strict=True)}

    @property
    def seen(self) -> Mapping[str, bool]:
        """Whether the data, and not only the prior, say how large it is."""
        sigma = np.sqrt(np.diag(self.covariance))
        return dict(zip(self.physics.labels, (sigma < KNOWN).tolist(), strict=True))

    @property
    def combinations(self) -> list[Combination]:
        """The principal directions, the best known first."""
        values, vectors = np.linalg.eigh(self.covariance)
        return [
            Combination(vectors[:, i], float(np.sqrt(max(values[i], 0.0))), bool(np.sqrt(max(values[i], 0.0)) < KNOWN))
            for i in range(len(values))
        ]

    def alike(self, pairs: int) -> Floats:
        """Arms that the data and the prior allow as well (2 x pairs, numbers in their units): drawn together, since
        what is not told apart hangs together; each with its mirror image, so that a few stand evenly around what was
        found.
        """
        away = _spread_out(pairs, len(self.z)) @ np.linalg.cholesky(self.covariance).T
        z = np.stack([self.z + away, self.z - away], axis=1).reshape(-1, len(self.z))
        return self.physics.values(_within(z, self.physics.bounds, self.covariance))

    def numbers(self) -> dict[str, Floats]:
        """All physics by kind, fitted or not: one a joint or one for the arm."""
        return {k: v[0] for k, v in self.physics.expand(self.z).items()}


def _spread_out(count: int, numbers: int) -> Floats:
    """Normal numbers (count x numbers), whose sizes are as they should be in every column, however few they are."""
    random, normal = np.random.default_rng(0), NormalDist()
    sizes = np.array([normal.inv_cdf(0.5 + 0.5 * (i + 0.5) / count) for i in range(count)])
    columns = [random.permutation(sizes) * random.choice([-1.0, 1.0], count) for _ in range(numbers)]
    return np.stack(columns, axis=1)


def _within(z: Floats, bounds: tuple[Floats, Floats], covariance: Floats) -> Floats:
    """Bring each row inside: what hangs together with a number that is moved onto its bound moves with it."""
    low, high = bounds
    for _ in range(len(low)):
        beyond = z - np.clip(z, low, high)
        rows = np.flatnonzero(np.abs(beyond).max(axis=1) > 0.0)
        if not len(rows):
            return z
        worst = np.abs(beyond[rows]).argmax(axis=1)
        z = z.copy()
        z[rows] -= covariance[worst] * (beyond[rows, worst] / covariance[worst, worst])[:, None]
    inside: Floats = np.clip(z, low, high)
    return inside


class Problem:
    """Residuals and Jacobian of the windows."""

    def __init__(
        self,
        rig: Rig,
        physics: Physics,
        windows: Windows,
        scale: Floats,
        threads: int = 2,
        doubt: float = 1.0,
        steps: Floats | None = None,
    ) -> None:
        """`scale`: rad, a joint's usual error. `doubt`: how many times the prior counts against the data. `steps`: of
        z, for differences, one a row; none: one number a step.
        """
        self.rig, self.physics, self.windows, self.scale, self.threads = rig, physics, windows, scale, threads
        self.doubt, self.steps = doubt, np.diag(physics.step()) if steps is None else steps
        share = np.sqrt(INDEPENDENT / (windows.q.shape[1] - 1))
        self.weight = windows.weight[:, 1:] * share / scale
        # A residual is a small share of its sample's error: the more samples, the smaller.
        self.outlier = float(OUTLIER * share)

    def errors(self, z: Floats, *, smooth: bool = False) -> Floats:
        """Of the angles, rad: (rows of z, windows, samples, joints). `smooth`: without the encoder's steps."""
        q, _ = rollout(self.rig, self.physics, z, self.windows, self.threads, smooth=smooth)
        error: Floats = np.nan_to_num(q[:, :, 1:] - self.windows.q[:, 1:], nan=1e3, posinf=1e3, neginf=-1e3)
        return error

    def residual(self, z: Floats) -> Floats:
        """Column of weighted errors, and z itself: the prior."""
        z = z.ravel()
        return np.concatenate([(self.errors(z)[0] * self.weight).ravel(), np.sqrt(self.doubt) * z])[:, None]

    def jacobian(self, z: Floats, _: Floats | None = None, *, central: bool = False) -> Floats:
        """Of the residual; one batch.

        Without the kicks that an encoder's steps give to D gains: a kick more or less answers every change of a number
        with noise, and noise looks like knowledge.
        """
        z, n = z.ravel(), len(self.physics)
        low, high = self.physics.bounds
        up, down = (
            np.maximum(np.maximum(low - x, x - high), 0.0).sum(axis=1) for x in (z + self.steps, z - self.steps)
        )
        steps = np.where((up > down)[:, None], -self.steps, self.steps)
        if central:
            both = self.errors(np.concatenate([z + steps, z - steps]), smooth=True) * self.weight
            data = 0.5 * (both[:n] - both[n:]).reshape(n, -1)
        else:
            every = (self.errors(np.concatenate([z[None], z + steps]), smooth=True) * self.weight).reshape(n + 1, -1)
            data = every[1:] - every[0]
        data = np.linalg.solve(steps, data)
        return np.concatenate([data.T, np.sqrt(self.doubt) * np.eye(n)])

    def trust(self, residual: Floats) -> Floats:
        """Weight of each residual of the data, as the norm has it."""
        return PseudoHuber(self.outlier, 0).weight(residual)

    def solve(self, z: Floats, most: int) -> tuple[Floats, tuple[float, ...]]:
        """From z to the best, in so many steps at most; and what it cost on the way."""
        found, trace = minimize.least_squares(
            z,
            self.residual,
            self.physics.bounds,
            self.jacobian,
            norm=PseudoHuber(self.outlier, len(self.physics)),
            max_iter=most,
            xtol=TOLERANCE,
            verbose=0,
        )
        return found.ravel(), tuple(float(entry.objective) for entry in trace)


def known_at_best(problem: Problem) -> Floats:
    """Standard deviations of z that no number is known better than."""
    by_loop = problem.rig.laws.position
    return np.array(
        [
            (LOOP_ERROR if (by_loop.any() if e.joint < 0 else by_loop[e.joint]) else MODEL_ERROR)
            * (1.0 if e.kind.factor else UNIT)
            / e.spread
            for e in problem.physics.entries
        ]
    )


def error_scale(errors: Floats, weight: Floats) -> Floats:
    """A joint's, rad: a robust standard deviation of rollout errors (windows, samples, joints)."""
    masked = np.where(weight > 0, np.abs(errors), np.nan)
    scale: Floats = np.maximum(1.2 * np.nanmedian(masked, axis=(0, 1)) + 0.3 * np.nanmean(masked, axis=(0, 1)), FLOOR)
    return scale


def fit(
    rig: Rig,
    windows: Windows,
    fitted: Collection[str],
    *,
    start: Mapping[str, Floats] | None = None,
    rough: tuple[Rig, Windows] | None = None,
    iterations: int = LAST_STEPS,
    threads: int = 2,
    progress: Callable[[str], None] = lambda _: None,
) -> Fitted:
    """Fit these kinds of parameters (`physics.KINDS`) to the windows.

    A first round on a few windows comes near; its errors are the measure of what is an outlier in the second. It may
    have a rig of its own (`rough`), of longer steps.
    """
    physics = Physics(rig.world, fitted, start)
    z = np.clip(np.zeros(len(physics)), *physics.bounds)  # a start from an older file may lie outside
    scale = np.full(windows.q.shape[2], 0.05)
    history: list[float] = []
    whole = Problem(rig, physics, windows, scale, threads)
    first = float(np.mean(np.abs(whole.errors(z))))
    coarse, many = rough or (rig, windows)
    few = many.take(slice(None, None, max(1, len(many) // FIRST_WINDOWS)))
    rounds = ((coarse, few, FIRST_STEPS), (rig, windows, iterations))
    for turn, (world, chosen, most) in enumerate(rounds):
        scale = error_scale(whole.errors(z)[0], windows.weight[:, 1:])
        z, costs = Problem(world, physics, chosen, scale, threads).solve(z, most)
        history += costs
        progress(f"physics: {len(history)} steps, {turn + 1} of 2 rounds")
    problem = Problem(rig, physics, windows, scale, threads)
    known = uncertainty(problem, z)
    for _ in range(TURNS):
        problem, known = turned(problem, z, known)
    z, costs = problem.solve(z, iterations)
    history += costs
    problem, known = turned(problem, z, known)
    errors = problem.errors(z)[0]
    last = float(np.mean(np.abs(errors)))
    low, high = physics.bounds
    stuck = tuple(
        entry.label
        for entry, a, b, c in zip(physics.entries, z, low, high, strict=True)
        if c - a < ON_BOUND or (a - b < ON_BOUND and not entry.kind.natural)
    )
    return Fitted(
        physics,
        z,
        known.covariance,
        scale,
        known.condition,
        len(history),
        (first, last),
        stuck,
        tuple(history),
        problem.doubt,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """How well z is known."""

    covariance: Floats
    condition: float  # of what the data alone say
    doubt: float  # how many times more stretches disagree than independent windows would; at least 1


def uncertainty(problem: Problem, z: Floats) -> Known:
    """How well the data and the prior say what z is."""
    n, windows = len(z), problem.windows
    residual = problem.residual(z)[:-n]
    weight = problem.trust(residual)
    rows = np.sqrt(weight) * problem.jacobian(z, central=True)[:-n]
    data = rows.T @ rows
    information = data + problem.doubt * np.eye(n)
    bread = np.linalg.inv(information)
    groups, index = np.unique(windows.cluster, return_inverse=True)
    by_window = (len(windows), -1, n)
    gradients = (np.sqrt(weight) * residual * rows).reshape(by_window).sum(axis=1)
    scores = np.zeros((len(groups), n))
    np.add.at(scores, index, gradients)
    scores -= scores.mean(axis=0)
    disagreement = scores.T @ scores * (len(groups) / max(len(groups) - 1, 1))
    # Stretches show how much the data disagree with themselves, but a few of them span few directions: what the errors'
    # size says of every direction is added, and so is the prior.
    apart = np.empty_like(scores)
    for group, score in enumerate(scores):
        own = rows.reshape(by_window)[index == group].reshape(-1, n)
        apart[group] = np.linalg.solve(information - own.T @ own, score)
    apart -= apart.mean(axis=0)
    floor = known_at_best(problem)
    jackknife = apart.T @ apart * ((len(groups) - 1) / len(groups))
    variances, directions = np.linalg.eigh(jackknife + problem.doubt * bread + np.diag(floor**2))
    # Few stretches make a jackknife jump. Nothing is less known than it was before, where all variances are 1.
    covariance = (directions * np.minimum(variances, 1.0)) @ directions.T
    singular = np.linalg.svd(rows, compute_uv=False)
    doubt = float(np.trace(bread @ disagreement) / max(np.trace(bread @ data), 1e-12))
    return Known(covariance, float(singular[0] / max(singular[-1], 1e-12)), max(doubt, 1.0))


def turned(problem: Problem, z: Floats, known: Known) -> tuple[Problem, Known]:
    """The problem with steps along what is known together and the doubt that was found; and what it says then."""
    doubt = known.doubt if known.doubt > DOUBTFUL else 1.0
    steps = along(known.covariance)
    along_it = Problem(problem.rig, problem.physics, problem.windows, problem.scale, problem.threads, doubt, steps)
    return along_it, uncertainty(along_it, z)


def along(covariance: Floats) -> Floats:
    """Steps of z, one a row: along what is known together, each in proportion to how uncertain it is.

    Numbers that data tell only together make up for each other, and one by one their differences are large and cancel:
    what the rollouts' kinks leave of that looks like knowledge. (The scale of all torques and masses was "known" to 3 %
    without any known weight.) A step in the direction itself sees what it really changes.
    """
    variances, directions = np.linalg.eigh(covariance)
    steps: Floats = STEP_SHARE * (directions * np.sqrt(variances)).T
    return steps
