"""Stable-Baselines3: what is imported equals `predict()` of the model loaded by Stable-Baselines3 itself."""

from __future__ import annotations

import base64
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")
sb3 = pytest.importorskip("stable_baselines3")
pytest.importorskip("onnxscript")

from stable_baselines3.common.vec_env import VecNormalize  # noqa: E402

from models.errors import CheckpointError, ExportError, NotProvenError, UnsupportedError  # noqa: E402
from models.importers.checkpoint import import_policy  # noqa: E402
from models.importers.file_kinds import is_sb3  # noqa: E402
from models.importers.sb3 import read_sb3  # noqa: E402
from robot_runtime.policy.contract import Action, Contract, Term  # noqa: E402
from tests.models.exporter_files import HIGH, LOW, sb3_model, sb3_world  # noqa: E402

N, M = 7, 3
CONTRACT = Contract((Term("constant", N),), Action("torque", ("a", "b", "c")), rate=50.0)

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "ppo": ("PPO", {}),
    "ppo-relu-vf": ("PPO", {"activation_fn": torch.nn.ReLU, "net_arch": {"pi": [8, 12, 4], "vf": [5]}}),
    "ppo-gsde-squashed": ("PPO", {"use_sde": True, "squash_output": True}),
    "ppo-own-extractors": ("PPO", {"share_features_extractor": False}),
    "a2c": ("A2C", {}),
    "sac": ("SAC", {}),
    "sac-tanh": ("SAC", {"activation_fn": torch.nn.Tanh, "n_critics": 1}),
    "sac-gsde": ("SAC", {"use_sde": True}),
    "sac-linear": ("SAC", {"net_arch": []}),
}


def saved(folder: Path, kind: str, *, normalise: bool, train: int = 32) -> tuple[Any, Path, Path | None]:
    """A trained model, loaded again by SB3; its files."""
    algorithm, policy = KINDS[kind]
    world = VecNormalize(sb3_world(N, M), clip_obs=4.0, epsilon=1e-6) if normalise else None
    model = sb3_model(algorithm, N, M, train=train, normaliser=world, **policy)
    model.save(folder / "model.zip")
    if world is not None:
        world.save(str(folder / "vn.pkl"))
    return (
        getattr(sb3, algorithm).load(folder / "model.zip", device="cpu"),
        folder / "model.zip",
        (folder / "vn.pkl" if normalise else None),
    )


def observations() -> Any:
    rng = np.random.default_rng(7)
    return (rng.standard_normal((200, N)) * 10.0 ** rng.uniform(-3, 2, (200, 1))).astype(np.float32)


@pytest.mark.parametrize(
    ("kind", "normalise"),
    [*((kind, False) for kind in KINDS), ("ppo", True), ("ppo-gsde-squashed", True), ("sac", True)],
)
def test_equals_what_sb3_predicts(tmp_path: Path, kind: str, normalise: bool) -> None:
    model, path, statistics = saved(tmp_path, kind, normalise=normalise)
    out = tmp_path / "policy.onnx"
    exported = import_policy(path, CONTRACT, out, vecnormalize=statistics, raw_observations=not normalise)
    assert exported.parity.worst <= 1e-5
    session = onnxruntime.InferenceSession(exported.path)
    world = VecNormalize.load(str(statistics), sb3_world(N, M)) if normalise else None
    for x in observations():
        seen = world.normalize_obs(x) if world is not None else x
        expected = model.predict(seen, deterministic=True)[0]
        got = session.run(["actions"], {"obs": x[None]})[0][0]
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)
        assert LOW - 1e-6 <= got[0] <= HIGH + 1e-6


def test_provenance(tmp_path: Path) -> None:
    _, path, statistics = saved(tmp_path, "ppo", normalise=True)
    exported = import_policy(path, CONTRACT, tmp_path / "policy.onnx", vecnormalize=statistics)
    facts = exported.contract.provenance
    assert facts["imported_from"] == "Stable-Baselines3 PPO"
    assert facts["trainer_version"] == sb3.__version__
    assert (facts["steps"], facts["seed"], facts["proven_equal"]) == (32, 3, True)
    assert len(facts["checkpoint"]) == len(facts["vecnormalize"]) == 64


def test_statistics_must_come_along(tmp_path: Path) -> None:
    _, path, _ = saved(tmp_path, "ppo", normalise=True)
    for raw in (False, True):
        with pytest.raises(CheckpointError, match="--vecnormalize"):
            read_sb3(path, raw=raw)


def test_sac_does_not_tell(tmp_path: Path) -> None:
    _, path, _ = saved(tmp_path, "sac", normalise=False)
    with pytest.raises(CheckpointError, match="--raw-observations"):
        read_sb3(path)
    assert read_sb3(path, raw=True).normalise is None


def test_statistics_that_change_nothing(tmp_path: Path) -> None:
    world = VecNormalize(sb3_world(N, M), norm_obs=False)
    model = sb3_model("PPO", N, M, train=32, normaliser=world)
    model.save(tmp_path / "model.zip")
    world.save(str(tmp_path / "vn.pkl"))
    assert read_sb3(tmp_path / "model.zip", tmp_path / "vn.pkl").normalise is None


