"""rsl_rl: what is imported equals rsl_rl's own model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("rsl_rl")
pytest.importorskip("onnxscript")

from tensordict import TensorDict  # noqa: E402

from models.errors import CheckpointError, ExportError, ExportParityError, NotProvenError, UnsupportedError  # noqa: E402
from models.importers.checkpoint import import_policy  # noqa: E402
from models.importers.rsl_rl import ACTIVATIONS, read_rsl_rl  # noqa: E402
from robot_runtime.policy.contract import Action, Contract, Term  # noqa: E402
from tests.models.exporter_files import rsl_rl_checkpoint, rsl_rl_model  # noqa: E402

N, M = 9, 3
CONTRACT = Contract((Term("constant", N),), Action("torque", ("a", "b", "c")), rate=50.0)
BETA = {"class_name": "rsl_rl.modules.distribution.BetaDistribution"}
LOG = {"class_name": "rsl_rl.modules.distribution.GaussianDistribution", "std_type": "log"}


def checkpoint(folder: Path, rnn: str | None = None, **settings: Any) -> tuple[Any, Path]:
    model = rsl_rl_model(N, M, rnn, **settings)
    return model, rsl_rl_checkpoint(folder / "model_7.pt", model)


@pytest.mark.parametrize("settings", [{}, {"normalise": False}, {"distribution_cfg": LOG}, {"distribution_cfg": None}])
@pytest.mark.parametrize("rnn", [None, "lstm", "gru"])
def test_equals_rsl_rl(tmp_path: Path, rnn: str | None, settings: dict[str, Any]) -> None:
    model, path = checkpoint(tmp_path, rnn, **settings)
    exported = import_policy(path, CONTRACT, tmp_path / "policy.onnx", activation="elu")
    assert exported.parity.worst <= 1e-5
    assert exported.contract.provenance["iteration"] == 7
    session = onnxruntime.InferenceSession(exported.path)
    first, *memory = session.get_inputs()
    state = {node.name: np.zeros(node.shape, np.float32) for node in memory}
    rng = np.random.default_rng(3)
    for _ in range(20):
        x = rng.normal(size=(1, N)).astype(np.float32)
        with torch.inference_mode():
            expected = model(TensorDict({"policy": torch.from_numpy(x)}, batch_size=[1])).numpy()
        got, *after = session.run(None, {first.name: x, **state})
        state = dict(zip(state, after, strict=True))
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_activations_are_what_rsl_rl_means_by_them(tmp_path: Path, activation: str) -> None:
    model, path = checkpoint(tmp_path, activation=activation)
    policy = read_rsl_rl(path, activation, M)
    x = torch.linspace(-4, 4, N)[None]
    expected = model(TensorDict({"policy": x}, batch_size=[1]))
    torch.testing.assert_close(policy.module(x), expected)


def test_the_activation_must_be_said(tmp_path: Path) -> None:
    _, path = checkpoint(tmp_path)
    with pytest.raises(UnsupportedError, match=r"--activation, one of elu"):
        import_policy(path, CONTRACT, tmp_path / "policy.onnx")
    with pytest.raises(UnsupportedError, match="known are elu"):
        import_policy(path, CONTRACT, tmp_path / "policy.onnx", activation="sine")


def test_a_difference_from_rsl_rl_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should rsl_rl change what its normaliser adds to the deviation, nothing is written."""
    monkeypatch.setattr("models.importers.rsl_rl._EPSILON", 1.1e-2)
    _, path = checkpoint(tmp_path)
    with pytest.raises(ExportParityError):
        import_policy(path, CONTRACT, tmp_path / "policy.onnx", activation="elu")
    assert not (tmp_path / "policy.onnx").exists()


def test_a_beta_distribution_is_refused(tmp_path: Path) -> None:
    _, path = checkpoint(tmp_path, distribution_cfg=BETA)
    with pytest.raises(UnsupportedError, match=r"gives 6 numbers.*export_policy_to_onnx"):
        import_policy(path, CONTRACT, tmp_path / "policy.onnx", activation="elu")


def test_a_contract_of_another_size(tmp_path: Path) -> None:
    _, path = checkpoint(tmp_path)
    other = Contract((Term("constant", N - 1),), CONTRACT.action, rate=50.0)
    with pytest.raises(ExportError, match=f"wants {N} numbers, the contract says {N - 1}"):
        import_policy(path, other, tmp_path / "policy.onnx", activation="elu")


@pytest.mark.parametrize(
    ("content", "error", "what"),
    [
        ({"actor_state_dict": {"a": os.getcwd}}, CheckpointError, "not run here"),
        ({"model_state_dict": {}}, UnsupportedError, "before 4.0"),
        ({"weights": {}}, CheckpointError, "actor_state_dict"),
        ([1, 2], CheckpointError, "list"),
        ({"actor_state_dict": {"cnn.0.weight": torch.zeros(1)}}, UnsupportedError, r"cnn\.0\.weight"),
        ({"actor_state_dict": {"mlp.0.weight": torch.zeros(3, 9)}}, CheckpointError, r"lacks mlp\.0\.bias"),
        ({"actor_state_dict": {}}, UnsupportedError, "no MLP"),
    ],
    ids=["function", "old", "other", "list", "cnn", "no-bias", "empty"],
)
def test_other_checkpoints(tmp_path: Path, content: Any, error: type[Exception], what: str) -> None:
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(error, match=what):
        read_rsl_rl(tmp_path / "model.pt", "elu", M)


def test_no_checkpoint_at_all(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_text("text")
    with pytest.raises(CheckpointError):
        read_rsl_rl(tmp_path / "model.pt", "elu", M)


def test_without_rsl_rl_nothing_is_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, path = checkpoint(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "rsl_rl.models", None)
    with pytest.raises(NotProvenError, match="--unproven"):
        import_policy(path, CONTRACT, tmp_path / "policy.onnx", activation="elu")
    exported = import_policy(path, CONTRACT, tmp_path / "policy.onnx", activation="elu", unproven=True)
    assert exported.contract.provenance["proven_equal"] is False


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"mlp.0.weight": torch.zeros(4)}, "damaged, or not as its trainer saves it"),
        ({"mlp.0.bias": torch.zeros(2, 2)}, "damaged, or not as its trainer saves it"),
        ({"obs_normalizer._mean": torch.zeros(1, N)}, "damaged, or not as its trainer saves it"),
        ({3: torch.zeros(1)}, "damaged, or not as its trainer saves it"),
        ({"mlp.0.bias": torch.full((8,), torch.nan)}, r"no finite numbers \(.*bias\): its training has diverged"),
    ],
    ids=["one-dimensional", "bias", "half-a-normaliser", "a-number-for-a-name", "nan"],
)
def test_weights_that_are_none_are_refused(tmp_path: Path, changed: dict[Any, Any], what: str) -> None:
    weights = {"mlp.0.weight": torch.zeros(8, N), "mlp.0.bias": torch.zeros(8)}
    weights |= {"mlp.2.weight": torch.zeros(3, 8), "mlp.2.bias": torch.zeros(3)}
    torch.save({"actor_state_dict": weights | changed}, tmp_path / "model_1.pt")
    with pytest.raises(CheckpointError, match=what):
        import_policy(tmp_path / "model_1.pt", CONTRACT, tmp_path / "policy.onnx", activation="elu")
    assert not (tmp_path / "policy.onnx").exists()
