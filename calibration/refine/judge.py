"""Is what was learnt better? Both calibrations on the same held-out episodes, each through its own file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibration.identified.arms import judged_on
from calibration.identified.episodes import Episodes, episodes
from calibration.identified.spread import over_arms
from calibration.identified.world import IdentifiedArm
from robot_runtime.arrays import Indices
from robot_runtime.calibrated.file import Calibration
from robot_runtime.spec import ArmSpec
from sim.training.evaluate import Figure, onnx_policy


@dataclass(frozen=True, slots=True)
class Comparison:
    """The same episodes twice: with the calibration as it was, and refined."""

    before: Episodes
    after: Episodes
    which: Indices
    """The arm that each was flown on: episodes on one arm, and on its mirror image, are no two witnesses."""

    @property
    def success(self) -> Figure:
        """Mean of after less before, episode by episode, with a 95 % interval of one such arm, whichever it is."""
        return over_arms(self.after.success.astype(float) - self.before.success, self.which)

    @property
    def error(self) -> Figure:
        """The same of the error at the end, in the task's unit."""
        return over_arms(self.after.error - self.before.error, self.which)

    @property
    def better(self) -> bool:
        """Surely more successes; or no fewer, and surely a smaller error."""
        return self.success.low > 0.0 or (self.success.mean >= 0.0 and self.error.high < 0.0)


def compare(
    name: str,
    spec: ArmSpec,
    policy: Path,
    calibrations: tuple[Calibration, Calibration],
    seeds: Sequence[int],
    *,
    threads: int = 1,
    stop: Callable[[], bool] = lambda: False,
) -> Comparison:
    """The policy's own ONNX between the maps of both files, in the same identified arms, one episode a seed."""
    which = spread_over(len(seeds), calibrations[0])
    before, after = (
        episodes(task, onnx_policy(policy, task), stop)
        for task in (
            IdentifiedArm(name, spec, seeds, c, trial=True, which=which, threads=threads) for c in calibrations
        )
    )
    return Comparison(before, after, which)


def spread_over(count: int, calibration: Calibration) -> Indices:
    """The arm of each of so many episodes: evenly over those that no training and no trial met."""
    return np.resize(judged_on(len(calibration.alike)), count)
