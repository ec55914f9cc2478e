"""A policy's ONNX as a torch module that gradients pass through and that nothing can train: its weights are constants.

Node by node, for many observations at once although the file is made for one. A policy with a memory, or with an
operator that is not in the table below, is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

Value = Any
"""Of a node: a tensor, a tuple of tensors, or what an attribute holds."""


class UntrainablePolicyError(ValueError):
    """A network that gradients cannot be taken through here.

    Example scenarios:
        - It has a memory (LSTM, GRU) or more than one input.
        - It uses an operator that is not known here.
    """


class OnnxModule(nn.Module):
    """Observations (n x size) in, what the network says (n x size) out. It has no parameters."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            UntrainablePolicyError: it cannot be run here.
        """
        super().__init__()
        graph = onnx.load(str(path)).graph
        weights = {tensor.name: tensor for tensor in graph.initializer}
        inputs = [value.name for value in graph.input if value.name not in weights]
        if len(inputs) != 1:
            raise UntrainablePolicyError(
                f"{path}: it has {len(inputs)} inputs ({', '.join(inputs)}); only policies without a memory"
            )
        if unknown := sorted({node.op_type for node in graph.node} - set(OPERATORS) - {"Constant"}):
            raise UntrainablePolicyError(f"{path}: no gradients of its operators {', '.join(unknown)} are known here")
        self._input, self._output = inputs[0], graph.output[0].name
        self._rank = len(next(v for v in graph.input if v.name == inputs[0]).type.tensor_type.shape.dim)
        self._steps: list[tuple[Callable[..., Value], list[str], list[str], dict[str, Any]]] = []
        self._constants: list[str] = []
        for name, tensor in weights.items():
            self._keep(name, numpy_helper.to_array(tensor))
        for node in graph.node:
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            if node.op_type == "Constant":
                self._keep(node.output[0], numpy_helper.to_array(attributes["value"]))
            else:
                self._steps.append((OPERATORS[node.op_type], list(node.input), list(node.output), attributes))

    def forward(self, x: Tensor) -> Tensor:
        """Every row on its own."""
        return torch.func.vmap(self._one)(x)

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """The file's constants by name."""
        return {name: getattr(self, f"constant_{i}") for i, name in enumerate(self._constants)}

    def _keep(self, name: str, value: Any) -> None:
        self.register_buffer(f"constant_{len(self._constants)}", torch.from_numpy(np.array(value)))
        self._constants.append(name)

    def _one(self, x: Tensor) -> Tensor:
        values: dict[str, Value] = {"": None, **self.weights, self._input: x.reshape((1, *x.shape)[-self._rank :])}
        for operator, inputs, outputs, attributes in self._steps:
            found = operator(*(values[name] for name in inputs), **attributes)
            found = found if isinstance(found, tuple) else (found,)
            values.update(zip(outputs, found, strict=True))
        said: Tensor = values[self._output]
        return said.reshape(-1)


def same_weights(module: OnnxModule, path: Path) -> bool:
    """Whether every constant is, to the last bit, what the file has."""
    own = module.weights
    return all(
        own[tensor.name].numpy().tobytes() == numpy_helper.to_array(tensor).tobytes()
        for tensor in onnx.load(str(path)).graph.initializer
    )


# --- operators ---


def _ints(value: Tensor | None) -> list[int]:
    return [] if value is None else [int(n) for n in value.reshape(-1)]


def _gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,  # noqa: N803 (ONNX's names)
    transB: int = 0,  # noqa: N803
) -> Tensor:
    product = alpha * ((a.T if transA else a) @ (b.T if transB else b))
    return product if c is None else product + beta * c


def _slice(x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None) -> Tensor:
    at = _ints(axes) if axes is not None else list(range(starts.numel()))
    strides = _ints(steps) if steps is not None else [1] * len(at)
    for axis, start, end, step in zip(at, _ints(starts), _ints(ends), strides, strict=True):
        x = x.index_select(axis, torch.tensor(range(x.shape[axis])[start:end:step]))
    return x


