"""rsl_rl: a `model_*.pt` -> a module that equals the actor's deterministic output.

A checkpoint holds weights and no settings: the activation function has to be named. What follows from the weights is
read from them: sizes, whether observations are normalised, LSTM or GRU. Checkpoints are read as tensors only.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from models.errors import DAMAGED, EXPORT, CheckpointError, NotProvenError, UnsupportedError
from models.networks import Normaliser, RecurrentActor, perceptron
from models.parity import Array, Start, Step

ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    "elu": nn.ELU, "selu": nn.SELU, "relu": nn.ReLU, "crelu": nn.CELU, "lrelu": nn.LeakyReLU, "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid, "softplus": nn.Softplus, "gelu": nn.GELU, "swish": nn.SiLU, "mish": nn.Mish,
    "identity": nn.Identity,
}  # fmt: skip
"""As rsl_rl names them."""

_EPSILON = 1e-2
"""What rsl_rl's observation normaliser adds to the standard deviation; it is no setting, and not in the checkpoint."""

_KNOWN = re.compile(
    r"mlp\.\d+\.(weight|bias)|obs_normalizer\.(_mean|_var|_std|count)|distribution\.(log_)?std_param|rnn\.rnn\..*"
)
"""Names of an actor's weights."""

_GATES = {4: nn.LSTM, 3: nn.GRU}
"""Rows of a recurrent layer's weight, in units of its memory."""


