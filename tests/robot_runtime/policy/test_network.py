from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from robot_runtime.policy import ContractError, PolicyFileError
from robot_runtime.policy.network import Network, OnnxFile, runner
from tests.robot_runtime.policy.networks import linear, mlp, save

DOUBLE = 2.0 * np.eye(3)


def run(network: Network, *observation: float) -> list[float]:
    network.observation[:] = observation
    network.run()
    return [float(v) for v in network.action]


@pytest.mark.parametrize(
    ("names", "batch"),
    [
        (("obs", "actions"), (1,)),  # rsl_rl, Isaac Lab, mjlab
        (("obs", "continuous_actions"), (1,)),  # MuJoCo Playground
        (("input", "33"), (1,)),  # SB3 SAC
        (("obs", "actions"), ("batch",)),
        (("policy", "action"), ()),  # TorchRL
    ],
)
def test_layouts_with_one_input(tmp_path: Path, names: tuple[str, str], batch: tuple[int | str, ...]) -> None:
    network = Network(linear(tmp_path / "p.onnx", DOUBLE, names=names, batch=batch), 3, 3)
    assert network.action.shape == (3,)
    assert run(network, 1, 2, 3) == [2, 4, 6]


def test_sb3_ppo_has_three_unnamed_outputs(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["input", "w"], ["17"]),
        helper.make_node("ReduceSum", ["input"], ["21"]),
        helper.make_node("ReduceMax", ["input"], ["23"]),
    ]
    outputs = {"17": (1, 3), "21": (1, 1), "23": (1, 1)}
    file = save(tmp_path / "p.onnx", nodes, {"input": (1, 3)}, outputs, {"w": DOUBLE.astype(np.float32)})
    assert run(Network(file, 3, 3), 1, 2, 3) == [2, 4, 6]


def test_torchrl_action_is_found_by_name(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceSum", ["observation"], ["loc"], keepdims=0),
        helper.make_node("MatMul", ["observation", "w"], ["action"]),
    ]
    file = save(
        tmp_path / "p.onnx", nodes, {"observation": (3,)}, {"loc": (), "action": (3,)}, {"w": DOUBLE.astype(np.float32)}
    )
    assert run(Network(file, 3, 3), 1, 2, 3) == [2, 4, 6]


@pytest.mark.parametrize("states", [("h",), ("h", "c")])
def test_recurrent_states_go_round_and_begin_at_zero(tmp_path: Path, states: tuple[str, ...]) -> None:
    nodes = [helper.make_node("Add", [f"{s}_in", "obs"], [f"{s}_out"]) for s in states]
    nodes += [helper.make_node("Squeeze", [f"{states[-1]}_out", "first"], ["actions"])]
    file = save(
        tmp_path / "p.onnx",
        nodes,
        {"obs": (1, 2)} | {f"{s}_in": (1, 1, 2) for s in states},
        {"actions": (1, 2)} | {f"{s}_out": (1, 1, 2) for s in states},
        {"first": np.array([0])},
    )
    network = Network(file, 2, 2)
    assert run(network, 1, 2) == [1, 2]
    assert run(network, 1, 2) == [2, 4]
    network.reset()
    assert run(network, 1, 2) == [1, 2]


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.INT64])
def test_mjlab_time_step_counts_the_runs(tmp_path: Path, kind: int) -> None:
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["time_step"], ["t"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["obs", "t"], ["actions"]),
            helper.make_node("Identity", ["t"], ["joint_pos"]),
        ],
        "policy",
        [
            helper.make_tensor_value_info("obs", TensorProto.FLOAT, (1, 2)),
            helper.make_tensor_value_info("time_step", kind, (1, 1)),
        ],
        [
            helper.make_tensor_value_info("actions", TensorProto.FLOAT, (1, 2)),
            helper.make_tensor_value_info("joint_pos", TensorProto.FLOAT, (1, 1)),
        ],
    )
    file = tmp_path / "p.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    file.write_bytes(model.SerializeToString())
    network = Network(file, 2, 2)
    assert [run(network, 5, 6)[0] for _ in range(3)] == [5, 6, 7]
    network.reset()
    assert run(network, 5, 6) == [5, 6]


def test_float64_networks(tmp_path: Path) -> None:
    network = Network(linear(tmp_path / "p.onnx", DOUBLE, dtype=np.float64), 3, 3)
    assert network.observation.dtype == network.action.dtype == np.float32
    assert run(network, 1, 2, 3) == [2, 4, 6]


