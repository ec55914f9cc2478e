"""Freezing a policy: one torch module and its contract become one ONNX file, proven equal to the module.

The file is what `robot-run` takes as it is: inputs and outputs are named as rsl_rl names them, the contract and where
the policy came from are in its metadata. The same weights give the same bytes.
"""

from __future__ import annotations

import hashlib
import logging
import platform
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from models.errors import ExportError, ExportParityError, ParityError
from models.parity import Parity, Start, compare, example_inputs, onnx_start, torch_start
from robot_runtime.policy.contract import Contract
from robot_runtime.policy.contract_json import METADATA_KEY, contract_to_json
from robot_runtime.spec import ArmSpec

OPSET = 18
"""Of the ONNX files that are written; what rsl_rl writes too, and long within reach of every onnxruntime >= 1.20."""

_PACKAGES = ("robot-runtime", "torch", "onnx", "onnxscript", "onnxruntime", "numpy")
_LARGEST = 2**31 - 1  # bytes, of one protobuf message


@dataclass(frozen=True, slots=True)
class Exported:
    """A frozen policy."""

    path: Path
    digest: str  # SHA-256 of the file
    weights: str  # SHA-256 of the weights, see weights_digest
    contract: Contract  # as it stands in the file
    parity: Parity


def export_policy(
    module: nn.Module,
    contract: Contract,
    path: str | Path,
    *,
    provenance: Mapping[str, Any],
    arm: ArmSpec | None = None,
    reference: Start | None = None,
) -> Exported:
    """Write `module` (raw observation [1, n] -> actions [1, m], normaliser inside) as an ONNX with its contract.

    A module with memory says so as rsl_rl's exported modules do (`get_dummy_inputs`, `input_names`, `output_names`);
    what `as_onnx()` of an rsl_rl actor gives is taken as it is. `provenance` (task, seed, success ...) is added to the
    contract's, with the versions of what made the file; `arm` adds the arm's name and digests. `reference` is what the
    ONNX has to equal when that is more than the module itself.

    Raises:
        ExportError: sizes of network and contract differ, or the network is too large.
        ExportParityError: the ONNX does not compute what the module computes; nothing is written.
    """
    path = Path(path)
    module = module.eval()
    _check_sizes(module, contract)
    model = _to_onnx(module, contract.observation_size)
    weights = weights_digest(model)
    facts: dict[str, Any] = {**contract.provenance, **provenance, "versions": _versions(), "weights": weights}
    if arm is not None:
        contract = replace(contract, arm=arm.name, mjcf_digest=arm.mjcf_digest)
        facts["arm_digest"] = arm.digest
    contract = replace(contract, provenance=facts)
    onnx.helper.set_model_props(model, {METADATA_KEY: contract_to_json(contract)})
    if model.ByteSize() > _LARGEST:
        raise ExportError(f"the network takes {model.ByteSize()} bytes; one ONNX file holds {_LARGEST}")
    content = model.SerializeToString(deterministic=True)
    size = contract.observation_size
    try:
        parity = compare(reference or torch_start(module, size), onnx_start(content), module, size)
    except ParityError as error:
        raise ExportParityError(f"{path.name} was not written: {error}", error.worst_input) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.write_bytes(content)
    unfinished.replace(path)
    return Exported(path, hashlib.sha256(content).hexdigest(), weights, contract, parity)


def weights_digest(model: onnx.ModelProto | Path, prefix: str = "") -> str:
    """SHA-256 of the weights of an ONNX, bit by bit: names, types, shapes and values of its initializers.

    With `prefix` only those whose names begin with it, and without it: a policy composed into a larger network under
    a prefix keeps its digest as long as its weights are the same.
    """
    if isinstance(model, Path):
        model = onnx.load(model)
    digest = hashlib.sha256()
    for tensor in sorted(model.graph.initializer, key=lambda tensor: tensor.name):
        if tensor.name.startswith(prefix):
            values = onnx.numpy_helper.to_array(tensor)
            head = f"{tensor.name.removeprefix(prefix)} {values.dtype.str} {values.shape}\n"
            digest.update(head.encode() + values.tobytes())
    return digest.hexdigest()


def _check_sizes(module: nn.Module, contract: Contract) -> None:
    """Network and contract speak of the same numbers."""
    takes, gives = contract.observation_size, contract.action_size
    inputs = example_inputs(module, takes)
    if inputs[0].shape != (1, takes):
        raise ExportError(f"the network takes observations {tuple(inputs[0].shape)}; the contract describes {takes}")
    try:
        with torch.inference_mode():
            outputs = module(*inputs)
    except RuntimeError as error:
        raise ExportError(
            f"the network does not take the {takes} numbers that the contract describes: {error}"
        ) from error
    actions = outputs if isinstance(outputs, torch.Tensor) else outputs[0]
    if actions.shape != (1, gives):
        raise ExportError(f"the network gives actions {tuple(actions.shape)}; the contract describes {gives}")


def _to_onnx(module: nn.Module, size: int) -> onnx.ModelProto:
    """The graph, without the traces of the computer that it was made on."""
    names = (getattr(module, "input_names", ["obs"]), getattr(module, "output_names", ["actions"]))
    with _quiet():
        program = torch.onnx.export(
            module,
            example_inputs(module, size),
            dynamo=True,
            opset_version=OPSET,
            input_names=names[0],
            output_names=names[1],
            verbose=False,
        )
    assert program is not None  # it is, without a file to write to
    model = program.model_proto
    graph = model.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.checker.check_model(model)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter from speaking of packages that are not needed here."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in _PACKAGES}}
