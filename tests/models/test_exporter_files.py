"""The files that stand for other exporters look as theirs do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from tests.models import exporter_files  # noqa: E402

N, M = 6, 3


def shapes(path: Path) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Name and last dimension of inputs and outputs, after one run that must be finite."""
    session = onnxruntime.InferenceSession(path)
    inputs = {node.name: np.ones(node.shape, np.float32) for node in session.get_inputs()}
    outputs = session.run(None, inputs)
    assert all(np.isfinite(output).all() for output in outputs)
    ends = [(node.name, output.shape[-1]) for node, output in zip(session.get_outputs(), outputs, strict=True)]
    return [(name, value.shape[-1]) for name, value in inputs.items()], ends


def test_playground(tmp_path: Path) -> None:
    path = exporter_files.playground_onnx(tmp_path / "p.onnx", N, M)
    assert shapes(path) == ([("obs", N)], [("continuous_actions", M)])


def test_sb3(tmp_path: Path) -> None:
    pytest.importorskip("stable_baselines3")
    pytest.importorskip("onnxscript")
    inputs, outputs = shapes(exporter_files.sb3_ppo_onnx(tmp_path / "ppo.onnx", N, M))
    assert inputs == [("input", N)]
    assert [size for _, size in outputs] == [M, 1, 1]
    inputs, outputs = shapes(exporter_files.sb3_sac_onnx(tmp_path / "sac.onnx", N, M))
    assert inputs == [("input", N)]
    assert [size for _, size in outputs] == [M]


def test_rsl_rl(tmp_path: Path) -> None:
    pytest.importorskip("rsl_rl")
    pytest.importorskip("onnxscript")
    assert shapes(exporter_files.rsl_rl_onnx(tmp_path / "a.onnx", N, M)) == ([("obs", N)], [("actions", M)])
    inputs, outputs = shapes(exporter_files.rsl_rl_onnx(tmp_path / "b.onnx", N, M, "lstm"))
    assert [name for name, _ in inputs] == ["obs", "h_in", "c_in"]
    assert [name for name, _ in outputs] == ["actions", "h_out", "c_out"]
