"""Options of the commands that fly a policy on the identified arm."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from calibration.cli.outputs import threads

if TYPE_CHECKING:
    from robot_runtime.calibrated.file import Calibration
    from robot_runtime.spec import ArmSpec


def add_options(parser: argparse.ArgumentParser, of: str, seed: str) -> None:
    """Calibration, policy, and what it may not say. `of`: who wrote the calibration; `seed`: what one is for."""
    add = parser.add_argument
    add("calibration", type=Path, metavar="ARM.CAL", help=f"what {of} wrote")
    add("--policy", required=True, type=Path, metavar="ONNX", help="the policy, as robot-train exported it")
    add("--task", choices=("reach", "track", "hold"), help="what it was trained for (default: as the policy says)")
    add("--arm", metavar="NAME|PATH", help="the arm (default: the one that the policy names)")
    add("--contract", type=Path, metavar="TOML", help="what the policy's numbers mean, where it does not say so itself")
    add("--seed", type=natural, default=1, metavar="N", help=f"{seed} (default: 1)")
    add("--threads", type=threads, default=2, metavar="N", help="threads that simulate (default: 2)")


def natural(text: str) -> int:
    """A number of things, of which there is at least one."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def opened(arguments: argparse.Namespace) -> tuple[Calibration, ArmSpec]:
    """The calibration and the arm that were named."""
    from robot_runtime.calibrated.file import Calibration  # noqa: PLC0415 (a page of help needs no networks)
    from robot_runtime.policy.load import arm_named  # noqa: PLC0415
    from robot_runtime.spec import load_arm  # noqa: PLC0415

    spec = load_arm(arguments.arm or arm_named(arguments.policy, arguments.contract))
    return Calibration.read(arguments.calibration), spec
