"""The command `robot-train`: train a policy in simulation, or try one that is there."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from models.errors import ExportError
from robot_runtime.arm import ArmError
from robot_runtime.bus import BusError
from robot_runtime.cli.common import Parser, Screen, run
from robot_runtime.spec import load_arm
from sim.tasks import TASKS, make_task
from sim.tasks.arm_task import ArmTask
from sim.tasks.registry import DEFAULT_ARM
from sim.training import checkpoint
from sim.training.checkpoint import Run
from sim.training.evaluate import contract_of, evaluate, onnx_policy, require_same
from sim.training.settings import SETTINGS
from sim.training.train import LAST, train
from sim.training.twin_trial import fly
from sim.training.video import NoVideoError, record
from sim.worlds.walker2d import FAMILY

FINE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
_CODES = (
    (ExportError, FAILED),
    (ArmError, FAILED),
    (BusError, FAILED),
    (NoVideoError, USAGE),
    (ValueError, USAGE),
)
_TRIAL_SEED = 2_000_000
_SEED, _EPISODES, _TARGETS = 1, 1000, 50
"""By default."""
_FILMED = 5  # episodes
_LARGEST_SEED = 2**63 - 1
_OF_TRAINING, _OF_TRIALS = ("resume", "out", "body", "steps"), ("episodes", "gap", "targets", "video")
"""Options that say nothing to the other one."""

_EXAMPLES = """\
examples:
  robot-train --task hold --out runs/hold                       the quickest: a pendulum
  robot-train --task reach --arm koch-v1.1 --randomise --seed 3
  robot-train --resume runs/hold --steps 1000000                goes on, after Ctrl-C or for longer
  robot-train --evaluate runs/hold/policy.onnx --gap mild --video hold.gif
  robot-run --policy runs/hold/policy.onnx --target 1           flies it on the twin; with --port on the arm

exit codes:
  0    trained, or tried
  1    the policy could not be frozen, or could not be flown on the twin
  2    bad usage, or a file or value that cannot be used
  130  interrupted: checkpoints and policy are written, --resume goes on
