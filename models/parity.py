"""Whether an ONNX computes what its torch network computes: over random, tiny, huge and saturating inputs.

The yardstick is 1e-5 (1 + |y|) on every output. Far outside what a network was trained on, single precision itself is
coarser than that: unbounded activations carry large numbers that cancel. So a larger difference passes only where torch
in single precision is as far from torch in double precision too, on the same input and its nearest neighbours.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.errors import ParityError

TOLERANCE = 1e-5
"""Times (1 + |y|): the largest difference that counts as none."""

_ROUNDING_MARGIN = 30.0
"""Times the rounding error seen in torch itself: the largest of a few samples can still be a lucky one. Over 80 random
networks with 1273 such inputs the difference was at most 22 times that, and half of it in the median."""

_NEIGHBOURS = 8
"""Inputs that differ by rounding, over which the rounding error is looked for."""

_DECADES = range(-6, 7)
"""Powers of ten of the random inputs."""

_PER_DECADE = 24
"""Random inputs of each kind, for a network without memory."""

_STEPS, _SEQUENCES = 25, 2
"""For a network with memory: steps of a sequence, and sequences of each kind a decade."""

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]
Step = Callable[[Array], Array]
"""Observation [n] -> action [m]."""
Start = Callable[[], Step]
"""Begins an episode with an empty memory."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How well two computations agree."""

    inputs: int  # compared
    worst: float  # |difference| / (1 + |y|), over the inputs on which single precision is good enough
    coarse: int  # inputs on which single precision itself is not good to TOLERANCE
    worst_coarse: float  # |difference| / (1 + |y|) over these


def torch_start(module: nn.Module, size: int, dtype: torch.dtype = torch.float32) -> Start:
    """Episodes by torch; `module` takes `size` numbers."""
    memory = [tensor.to(dtype) for tensor in example_inputs(module, size)[1:]]

    def start() -> Step:
        state = memory

        def step(observation: Array) -> Array:
            nonlocal state
            with torch.inference_mode():
                outputs = module(torch.from_numpy(observation[np.newaxis]).to(dtype), *state)
            if not isinstance(outputs, Tensor):
                outputs, *rest = outputs
                state = [tensor for tensor in rest if tensor is not None]
            result: Array = outputs.numpy()[0]
            return result

        return step

    return start


def onnx_start(model: bytes) -> Start:
    """Episodes by onnxruntime, set up as a runtime has it: one thread, batch of one."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    memory = [np.zeros(node.shape, np.float32) for node in session.get_inputs()[1:]]

    def start() -> Step:
        state = memory

        def step(observation: Array) -> Array:
            nonlocal state
            outputs, *state = session.run(None, dict(zip(names, [observation[np.newaxis], *state], strict=True)))
            result: Array = outputs[0]
            return result

        return step

    return start


def example_inputs(module: nn.Module, size: int) -> tuple[Tensor, ...]:
    """Inputs of the right shapes: what the module says of itself, or one observation of this size."""
    own: Callable[[], tuple[Tensor, ...]] | None = getattr(module, "get_dummy_inputs", None)
    if own is not None:
        return own()
    return (torch.zeros(1, size),)


def compare(reference: Start, candidate: Start, module: nn.Module, size: int) -> Parity:
    """Compare an ONNX (`candidate`) with what it is to equal; `module` tells the rounding error.

    Raises:
        ParityError: they differ by more than rounding.
    """
    exact = torch_start(copy.deepcopy(module).double(), size, torch.float64)
    single = torch_start(module, size)
    steps = _STEPS if len(example_inputs(module, size)) > 1 else 1
    count, worst, coarse, worst_coarse = 0, 0.0, 0, 0.0
    for episode in _episodes(size, steps):
        with _one_thread():
            expected, got = _fly(reference, episode), _fly(candidate, episode)
            if (nothing := np.isnan(expected).any(axis=1)).any():
                raise _nothing(episode, int(np.argmax(nothing)))
            error = _error(got, expected)
            fine = error.max(axis=1) <= TOLERANCE
            if not fine.all():
                allowed = TOLERANCE + _ROUNDING_MARGIN * _rounding(single, exact, episode)
                beyond = (error.max(axis=1) > allowed) | np.isnan(got).any(axis=1)
                if beyond.any():
                    raise _difference(episode, expected, got, int(np.argmax(beyond)))
        count, coarse = count + len(episode), coarse + int((~fine).sum())
        worst = max(worst, float(error[fine].max(initial=0.0)))
        worst_coarse = max(worst_coarse, float(error[~fine].max(initial=0.0)))
    return Parity(count, worst, coarse, worst_coarse)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Threads cost small networks more than they save."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _episodes(size: int, steps: int) -> Iterator[Array]:
    """Inputs [steps, n]: always the same ones."""
    rng = np.random.default_rng(0)
    largest = float(np.finfo(np.float32).smallest_normal)
    for constant in (0.0, 1e-45, -1e-40, largest, 1.0, -1.0, 1e6, -1e6):  # the second and third are denormal
        yield np.full((steps, size), constant, np.float32)
    for entry in range(size):
        alone = np.zeros((steps, size), np.float32)
        alone[:, entry] = 1e6
        yield alone
        yield -alone
    for decade in _DECADES:
        for _ in range(_PER_DECADE if steps == 1 else _SEQUENCES):
            yield (rng.standard_normal((steps, size)) * 10.0**decade).astype(np.float32)
            mixed = 10.0 ** rng.uniform(_DECADES[0], decade + 1e-3, (steps, size))
            yield (rng.choice([-1.0, 1.0], (steps, size)) * mixed).astype(np.float32)


def _fly(start: Start, episode: Array) -> Doubles:
    step = start()
    return np.stack([step(observation) for observation in episode]).astype(np.float64)


def _error(got: Doubles, expected: Doubles) -> Doubles:
    """|difference| / (1 + |y|); equal infinities differ by nothing, NaN from everything, NaN too: it proves nothing."""
    with np.errstate(invalid="ignore"):
        error = np.abs(got - expected) / (1.0 + np.abs(expected))
    return np.where(got == expected, 0.0, np.where(np.isnan(error), np.inf, error))


def _rounding(single: Start, exact: Start, episode: Array) -> Doubles:
    """The rounding error of torch's single precision up to each step: the largest among neighbours a bit away."""
    rng = np.random.default_rng(1)
    largest = np.zeros(len(episode))
    for _ in range(_NEIGHBOURS):
        nudged = np.nextafter(episode, rng.choice(np.array([-np.inf, np.inf], np.float32), episode.shape))
        largest = np.maximum(largest, _error(_fly(single, nudged), _fly(exact, nudged)).max(axis=1))
    return np.asarray(np.maximum.accumulate(largest))


def _nothing(episode: Array, at: int) -> ParityError:
    text = f"for the input {_shown(episode[at])} the network itself says NaN, which nothing can equal; train it again"
    return ParityError(f"{text} (step {at + 1} of {len(episode)})", episode[: at + 1])


def _difference(episode: Array, expected: Doubles, got: Doubles, at: int) -> ParityError:
    gives = f"the ONNX gives {got[at].tolist()} and it should be {expected[at].tolist()}"
    text = f"for the input {_shown(episode[at])} {gives}"
    return ParityError(f"{text} (step {at + 1} of {len(episode)})", episode[: at + 1])


def _shown(observation: Array) -> str:
    return np.array2string(observation, precision=9, threshold=16)
