"""robot-calibrate bundle: observation map, frozen policy and command map as one ONNX."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from calibration.cli.outputs import require_free
from robot_runtime.cli.common import Screen

if TYPE_CHECKING:
    from calibration.cli.calibrate import Subparsers

_EPILOG = """examples:
  robot-calibrate bundle --policy reach.onnx --calibration arm.cal --out reach-on-arm.onnx

exit codes:
  0    written; the policy's weights in it are bit for bit the policy's
  2    wrong usage, a file that cannot be used, two that do not become one network, or a calibration that robot-run
       would refuse: of another arm, or not accepted"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `bundle`."""
    parser = subparsers.add_parser(
        "bundle",
        help="compose the maps and a frozen policy into one ONNX",
        description="Compose observation map, frozen policy and command map into one ONNX, for programs that run "
        "a network and nothing else. robot-run needs no bundle.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("--policy", required=True, type=Path, metavar="ONNX", help="the policy, as its trainer exported it")
    add("--calibration", required=True, type=Path, metavar="ARM.CAL", help="what robot-calibrate fit, or refine, wrote")
    add("--out", required=True, type=Path, metavar="ONNX", help="the network to write")
    add("--contract", type=Path, metavar="TOML", help="what the policy's numbers mean, where it does not say so itself")
    add("--arm", metavar="NAME|PATH", help="the arm (default: the one that the policy names)")
    add("--force", action="store_true", help="with a calibration of another arm, or one not accepted")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Write it, and show what was checked."""
    from calibration.bundle import bundle, is_bundle  # noqa: PLC0415 (a page of help needs no networks)
    from robot_runtime.policy.load import arm_named  # noqa: PLC0415
    from robot_runtime.spec import load_arm  # noqa: PLC0415

    require_free("--out", arguments.out, (arguments.policy, arguments.calibration, arguments.contract), is_bundle)
    spec = load_arm(arguments.arm or arm_named(arguments.policy, arguments.contract))
    made = bundle(
        arguments.policy, arguments.calibration, arguments.out, spec, arguments.contract, force=arguments.force
    )
    told = {"bundle": str(made.path), "weights": made.weights, "replaced": list(made.replaced)}
    screen.line({**told, "forced": list(made.forced)})
    for text in made.forced:
        screen.say(f"{text} (--force)")
    for name, digest in made.weights.items():
        screen.say(f"{name}: the same bits in policy and bundle, SHA-256 {digest[:16]}")
    screen.say(f"{len(made.replaced)} entries of the observation come from the map; written: {made.path}")
    return 0
