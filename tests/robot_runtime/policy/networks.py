"""Tiny networks in the layout of each exporter, and contracts for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from robot_runtime.policy import Action, Contract, Term, contract_to_json

JOINTS = ("joint1", "joint2", "joint3", "joint4")
FLOAT = TensorProto.FLOAT


def save(
    path: Path,
    nodes: Sequence[Any],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Mapping[str, Sequence[int | str]],
    constants: Mapping[str, Any] | None = None,
    metadata: Mapping[str, str] | None = None,
    *,
    kind: int = FLOAT,
    external: bool = False,
) -> Path:
    graph = helper.make_graph(
        list(nodes),
        "policy",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, dict(metadata or {}))
    location = f"{path.name}.data" if external else None
    onnx.save(model, str(path), save_as_external_data=external, location=location, size_threshold=0)
    return path


def linear(
    path: Path,
    weights: Any,
    *,
    bias: Any = None,
    names: tuple[str, str] = ("obs", "actions"),
    batch: tuple[int | str, ...] = (1,),
    metadata: Mapping[str, str] | None = None,
    dtype: Any = np.float32,
    external: bool = False,
) -> Path:
    """actions = obs @ weights + bias; `batch` () is unbatched, ("n",) dynamic."""
    w = np.asarray(weights, dtype)
    b = np.zeros(w.shape[1], dtype) if bias is None else np.asarray(bias, dtype)
    nodes = [
        helper.make_node("MatMul", [names[0], "w"], ["y"]),
        helper.make_node("Add", ["y", "b"], [names[1]]),
    ]
    shapes = {names[0]: (*batch, w.shape[0])}, {names[1]: (*batch, w.shape[1])}
    kind = TensorProto.DOUBLE if dtype == np.float64 else FLOAT
    return save(path, nodes, *shapes, {"w": w, "b": b}, metadata, kind=kind, external=external)


def mlp(path: Path, size: int, actions: int, width: int = 64, metadata: Mapping[str, str] | None = None) -> Path:
    """Two hidden layers of ELU, random weights, as rsl_rl exports them."""
    rng = np.random.default_rng(1)
    nodes, constants, last, before = [], {}, "obs", size
    for i, after in enumerate((width, width, actions)):
        constants[f"w{i}"] = (rng.normal(size=(after, before)) / np.sqrt(before)).astype(np.float32)
        constants[f"b{i}"] = np.zeros(after, np.float32)
        out = "actions" if i == 2 else f"y{i}"
        nodes.append(helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], [out], transB=1))
        if i < 2:
            nodes.append(helper.make_node("Elu", [out], [f"z{i}"]))
        last, before = f"z{i}", after
    return save(path, nodes, {"obs": (1, size)}, {"actions": (1, actions)}, constants, metadata)


def contract(**changes: Any) -> Contract:
    """Positions and velocities in, torques out, at 50 Hz."""
    base = Contract(
        observation=(Term("joint_position", 4, JOINTS), Term("joint_velocity", 4, JOINTS)),
        action=Action("torque", JOINTS),
        rate=50.0,
    )
    return replace(base, **changes)


def carrying(contract: Contract, **more: str) -> dict[str, str]:
    """Metadata with the contract in it."""
    return {"contract": contract_to_json(contract), **more}
