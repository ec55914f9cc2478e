"""A checkpoint of any trainer that is known here -> a frozen ONNX, compared with the trainer's own library."""

from __future__ import annotations

from pathlib import Path

from models.errors import DAMAGED, CheckpointError, ExportError, NotProvenError, PolicyImportError
from models.export import Exported, export_policy
from models.importers.file_kinds import is_sb3, require_checkpoint
from models.importers.rsl_rl import RslRlPolicy, read_rsl_rl
from models.importers.sb3 import Sb3Policy, read_sb3
from robot_runtime.policy.contract import Contract


def import_policy(
    checkpoint: Path,
    contract: Contract,
    out: Path,
    *,
    vecnormalize: Path | None = None,
    raw_observations: bool = False,
    activation: str | None = None,
    unproven: bool = False,
) -> Exported:
    """Write the ONNX; `provenance["proven_equal"]` says whether the trainer's own library was there to compare with.

    `vecnormalize` and `raw_observations` (there was none) are for Stable-Baselines3, `activation` for rsl_rl.

    Raises:
        CheckpointError: a file cannot be used, or one contradicts the other.
        OSError: the checkpoint cannot be read.
        UnsupportedError: a policy that cannot be rebuilt exactly.
        NotProvenError: the trainer's library is not installed, and `unproven` was not asked for.
        ExportError: contract and network do not fit, or the ONNX computes something else (ExportParityError).
    """
    require_checkpoint(checkpoint)
    try:
        policy = _read(checkpoint, contract, vecnormalize, activation, raw=raw_observations)
    except PolicyImportError:
        raise
    except DAMAGED as error:
        raise CheckpointError(f"{checkpoint}: damaged, or not as its trainer saves it: {error}") from error
    _require_finite(policy, checkpoint)
    _require_sizes(policy, contract, checkpoint)
    try:
        reference = policy.reference()
    except NotProvenError:
        if not unproven:
            raise
        reference = None
    provenance = {**policy.provenance, "proven_equal": reference is not None}
    return export_policy(policy.module, contract, out, provenance=provenance, reference=reference)


def _read(
    checkpoint: Path, contract: Contract, vecnormalize: Path | None, activation: str | None, *, raw: bool
) -> Sb3Policy | RslRlPolicy:
    if is_sb3(checkpoint):
        if activation is not None:
            raise CheckpointError(f"{checkpoint}: a model of Stable-Baselines3 says its own activation function")
        return read_sb3(checkpoint, vecnormalize, raw=raw)
    if vecnormalize is not None:
        raise CheckpointError(f"{checkpoint}: no model of Stable-Baselines3, so there was no VecNormalize around it")
    return read_rsl_rl(checkpoint, activation, contract.action_size)


def _require_finite(policy: Sb3Policy | RslRlPolicy, path: Path) -> None:
    """An ONNX that says NaN would equal its trainer's library, and be of no use."""
    for name, weight in policy.module.named_parameters():
        if not weight.isfinite().all():
            raise CheckpointError(f"{path}: weights that are no finite numbers ({name}): its training has diverged")


def _require_sizes(policy: Sb3Policy | RslRlPolicy, contract: Contract, path: Path) -> None:
    """Network and contract speak of as many numbers."""
    if policy.size != contract.observation_size:
        raise ExportError(
            f"{path}: the network wants {policy.size} numbers, the contract says {contract.observation_size} "
            f"({contract.observation_sum})"
        )
    if policy.actions != contract.action_size:
        raise ExportError(
            f"{path}: the network gives {policy.actions} actions, the contract names {contract.action_size} joints "
            f"({', '.join(contract.action.joints)})"
        )
