"""Network: an ONNX policy as its exporter wrote it, run on preallocated arrays by one thread.

Which input is what is told by name, rank and size: `h_in` and `c_in` are states that come back as `h_out` and `c_out`
and begin at zero, `time_step` counts the runs since the start, the one input that is left is the observation. The
action is the output named `actions`, `continuous_actions` or `action`, else the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from robot_runtime.policy.errors import ContractError, PolicyFileError
from robot_runtime.policy.onnx_data import digest_of, files_of

_STATES = {"h_in": "h_out", "c_in": "c_out"}
_CLOCK = "time_step"
_ACTIONS = ("actions", "continuous_actions", "action")

_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}

_WARM_UP = 20
"""Runs before the first real one: memory is planned, caches are filled."""

_TRIES = 10
"""Observations that a network is shown, of either sign and without one, before it counts as broken."""

ORT_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.ModelRequiresCompilation,
    ort_errors.NoModel,
    ort_errors.NoSuchFile,
    ort_errors.NotFound,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    RuntimeError,
)
"""What onnxruntime raises about a network, loading or running it; they have no common base."""

_SILENT = 4  # log nothing below "fatal": what is wrong is raised

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output as the file declares it; an axis that is not fixed is None."""

    name: str
    shape: tuple[int | None, ...]
    type: str

    @classmethod
    def of(cls, node: Any) -> Port:
        """From onnxruntime's description."""
        return cls(node.name, tuple(n if isinstance(n, int) and n > 0 else None for n in node.shape), node.type)

    def __str__(self) -> str:
        """Name and shape, for messages."""
        return f"{self.name}[{', '.join('?' if n is None else str(n) for n in self.shape)}]"


