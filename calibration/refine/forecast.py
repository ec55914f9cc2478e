"""What a frozen policy will do before it flies: in the simulator, on the identified arm as it is, and with its maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from calibration.judging.tip_doubt import WORTH_SAYING
from calibration.refine.learn import Episodes, episodes
from calibration.refine.pipeline import RefineError, StoppedError, require_together, task_of
from calibration.refine.world import Floats, IdentifiedArm
from robot_runtime.arm import Kinematics
from robot_runtime.calibrated.file import Calibration
from robot_runtime.policy.load import load_policy
from robot_runtime.spec import ArmSpec
from sim.tasks.arm_task import ArmTask
from sim.tasks.goals import goal_of
from sim.training.evaluate import Figure, PolicyMismatchError, mean, onnx_policy, require_same, share

WAYS = ("in simulation", "on this arm, as it is", "on this arm, calibrated")
_FORECAST = 4_000_000
"""Apart from every seed of a training."""


@dataclass(frozen=True, slots=True)
class Flown:
    """One way to fly: how often targets were reached, and how far from them it ended (m or rad)."""

    success: Figure
    error: Figure

    @classmethod
    def of(cls, found: Episodes) -> Flown:
        """Of these episodes."""
        return cls(share(found.success), mean(found.error))


@dataclass(frozen=True, slots=True)
class Forecast:
    """The same policy three times."""

    task: str
    unit: str  # of a thousandth of an error
    simulated: Flown  # the arm of the data files, without a servo's delay or a wrong number
    as_it_is: Flown  # the identified arm, without the calibration
    calibrated: Flown
    untold: dict[str, float]  # joint -> m at the tip at home (rad of its own, where no tip counts) of its unknown zero

    @property
    def ways(self) -> tuple[tuple[str, Flown], ...]:
        """With their names."""
        return tuple(zip(WAYS, (self.simulated, self.as_it_is, self.calibrated), strict=True))

    @property
    def worse(self) -> bool:
        """Whether the calibration surely costs successes."""
        return self.calibrated.success.high < self.as_it_is.success.low


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
    """Fly `count` targets from home in each. `task`: what the policy was trained for (default: as it says itself).

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
    goal = replace(goal_of(name, spec), from_home=1.0)
    worlds: tuple[Callable[[], ArmTask], ...] = (
        lambda: ArmTask(name, spec, seeds, goal=goal, threads=threads),
        lambda: AsItIs(name, spec, seeds, calibration, trial=True, threads=threads),
        lambda: IdentifiedArm(name, spec, seeds, calibration, trial=True, threads=threads),
    )
    flown = []
    for told, make in zip(WAYS, worlds, strict=True):
        tell(told)
        world = make()
        try:
            require_same(policy.contract, world, policy_path)
        except PolicyMismatchError as error:
            raise RefineError(str(error)) from error
        flown.append(Flown.of(episodes(world, onnx_policy(policy_path, world), stop)))
        if stop():
            raise StoppedError
    by_tip = goal.quantity == "tip_position"
    simulated, as_it_is, calibrated = flown
    missing = untold(calibration, spec, by_tip=by_tip)
    return Forecast(name, "mm" if by_tip else "mrad", simulated, as_it_is, calibrated, missing)


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
