"""The networks that checkpoints are rebuilt as, in torch: everything from the raw observation to the action.

All take an observation [1, n] and give an action [1, m]. A recurrent one names its inputs and outputs the way rsl_rl's
exported modules do, so that the exporter treats both alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

Layers = Sequence[tuple[Tensor, Tensor]]
"""Weight [out, in] and bias [out] of each linear layer, first to last."""


class Normaliser(nn.Module):
    """y = (x - mean) / divisor, then at most `clip` in size; computed in the precision of `mean`."""

    mean: Tensor
    divisor: Tensor

    def __init__(self, mean: Tensor, divisor: Tensor, clip: float | None = None) -> None:
        """Statistics of one number an entry of the observation."""
        super().__init__()
        self.register_buffer("mean", mean.reshape(1, -1).clone())
        self.register_buffer("divisor", divisor.reshape(1, -1).clone())
        self.clip = clip

    def forward(self, observation: Tensor) -> Tensor:
        """Observation as the network was trained on it."""
        y = (observation.to(self.mean.dtype) - self.mean) / self.divisor
        if self.clip is not None:
            y = y.clamp(-self.clip, self.clip)
        return y.to(observation.dtype)


class Bounded(nn.Module):
    """Cuts an action off at its bounds."""

    low: Tensor
    high: Tensor

    def __init__(self, low: Tensor, high: Tensor) -> None:
        """Bounds of each entry."""
        super().__init__()
        self.register_buffer("low", low.reshape(1, -1).clone())
        self.register_buffer("high", high.reshape(1, -1).clone())

    def forward(self, action: Tensor) -> Tensor:
        """The action inside its bounds."""
        return torch.minimum(torch.maximum(action, self.low), self.high)


class Squashed(Bounded):
    """Brings any number between the bounds: tanh, then [-1, 1] to [low, high]."""

    def forward(self, action: Tensor) -> Tensor:
        """The action inside its bounds."""
        return self.low + 0.5 * (torch.tanh(action) + 1.0) * (self.high - self.low)


class RecurrentActor(nn.Module):
    """Normaliser, one LSTM or GRU, head; the memory goes in and comes out beside the observation and the action."""

    is_recurrent = True

    def __init__(self, normaliser: nn.Module, rnn: nn.LSTM | nn.GRU, head: nn.Module) -> None:
        """The three parts, in order."""
        super().__init__()
        self.normaliser, self.rnn, self.head = normaliser, rnn, head

    def forward(self, obs: Tensor, h_in: Tensor, c_in: Tensor | None = None) -> tuple[Tensor, ...]:
        """One step: action, and the memory after it."""
        x = self.normaliser(obs).unsqueeze(0)
        if c_in is None:
            x, h = self.rnn(x, h_in)
            return self.head(x.squeeze(0)), h
        x, (h, c) = self.rnn(x, (h_in, c_in))
        return self.head(x.squeeze(0)), h, c

    def get_dummy_inputs(self) -> tuple[Tensor, ...]:
        """Inputs of the right shape; the memory is zero, as at the start of an episode."""
        memory = torch.zeros(self.rnn.num_layers, 1, self.rnn.hidden_size)
        return (torch.zeros(1, self.rnn.input_size), memory, memory.clone())[: len(self.input_names)]

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs in the ONNX."""
        return ["obs", "h_in", "c_in"] if isinstance(self.rnn, nn.LSTM) else ["obs", "h_in"]

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs in the ONNX."""
        return ["actions", "h_out", "c_out"] if isinstance(self.rnn, nn.LSTM) else ["actions", "h_out"]


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A linear layer of these weights."""
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer


def perceptron(layers: Layers, activation: type[nn.Module]) -> nn.Sequential:
    """Linear layers with the activation between them, none after the last."""
    parts: list[nn.Module] = [linear(*layers[0])]
    for _, (weight, bias) in pairwise(layers):
        parts += [activation(), linear(weight, bias)]
    return nn.Sequential(*parts)
