"""Export: what is written equals what it was made of, or nothing is written."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

import models.export  # noqa: E402
from models.errors import ExportError, ExportParityError  # noqa: E402
from models.export import OPSET, export_policy, weights_digest  # noqa: E402
from models.networks import Bounded, Normaliser, RecurrentActor, Squashed, perceptron  # noqa: E402
from robot_runtime.policy.contract import Action, Contract, Term  # noqa: E402
from robot_runtime.policy.contract_json import METADATA_KEY, contract_from_json  # noqa: E402
from robot_runtime.spec import load_arm  # noqa: E402

JOINTS = ("joint1", "joint2", "joint3", "joint4")
N = 10


def contract(observations: int = N, actions: int = 4) -> Contract:
    terms = (Term("constant", observations),)
    return Contract(terms, Action("torque", JOINTS[:actions]), rate=100.0, provenance={"author": "a test"})


def layers(*sizes: int, scale: float = 1.0) -> list[Any]:
    random = torch.Generator().manual_seed(0)
    return [
        (torch.randn(b, a, generator=random) * scale / a**0.5, torch.randn(b, generator=random))
        for a, b in pairwise(sizes)
    ]


def normaliser(n: int = N, clip: float | None = None, dtype: Any = None) -> Normaliser:
    dtype = dtype or torch.float32
    return Normaliser(torch.linspace(-3, 3, n, dtype=dtype), torch.logspace(-2, 2, n, dtype=dtype), clip)


def actor(activation: Any = torch.nn.Tanh, *head: Any, hidden: tuple[int, ...] = (32, 32)) -> Any:
    return torch.nn.Sequential(normaliser(), perceptron(layers(N, *hidden, 4), activation), *head)


def bounds() -> tuple[Any, Any]:
    return torch.tensor([-1.0, -2.0, -3.0, -0.1]), torch.tensor([1.0, 1.0, 4.0, 0.1])


@pytest.mark.parametrize("head", [(), (Bounded,), (Squashed,)], ids=["raw", "bounded", "squashed"])
@pytest.mark.parametrize("activation", ["Tanh", "ELU", "ReLU"])
def test_what_is_written_computes_the_same(tmp_path: Path, activation: str, head: tuple[Any, ...]) -> None:
    module = actor(getattr(torch.nn, activation), *(part(*bounds()) for part in head))
    exported = export_policy(module, contract(), tmp_path / "a.onnx", provenance={})
    assert exported.parity.worst <= 1e-5
    if activation == "Tanh":
        assert exported.parity.coarse == 0  # bounded: single precision reaches everywhere
    assert exported.parity.inputs > 500


def test_names_opset_and_shapes(tmp_path: Path) -> None:
    path = export_policy(actor(), contract(), tmp_path / "a.onnx", provenance={}).path
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [opset.version for opset in model.opset_import] == [OPSET]
    values = (*model.graph.input, *model.graph.output)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}
    assert shapes == {"obs": [1, N], "actions": [1, 4]}
    assert [file.name for file in tmp_path.iterdir()] == ["a.onnx"]  # one file, nothing beside it


def test_contract_and_provenance_are_inside_to_the_last_bit(tmp_path: Path) -> None:
    arm = load_arm("open-manipulator-x")
    facts = {"task": "reach", "seed": 3, "success": 0.1 + 0.2, "tiny": 5e-324}
    exported = export_policy(actor(), contract(), tmp_path / "a.onnx", provenance=facts, arm=arm)
    (entry,) = onnx.load(exported.path).metadata_props
    assert entry.key == METADATA_KEY
    read = contract_from_json(entry.value)
    assert read == exported.contract
    assert (read.arm, read.mjcf_digest) == (arm.name, arm.mjcf_digest)
    assert read.provenance["arm_digest"] == arm.digest
    assert {key: read.provenance[key] for key in facts} == facts
    assert read.provenance["author"] == "a test"
    assert read.provenance["versions"]["torch"] == torch.__version__
    assert read.provenance["weights"] == exported.weights == weights_digest(exported.path)


def test_same_weights_same_bytes_and_no_trace_of_the_computer(tmp_path: Path) -> None:
    first = export_policy(actor(), contract(), tmp_path / "a.onnx", provenance={"seed": 1})
    second = export_policy(actor(), contract(), tmp_path / "b.onnx", provenance={"seed": 1})
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.digest == second.digest
    for trace in (b".py", b"/home", b"site-packages", b"forward"):
        assert trace not in first.path.read_bytes()


def test_one_bit_of_one_weight_changes_the_digest(tmp_path: Path) -> None:
    module = actor()
    before = export_policy(module, contract(), tmp_path / "a.onnx", provenance={}).weights
    weight = module[1][0].weight
    with torch.no_grad():
        weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(9.0))
    assert export_policy(module, contract(), tmp_path / "b.onnx", provenance={}).weights != before


def test_weights_keep_their_digest_inside_a_larger_network(tmp_path: Path) -> None:
    exported = export_policy(actor(), contract(), tmp_path / "a.onnx", provenance={})
    inner = onnx.compose.add_prefix(onnx.load(exported.path), "policy/")
    inner.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(3, np.float32), "map/weight"))
    assert weights_digest(inner, "policy/") == exported.weights
    assert weights_digest(inner) != exported.weights


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_memory_goes_in_and_out_over_a_sequence(tmp_path: Path, kind: str) -> None:
    torch.manual_seed(0)
    rnn = getattr(torch.nn, kind)(N, 12, 2)
    module = RecurrentActor(normaliser(), rnn, perceptron(layers(12, 16, 4), torch.nn.ELU))
    exported = export_policy(module, contract(), tmp_path / "a.onnx", provenance={})
    graph = onnx.load(exported.path).graph
    assert [value.name for value in graph.input] == module.input_names
    assert [value.name for value in graph.output] == module.output_names
    assert exported.parity.worst <= 1e-5
    assert exported.parity.coarse == 0


def test_a_memory_that_is_lost_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module = RecurrentActor(torch.nn.Identity(), torch.nn.GRU(N, 12), perceptron(layers(12, 4), torch.nn.ELU))

    class Forgetful(RecurrentActor):
        def forward(self, obs: Any, h_in: Any, c_in: Any = None) -> Any:
            return super().forward(obs, h_in * 0.999, c_in)

    broken = Forgetful(module.normaliser, module.rnn, module.head)
    to_onnx = models.export._to_onnx
    monkeypatch.setattr("models.export._to_onnx", lambda _, size: to_onnx(broken, size))
    with pytest.raises(ExportParityError, match="step"):
        export_policy(module, contract(), tmp_path / "a.onnx", provenance={})


@pytest.mark.parametrize("error", [1e-3, 3e-5])
def test_a_wrong_onnx_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: float) -> None:
    to_onnx = models.export._to_onnx
    wrong = actor()
    with torch.no_grad():
        wrong[1][-1].bias[2] += error
    monkeypatch.setattr("models.export._to_onnx", lambda _, size: to_onnx(wrong, size))
    with pytest.raises(ExportParityError, match=r"was not written.*the ONNX gives") as caught:
        export_policy(actor(), contract(), tmp_path / "a.onnx", provenance={})
    assert caught.value.worst_input.shape == (1, N)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("where", ["both", "onnx", "far-out"])
def test_two_nans_are_not_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    module, wrong = actor(torch.nn.ELU), actor(torch.nn.ELU)
    if where == "far-out":  # a difference of infinities, for inputs of a million
        huge, minus = torch.full((2, N), 1e33), torch.tensor([[1.0, -1.0]] * 4)
        module = wrong = perceptron([(huge, torch.zeros(2)), (minus, torch.zeros(4))], torch.nn.ReLU)
    else:
        with torch.no_grad():
            wrong[1][-1].bias[2] = torch.nan
    to_onnx = models.export._to_onnx
    monkeypatch.setattr("models.export._to_onnx", lambda _, size: to_onnx(wrong, size))
    said = "the ONNX gives .*nan" if where == "onnx" else "the network itself says NaN"
    with pytest.raises(ExportParityError, match=said):
        export_policy(module if where != "both" else wrong, contract(), tmp_path / "a.onnx", provenance={})
    assert not list(tmp_path.iterdir())


def test_an_error_that_shows_at_huge_inputs_only_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to_onnx = models.export._to_onnx
    clipped = torch.nn.Sequential(torch.nn.Hardtanh(-1e4, 1e4), actor(torch.nn.ELU))
    monkeypatch.setattr("models.export._to_onnx", lambda _, size: to_onnx(clipped, size))
    with pytest.raises(ExportParityError):
        export_policy(actor(torch.nn.ELU), contract(), tmp_path / "a.onnx", provenance={})


def test_single_precision_is_not_taken_for_an_error(tmp_path: Path) -> None:
    """Large unbounded networks, far out: torch itself is off by more than 1e-5 there."""
    module = torch.nn.Sequential(normaliser(), perceptron(layers(N, 128, 128, 4, scale=1.5), torch.nn.ELU))
    parity = export_policy(module, contract(), tmp_path / "a.onnx", provenance={}).parity
    assert 0 < parity.coarse < parity.inputs / 2
    assert parity.worst <= 1e-5


def test_double_precision_statistics_stay_so(tmp_path: Path) -> None:
    """A mean far larger than the spread: in single precision the normalised value would have no digits left."""
    mean, spread = torch.full((N,), 1000.0, dtype=torch.float64) + 1e-5, torch.full((N,), 1e-3, dtype=torch.float64)
    head = perceptron(layers(N, 4), torch.nn.Tanh)
    module = torch.nn.Sequential(Normaliser(mean, spread, 10.0), head)
    path = export_policy(module, contract(), tmp_path / "a.onnx", provenance={}).path
    session = onnxruntime.InferenceSession(path)
    x = np.full((1, N), 1000.001, np.float32)
    y = np.clip((x.astype(np.float64) - mean.numpy()) / spread.numpy(), -10, 10).astype(np.float32)
    expected = head(torch.from_numpy(y)).detach().numpy()
    np.testing.assert_allclose(session.run(None, {"obs": x})[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("observations", "actions"), [(N + 1, 4), (N, 3)])
def test_sizes_that_contradict_the_contract(tmp_path: Path, observations: int, actions: int) -> None:
    with pytest.raises(ExportError, match="the contract"):
        export_policy(actor(), contract(observations, actions), tmp_path / "a.onnx", provenance={})
    assert not list(tmp_path.iterdir())


def test_what_rsl_rl_exports_is_taken_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("rsl_rl")
    from tests.models.exporter_files import rsl_rl_model

    for rnn in (None, "lstm", "gru"):
        module = rsl_rl_model(N, 4, rnn).as_onnx(verbose=False)
        exported = export_policy(module, contract(), tmp_path / f"{rnn}.onnx", provenance={})
        assert exported.parity.worst <= 1e-5
