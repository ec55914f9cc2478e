"""robot-calibrate refine: both maps trained further around one frozen policy, and kept only if they are better."""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration.cli.identified import add_options, natural, opened
from calibration.cli.outputs import is_calibration, require_free
from robot_runtime.cli.common import ExitCode, Screen

if TYPE_CHECKING:
    from calibration.cli.calibrate import Subparsers
    from calibration.refine.pipeline import Hooks, Outcome
    from sim.training.evaluate import Figure
    from sim.training.learner import Round
    from sim.training.progress import Reporter

NO_BETTER = 6
STEPS = 300_000
LINE_EVERY = 5
"""Rounds between two lines of --json."""

_EPILOG = """what it does:
  The arm as it was identified becomes a simulation, with the maps of ARM.CAL in its loop; every episode is on another
  of the arms that its data allow. Around the policy, which stays as it is to the last bit, two small maps more begin as
  nothing and learn by PPO: one behind the observation map, one before the torque or goal map.
  Then both calibrations fly the same held-out episodes through their own files, on arms that no training met. FILE is
  written only if the refined one surely has more successes, or no fewer and surely a smaller error. It holds for this
  policy alone: robot-run refuses it for another. It knows of the arm what ARM.CAL knows: play of the gears, for one, is
  not in it.

examples:
  robot-calibrate refine arm.cal --policy reach.onnx --out refined.cal
  robot-calibrate refine arm.cal --policy reach.onnx --out refined.cal --steps 100000 --seed 2
  robot-run --policy reach.onnx --target 0.2,0.1,0.15 --calibration refined.cal

exit codes:
  0    better, and written
  2    wrong usage, a file that cannot be used, or a policy that no task here is for
  6    no better: nothing was written, and it says by how much it lost
  130  interrupted: nothing was written"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `refine`."""
    parser = subparsers.add_parser(
        "refine",
        help="train the maps further around one policy, in the identified arm",
        description="Train the maps of a calibration further around one frozen policy by PPO, in the arm as it was "
        "identified. Keeps the result only if it beats the calibration on held-out episodes. Takes minutes.",
        epilog=_EPILOG,
    )
    add_options(parser, of="robot-calibrate fit", seed="the same seed learns the same")
    add = parser.add_argument
    add("--out", required=True, type=Path, metavar="FILE", help="the calibration to write")
    add(
        "--steps",
        type=natural,
        default=STEPS,
        metavar="N",
        help=f"how long: steps of all simulations together (default: {STEPS})",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Learn, judge, and write what is better."""
    import torch  # noqa: PLC0415 (a page of help needs no networks)
    from rich.console import Console  # noqa: PLC0415

    from calibration.identified.episodes import StoppedError  # noqa: PLC0415
    from calibration.refine.pipeline import refine  # noqa: PLC0415
    from sim.training.asked_to_stop import asked_to_stop  # noqa: PLC0415
    from sim.training.progress import Reporter  # noqa: PLC0415

    inputs = (arguments.calibration, arguments.policy, arguments.contract)
    require_free("--out", arguments.out, inputs, is_calibration)
    torch.set_num_threads(1)  # the networks are small: more threads wait for each other
    calibration, spec = opened(arguments)
    begin, console = time.monotonic(), Console(quiet=True) if screen.as_json else screen.err
    try:
        with asked_to_stop() as stop, Reporter(console, arguments.steps, None) as reporter:
            outcome = refine(
                calibration,
                arguments.policy,
                spec,
                task=arguments.task,
                contract=arguments.contract,
                steps=arguments.steps,
                seed=arguments.seed,
                threads=arguments.threads,
                hooks=_hooks(screen, reporter, stop),
            )
    except StoppedError:
        screen.say(f"interrupted: {arguments.out} was not written")
        screen.line({"refined": None, "interrupted": True})
        return ExitCode.INTERRUPTED
    written = None if outcome.refined is None else outcome.refined.write(arguments.out)
    facts = _facts(outcome)
    _say(screen, outcome)
    took = time.monotonic() - begin
    screen.line({"refined": None if written is None else str(arguments.out), "seconds": round(took, 1), **facts})
    if written is None:
        screen.say(f"\nNO BETTER: nothing was written, after {took:.0f} s; go on with {arguments.calibration}")
        return NO_BETTER
    screen.say(f"\nbetter: {arguments.out} ({written.digest[:12]}), for this policy alone, after {took:.0f} s")
    return ExitCode.FINE


def _hooks(screen: Screen, reporter: Reporter, stop: list[int]) -> Hooks:
    from calibration.refine.pipeline import Hooks  # noqa: PLC0415 (as above)

    count = 0

    def rounds(done: Round) -> None:
        nonlocal count
        if screen.as_json and count % LINE_EVERY == 0:
            figures = (("return", done.mean_return), ("success", done.success), ("rate", done.rate))
            told = {name: round(value, 4) if math.isfinite(value) else None for name, value in figures}
            screen.line({"progress": "learning", "steps": done.steps, **told})
        elif not screen.as_json:
            reporter.show(done)
        count += 1

    def tell(text: str) -> None:
        screen.aside(text)
        screen.line({"progress": text})

    return Hooks(rounds, tell, lambda: bool(stop))


def _facts(outcome: Outcome) -> dict[str, Any]:
    found = outcome.comparison
    return {
        "steps": outcome.steps,
        "episodes": len(found.before.error),
        "success": [float(one.success.mean()) for one in (found.before, found.after)],
        "error": [float(one.error.mean()) for one in (found.before, found.after)],
        "success_difference": asdict(found.success),
        "error_difference": asdict(found.error),
        "policy_numbers_unchanged": outcome.weights,
    }


def _say(screen: Screen, outcome: Outcome) -> None:
    found = outcome.comparison
    before, after, unit = found.before, found.after, outcome.unit
    success, error = (_more(figure, scale) for figure, scale in ((found.success, 100.0), (found.error, 1e3)))
    screen.say(f"{len(before.error)} held-out episodes in the identified arm, each through both files:")
    screen.say(f"  success {before.success.mean():8.1%} -> {after.success.mean():8.1%}       by {success} points")
    screen.say(
        f"  error   {1e3 * before.error.mean():8.2f} -> {1e3 * after.error.mean():8.2f} {unit:5} by {error} {unit}"
    )
    screen.say(f"the policy's {outcome.weights} numbers are the same bits as before")


def _more(figure: Figure, scale: float) -> str:
    mean, low, high = (scale * value for value in (figure.mean, figure.low, figure.high))
    return f"{mean:+.2f} (95 %: {low:+.2f} to {high:+.2f})"
