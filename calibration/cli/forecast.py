"""robot-calibrate forecast: what a frozen policy will do on this arm, with its calibration and without."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from calibration.cli.identified import add_options, natural, opened
from robot_runtime.cli.common import ExitCode, Screen

if TYPE_CHECKING:
    from calibration.cli.calibrate import Subparsers
    from calibration.identified.forecast import Flown

TARGETS = 480
WORSE = 6
BAR = 30

_EPILOG = """what it does:
  Flies the policy to the same targets three times, in a minute and without an arm: on the arm of the data files, on
  this arm without ARM.CAL, and with its maps. "This arm" is 32 arms that the data of ARM.CAL allow, drawn from what the
  fit found and how well it knows it: what the data did not tell differs between them as much as it may. Behind a figure
  of this arm stands an interval for one such arm (95 %; nearer 90 % where a few arms miss much). Play of the gears,
  heat, a supply that sags and the envelope are not in it.

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
        "the simulator. Takes a minute and moves nothing.",
        epilog=_EPILOG,
    )
    add_options(parser, of="robot-calibrate fit, or refine,", seed="other targets")
    parser.add_argument(
        "--targets", type=natural, default=TARGETS, metavar="N", help=f"flown each time (default: {TARGETS})"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Fly, and tell."""
    from calibration.identified.episodes import StoppedError  # noqa: PLC0415
    from calibration.identified.forecast import forecast  # noqa: PLC0415 (a page of help needs no networks)
    from sim.training.asked_to_stop import asked_to_stop  # noqa: PLC0415

    calibration, spec = opened(arguments)
    try:
        with asked_to_stop() as stop, screen.working("flying", stages=True) as tell:
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
    for told, flown in found.ways:
        screen.say(_row(told, flown, found.unit))
    if (arms := len(found.gain)) > 1:
        screen.say(
            f"  on {found.better} of {arms} arms that the data allow the calibration brings targets, "
            f"on {found.fewer} it costs some"
        )
    for joint, far in found.untold.items():
        screen.say(
            f"  the data did not tell {joint}'s zero, which may be {1e3 * far:.0f} {found.unit} off"
            f"{' at the tip' if found.unit == 'mm' else ''}: settle it with robot-setup zero"
        )
    if found.open:
        number = calibration.physics.get(found.blamed)
        what = f"{found.blamed} ({number.low:.3g} to {number.high:.3g} {number.unit})" if number else "no one number"
        screen.say(
            f"  the data leave much of this arm open, {what} most of it; what tells more: zeros (robot-setup zero "
            "--stops), a known weight (robot-calibrate record --payload), a longer recording (--level full)"
        )
    if not calibration.accepted:
        screen.say("this calibration was not accepted: what it identified, this forecast stands on")
    screen.line(
        {
            "targets": arguments.targets,
            "accepted": calibration.accepted,
            **{fact: getattr(found, fact) for fact in ("better", "fewer", "worse", "open")},
            **asdict(found),
        }
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