def test_statistics_of_another_policy(tmp_path: Path) -> None:
    _, path, _ = saved(tmp_path, "ppo", normalise=False)
    VecNormalize(sb3_world(N + 1, M)).save(str(tmp_path / "other.pkl"))
    with pytest.raises(CheckpointError, match=rf"\({N + 1},\).*takes {N} observations"):
        read_sb3(path, tmp_path / "other.pkl")


def test_statistics_that_are_something_else(tmp_path: Path) -> None:
    _, path, _ = saved(tmp_path, "ppo", normalise=False)
    (tmp_path / "dict.pkl").write_bytes(pickle.dumps({"mean": 1}))
    with pytest.raises(CheckpointError, match="not what VecNormalize"):
        read_sb3(path, tmp_path / "dict.pkl")


def rewritten(path: Path, **changes: Any) -> Path:
    """The same model with other settings."""
    target = path.with_name("changed.zip")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as changed:
        for name in source.namelist():
            content = source.read(name)
            if name == "data":
                content = json.dumps({**json.loads(content), **changes}).encode()
            changed.writestr(name, content)
    return target


def pickled(value: Any) -> dict[str, str]:
    return {":type:": "x", ":serialized:": base64.b64encode(value).decode()}


@pytest.mark.parametrize("key", ["policy_class", "observation_space", "action_space", "policy_kwargs"])
def test_no_setting_is_run(tmp_path: Path, key: str) -> None:
    _, path, _ = saved(tmp_path, "ppo", normalise=False, train=0)
    victim = tmp_path / "victim"
    victim.touch()
    bomb = b"cposix\nremove\n(V" + os.fsencode(victim) + b"\ntR."
    with pytest.raises(CheckpointError, match=r"posix.remove.*nothing was run"):
        read_sb3(rewritten(path, **{key: pickled(bomb)}))
    assert victim.exists()


def test_settings_that_are_not_needed_are_not_even_read(tmp_path: Path) -> None:
    _, path, _ = saved(tmp_path, "ppo", normalise=False, train=0)
    read_sb3(rewritten(path, lr_schedule=pickled(b"cposix\nabort\n)R.")))


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"policy_kwargs": {"activation_fn": "<class 'mine.Act'>"}}, "activation function"),
        ({"policy_kwargs": {"features_extractor_class": "Mine"}}, "features extractor"),
        ({"policy_kwargs": {"surprise": 1}}, "surprise"),
        ({"policy_class": pickled(b"cstable_baselines3.td3.policies\nTD3Policy\n.")}, "TD3Policy"),
        ({"action_space": pickled(b"cgymnasium.spaces.discrete\nDiscrete\n)\x81.")}, "Discrete"),
    ],
    ids=["activation", "extractor", "argument", "td3", "discrete"],
)
def test_what_is_not_known_is_refused(tmp_path: Path, settings: dict[str, Any], what: str) -> None:
    _, path, _ = saved(tmp_path, "ppo", normalise=False, train=0)
    with pytest.raises(UnsupportedError, match=what):
        read_sb3(rewritten(path, **settings))


def test_settings_that_contradict_the_weights(tmp_path: Path) -> None:
    """The network is rebuilt from the weights, SB3's own from the settings: they have to be the same network."""
    _, path, _ = saved(tmp_path, "ppo", normalise=False, train=0)
    with pytest.raises(CheckpointError, match="does not take these weights"):
        import_policy(rewritten(path, policy_kwargs={"net_arch": [16, 17]}), CONTRACT, tmp_path / "policy.onnx")


def test_a_contract_of_another_size(tmp_path: Path) -> None:
    _, path, _ = saved(tmp_path, "ppo", normalise=False, train=0)
    other = Contract((Term("constant", N + 2),), CONTRACT.action, rate=50.0)
    with pytest.raises(ExportError, match=f"wants {N} numbers, the contract says {N + 2}"):
        import_policy(path, other, tmp_path / "policy.onnx")


def test_weights_that_are_more_than_weights(tmp_path: Path) -> None:
    _, path, _ = saved(tmp_path, "ppo", normalise=False, train=0)
    target = tmp_path / "evil.zip"
    torch.save({"a": os.remove}, tmp_path / "policy.pth")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as changed:
        changed.writestr("data", source.read("data"))
        changed.write(tmp_path / "policy.pth", "policy.pth")
    with pytest.raises(CheckpointError, match="no plain table of weights"):
        read_sb3(target)


def test_without_sb3_nothing_is_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, path, _ = saved(tmp_path, "ppo", normalise=False, train=0)
    monkeypatch.setitem(__import__("sys").modules, "stable_baselines3.common.policies", None)
    with pytest.raises(NotProvenError, match="--unproven"):
        import_policy(path, CONTRACT, tmp_path / "policy.onnx")
    assert not (tmp_path / "policy.onnx").exists()
    exported = import_policy(path, CONTRACT, tmp_path / "policy.onnx", unproven=True)
    assert exported.contract.provenance["proven_equal"] is False


def test_other_files_are_no_sb3_model(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "model.pt")
    (tmp_path / "text").write_text("text")
    assert not is_sb3(tmp_path / "model.pt")
    assert not is_sb3(tmp_path / "text")
