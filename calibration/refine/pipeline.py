"""The whole way: a calibration and a policy -> maps that learnt around it -> a verdict, and what is better."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from calibration.errors import CalibrationError
from calibration.refine.export import with_post, with_pre
from calibration.refine.judge import Comparison, compare
from calibration.refine.learn import Refiner, attach, episodes, settings_for
from calibration.refine.network import Around
from calibration.refine.world import DRIVEN_BY, TASKS, IdentifiedArm
from models.onnx_torch import UntrainablePolicyError, same_weights
from robot_runtime.calibrated.file import Calibration, Refined
from robot_runtime.policy.errors import ModeError
from robot_runtime.policy.load import Policy, load_policy
from robot_runtime.spec import ArmSpec
from sim.tasks.goals import goal_of
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
    """A calibration that cannot be refined, or flown in the identified arm, for this policy.

    Example scenarios:
        - The calibration is of another arm, was not accepted, has no observation map, or is refined already.
        - The policy comes from no task that there is here, has a memory, or senses or acts otherwise than its task.
    """


class StoppedError(Exception):
    """Somebody asked it to stop; nothing was written."""


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
        RefineError: it cannot be done with these.
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


def task_of(policy: Policy, task: str | None) -> str:
    """What it was trained for: as somebody says, or as it says itself."""
    return task or str(policy.contract.provenance.get("task", ""))


def require_together(calibration: Calibration, policy: Policy, spec: ArmSpec, task: str) -> None:
    """Refuse what cannot be flown in the identified arm.

    Raises:
        RefineError: calibration, policy and task do not go together.
    """
    identity = calibration.identity
    if (identity.spec, identity.mjcf_digest) != (spec.name, spec.mjcf_digest):
        raise RefineError(
            f"the calibration is of {identity.spec} ({identity.mjcf_digest[:12]}), the policy is for {spec.name} "
            f"({spec.mjcf_digest[:12]}); give the calibration of this arm, or calibrate it again"
        )
    if "observation" not in calibration.maps:
        raise RefineError("this calibration has no observation map; calibrate again")
    if calibration.physics and not calibration.alike:
        raise RefineError(
            "this calibration does not say which arms its data allow: it was fitted before files said so; fit it "
            "again, from the same recording"
        )
    if task not in TASKS:
        raise RefineError(
            f"the policy says it is of task '{task}'; there are {', '.join(TASKS)}: without a task nothing says what "
            "better is. Name it with --task"
        )
    target, asked = policy.contract.target, goal_of(task, spec).quantity
    if target is None or target.kind != asked:
        raise RefineError(f"task {task} asks for a {asked}; the policy takes {target.kind if target else 'no target'}")
    kind = DRIVEN_BY.get(policy.contract.action.meaning, "")
    if kind not in calibration.maps:
        raise RefineError(
            f"a policy that says {policy.contract.action.meaning} goes through the {kind or '?'} map, which this "
            f"calibration lacks; it has {', '.join(calibration.maps)}"
        )
    known = set(calibration.maps["observation"].joints) & set(calibration.maps[kind].joints)
    if lacking := [j for j in policy.contract.action.joints if j not in known]:
        raise RefineError(f"the maps of this calibration lack {', '.join(lacking)}, which the policy drives")


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