def session_options() -> ort.SessionOptions:
    """One thread that never spins, and silence: for whatever runs in the loop."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = _SILENT
    return options


def runner(session: ort.InferenceSession, binding: ort.IOBinding) -> Callable[[], None]:
    """`session.run_with_iobinding(binding)`, to be called for ever.

    What onnxruntime's Python does around that (questions about graphics cards, options made anew) costs as much as a
    small network; so its own inner call is made, where this version has it.
    """
    inner: Any = getattr(session, "_sess", None)
    bound = getattr(binding, "_iobinding", None)
    if bound is None or not hasattr(inner, "run_with_iobinding"):
        return partial(session.run_with_iobinding, binding)
    return partial(inner.run_with_iobinding, bound, ort.RunOptions())


class OnnxFile:
    """An ONNX file, opened: what it declares and what its exporter wrote into it. Nothing is run yet."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            PolicyFileError: there is no such file, it is no ONNX, or its weights are not beside it.
        """
        self.path = path
        self.files = files_of(path)
        self.digest = digest_of(self.files)
        try:
            self.session = ort.InferenceSession(str(path), session_options(), providers=["CPUExecutionProvider"])
        except ORT_ERRORS as error:
            reason = str(error).rsplit("failed:", 1)[-1].strip()  # onnxruntime puts its own codes in front
            raise PolicyFileError(f"{path}: not a network that can be run: {reason}") from error
        self.inputs = tuple(Port.of(node) for node in self.session.get_inputs())
        self.outputs = tuple(Port.of(node) for node in self.session.get_outputs())
        self.metadata: dict[str, str] = dict(self.session.get_modelmeta().custom_metadata_map)


class Network:
    """The network at work: fill `observation`, call `run`, read `action`. Both are views that stay the same."""

    def __init__(self, file: OnnxFile | Path, observation_size: int, action_size: int) -> None:
        """Bind the arrays, warm up, and reset.

        Raises:
            PolicyFileError: the file cannot be used, fails when it is run, or says nothing finite.
            ContractError: inputs or outputs are not of the sizes that the contract says.
        """
        self.file = file if isinstance(file, OnnxFile) else OnnxFile(file)
        self._session = self.file.session
        self._binding = self._session.io_binding()
        self._keep: list[Array] = []  # onnxruntime knows only their addresses
        inputs = {port.name: port for port in self.file.inputs}
        outputs = {port.name: port for port in self.file.outputs}
        self.states = tuple(name for name in _STATES if name in inputs)
        self._carried = [self._state(inputs[name], outputs) for name in self.states]
        self._clock = self._input(inputs[_CLOCK], 1) if _CLOCK in inputs else None
        self.input = self._the_observation([p for p in self.file.inputs if p.name not in (*self.states, _CLOCK)])
        self.output = self._the_action()
        self._in = self._input(self.input, observation_size).reshape(-1)
        self._out = self._output(self.output, action_size).reshape(-1)
        self.observation: NDArray[np.float32] = self._as_float32(self._in)
        self.action: NDArray[np.float32] = self._as_float32(self._out)
        self._run = runner(self._session, self._binding)
        self._warm_up()

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the file and of the data files that belong to it."""
        return self.file.digest

    def run(self) -> None:
        """From `observation` to `action`; states go on."""
        if self._in.dtype != np.float32:
            self._in[:] = self.observation
        self._run()
        for before, after in self._carried:
            before[:] = after
        if self._clock is not None:
            self._clock += 1
        if self._out.dtype != np.float32:
            self.action[:] = self._out

    def reset(self) -> None:
        """As at the start of an episode: states and time are zero."""
        for before, _ in self._carried:
            before.fill(0)
        if self._clock is not None:
            self._clock.fill(0)

    def _warm_up(self) -> None:
        self.observation.fill(0.0)
        try:
            for _ in range(_WARM_UP):
                self.run()
            broken = not np.isfinite(self.action).all() and not self._answers()
        except (*ORT_ERRORS, ValueError) as error:
            raise PolicyFileError(f"{self.file.path}: fails when it is run: {error}") from error
        if broken:
            raise PolicyFileError(
                f"{self.file.path}: says NaN or infinity whatever it is shown; its weights are no numbers, as those of "
                "a training that has diverged: export one from before"
            )
        self.observation.fill(0.0)
        self.action.fill(0.0)
        self.reset()

    def _answers(self) -> bool:
        """Whether it has finite actions for anything: one that divides by what it sees has none where all is 0."""
        tries = np.random.default_rng(0).standard_normal((_TRIES, self.observation.size))
        for shown in (*tries, *np.abs(tries)):
            self.reset()
            self.observation[:] = shown
            self.run()
            if np.isfinite(self.action).all():
                return True
        return False

    def _the_observation(self, rest: Sequence[Port]) -> Port:
        if len(rest) == 1:
            return rest[0]
        names = ", ".join(map(str, rest)) or "none"
        raise ContractError(
            f"{self.file.path}: expected one input for the observation besides {', '.join(_STATES)} and {_CLOCK}; "
            f"found {names}; export the network with one observation vector"
        )

    def _the_action(self) -> Port:
        named = {port.name: port for port in self.file.outputs}
        return next((named[name] for name in _ACTIONS if name in named), self.file.outputs[0])

    def _state(self, port: Port, outputs: dict[str, Port]) -> tuple[Array, Array]:
        after = _STATES[port.name]
        if after not in outputs:
            raise ContractError(f"{self.file.path}: input {port} has no output '{after}' to go on from")
        shape = tuple(1 if n is None and axis == len(port.shape) - 2 else n for axis, n in enumerate(port.shape))
        if None in shape:
            raise ContractError(f"{self.file.path}: the size of the state {port} is not fixed; export it with a size")
        sizes = tuple(n or 0 for n in shape)
        return self._bind(port, sizes, self._binding.bind_input), self._bind(
            outputs[after], sizes, self._binding.bind_output
        )

    def _input(self, port: Port, size: int) -> Array:
        return self._bind(port, self._shape(port, size, "takes"), self._binding.bind_input)

    def _output(self, port: Port, size: int) -> Array:
        return self._bind(port, self._shape(port, size, "gives"), self._binding.bind_output)

    def _shape(self, port: Port, size: int, does: str) -> tuple[int, ...]:
        """The shape with batch 1 and this many numbers."""
        if len(port.shape) not in (1, 2) or (len(port.shape) == 2 and port.shape[0] not in (None, 1)):
            raise ContractError(f"{self.file.path}: expected [n] or [1, n] for {port}: one observation at a time")
        if port.shape[-1] not in (None, size):
            raise ContractError(
                f"{self.file.path}: the network {does} {port.shape[-1]} numbers ({port}), the contract says {size}"
            )
        return (1, size)[-len(port.shape) :]

    def _bind(self, port: Port, shape: tuple[int, ...], bind: Any) -> Array:
        if port.type not in _TYPES:
            raise ContractError(f"{self.file.path}: {port} is {port.type}; expected one of {', '.join(_TYPES)}")
        array: Array = np.zeros(shape, _TYPES[port.type])
        self._keep.append(array)
        bind(port.name, "cpu", 0, array.dtype.type, shape, array.ctypes.data)
        return array

    @staticmethod
    def _as_float32(array: Array) -> NDArray[np.float32]:
        return array if array.dtype == np.float32 else np.zeros(array.shape, np.float32)
