"""Stable-Baselines3: a PPO, A2C or SAC `.zip`, with its VecNormalize `.pkl` -> a module that equals `predict()`.

The module does what `predict(deterministic=True)` does around the network too: VecNormalize's statistics on the way
in; on the way out the clipping (PPO, A2C), or tanh and rescaling (SAC), to the bounds of the action space. Its actions
are therefore what the environment's `step()` got in training.

Nothing in the files is run: weights are read as tensors, and of the pickles in them only names and numbers are kept.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.errors import DAMAGED, EXPORT, CheckpointError, NotProvenError, UnsupportedError
from models.importers.pickles import Inert, read_pickle
from models.networks import Bounded, Layers, Normaliser, Squashed, perceptron
from models.parity import Array, Start

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    f"torch.nn.modules.activation.{kind.__name__}": kind
    for kind in (nn.ELU, nn.GELU, nn.LeakyReLU, nn.Mish, nn.ReLU, nn.SELU, nn.Sigmoid, nn.SiLU, nn.Softplus, nn.Tanh)
}
_ACTOR_CRITIC = "stable_baselines3.common.policies.ActorCriticPolicy"
_SAC = "stable_baselines3.sac.policies.SACPolicy"
_FLATTEN = "stable_baselines3.common.torch_layers.FlattenExtractor"

_SHAPING = ("net_arch", "activation_fn", "use_sde", "squash_output", "clip_mean", "share_features_extractor",
            "n_critics", "full_std", "use_expln", "log_std_init")  # fmt: skip
"""Policy arguments that shape the network or its output; SB3's own policy is built with these for the proof."""

_WITHOUT_EFFECT = ("ortho_init", "normalize_images", "optimizer_class", "optimizer_kwargs", "features_extractor_kwargs")
"""Policy arguments that change nothing in a trained network that sees no images."""


