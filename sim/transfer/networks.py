"""Actor and critic as the strategies see them: layers from input to output, normaliser, noise, and maps around both.

Maps are put around what is there, several times if need be: observation -> map -> normaliser -> layers -> map.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rsl_rl.models import MLPModel
from torch import Tensor, nn

from sim.transfer.maps import SkipMap

State = dict[str, Tensor]


class NetworksFileError(ValueError):
    """A file of networks that cannot be used.

    Example scenarios:
        - The run that it should come from was made with other layers, or is not finished.
        - It is no file of this package.
    """


@dataclass(frozen=True, slots=True)
class Saved:
    """Weights of both networks, and how many maps are around them."""

    actor: State
    critic: State
    maps: int


class Networks:
    """An actor and a critic of one learner; what is done here is done to the learner's own."""

    def __init__(self, actor: MLPModel, critic: MLPModel) -> None:
        """Fresh networks without maps."""
        self.actor, self.critic = actor, critic
        self.maps = 0

    @property
    def models(self) -> tuple[MLPModel, MLPModel]:
        """Actor and critic."""
        return self.actor, self.critic

    @property
    def log_std(self) -> nn.Parameter:
        """Logarithm of the noise of the actions."""
        parameter: nn.Parameter = self.actor.distribution.log_std_param
        return parameter

    def layers(self, model: MLPModel) -> list[nn.Linear]:
        """The linear layers of a network without its maps, first to last."""
        inner = model.mlp
        for _ in range(self.maps if model is self.actor else 0):
            inner = inner[0]
        return [layer for layer in inner if isinstance(layer, nn.Linear)]

    def newest_maps(self) -> list[SkipMap]:
        """The outermost maps: before the actor, after it, before the critic."""
        return [self.actor.obs_normalizer[0], self.actor.mlp[1], self.critic.obs_normalizer[0]] if self.maps else []

    def add_maps(self) -> None:
        """Put new maps around: before and after the actor, before the critic."""
        outputs = self.layers(self.actor)[-1].out_features
        self.actor.obs_normalizer = nn.Sequential(SkipMap(self.actor.obs_dim), self.actor.obs_normalizer)
        self.actor.mlp = nn.Sequential(self.actor.mlp, SkipMap(outputs))
        self.critic.obs_normalizer = nn.Sequential(SkipMap(self.critic.obs_dim), self.critic.obs_normalizer)
        self.maps += 1

    @contextmanager
    def newest_maps_off(self) -> Iterator[None]:
        """The actor as it is without its outermost maps."""
        normaliser, layers = self.actor.obs_normalizer, self.actor.mlp
        self.actor.obs_normalizer, self.actor.mlp = normaliser[1], layers[0]
        yield
        self.actor.obs_normalizer, self.actor.mlp = normaliser, layers

    def learn(self, module: nn.Module, *, on: bool) -> None:
        """Let these parameters learn, or not."""
        for parameter in module.parameters():
            parameter.requires_grad_(on)

    def normalise(self, model: MLPModel, *, on: bool) -> None:
        """Let the normaliser go on to learn from what it sees, or not."""
        model.obs_normalization = on

    def freeze(self) -> None:
        """Nothing learns any more."""
        for model in self.models:
            self.learn(model, on=False)
            self.normalise(model, on=False)

    def load(self, saved: Saved) -> None:
        """Take these weights and as many maps.

        Raises:
            NetworksFileError: other layers.
        """
        while self.maps < saved.maps:
            self.add_maps()
        try:
            self.actor.load_state_dict(saved.actor)
            self.critic.load_state_dict(saved.critic)
        except RuntimeError as error:
            raise NetworksFileError(f"these weights are of other networks: {error}") from error

    def save(self, path: Path) -> None:
        """Write all weights; the file is complete or not there."""
        save_networks(Saved(self.actor.state_dict(), self.critic.state_dict(), self.maps), path)


def save_networks(saved: Saved, path: Path) -> None:
    """Write these weights; the file is complete or not there."""
    arrays: dict[str, Any] = {
        f"{name}/{key}": value.detach().numpy()
        for name, state in (("actor", saved.actor), ("critic", saved.critic))
        for key, value in state.items()
    }
    unfinished = path.with_name(f"{path.stem}.part.npz")
    np.savez(unfinished, maps=np.array(saved.maps), **arrays)
    unfinished.replace(path)


def load_networks(path: Path) -> Saved:
    """Read what `save_networks` wrote.

    Raises:
        NetworksFileError: no such file, or another one.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            states: dict[str, State] = {"actor": {}, "critic": {}}
            for key in data.files:
                network, _, name = key.partition("/")
                if name:
                    states[network][name] = torch.from_numpy(data[key].copy())
            return Saved(states["actor"], states["critic"], int(data["maps"]))
    except FileNotFoundError as error:
        raise NetworksFileError(f"{path}: no such file; has the run that makes it finished?") from error
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise NetworksFileError(f"{path}: not a file of networks: {error}") from error
