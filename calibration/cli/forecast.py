"""robot-calibrate forecast: what a frozen policy will do on this arm, with its calibration and without."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from robot_runtime.cli.common import ExitCode, Screen

if TYPE_CHECKING:
    from calibration.cli.calibrate import Subparsers
    from calibration.refine.forecast import Flown

WORSE = 6
BAR = 30

_EPILOG = """what it does:
  Flies the policy to the same number of targets three times, in seconds and without an arm: on the arm of the data
  files, on the arm as ARM.CAL identified it (numbers drawn within their intervals), and there with the maps of ARM.CAL.
  It knows of the arm what ARM.CAL knows. Play of the gears, heat and a supply that sags are not in it; nor is what the
  data did not tell, which is taken to be as found: `fit` lists it.

examples:
  robot-calibrate forecast arm.cal --policy reach.onnx
  robot-calibrate forecast arm.cal --policy reach.onnx --targets 1000 --json

exit codes:
  0    told
  2    wrong usage, a file that cannot be used, or a policy that no task here is for
  6    told, and the policy surely reaches fewer targets with the calibration than without
  130  interrupted"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `forecast`."""
    parser = subparsers.add_parser(
        "forecast",
        help="what a policy will do on this arm, with the calibration and without",
        description="Fly a frozen policy on the arm as it was identified, with its calibration and without, and in "
        "the simulator. Takes seconds and moves nothing.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("calibration", type=Path, metavar="ARM.CAL", help="what robot-calibrate fit, or refine, wrote")
    add("--policy", required=True, type=Path, metavar="ONNX", help="the policy, as robot-train exported it")
    add("--targets", type=_natural, default=200, metavar="N", help="targets that are flown each time (default: 200)")
    add("--task", choices=("reach", "track", "hold"), help="what it was trained for (default: as the policy says)")
    add("--arm", metavar="NAME|PATH", help="the arm (default: the one that the policy names)")
    add("--contract", type=Path, metavar="TOML", help="what the policy's numbers mean, where it does not say so itself")
    add("--seed", type=_natural, default=1, metavar="N", help="other targets, other draws (default: 1)")
    add("--threads", type=int, default=2, metavar="N", help="threads that simulate (default: 2)")
    parser.set_defaults(run=run)


def _natural(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Fly, and tell."""
    from calibration.refine.forecast import forecast  # noqa: PLC0415 (a page of help needs no networks)
    from calibration.refine.pipeline import StoppedError  # noqa: PLC0415
    from robot_runtime.calibrated.file import Calibration  # noqa: PLC0415
    from robot_runtime.policy.load import arm_named  # noqa: PLC0415
    from robot_runtime.spec import load_arm  # noqa: PLC0415
    from sim.training.asked_to_stop import asked_to_stop  # noqa: PLC0415

    calibration = Calibration.read(arguments.calibration)
    spec = load_arm(arguments.arm or arm_named(arguments.policy, arguments.contract))
    try:
        with asked_to_stop() as stop, screen.working("flying") as tell:
            found = forecast(
                calibration,
                arguments.policy,
                spec,
                task=arguments.task,
                contract=arguments.contract,
                count=arguments.targets,
                seed=arguments.seed,
                threads=arguments.threads,
                tell=lambda told: tell(f"flying {told}"),
                stop=lambda: bool(stop),
            )
    except StoppedError:
        screen.line({"interrupted": True})
        return ExitCode.INTERRUPTED
    screen.say(f"{arguments.policy.name}, {found.task}, {arguments.targets} targets from home:")
    rows = (
        ("in simulation", found.simulated),
        ("on this arm, as it is", found.as_it_is),
        ("on this arm, calibrated", found.calibrated),
    )
    for told, flown in rows:
        screen.say(_row(told, flown, found.unit))
    for joint, far in found.untold.items():
        screen.say(
            f"  not in it: the data did not tell {joint}'s zero, which may be {1e3 * far:.0f} {found.unit}"
            f"{' at the tip' if found.unit == 'mm' else ''}; settle it with robot-setup zero"
        )
    if not calibration.accepted:
        screen.say("this calibration was not accepted: what it identified, this forecast stands on")
    screen.result(
        {"targets": arguments.targets, "accepted": calibration.accepted, "worse": found.worse, **asdict(found)}
    )
    if found.worse:
        screen.say(
            "WORSE with the calibration than without: fly without it, and see its report for what to record anew"
        )
        return WORSE
    return ExitCode.FINE


def _row(told: str, flown: Flown, unit: str) -> str:
    success, error = flown.success, flown.error
    bar = "█" * round(BAR * success.mean)
    between = f"({success.low:.0%} to {success.high:.0%})"
    return f"  {told:24}{bar:{BAR}} {success.mean:4.0%} {between:16} error {1e3 * error.mean:6.1f} {unit}"
