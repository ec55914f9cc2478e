"""Policies that other trainers have exported, flown on the twin as they are, with a policy.toml beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from robot_runtime.policy.load import load_policy
from robot_runtime.safety.fault_kind import Ending
from robot_runtime.spec import load_arm
from tests.models.exporter_files import playground_onnx, rsl_rl_onnx, sb3_ppo_onnx, sb3_sac_onnx
from tests.robot_runtime.flights import fly_twin

JOINTS = ["shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex"]
CONTRACT = f"""
rate = 50.0
start = "home"
arm = "koch-v1.1"
observation = [
    {{ kind = "joint_position", joints = {JOINTS} }},
    {{ kind = "joint_velocity", joints = {JOINTS}, scale = 0.05 }},
    {{ kind = "last_action" }},
]
action = {{ meaning = "position", joints = {JOINTS}, scale = 0.1, offset = [0.0, -0.3, 0.4, 1.2], clip = [-1.0, 1.0] }}
"""

Make = Callable[[Path, int, int], Path]


@pytest.mark.parametrize(
    ("make", "trainer"),
    [
        (sb3_ppo_onnx, "stable_baselines3"),
        (sb3_sac_onnx, "stable_baselines3"),
        (rsl_rl_onnx, "rsl_rl"),
        (lambda path, n, m: rsl_rl_onnx(path, n, m, "lstm"), "rsl_rl"),
        (playground_onnx, "onnx"),
    ],
    ids=["sb3-ppo", "sb3-sac", "rsl_rl", "rsl_rl-lstm", "playground"],
)
def test_it_flies_as_it_was_exported(make: Make, trainer: str, tmp_path: Path) -> None:
    pytest.importorskip(trainer)
    path = make(tmp_path / "policy.onnx", 12, 4)
    (tmp_path / "policy.toml").write_text(CONTRACT)
    spec = load_arm("koch-v1.1")
    flown = fly_twin(tmp_path, spec=spec, policy=load_policy(path, spec), duration=0.6)
    assert flown.verdict.ending is Ending.COMPLETED, flown.verdict.text
    assert flown.loop is not None
    home = np.array(spec.poses["home"])
    assert np.abs(flown.loop.source.start_pose - home).max() == 0.0
    assert flown.speed_share < 1.0
