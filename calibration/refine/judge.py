"""Is what was learnt better? Both calibrations on the same held-out episodes, each through its own file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from calibration.identified.episodes import Episodes, episodes
from calibration.identified.world import IdentifiedArm
from robot_runtime.calibrated.file import Calibration
from robot_runtime.spec import ArmSpec
from sim.training.evaluate import Figure, mean, onnx_policy


@dataclass(frozen=True, slots=True)
class Comparison:
    """The same episodes twice: with the calibration as it was, and refined."""

    before: Episodes
    after: Episodes

    @property
    def success(self) -> Figure:
        """Mean of after less before, episode by episode, with its 95 % interval."""
        return mean(self.after.success.astype(float) - self.before.success)

    @property
    def error(self) -> Figure:
        """The same of the error at the end, in the task's unit."""
        return mean(self.after.error - self.before.error)

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
    """The policy's own ONNX between the maps of both files, in the identified arm, one episode a seed."""
    before, after = (
        episodes(task, onnx_policy(policy, task), stop)
        for task in (IdentifiedArm(name, spec, seeds, c, trial=True, threads=threads) for c in calibrations)
    )
    return Comparison(before, after)
