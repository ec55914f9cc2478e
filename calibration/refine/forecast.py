"""What a frozen policy will do before it flies: in the simulator, on the identified arm as it is, and with its maps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from calibration.judging.tip_doubt import WORTH_SAYING
from calibration.refine.learn import Episodes, episodes
from calibration.refine.pipeline import RefineError, StoppedError, require_together, task_of
from calibration.refine.world import Floats, IdentifiedArm, Ints
from robot_runtime.arm import Kinematics
from robot_runtime.calibrated.file import Calibration
from robot_runtime.policy.load import load_policy
from robot_runtime.spec import ArmSpec
from sim.tasks.arm_task import ArmTask
from sim.tasks.goals import goal_of
from sim.training.evaluate import Figure, PolicyMismatchError, Z, mean, onnx_policy, require_same, share

WAYS = ("in simulation", "on this arm, as it is", "on this arm, calibrated")
ARMS = 20
"""Of those that the data allow, at most."""
EACH = 5
"""Targets that an arm needs at least, for chance not to look like a difference between arms."""
OPEN = 0.3
"""Share of targets."""
_FORECAST = 4_000_000
"""Apart from every seed of a training."""


@dataclass(frozen=True, slots=True)
class Flown:
    """One way to fly: how often targets were reached, and how far from them it ended (m or rad).

    Intervals are of one arm among those that the data allow.
    """

    success: Figure
    error: Figure

    @classmethod
    def of(cls, found: Episodes, which: Ints) -> Flown:
        """Of these episodes; `which`: the arm that each was flown on."""
        chance, arms = share(found.success), over_arms(found.success.astype(float), which)
        success = Figure(chance.mean, max(min(chance.low, arms.low), 0.0), min(max(chance.high, arms.high), 1.0))
        error = over_arms(found.error, which)
        return cls(success, Figure(error.mean, max(error.low, 0.0), error.high))


@dataclass(frozen=True, slots=True)
class Forecast:
    """The same policy three times, on the same arms to the same targets."""

    task: str
    unit: str  # of a thousandth of an error
    simulated: Flown  # the arm of the data files, without a servo's delay or a wrong number
    as_it_is: Flown  # the identified arm, without the calibration
    calibrated: Flown
    gain: tuple[float, ...]  # share of targets that the calibration brings, arm by arm
    untold: dict[str, float]  # joint -> m at the tip at home (rad of its own, where no tip counts) of its unknown zero

    @property
    def ways(self) -> tuple[tuple[str, Flown], ...]:
        """With their names."""
        return tuple(zip(WAYS, (self.simulated, self.as_it_is, self.calibrated), strict=True))

    @property
    def open(self) -> bool:
        """Whether the arms that the data allow differ by more than a user can do with."""
        return self.calibrated.success.high - self.calibrated.success.low > OPEN

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
        if len(self.gain) > 1:
            return mean(np.array(self.gain)).high < 0.0
        return self.calibrated.success.high < self.as_it_is.success.low


def over_arms(values: Floats, which: Ints) -> Figure:
    """Mean, and an interval for an arm that is one of these: what is left of their spread without chance, and how well
    their mean is known.
    """
    each = [values[which == arm] for arm in np.unique(which)]
    if len(each) == 1:
        return mean(values)
    means = np.array([one.mean() for one in each])
    chance = float(np.mean([one.var(ddof=1) / len(one) for one in each]))
    spread = float(means.var(ddof=1))
    half = Z * math.sqrt(max(spread - chance, 0.0) + spread / len(each))
    middle = float(values.mean())
    return Figure(middle, middle - half, middle + half)


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
    """Fly `count` targets from home in each, spread over arms that the data allow. `task`: what the policy was trained
    for (default: as it says itself).

    Raises:
        RefineError: calibration, policy and task do not go together.
        PolicyError: the policy cannot be used on this arm.
        StoppedError: `stop` said so.
    """
    policy = load_policy(policy_path, spec, contract)
    name = task_of(policy, task)
    require_together(calibration, policy, spec, name)
    if calibration.refined is not None and calibration.refined.policy != policy.digest:
        raise RefineError(
            "this calibration was refined for another policy; give the one that robot-calibrate fit wrote"
        )
    seeds = np.random.SeedSequence([_FORECAST, seed]).generate_state(count).tolist()
    arms = max(1, min(ARMS, len(calibration.alike), count // EACH))
    which = np.arange(count) % arms
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
            raise RefineError(str(error)) from error
        flown.append(episodes(world, onnx_policy(policy_path, world), stop))
        if stop():
            raise StoppedError
    by_tip = goal.quantity == "tip_position"
    simulated, as_it_is, calibrated = flown
    gain = calibrated.success.astype(float) - as_it_is.success
    return Forecast(
        name,
        "mm" if by_tip else "mrad",
        Flown.of(simulated, np.zeros(count, dtype=np.intp)),
        Flown.of(as_it_is, which),
        Flown.of(calibrated, which),
        tuple(float(gain[which == arm].mean()) for arm in range(arms)),
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