@dataclass(frozen=True, slots=True)
class VecNormalize:
    """What a VecNormalize does to observations: y = clip((x - mean) / sqrt(var + epsilon))."""

    mean: NDArray[np.float64]
    var: NDArray[np.float64]
    epsilon: float
    clip: float

    def __call__(self, observation: Array) -> Array:
        """As SB3 computes it, in double precision."""
        y = (observation - self.mean) / np.sqrt(self.var + self.epsilon)
        return np.clip(y, -self.clip, self.clip).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Sb3Policy:
    """A policy read from a `.zip`."""

    module: nn.Module  # raw observation -> action in the units of the action space
    algorithm: str
    observation: Mapping[str, Any]  # dtype, low, high of the spaces
    action: Mapping[str, Any]
    arguments: Mapping[str, Any]  # of SB3's policy class
    weights: Mapping[str, Tensor]
    normalise: VecNormalize | None
    provenance: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Numbers of an observation."""
        return int(self.observation["low"].size)

    @property
    def actions(self) -> int:
        """Numbers of an action."""
        return int(self.action["low"].size)

    def reference(self) -> Start:
        """What SB3 itself computes: its own policy class with these weights, asked by `predict(deterministic=True)`.

        Raises:
            NotProvenError: Stable-Baselines3 is not installed.
            CheckpointError: SB3's policy does not take these weights.
        """
        try:
            from gymnasium.spaces import Box  # noqa: PLC0415 (may not be installed)
            from stable_baselines3.common.policies import ActorCriticPolicy  # noqa: PLC0415
            from stable_baselines3.sac.policies import SACPolicy  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise NotProvenError(
                f"{error.name} is not installed, so nothing shows that the ONNX computes what Stable-Baselines3 does; "
                "install stable-baselines3, or accept an unproven policy with --unproven"
            ) from error
        kind: Any = SACPolicy if self.algorithm == "SAC" else ActorCriticPolicy
        spaces = [Box(low=s["low"], high=s["high"], dtype=s["low"].dtype.type) for s in (self.observation, self.action)]
        try:
            policy = kind(*spaces, lr_schedule=lambda _: 0.0, **self.arguments)
            policy.load_state_dict(self.weights)
        except (RuntimeError, TypeError, AssertionError) as error:
            raise CheckpointError(f"Stable-Baselines3's own policy does not take these weights: {error}") from error

        def step(observation: Array) -> Array:
            seen = observation if self.normalise is None else self.normalise(observation)
            action: Array = policy.predict(seen, deterministic=True)[0]
            return action

        return lambda: step


def read_sb3(path: Path, vecnormalize: Path | None = None, *, raw: bool = False) -> Sb3Policy:
    """Read a model, and the statistics that it was trained under.

    `raw`: it was trained without VecNormalize; needs saying where the file does not tell.

    Raises:
        CheckpointError: a file cannot be read, or one contradicts the other.
        UnsupportedError: a policy that cannot be rebuilt exactly.
    """
    data, weights, version = _read_zip(path)
    kind = _object(data, "policy_class", path)
    name = kind.name if isinstance(kind, type) and issubclass(kind, Inert) else repr(kind)
    if name not in (_ACTOR_CRITIC, _SAC):
        raise UnsupportedError(f"{path}: its policy class is {name}; known are PPO, A2C and SAC with MlpPolicy")
    algorithm = "SAC" if name == _SAC else "PPO" if "clip_range" in data else "A2C"
    arguments = _arguments(data, algorithm, path)
    observation, action = _box(data, "observation_space", path), _box(data, "action_space", path)
    normalise = None if vecnormalize is None else read_vecnormalize(vecnormalize, observation["low"].size)
    if vecnormalize is None:
        _check_raw(data, algorithm, path, said=raw)
    low, high = (torch.from_numpy(np.array(action[end], np.float32)) for end in ("low", "high"))
    parts: list[nn.Module] = [_actor(weights, algorithm, arguments, path)]
    if algorithm == "SAC" or arguments.get("squash_output"):
        parts.append(Squashed(low, high))
    else:
        parts.append(Bounded(low, high))
    if normalise is not None:
        deviation = np.sqrt(normalise.var + normalise.epsilon)
        mean = torch.from_numpy(normalise.mean)
        parts.insert(0, Normaliser(mean, torch.from_numpy(deviation), normalise.clip))
    provenance = {
        "imported_from": f"Stable-Baselines3 {algorithm}",
        "trainer_version": version,
        "checkpoint": _sha256(path),
        "steps": data.get("num_timesteps"),
        "seed": data.get("seed"),
    }
    if vecnormalize is not None:
        provenance["vecnormalize"] = _sha256(vecnormalize)
    known = {key: value for key, value in provenance.items() if value is not None}
    module = nn.Sequential(*parts)
    return Sb3Policy(module, algorithm, observation, action, arguments, weights, normalise, known)


def read_vecnormalize(path: Path, size: int) -> VecNormalize | None:
    """Read what `VecNormalize.save()` wrote; None where it leaves observations of this size as they are.

    Raises:
        CheckpointError: it is something else, damaged, or of another size.
    """
    pickled = read_pickle(path.read_bytes(), str(path))
    name = pickled.name if isinstance(pickled, Inert) else type(pickled).__name__
    if not name.endswith(".vec_normalize.VecNormalize"):
        raise CheckpointError(f"{path}: not what VecNormalize.save() writes, but {name}")
    try:
        if not pickled.state["norm_obs"]:
            return None
        rms = pickled.state["obs_rms"].state
        mean, var = (np.array(rms[key], np.float64) for key in ("mean", "var"))
        epsilon, clip = float(pickled.state["epsilon"]), float(pickled.state["clip_obs"])
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: has no statistics of one vector of observations ({error!r})") from error
    if mean.shape != (size,) or var.shape != (size,):
        raise CheckpointError(f"{path}: statistics of shape {mean.shape}, and the policy takes {size} observations")
    if not (np.isfinite(mean).all() and (var + epsilon > 0).all() and np.isfinite(var).all()):
        raise CheckpointError(f"{path}: statistics that are not finite, or variances below zero")
    return VecNormalize(mean, var, epsilon, clip)


def _read_zip(path: Path) -> tuple[dict[str, Any], dict[str, Tensor], str]:
    """The JSON of the model's settings, the weights, and SB3's version."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            data = json.loads(archive.read("data"))
            weights = torch.load(io.BytesIO(archive.read("policy.pth")), map_location="cpu", weights_only=True)
            version = "_stable_baselines3_version"
            return data, dict(weights), archive.read(version).decode().strip() if version in names else "unknown"
    except UnpicklingError as error:
        raise CheckpointError(
            f"{path}: its policy.pth is no plain table of weights, and is not run; {EXPORT}"
        ) from error
    except (zipfile.BadZipFile, *DAMAGED) as error:
        raise CheckpointError(f"{path}: not a model of Stable-Baselines3, or damaged: {error}") from error


def _object(data: Mapping[str, Any], key: str, path: Path) -> Any:
    """A value of the settings: JSON as it stands, or the contents of a pickle."""
    value = data.get(key)
    if isinstance(value, dict) and ":serialized:" in value:
        try:
            return read_pickle(base64.b64decode(value[":serialized:"], validate=True), f"{path}: {key}")
        except binascii.Error as error:
            raise CheckpointError(f"{path}: {key} is damaged: {error}") from error
    return value


