"""The command `robot-import`: a checkpoint of Stable-Baselines3 or rsl_rl becomes an ONNX that `robot-run` takes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from models.errors import ExportError, NotProvenError, ParityError, PolicyImportError, UnsupportedError
from models.importers.file_kinds import require_checkpoint
from robot_runtime.policy.contract_json import draft_from_toml
from robot_runtime.policy.draft import build
from robot_runtime.policy.errors import PolicyError

if TYPE_CHECKING:
    from models.export import Exported

FINE, DIFFERENT, USAGE, REFUSED, INTERRUPTED = 0, 1, 2, 5, 130

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


class _UsageError(ValueError):
    """The command line cannot be understood."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _UsageError(f"{message}\n{self.format_usage().strip()}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="robot-import",
        description="Freeze a policy that Stable-Baselines3 (PPO, A2C, SAC) or rsl_rl has trained: one ONNX with its "
        "contract, compared with what the trainer's own library computes.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
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
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        options = _parser().parse_args(arguments)
        exported = _import(options)
    except KeyboardInterrupt:
        return _complain(arguments, KeyboardInterrupt("interrupted"), INTERRUPTED)
    except (UnsupportedError, NotProvenError) as error:
        return _complain(arguments, error, REFUSED)
    except ParityError as error:
        return _complain(arguments, error, DIFFERENT)
    except (_UsageError, PolicyError, ExportError, PolicyImportError, OSError, ModuleNotFoundError) as error:
        return _complain(arguments, error, USAGE)
    _tell(options, exported)
    return FINE


def _import(options: argparse.Namespace) -> Exported:
    if options.out.suffix != ".onnx":
        raise _UsageError(f"--out {options.out}: give a name that ends in .onnx")
    if not options.out.parent.is_dir():
        raise _UsageError(f"--out {options.out}: there is no folder {options.out.parent}; make it first")
    if options.out.exists() and not options.force:
        raise _UsageError(f"--out {options.out}: there already; choose another name, or --force to replace it")
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


def _tell(options: argparse.Namespace, exported: Exported) -> None:
    parity, contract = exported.parity, exported.contract
    proven = contract.provenance["proven_equal"]
    if options.json:
        shown = {"onnx": str(exported.path), "digest": exported.digest, "proven": proven, "parity": asdict(parity)}
        print(json.dumps({**shown, "provenance": dict(contract.provenance)}, indent=2))
        return
    what = "the trainer's own library" if proven else "the network rebuilt here (UNPROVEN against the trainer)"
    print(f"{exported.path}: {contract.observation_size} observations, {contract.action_size} actions")
    print(f"compared with {what} on {parity.inputs} inputs: at most {parity.worst:.1e} (1 + |action|) apart")
    if parity.coarse:
        print(f"on {parity.coarse} of them, huge ones, single precision itself is coarser: {parity.worst_coarse:.1e}")


def _complain(arguments: Sequence[str], error: BaseException, code: int) -> int:
    if "--debug" in arguments:
        raise error
    text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)
    if isinstance(error, ModuleNotFoundError):
        text = f"{error.name} is not installed; this command needs more than a robot: pip install robot-runtime[lab]"
    if "--json" in arguments:
        print(json.dumps({"error": {"type": type(error).__name__, "message": text, "exit_code": code}}, indent=2))
    else:
        print(f"robot-import: {text}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
