"""The command `robot-import`: a checkpoint of Stable-Baselines3 or rsl_rl becomes an ONNX that `robot-run` takes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import ExportError, NotProvenError, ParityError, PolicyImportError, UnsupportedError
from models.importers.file_kinds import require_checkpoint
from robot_runtime.cli.common import Parser, Screen, UsageError, run
from robot_runtime.policy.contract_json import draft_from_toml
from robot_runtime.policy.draft import build

if TYPE_CHECKING:
    from models.export import Exported

FINE, DIFFERENT, USAGE, REFUSED = 0, 1, 2, 5

_CODES = (
    (UnsupportedError, REFUSED),
    (NotProvenError, REFUSED),
    (ParityError, DIFFERENT),
    (ExportError, USAGE),
    (PolicyImportError, USAGE),
)

_EXAMPLES = """\
examples:
  robot-import reach.zip --vecnormalize vecnormalize.pkl --contract policy.toml --out reach.onnx
  robot-import logs/model_1500.pt --activation elu --contract policy.toml --out reach.onnx

exit codes:
  0    written, and equal to what the trainer's own library computes
  1    the ONNX computes something else than the checkpoint; nothing was written
  2    wrong usage, or a file that cannot be used
  5    refused: it cannot be rebuilt exactly, or nothing here can prove it equal
  130  interrupted"""


def _parser() -> Parser:
    parser = Parser(
        prog="robot-import",
        description="Freeze a policy that Stable-Baselines3 (PPO, A2C, SAC) or rsl_rl has trained: one ONNX with its "
        "contract, compared with what the trainer's own library computes.",
        epilog=_EXAMPLES,
    )
    add = parser.add_argument
    add("checkpoint", type=Path, help="a .zip that SB3 saved, or a model_*.pt that rsl_rl saved")
    add("--contract", type=Path, required=True, metavar="FILE", help="policy.toml: what the numbers mean")
    add("--out", type=Path, required=True, metavar="FILE", help="the ONNX to write")
    add("--force", action="store_true", help="replace the ONNX that is there")
    add("--vecnormalize", type=Path, metavar="FILE", help="SB3: what VecNormalize.save() wrote beside the model")
    add("--raw-observations", action="store_true", help="SB3: it was trained without VecNormalize (SAC does not tell)")
    add("--activation", metavar="NAME", help="rsl_rl: the actor's activation function, such as elu")
    add("--unproven", action="store_true", help="write it although the trainer's library is not here to compare with")
    add("--json", action="store_true", help="print one JSON object instead of text")
    add("--debug", action="store_true", help="show where in the program an error arose")
    parser.set_defaults(does=_body)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(_parser(), argv, _CODES)


def _body(options: argparse.Namespace, screen: Screen) -> int:
    _tell(_import(options), screen)
    return FINE


def _import(options: argparse.Namespace) -> Exported:
    if options.out.suffix != ".onnx":
        raise UsageError(f"--out {options.out}: give a name that ends in .onnx")
    if not options.out.parent.is_dir():
        raise UsageError(f"--out {options.out}: there is no folder {options.out.parent}; make it first")
    if options.out.exists() and not options.force:
        raise UsageError(f"--out {options.out}: there already; choose another name, or --force to replace it")
    require_checkpoint(options.checkpoint)
    contract = build(draft_from_toml(options.contract), str(options.contract))
    from models.importers.checkpoint import import_policy  # noqa: PLC0415 (torch: takes seconds, may be missing)

    return import_policy(
        options.checkpoint,
        contract,
        options.out,
        vecnormalize=options.vecnormalize,
        raw_observations=options.raw_observations,
        activation=options.activation,
        unproven=options.unproven,
    )


def _tell(exported: Exported, screen: Screen) -> None:
    parity, contract = exported.parity, exported.contract
    proven = contract.provenance["proven_equal"]
    shown = {"onnx": str(exported.path), "digest": exported.digest, "proven": proven, "parity": asdict(parity)}
    screen.result({**shown, "provenance": dict(contract.provenance)})
    what = "the trainer's own library" if proven else "the network rebuilt here (UNPROVEN against the trainer)"
    screen.say(f"{exported.path}: {contract.observation_size} observations, {contract.action_size} actions")
    screen.say(f"compared with {what} on {parity.inputs} inputs: at most {parity.worst:.1e} (1 + |action|) apart")
    if parity.coarse:
        why = f"on {parity.coarse} of them, huge ones, single precision itself is coarser"
        screen.say(f"{why}: {parity.worst_coarse:.1e}")


if __name__ == "__main__":
    sys.exit(main())
