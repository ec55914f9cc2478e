"""The whole way: a calibration and a policy -> maps that learnt around it -> a verdict, and what is better."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from calibration.errors import CalibrationError
from calibration.identified.episodes import StoppedError, episodes
from calibration.identified.together import require_together, task_of
from calibration.identified.world import DRIVEN_BY, IdentifiedArm
from calibration.refine.export import with_post, with_pre
from calibration.refine.judge import Comparison, compare
from calibration.refine.learn import Refiner, attach, settings_for
from calibration.refine.network import Around
from models.onnx_torch import UntrainablePolicyError, same_weights
from robot_runtime.calibrated.file import Calibration, Refined
from robot_runtime.policy.errors import ModeError
from robot_runtime.policy.load import load_policy
from robot_runtime.spec import ArmSpec
from sim.training.evaluate import PolicyMismatchError, require_same
from sim.training.learner import Round

SIMULATIONS = 128
TRIALS = 4
"""Looks, evenly over the training, at what was learnt so far; the best one is judged."""
TRIED = 64
"""Episodes of each."""
HELD_OUT = 300
"""Episodes that the result is judged on."""
_TRIAL, _HELD_OUT = 2_000_000, 3_000_000
"""Apart from every seed of a training."""


class RefineError(CalibrationError):
    """A calibration that cannot be refined for this policy.

    Example scenarios:
        - The calibration was not accepted, or is refined already.
        - The policy has a memory, or senses or acts otherwise than its task.
    """


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it; `refined` is None where it is no better."""

    refined: Calibration | None
    comparison: Comparison
    steps: int
    unit: str  # of a thousandth of an error
    weights: int  # numbers of the policy that were found unchanged, bit for bit


@dataclass(frozen=True, slots=True)
class Hooks:
    """Who looks on."""

    rounds: Callable[[Round], None] = lambda _: None
    tell: Callable[[str], None] = lambda _: None
    stop: Callable[[], bool] = lambda: False


def refine(
    calibration: Calibration,
    policy_path: Path,
    spec: ArmSpec,
    *,
    task: str | None = None,
    contract: Path | None = None,
    steps: int,
    seed: int = 1,
    simulations: int | None = None,
    held_out: int = HELD_OUT,
    threads: int = 2,
    hooks: Hooks | None = None,
) -> Outcome:
    """Train, judge. `task`: what the policy was trained for (default: as it says itself); `steps`: of all simulations.

    Raises:
        NotTogetherError, RefineError: it cannot be done with these.
        PolicyError: the policy cannot be used on this arm.
        MapExportError: a map could not be written down.
        StoppedError: `hooks.stop` said so.
    """
    hooks = hooks or Hooks()
    policy = load_policy(policy_path, spec, contract)
    name = task_of(policy, task)
    require_together(calibration, policy, spec, name)
    if calibration.refined is not None:
        raise RefineError("this calibration is refined already; give the one that robot-calibrate fit wrote")
    if not calibration.accepted:
        raise RefineError("this calibration was not accepted; see its report, and calibrate again before refining")

    def arms(begin: int, count: int, *, trial: bool = True) -> IdentifiedArm:
        seeds = np.random.SeedSequence([begin, seed]).generate_state(count).tolist()
        return IdentifiedArm(name, spec, seeds, calibration, trial=trial, threads=threads)

    try:
        tried = arms(_TRIAL, TRIED)
        require_same(policy.contract, tried, policy_path)
        around = Around(tried, policy_path)
    except (UntrainablePolicyError, PolicyMismatchError, ModeError) as error:
        raise RefineError(str(error)) from error
    training = arms(0, simulations or SIMULATIONS, trial=False)
    done = _learn(training, around, lambda: arms(_TRIAL, TRIED), steps, seed, hooks)
    if not same_weights(around.frozen, policy_path):
        raise AssertionError("the policy has changed, which nothing here does")
    refined = _composed(calibration, around, training)
    hooks.tell(f"judging on {held_out} held-out episodes")
    seeds = np.random.SeedSequence([_HELD_OUT, seed]).generate_state(held_out).tolist()
    found = compare(name, spec, policy_path, (calibration, refined), seeds, threads=threads, stop=hooks.stop)
    _go_on(hooks)
    facts = Refined(
        policy=policy.digest,
        task=name,
        steps=done,
        seed=seed,
        episodes=held_out,
        success=(float(found.before.success.mean()), float(found.after.success.mean())),
        error=(float(found.before.error.mean()), float(found.after.error.mean())),
    )
    weights = sum(w.numel() for w in around.frozen.weights.values())
    unit = "mm" if training.goal.quantity == "tip_position" else "mrad"
    return Outcome(replace(refined, refined=facts) if found.better else None, found, done, unit, weights)


def _learn(
    training: IdentifiedArm,
    around: Around,
    trial: Callable[[], IdentifiedArm],
    steps: int,
    seed: int,
    hooks: Hooks,
) -> int:
    """Train, and leave the maps as they were best on trial; returns the steps that were done."""
    refiner = Refiner(training, around, settings_for(training.name, steps, training.count), seed)
    best, kept = (-1.0, 0.0), copy.deepcopy(around.state_dict())
    looks = 0
    while refiner.steps < steps:
        hooks.rounds(refiner.round())
        _go_on(hooks)
        if refiner.steps * TRIALS >= (looks + 1) * steps:
            looks += 1
            there = trial()
            found = episodes(there, attach(there, around), hooks.stop)
            _go_on(hooks)
            score = float(found.success.mean()), -float(found.error.mean())
            hooks.tell(f"on trial: success {score[0]:.0%}, error {-score[1]:.4g}")
            if score > best:
                best, kept = score, copy.deepcopy(around.state_dict())
            attach(training, around)
    around.load_state_dict(kept)
    return refiner.steps


def _composed(calibration: Calibration, around: Around, task: IdentifiedArm) -> Calibration:
    joints, maps = task.world.names, dict(calibration.maps)
    maps["observation"] = with_pre(maps["observation"], around, joints)
    kind = DRIVEN_BY[around.meaning]
    maps[kind] = with_post(maps[kind], around.post, joints)
    return replace(calibration, maps=maps, digest="")


def _go_on(hooks: Hooks) -> None:
    if hooks.stop():
        raise StoppedError