def _gather(x: Tensor, index: Tensor, *, axis: int = 0) -> Tensor:
    axis %= x.dim()
    flat = index.reshape(-1) % x.shape[axis]
    return x.index_select(axis, flat).reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


def _split(x: Tensor, sizes: Tensor | None = None, *, axis: int = 0, num_outputs: int = 0) -> tuple[Tensor, ...]:
    each = _ints(sizes) if sizes is not None else -(-x.shape[axis] // num_outputs)
    return tuple(torch.split(x, each, dim=axis))


def _clip(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    return x if low is None and high is None else x.clamp(low, high)


def _unsqueeze(x: Tensor, axes: Tensor) -> Tensor:
    for axis in sorted(a % (x.dim() + axes.numel()) for a in _ints(axes)):
        x = x.unsqueeze(axis)
    return x


def _squeeze(x: Tensor, axes: Tensor | None = None) -> Tensor:
    return x.squeeze() if axes is None else x.squeeze(tuple(_ints(axes)))


def _reshape(x: Tensor, shape: Tensor, *, allowzero: int = 0) -> Tensor:
    return x.reshape([x.shape[i] if n == 0 and not allowzero else n for i, n in enumerate(_ints(shape))])


def _reduced(by: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def reduce(
        x: Tensor, axes: Tensor | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0, **old: Sequence[int]
    ) -> Tensor:
        over = list(old.get("axes", ())) or _ints(axes)
        if not over and noop_with_empty_axes:
            return x
        return by(x, dim=tuple(over or range(x.dim())), keepdim=bool(keepdims))

    return reduce


_KINDS = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.BOOL: torch.bool,
}


def _all_of(by: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def of(first: Tensor, *more: Tensor) -> Tensor:
        for other in more:
            first = by(first, other)
        return first

    return of


OPERATORS: Mapping[str, Callable[..., Value]] = {
    "Abs": torch.abs,
    "Add": torch.add,
    "And": torch.logical_and,
    "Atan": torch.atan,
    "Cast": lambda x, to, **_: x.to(_KINDS[to]),
    "Clip": _clip,
    "Concat": lambda *parts, axis: torch.cat(parts, dim=axis),
    "Cos": torch.cos,
    "Div": torch.div,
    "Elu": lambda x, alpha=1.0: torch.nn.functional.elu(x, alpha),
    "Equal": torch.eq,
    "Exp": torch.exp,
    "Flatten": lambda x, axis=1: x.reshape(int(np.prod(x.shape[:axis])), -1),
    "Gather": _gather,
    "Gemm": _gemm,
    "Greater": torch.gt,
    "Identity": lambda x: x,
    "LeakyRelu": lambda x, alpha=0.01: torch.nn.functional.leaky_relu(x, alpha),
    "Less": torch.lt,
    "MatMul": torch.matmul,
    "Max": _all_of(torch.maximum),
    "Min": _all_of(torch.minimum),
    "Mul": torch.mul,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Or": torch.logical_or,
    "Pow": torch.pow,
    "Reciprocal": torch.reciprocal,
    "ReduceMax": _reduced(torch.amax),
    "ReduceMean": _reduced(torch.mean),
    "ReduceSum": _reduced(torch.sum),
    "Relu": torch.relu,
    "Reshape": _reshape,
    "Selu": lambda x, **_: torch.selu(x),
    "Sigmoid": torch.sigmoid,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Slice": _slice,
    "Softplus": torch.nn.functional.softplus,
    "Split": _split,
    "Sqrt": torch.sqrt,
    "Squeeze": _squeeze,
    "Sub": torch.sub,
    "Tanh": torch.tanh,
    "Transpose": lambda x, perm=None: x.permute(*(perm or range(x.dim())[::-1])),
    "Unsqueeze": _unsqueeze,
    "Where": torch.where,
}
"""By ONNX's name. Integers that say where (axes, shapes, indices) are constants in what trainers export."""