"""


def _parser() -> Parser:
    parser = Parser(
        prog="robot-train",
        description="Train a policy in simulation and freeze it as an ONNX that robot-run takes as it is.",
        epilog=_EXAMPLES,
    )
    add = parser.add_argument
    steps = ", ".join(f"{name} {settings.steps:,}" for name, settings in SETTINGS.items())
    arms = ", ".join(f"{name} {arm}" for name, arm in DEFAULT_ARM.items())
    add(
        "--task",
        choices=TASKS,
        help="what to learn: reach (bring the tip to a point), track (follow a moving point), hold (bring joints to an "
        "angle), walker2d (walk)",
    )
    add("--arm", metavar="NAME|PATH", help=f"an arm that ships, or the path of an arm.toml (default: {arms})")
    add("--body", choices=tuple(FAMILY), help="whose legs walker2d walks on (default: base)")
    add("--randomise", action="store_true", help="every episode is another arm: masses, friction, delay, noise, gains")
    add("--steps", type=_count, metavar="N", help=f"how long: steps of all simulations together (default: {steps})")
    add("--seed", type=_seed, metavar="N", help="of all chance: the same seed gives the same policy (default: 1)")
    add("--out", type=Path, metavar="DIR", help="where checkpoints and policy go (default: runs/TASK-ARM-SEED)")
    add("--resume", type=Path, metavar="DIR", help="go on with the training in that folder")
    add("--threads", type=_count, default=2, metavar="N", help="threads that simulate (default: 2)")
    add("--evaluate", type=Path, metavar="ONNX", help="try this policy instead of training one")
    add("--episodes", type=_count, metavar="N", help="with --evaluate: how many to try it on (default: 1000)")
    add(
        "--gap",
        metavar="NAME|FILE",
        help="with --evaluate: fly it on the twin too, in virtual time; says how the twin differs from its data: none, "
        "mild, harsh, random:N, a gap.toml",
    )
    add("--targets", type=_count, metavar="N", help="with --gap: how many in that flight (default: 50)")
    add("--video", type=Path, metavar="GIF", help=f"with --evaluate: a film of {_FILMED} episodes")
    add("--json", action="store_true", help="print the result, or the error, as one line of JSON")
    add("--debug", action="store_true", help="show where in the program an error arose")
    parser.set_defaults(does=_body)
    return parser


def _count(text: str) -> int:
    """A number of things, for argparse."""
    if not text.isdecimal() or not 0 < int(text) < _LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 on")
    return int(text)


def _seed(text: str) -> int:
    """A seed, for argparse."""
    if not text.isdecimal() or int(text) > _LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 0 to {_LARGEST_SEED}")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(_parser(), argv, _CODES)


def _body(options: argparse.Namespace, screen: Screen) -> int:
    _check(options)
    return _evaluate(options, screen) if options.evaluate else _train(options, screen)


def _check(options: argparse.Namespace) -> None:
    """Refuse what would be left aside in silence, or would cost something that is there."""
    idle, what = (_OF_TRAINING, "training") if options.evaluate else (_OF_TRIALS, "--evaluate")
    if said := [name for name in idle if getattr(options, name) is not None]:
        raise ValueError(f"--{said[0]} is for {what}: leave it out")
    if (video := options.video) is not None:
        if video.suffix.lower() != ".gif" or not video.parent.is_dir():
            raise ValueError(f"--video {video}: give a name that ends in .gif, in a folder that is there")
    elif options.task is not None and options.body is not None and options.task in DEFAULT_ARM:
        raise ValueError(f"--body is of walker2d; {options.task} has an --arm")
    elif options.task is not None and options.arm is not None and options.task not in DEFAULT_ARM:
        raise ValueError(f"--arm is of {', '.join(DEFAULT_ARM)}; {options.task} has a --body")


def _train(options: argparse.Namespace, screen: Screen) -> int:
    run, folder = _run(options)
    # With --json the result is alone on standard output.
    console = Console(stderr=options.json)
    console.print(f"training {run.task} of {run.arm or run.body}, {run.steps:,} steps, into {folder}", highlight=False)
    trained = train(run, folder, console, resume=options.resume is not None, threads=options.threads)
    facts: dict[str, Any] = {
        "folder": str(trained.folder),
        "policy": None if trained.exported is None else str(trained.exported.path),
        "complete": trained.complete,
        "steps": trained.steps,
        "seconds": round(trained.seconds, 1),
        "simulation": asdict(trained.result),
    }
    screen.line(facts)
    screen.say(f"{trained.steps:,} steps in {trained.seconds:.0f} s")
    _tell(screen, facts["simulation"], f"{trained.result.episodes} new episodes")
    screen.say(f"policy: {facts['policy'] or 'none (no arm flies this task)'}")
    if not trained.complete:
        screen.say(f"interrupted; go on with: robot-train --resume {trained.folder}")
    return FINE if trained.complete else INTERRUPTED


def _run(options: argparse.Namespace) -> tuple[Run, Path]:
    if options.resume is not None:
        run, learner = checkpoint.load(options.resume / LAST)
        wanted = {"task": options.task, "arm": options.arm, "body": options.body, "seed": options.seed}
        wanted |= {"randomise": options.randomise or None}
        for name, value in wanted.items():
            if value not in (None, getattr(run, name)):
                raise ValueError(f"{options.resume} was begun with --{name} {getattr(run, name)}: leave --{name} out")
        if options.out not in (None, options.resume):
            raise ValueError("--resume goes on in the folder that it names: leave --out out")
        done = learner.get("steps")
        if options.steps is not None and isinstance(done, int) and options.steps < done:
            raise ValueError(f"{options.resume} has done {done:,} steps already: --steps says how many in all")
        return replace(run, steps=options.steps or run.steps), options.resume
    if options.task is None:
        raise ValueError("say what to learn with --task, what to go on with by --resume, or what to try by --evaluate")
    settings = SETTINGS[options.task]
    arm = None if options.task not in DEFAULT_ARM else options.arm or DEFAULT_ARM[options.task]
    body, seed = options.body or "base", _SEED if options.seed is None else options.seed
    name = body if arm is None else load_arm(arm).name
    folder = options.out or Path("runs") / f"{options.task}-{name}-{seed}"
    if (folder / LAST).exists():
        raise ValueError(f"{folder} holds a training already; go on with it by --resume {folder}, or say another --out")
    steps = options.steps or settings.steps
    return Run(options.task, arm, body, options.randomise, steps, seed, settings), folder


def _evaluate(options: argparse.Namespace, screen: Screen) -> int:
    contract = contract_of(options.evaluate)
    learnt = contract.provenance.get("task")
    if options.task is not None and learnt not in (None, options.task):
        raise ValueError(f"{options.evaluate} has learnt {learnt}, not {options.task}: leave --task out")
    name, arm = options.task or learnt, options.arm or contract.arm or None
    if not name:
        raise ValueError(f"{options.evaluate} does not say what it has learnt: say so by --task")
    seed, episodes = _SEED if options.seed is None else options.seed, options.episodes or _EPISODES
    targets = options.targets or _TARGETS
    seeds = np.random.SeedSequence([_TRIAL_SEED, seed]).generate_state(episodes).tolist()
    task = make_task(str(name), seeds, arm=arm, randomise=options.randomise, trial=True, threads=options.threads)
    require_same(contract, task, options.evaluate)
    facts: dict[str, Any] = {"policy": str(options.evaluate)}
    facts |= {"simulation": asdict(evaluate(task, onnx_policy(options.evaluate, task)))}
    if options.gap is not None and isinstance(task, ArmTask):
        gap = None if options.gap == "none" else options.gap
        facts["twin"] = asdict(fly(options.evaluate, task, gap, targets, seed))
    screen.line(facts)
    _tell(screen, facts["simulation"], f"{episodes} episodes in the physics of its training")
    if "twin" in facts:
        _tell(screen, facts["twin"], f"{targets} targets in one flight on the twin, gap {options.gap}")
    if options.video is not None:
        with screen.working("filming"):
            _film(options.video, options.evaluate, str(name), seed, arm=arm, randomise=options.randomise)
    return FINE


def _film(video: Path, policy: Path, name: str, seed: int, **of_task: Any) -> None:
    """In a process of its own: MuJoCo looks for graphics when it is imported, and drivers can take a program along."""
    if sys.platform == "linux":
        os.environ.setdefault("MUJOCO_GL", "egl")  # needs no screen
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        try:
            process.submit(_record, video, policy, name, seed, _FILMED, of_task).result()
        except BrokenProcessPool as error:
            raise NoVideoError("the process that draws the video has ended; try MUJOCO_GL=osmesa") from error


def _record(video: Path, policy: Path, name: str, seed: int, episodes: int, of_task: dict[str, Any]) -> None:
    task = make_task(name, [seed], trial=True, **of_task)
    record(task, onnx_policy(policy, task), video, episodes=episodes)


def _tell(screen: Screen, result: dict[str, Any], what: str) -> None:
    screen.say(what)
    for key, value in result.items():
        if isinstance(value, dict) and "mean" not in value:
            screen.say(f"  {key:13} {', '.join(f'{reason} {100 * part:.1f} %' for reason, part in value.items())}")
        elif isinstance(value, dict):
            screen.say(f"  {key:13} {value['mean']:.4g}   95 %: {value['low']:.4g} to {value['high']:.4g}")
        elif isinstance(value, float):
            screen.say(f"  {key:13} {value:.4g}")
        elif isinstance(value, tuple) and value:
            screen.say(f"  {key:13} {'; '.join(value)}")


if __name__ == "__main__":
    sys.exit(main())
