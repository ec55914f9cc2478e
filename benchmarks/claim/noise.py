"""How much noise RL needs: trainings on the mild gap, tried in the physics that they learn in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.claim.arms import ARM, GapArm
from benchmarks.claim.base import Base
from benchmarks.claim.learning import learn, own_trial, settings_of
from benchmarks.claim.runs import LEARNT, SEEDS
from robot_runtime.spec import load_arm

Noise = tuple[float, float] | None

OWN, LOW, HALF, ONE, TWO = None, (0.3, 0.05), (0.5, 0.05), (1.0, 0.05), (2.0, 0.05)
TRIED: Mapping[float, tuple[Noise, ...]] = {
    60: (OWN, ONE),
    300: (OWN, LOW, ONE, TWO),
    1000: (LOW, ONE),
    3000: (LOW, HALF, ONE, TWO),
    10000: (ONE,),
}
"""s of motion -> noise of the actions: the base's own, or a schedule."""
SEED = 1


def tried(work: Path, base: Base) -> Iterator[str]:
    """A line for each training: seconds, noise, strategy, success and error."""
    gap = GapArm("mild").file(load_arm(ARM).joint_names, work / "gaps")
    out = work / "noise.onnx"

    def told(name: str, policy: Path) -> str:
        trials = [own_trial(policy, gap, seed) for seed in SEEDS]
        success, error = (sum(values) / len(SEEDS) for values in zip(*trials, strict=True))
        return f"{name:45}{success:5.0%}  {1e3 * error:5.1f} mm"

    yield told("zero-shot", base.policy)
    for seconds, noises in TRIED.items():
        for noise in noises:
            for strategy in LEARNT:
                learn(strategy, gap, seconds, SEED, base.networks(), out, settings_of(seconds)[0], noise)
                yield told(f"{seconds:g} s, noise {noise or 'its own'}, {strategy}", out)