def _box(data: Mapping[str, Any], key: str, path: Path) -> Mapping[str, Any]:
    """Bounds of a space of one vector."""
    space = _object(data, key, path)
    name = space.name if isinstance(space, Inert) else repr(space)
    if not isinstance(space, Inert) or not name.endswith(".Box"):
        raise UnsupportedError(f"{path}: its {key} is {name}; only a Box of one vector is known here")
    low, high = np.asarray(space.state["low"]), np.asarray(space.state["high"])
    if low.ndim != 1 or low.dtype.kind != "f":
        raise UnsupportedError(f"{path}: its {key} is a Box of {low.dtype} {low.shape}; known is one vector of floats")
    return {"low": low, "high": high}


def _arguments(data: Mapping[str, Any], algorithm: str, path: Path) -> dict[str, Any]:
    """The policy's arguments that matter, all known."""
    given = dict(_object(data, "policy_kwargs", path) or {})
    if algorithm != "SAC":
        given.setdefault("use_sde", bool(data.get("use_sde")))
    if "activation_fn" in given:
        name = getattr(given["activation_fn"], "name", repr(given["activation_fn"]))
        if name not in _ACTIVATIONS:
            raise UnsupportedError(f"{path}: its activation function is {name}; known are {', '.join(_ACTIVATIONS)}")
        given["activation_fn"] = _ACTIVATIONS[name]
    extractor = given.pop("features_extractor_class", None)
    if extractor is not None and getattr(extractor, "name", "") != _FLATTEN:
        raise UnsupportedError(f"{path}: it has an own features extractor, {getattr(extractor, 'name', extractor)}")
    unknown = sorted(set(given) - set(_SHAPING) - set(_WITHOUT_EFFECT))
    if unknown:
        raise UnsupportedError(f"{path}: policy arguments that are not known here: {', '.join(unknown)}")
    return {key: value for key, value in given.items() if key in _SHAPING}


def _check_raw(data: Mapping[str, Any], algorithm: str, path: Path, *, said: bool) -> None:
    """Complain unless the policy was trained on raw observations.

    PPO and A2C keep an original observation beside what the policy saw under VecNormalize only; SAC always does.
    """
    if data.get("_last_original_obs") is None:
        return
    statistics = "its statistics, the file that VecNormalize.save() wrote beside this one, with --vecnormalize"
    if algorithm != "SAC":
        raise CheckpointError(
            f"{path}: it was trained on observations that VecNormalize had changed; give {statistics}"
        )
    if not said:
        raise CheckpointError(
            f"{path}: a SAC model does not say whether VecNormalize changed its observations; if it did, give "
            f"{statistics}; if there was none, say so with --raw-observations"
        )


def _actor(weights: Mapping[str, Tensor], algorithm: str, arguments: Mapping[str, Any], path: Path) -> nn.Module:
    """The network from observation to the mean of the action's distribution."""
    activation: type[nn.Module]
    if algorithm != "SAC":
        hidden, last, activation = r"mlp_extractor\.policy_net\.(\d+)", "action_net", nn.Tanh
    else:
        hidden, last, activation = r"actor\.latent_pi\.(\d+)", "actor.mu", nn.ReLU
    clipped = f"{last}.0.weight" in weights  # gSDE: the mean is clipped
    layers = _layers(weights, hidden, f"{last}.0" if clipped else last, path)
    network = perceptron(layers, arguments.get("activation_fn", activation))
    if clipped:
        limit = float(arguments.get("clip_mean", 2.0))  # SB3's default
        network.append(nn.Hardtanh(-limit, limit))
    return network


def _layers(weights: Mapping[str, Tensor], hidden: str, last: str, path: Path) -> Layers:
    """Weights and biases in order; other layers than linear ones have other names, and are refused."""
    numbers = sorted({int(match[1]) for key in weights if (match := re.match(hidden + r"\.", key))})
    names = [hidden.replace(r"\.", ".").replace(r"(\d+)", str(number)) for number in numbers] + [last]
    try:
        layers = [(weights[f"{name}.weight"], weights[f"{name}.bias"]) for name in names]
    except KeyError as error:
        raise UnsupportedError(f"{path}: the policy's network has no {error.args[0]}: it is not a plain MLP") from error
    if any(weight.ndim != 2 for weight, _ in layers):
        raise UnsupportedError(f"{path}: the policy's network has other layers than linear ones")
    return layers


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
