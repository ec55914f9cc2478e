"""What a frozen policy will do before it flies: in the simulator, on the identified arm as it is, and with its maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from calibration.identified.arms import judged_on
from calibration.identified.episodes import Episodes, StoppedError, episodes
from calibration.identified.spread import Spread, over_arms
from calibration.identified.together import NotTogetherError, require_together, task_of
from calibration.identified.world import IdentifiedArm
from calibration.judging.tip_doubt import WORTH_SAYING
from robot_runtime.arm import Kinematics
from robot_runtime.arrays import Floats, Indices
from robot_runtime.calibrated.file import Calibration
from robot_runtime.policy.load import load_policy
from robot_runtime.spec import ArmSpec
from sim.tasks.arm_task import ArmTask
from sim.tasks.goals import goal_of
from sim.training.evaluate import Figure, PolicyMismatchError, Z, mean, onnx_policy, require_same, share

WAYS = ("in simulation", "on this arm, as it is", "on this arm, calibrated")
EACH = 2
"""Targets that an arm needs at least: from fewer, chance cannot be told from a difference between arms."""
OPEN = 0.35
"""Share of targets by which such arms may differ before it is worth saying."""
COSTS = 0.02
"""Share of targets that a calibration costs at least where it is called worse: fewer are a handful."""
BLAMED = 0.5
"""Correlation from which on a number is named for the targets that are missed; of 30 numbers chance makes 0.3."""
FEWEST_PAIRS = 8
"""Of arms and their mirror images: of fewer nothing is sure."""
_FORECAST = 4_000_000
"""Apart from every seed of a training."""


@dataclass(frozen=True, slots=True)
class Flown:
    """One way to fly: how often targets were reached, and how far from them it ended (m or rad).

    Where several arms were flown, intervals are of one such arm, whichever it is.
    """

    success: Figure
    error: Figure
    apart: float  # share of targets by which 95 % of such arms differ, without chance

    @classmethod
    def of(cls, found: Episodes, which: Indices) -> Flown:
        """Of these episodes; `which`: the arm that each was flown on."""
        reached = found.success.astype(float)
        chance, arms = share(found.success), over_arms(reached, which)
        success = Figure(chance.mean, max(min(chance.low, arms.low), 0.0), min(max(chance.high, arms.high), 1.0))
        error = over_arms(found.error, which)
        error = Figure(error.mean, max(error.low, 0.0), error.high)
        half = Z * Spread.of(reached, which).apart
        return cls(success, error, min(chance.mean + half, 1.0) - max(chance.mean - half, 0.0))


@dataclass(frozen=True, slots=True)
class Forecast:
    """The same policy three times, to the same targets; the last two on the same arms."""

    task: str
    unit: str  # of a thousandth of an error
    simulated: Flown  # the arm of the data files, without a servo's delay or a wrong number
    as_it_is: Flown  # the identified arm, without the calibration
    calibrated: Flown
    gain: tuple[float, ...]  # share of targets that the calibration brings, arm by arm
    blamed: str  # number whose distance from what was found goes with targets missed; empty: none does
    untold: dict[str, float]  # joint -> m at the tip at home (rad of its own, where no tip counts) of its unknown zero

    @property
    def ways(self) -> tuple[tuple[str, Flown], ...]:
        """With their names."""
        return tuple(zip(WAYS, (self.simulated, self.as_it_is, self.calibrated), strict=True))

    @property
    def open(self) -> bool:
        """Whether the arms that the data allow differ by more than a user can do with."""
        return self.calibrated.apart > OPEN

    @property
    def better(self) -> int:
        """Arms on which the calibration brings successes."""
        return sum(gain > 0.0 for gain in self.gain)

    @property
    def fewer(self) -> int:
        """Arms on which it costs some."""
        return sum(gain < 0.0 for gain in self.gain)

    @property
    def worse(self) -> bool:
        """Whether the calibration surely costs successes, over all these arms."""
        if len(self.gain) == 1:
            return self.calibrated.success.high < self.as_it_is.success.low
        pairs = np.array(self.gain).reshape(-1, 2).mean(axis=1)  # an arm and its mirror image often do alike
        gain = mean(pairs)
        return len(pairs) >= FEWEST_PAIRS and gain.mean < -COSTS and gain.high < 0.0


def arms_of(calibration: Calibration) -> Indices:
    """That a forecast flies: all that the data allow; of a refined calibration those that it was not trained on."""
    count = len(calibration.alike)
    every: Indices = np.arange(max(1, count))
    return every if calibration.refined is None else judged_on(count)


def blamed(calibration: Calibration, missed: Floats) -> str:
    """The number that decides how many targets are missed (share, by arm that was flown), if one does."""
    arms = np.array(calibration.alike)[arms_of(calibration)] if calibration.alike else np.zeros((0, 0))
    found = np.array([n.value for n in calibration.physics.values()])
    if len(arms) < 2 or missed.std() == 0.0:
        return ""
    away = arms - found
    ways = np.concatenate([away, np.abs(away)], axis=1)
    moves = ways.std(axis=0) > 0.0
    alike = np.zeros(len(moves))
    alike[moves] = [abs(np.corrcoef(way, missed)[0, 1]) for way in ways[:, moves].T]
    worst = int(alike.argmax())
    return list(calibration.physics)[worst % len(found)] if alike[worst] > BLAMED else ""


class AsItIs(IdentifiedArm):
    """The identified arm without maps: what is read is seen, and what is wanted is sent."""

    def _map_senses(self, *, again: bool = False) -> None:  # noqa: ARG002
        np.concatenate([self._senses.q, self._senses.dq], axis=1, out=self.mapped)
        self._as_sensed = self.mapped

    def _write(self, wanted: Floats, noise: Floats, weights: tuple[Floats, Floats]) -> None:  # noqa: ARG002
        self._sent[:] = wanted


def forecast(
    calibration: Calibration,
    policy_path: Path,
    spec: ArmSpec,
    *,
    task: str | None = None,
    contract: Path | None = None,
    count: int,
    seed: int = 1,
    threads: int = 2,
    tell: Callable[[str], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Forecast:
    """Fly `count` targets from home in each, spread over all arms that the data allow. `task`: what the policy was
    trained for (default: as it says itself).

    Raises:
        NotTogetherError: calibration, policy and task do not go together, or there are too few targets for the arms.
        PolicyError: the policy cannot be used on this arm.
        StoppedError: `stop` said so.
    """
    policy = load_policy(policy_path, spec, contract)
    name = task_of(policy, task)
    require_together(calibration, policy, spec, name)
    if calibration.refined is not None and calibration.refined.policy != policy.digest:
        raise NotTogetherError(
            "this calibration was refined for another policy; give the one that robot-calibrate fit wrote"
        )
    seeds = np.random.SeedSequence([_FORECAST, seed]).generate_state(count).tolist()
    arms = arms_of(calibration)
    if count < EACH * len(arms):
        raise NotTogetherError(
            f"{count} targets are too few for the {len(arms)} arms that the data allow; fly {EACH * len(arms)} or more"
        )
    which: Indices = np.resize(arms, count)
    goal = replace(goal_of(name, spec), from_home=1.0)
    worlds: tuple[Callable[[], ArmTask], ...] = (
        lambda: ArmTask(name, spec, seeds, goal=goal, threads=threads),
        lambda: AsItIs(name, spec, seeds, calibration, trial=True, which=which, threads=threads),
        lambda: IdentifiedArm(name, spec, seeds, calibration, trial=True, which=which, threads=threads),
    )
    flown = []
    for told, make in zip(WAYS, worlds, strict=True):
        tell(told)
        world = make()
        try:
            require_same(policy.contract, world, policy_path)
        except PolicyMismatchError as error:
            raise NotTogetherError(str(error)) from error
        flown.append(episodes(world, onnx_policy(policy_path, world), stop))
        if stop():
            raise StoppedError
    by_tip = goal.quantity == "tip_position"
    simulated, as_it_is, calibrated = flown
    gain = calibrated.success.astype(float) - as_it_is.success
    missed = np.array([1.0 - calibrated.success[which == arm].mean() for arm in arms])
    return Forecast(
        name,
        "mm" if by_tip else "mrad",
        Flown.of(simulated, np.zeros(count, dtype=np.intp)),
        Flown.of(as_it_is, which),
        Flown.of(calibrated, which),
        tuple(float(gain[which == arm].mean()) for arm in arms),
        blamed(calibration, missed),
        untold(calibration, spec, by_tip=by_tip),
    )


def untold(calibration: Calibration, spec: ArmSpec, *, by_tip: bool) -> dict[str, float]:
    """Joints whose zeros the data did not tell, where that may matter, and how much it may (95 %)."""
    moves = Kinematics(spec).tip_jacobian(np.array(spec.poses["home"]))
    found = {}
    for index, joint in enumerate(spec.joint_names):
        number = calibration.physics.get(f"{joint}.offset")
        if number is not None and not number.seen:
            lever = float(np.linalg.norm(moves[:, index])) if by_tip else 1.0
            found[joint] = lever * (number.high - number.low) / 2.0
    return {joint: far for joint, far in found.items() if far >= WORTH_SAYING}