def test_external_data_belongs_to_the_digest(tmp_path: Path) -> None:
    file = linear(tmp_path / "p.onnx", DOUBLE, external=True)
    data = tmp_path / "p.onnx.data"
    network = Network(file, 3, 3)
    assert run(network, 1, 2, 3) == [2, 4, 6]
    body = bytearray(data.read_bytes())
    body[3] ^= 1
    data.write_bytes(body)
    assert Network(file, 3, 3).digest != network.digest
    data.unlink()
    with pytest.raises(PolicyFileError, match="its weights are in 'p.onnx.data', which is not beside it"):
        Network(file, 3, 3)


def test_arrays_stay_the_same(tmp_path: Path) -> None:
    network = Network(mlp(tmp_path / "p.onnx", 8, 4), 8, 4)
    observation, action = network.observation, network.action
    first = run(network, *range(8))
    network.reset()
    assert run(network, *range(8)) == first
    assert network.observation is observation
    assert network.action is action


@pytest.mark.parametrize("body", [b"", b"\x80\x04\x95PK", b"not a network", bytes(range(256))])
def test_what_is_no_onnx(tmp_path: Path, body: bytes) -> None:
    file = tmp_path / "p.onnx"
    file.write_bytes(body)
    with pytest.raises(PolicyFileError, match=str(file)):
        Network(file, 3, 3)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(PolicyFileError, match="cannot be read: No such file"):
        Network(tmp_path / "p.onnx", 3, 3)


def test_wrong_sizes_are_told(tmp_path: Path) -> None:
    file = linear(tmp_path / "p.onnx", DOUBLE)
    with pytest.raises(ContractError, match=r"takes 3 numbers \(obs\[1, 3\]\), the contract says 4"):
        Network(file, 4, 3)
    with pytest.raises(ContractError, match=r"gives 3 numbers \(actions\[1, 3\]\), the contract says 2"):
        Network(file, 3, 2)
    with pytest.raises(ContractError, match="one observation at a time"):
        Network(linear(tmp_path / "b.onnx", DOUBLE, batch=(8,)), 3, 3)


def test_a_wrong_size_that_only_shows_when_it_runs(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["obs", "obs"], ["actions"])]
    file = save(tmp_path / "p.onnx", nodes, {"obs": ("n", "k")}, {"actions": ("n", "k")})
    assert run(Network(file, 2, 2), 1, 2) == [2, 4]
    with pytest.raises(PolicyFileError, match="fails when it is run"):
        Network(file, 3, 2)


def test_inputs_that_nobody_knows(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["obs", "image"], ["actions"])]
    file = save(tmp_path / "p.onnx", nodes, {"obs": (1, 2), "image": (1, 2)}, {"actions": (1, 2)})
    with pytest.raises(ContractError, match=r"found obs\[1, 2\], image\[1, 2\]"):
        Network(file, 2, 2)
    nodes = [helper.make_node("Add", ["obs", "h_in"], ["actions"])]
    file = save(tmp_path / "h.onnx", nodes, {"obs": (1, 2), "h_in": (1, 2)}, {"actions": (1, 2)})
    with pytest.raises(ContractError, match="has no output 'h_out'"):
        Network(file, 2, 2)


@pytest.mark.parametrize("content", [b"", b"hello\n", bytes(100), b"PK\x03\x04"])
def test_what_is_no_onnx_is_called_that(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "p.onnx").write_bytes(content)
    with pytest.raises(PolicyFileError, match="not an ONNX network") as caught:
        OnnxFile(tmp_path / "p.onnx")
    assert "ONNXRuntimeError" not in str(caught.value)


def test_an_onnxruntime_without_its_inner_call_is_run_by_its_public_one() -> None:
    asked: list[object] = []

    class Session:
        def run_with_iobinding(self, binding: object) -> None:
            asked.append(binding)

    binding = object()
    runner(Session(), binding)()
    assert asked == [binding]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("entry", [(0, 0), (3, 1)])
def test_weights_that_are_no_numbers_are_noticed(tmp_path: Path, entry: tuple[int, int], value: float) -> None:
    weights = np.ones((4, 2))
    weights[entry] = value
    with pytest.raises(PolicyFileError, match="says NaN or infinity whatever it is shown"):
        Network(linear(tmp_path / "a.onnx", weights), 4, 2)


def test_a_network_that_has_no_answer_to_zeros_alone_is_a_network(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("LpNormalization", ["obs"], ["unit"]),
        helper.make_node("Div", ["unit", "obs"], ["actions"]),
    ]
    network = Network(save(tmp_path / "a.onnx", nodes, {"obs": (1, 2)}, {"actions": (1, 2)}), 2, 2)
    assert not network.observation.any()
    network.run()
    assert not np.isfinite(network.action).any()
    network.observation[:] = 1.0
    network.run()
    assert np.isfinite(network.action).all()
