"""Small policies as their exporters write them, made by the exporters themselves where these can be installed.

Each function writes one file and returns its path. Imports are inside: a test that needs a file skips without its
trainer (`pytest.importorskip`).
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

LOW, HIGH = -0.5, 2.0
"""Bounds of the first action of every model of Stable-Baselines3 here; all others' are -1 and 1."""


def sb3_ppo_onnx(path: Path, observations: int, actions: int, model: Any = None) -> Path:
    """As "Exporting models" of SB3's documentation says: action, value and log-probability, nothing clipped.

    By torch's older exporter, which that page was written for: the newer one stops at the checks of torch's Normal.
    """
    import torch

    policy = (model or sb3_model("PPO", observations, actions)).policy

    class Onnxable(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.policy = policy

        def forward(self, observation: torch.Tensor) -> Any:
            return self.policy(observation, deterministic=True)

    return _torch_export(Onnxable(), torch.randn(1, observations), path, opset=17, inputs=["input"], dynamo=False)


def sb3_sac_onnx(path: Path, observations: int, actions: int, model: Any = None) -> Path:
    """As SB3's documentation says for SAC: the actor alone, actions in [-1, 1]."""
    import torch

    actor = (model or sb3_model("SAC", observations, actions)).policy.actor

    class Onnxable(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.actor = actor

        def forward(self, observation: torch.Tensor) -> Any:
            return self.actor(observation, deterministic=True)

    return _torch_export(Onnxable(), torch.randn(1, observations), path, opset=17, inputs=["input"], dynamo=False)


def rsl_rl_onnx(path: Path, observations: int, actions: int, rnn: str | None = None) -> Path:
    """What rsl_rl's `export_policy_to_onnx` writes of an actor; `rnn`: lstm or gru."""
    model = rsl_rl_model(observations, actions, rnn).as_onnx(verbose=False).eval()
    example = model.get_dummy_inputs()
    return _torch_export(model, example, path, opset=18, inputs=model.input_names, outputs=model.output_names)


def playground_onnx(path: Path, observations: int, actions: int) -> Path:
    """Laid out as MuJoCo Playground's conversion of a brax PPO network: opset 11, swish, spread dropped, tanh."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    sizes = (observations, 16, 16, 2 * actions)
    tensors = {"mean": rng.normal(size=observations), "std": rng.uniform(0.5, 2.0, observations)}
    nodes = [helper.make_node("Sub", ["obs", "mean"], ["centred"]), helper.make_node("Div", ["centred", "std"], ["x0"])]
    for layer in range(3):
        tensors[f"kernel{layer}"] = rng.normal(size=sizes[layer : layer + 2]) / np.sqrt(sizes[layer])
        tensors[f"bias{layer}"] = rng.normal(size=sizes[layer + 1]) * 0.1
        nodes.append(helper.make_node("MatMul", [f"x{layer}", f"kernel{layer}"], [f"product{layer}"]))
        nodes.append(helper.make_node("Add", [f"product{layer}", f"bias{layer}"], [f"sum{layer}"]))
        if layer < 2:
            nodes.append(helper.make_node("Sigmoid", [f"sum{layer}"], [f"gate{layer}"]))
            nodes.append(helper.make_node("Mul", [f"sum{layer}", f"gate{layer}"], [f"x{layer + 1}"]))
    nodes.append(helper.make_node("Split", ["sum2"], ["loc", "spread"], axis=1))
    nodes.append(helper.make_node("Tanh", ["loc"], ["continuous_actions"]))
    graph = helper.make_graph(
        nodes,
        "tf2onnx",
        [helper.make_tensor_value_info("obs", TensorProto.FLOAT, [1, observations])],
        [helper.make_tensor_value_info("continuous_actions", TensorProto.FLOAT, [1, actions])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def sb3_model(
    kind: str, observations: int, actions: int, *, train: int = 0, normaliser: Any = None, **policy: Any
) -> Any:
    """A model of PPO, A2C or SAC in a world that asks for nothing; `normaliser`: a VecNormalize around it."""
    import stable_baselines3

    world = normaliser or sb3_world(observations, actions)
    settings: dict[str, Any] = {"seed": 3, "device": "cpu", "use_sde": policy.pop("use_sde", False)}
    settings["policy_kwargs"] = {"net_arch": [16, 16], **policy}
    settings |= {
        "PPO": {"n_steps": 32, "batch_size": 16, "n_epochs": 1},
        "A2C": {"n_steps": 32},
        "SAC": {"learning_starts": 8, "batch_size": 8, "buffer_size": 100},
    }[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = getattr(stable_baselines3, kind)("MlpPolicy", world, **settings)
        if train:
            model.learn(train)
    return model


def sb3_world(observations: int, actions: int) -> Any:
    """Random observations of very different sizes, whatever is done."""
    import gymnasium
    from stable_baselines3.common.vec_env import DummyVecEnv

    low, high = np.full(actions, -1.0, np.float32), np.full(actions, 1.0, np.float32)
    low[0], high[0] = LOW, HIGH

    class World(gymnasium.Env[Any, Any]):
        observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (observations,), np.float32)
        action_space = gymnasium.spaces.Box(low, high, dtype=np.float32)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            self.steps = 0
            return self._see(), {}

        def step(self, action: Any) -> Any:
            self.steps += 1
            return self._see(), float(-np.abs(action).sum()), False, self.steps == 10, {}

        def _see(self) -> Any:
            spread = 10.0 ** np.linspace(-2, 2, observations)
            return (5.0 + self.np_random.standard_normal(observations) * spread).astype(np.float32)

    return DummyVecEnv([World])


def rsl_rl_model(
    observations: int, actions: int, rnn: str | None = None, *, normalise: bool = True, **more: Any
) -> Any:
    """An actor of rsl_rl whose normaliser has seen something."""
    import torch
    from rsl_rl.models import MLPModel, RNNModel
    from tensordict import TensorDict

    torch.manual_seed(0)
    seen = TensorDict({"policy": torch.randn(64, observations) * 3.0 + 1.0}, batch_size=[64])
    gaussian = "rsl_rl.modules.distribution.GaussianDistribution"
    settings: dict[str, Any] = {
        "hidden_dims": [16, 16],
        "obs_normalization": normalise,
        "distribution_cfg": {"class_name": gaussian},
        **more,
    }
    if rnn is None:
        model = MLPModel(seen, {"actor": ["policy"]}, "actor", actions, **settings)
    else:
        settings |= {"rnn_type": rnn, "rnn_hidden_dim": 12, "rnn_num_layers": 2}
        model = RNNModel(seen, {"actor": ["policy"]}, "actor", actions, **settings)
    model.update_normalization(seen)
    return model.eval()


def rsl_rl_checkpoint(path: Path, model: Any) -> Path:
    """What rsl_rl's runner saves, as far as the actor goes."""
    import torch

    torch.save({"actor_state_dict": model.state_dict(), "iter": 7, "infos": None}, path)
    return path


def _torch_export(
    module: Any,
    example: Any,
    path: Path,
    *,
    opset: int,
    inputs: list[str],
    outputs: list[str] | None = None,
    **how: Any,
) -> Path:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names: dict[str, Any] = {"input_names": inputs, "output_names": outputs, **how}
        torch.onnx.export(module.eval(), example, path, opset_version=opset, verbose=False, **names)
    return path