@dataclass(frozen=True, slots=True)
class RslRlPolicy:
    """An actor read from a checkpoint."""

    module: nn.Module  # raw observation -> action
    weights: Mapping[str, Tensor]  # the actor's
    activation: str
    size: int  # of the observation
    actions: int
    hidden: list[int]  # neurons of the hidden layers
    provenance: Mapping[str, Any]

    def reference(self) -> Start:
        """What rsl_rl itself computes: its own model with these weights.

        Raises:
            NotProvenError: rsl_rl is not installed.
            CheckpointError: rsl_rl's model does not take these weights.
        """
        try:
            from rsl_rl.models import MLPModel, RNNModel  # noqa: PLC0415 (may not be installed)
            from tensordict import TensorDict  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise NotProvenError(
                f"{error.name} is not installed, so nothing shows that the ONNX computes what rsl_rl does; "
                "install rsl-rl-lib, or accept an unproven policy with --unproven"
            ) from error
        settings: dict[str, Any] = {
            "hidden_dims": self.hidden,
            "activation": self.activation,
            "obs_normalization": "obs_normalizer._mean" in self.weights,
        }
        spread = {"distribution.std_param": "scalar", "distribution.log_std_param": "log"}
        for key in spread.keys() & self.weights.keys():
            gaussian = "rsl_rl.modules.distribution.GaussianDistribution"
            settings["distribution_cfg"] = {"class_name": gaussian, "std_type": spread[key]}
        rnn = self.module.rnn if isinstance(self.module, RecurrentActor) else None
        if rnn is not None:
            memory = {"rnn_hidden_dim": rnn.hidden_size, "rnn_num_layers": rnn.num_layers}
            settings |= {"rnn_type": type(rnn).__name__.lower(), **memory}
        kind: Any = MLPModel if rnn is None else RNNModel
        example = TensorDict({"policy": torch.zeros(1, self.size)}, batch_size=[1])
        try:
            model = kind(example, {"actor": ["policy"]}, "actor", self.actions, **settings)
            model.load_state_dict(self.weights)
        except (RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(f"rsl_rl's own model does not take these weights: {error}") from error
        model.eval()

        def start() -> Step:
            model.reset()

            def step(observation: Array) -> Array:
                with torch.inference_mode():
                    seen = TensorDict({"policy": torch.from_numpy(observation[None])}, batch_size=[1])
                    action: Array = model(seen).numpy()[0]
                return action

            return step

        return start


def read_rsl_rl(path: Path, activation: str | None, actions: int) -> RslRlPolicy:
    """Read the actor of a checkpoint; `actions`: how many numbers it is to give.

    Raises:
        CheckpointError: the file is something else, or damaged.
        UnsupportedError: an actor that cannot be rebuilt exactly.
    """
    weights, iteration = _read(path)
    if activation is None:
        raise UnsupportedError(
            f"{path}: an rsl_rl checkpoint does not say its activation function; name it with --activation, "
            f"one of {', '.join(ACTIVATIONS)} ('actor.activation' in the training's settings)"
        )
    if activation not in ACTIVATIONS:
        raise UnsupportedError(f"'{activation}' is no activation of rsl_rl; known are {', '.join(ACTIVATIONS)}")
    unknown = [key for key in weights if not _KNOWN.fullmatch(key)]
    if unknown:
        raise UnsupportedError(f"{path}: the actor has parts that are not known here: {', '.join(unknown)}")
    numbers = sorted(int(match[1]) for key in weights if (match := re.fullmatch(r"mlp\.(\d+)\.weight", key)))
    try:
        layers = [(weights[f"mlp.{number}.weight"], weights[f"mlp.{number}.bias"]) for number in numbers]
    except KeyError as error:
        raise CheckpointError(f"{path}: the actor lacks {error.args[0]}") from error
    if not layers:
        raise UnsupportedError(f"{path}: the actor has no MLP")
    given = layers[-1][0].shape[0]
    if given != actions:
        hint = "; a spread or a Beta distribution beside the mean? Export it with rsl_rl's export_policy_to_onnx"
        raise UnsupportedError(
            f"{path}: the actor's last layer gives {given} numbers and the contract describes {actions} actions"
            f"{hint if given == 2 * actions else ''}"
        )
    head = perceptron(layers, ACTIVATIONS[activation])
    rnn = _rnn(weights, path)
    size = int(layers[0][0].shape[1]) if rnn is None else rnn.input_size
    normaliser: nn.Module = nn.Identity()
    if "obs_normalizer._mean" in weights:
        normaliser = Normaliser(weights["obs_normalizer._mean"], weights["obs_normalizer._std"] + _EPSILON)
    module = nn.Sequential(normaliser, head) if rnn is None else RecurrentActor(normaliser, rnn, head)
    provenance: dict[str, Any] = {
        "imported_from": "rsl_rl",
        "checkpoint": hashlib.sha256(path.read_bytes()).hexdigest(),
        "activation": activation,
    }
    if isinstance(iteration, int):
        provenance["iteration"] = iteration
    hidden = [weight.shape[0] for weight, _ in layers[:-1]]
    return RslRlPolicy(module, weights, activation, size, actions, hidden, provenance)


def _read(path: Path) -> tuple[dict[str, Tensor], Any]:
    """The actor's weights, and the iteration."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        # torch's own text advises to load it all the same, which would run whatever it holds
        raise CheckpointError(
            f"{path}: holds more than tensors and plain numbers, and what it holds is not run here; {EXPORT}"
        ) from error
    except DAMAGED as error:
        raise CheckpointError(f"{path}: not a checkpoint of rsl_rl, or damaged; {EXPORT}") from error
    if not isinstance(saved, dict):
        raise CheckpointError(f"{path}: not what rsl_rl's runner saves, but {type(saved).__name__}")
    if {"run", "learner"} <= saved.keys():
        raise CheckpointError(f"{path}: a checkpoint of robot-train, which writes the policy.onnx beside it itself")
    if "model_state_dict" in saved:
        raise UnsupportedError(f"{path}: saved by an rsl_rl before 4.0; export it to ONNX there, robot-run flies that")
    actor = saved.get("actor_state_dict")
    if not isinstance(actor, dict) or not all(isinstance(value, Tensor) for value in actor.values()):
        raise CheckpointError(f"{path}: has no 'actor_state_dict' as rsl_rl's runner saves it")
    return dict(actor), saved.get("iter")


def _rnn(weights: Mapping[str, Tensor], path: Path) -> nn.LSTM | nn.GRU | None:
    """The recurrent layers, if there are any."""
    own = {key.removeprefix("rnn.rnn."): value for key, value in weights.items() if key.startswith("rnn.rnn.")}
    if not own:
        return None
    try:
        rows, memory = own["weight_hh_l0"].shape
        kind = _GATES[rows // memory]
        layers = sum(key.startswith("weight_hh_l") for key in own)
        rnn: nn.LSTM | nn.GRU = kind(own["weight_ih_l0"].shape[1], memory, layers)
        rnn.load_state_dict(own)
    except (KeyError, ValueError, RuntimeError, ZeroDivisionError) as error:
        raise UnsupportedError(f"{path}: its recurrent layers are no plain LSTM or GRU: {error}") from error
    return rnn
