from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from rich.console import Console

from robot_runtime.policy import Action, Target, Term
from robot_runtime.policy.explain import explain, render
from robot_runtime.policy.load import load_policy
from robot_runtime.spec import load_arm
from tests.robot_runtime.policy.networks import JOINTS, carrying, contract, linear

ARM = load_arm("open-manipulator-x")
TERMS = (
    Term("joint_position", 4, JOINTS, scale=(0.5,), clip=(-2.0, 2.0), history=2),
    Term("target_error", 3),
    Term("phase", 2, period=1.5),
)


def test_every_number_is_explained(tmp_path: Path) -> None:
    told = contract(
        observation=TERMS,
        action=Action("position", JOINTS, scale=(0.25,), stiffness=(20.0,), damping=(1.0,), low=(-1.0,)),
        target=Target("tip_position", 3, low=(0.0, 0.0, 0.0), high=(0.3, 0.3, 0.3)),
    )
    file = linear(tmp_path / "p.onnx", np.zeros((13, 4)), metadata=carrying(told))
    (tmp_path / "p.toml").write_text("rate = 25")
    understood = explain(load_policy(file, ARM), ARM)
    assert [(term["at"], term["unit"]) for term in understood["observation"]] == [
        ("0:8", "rad"),
        ("8:11", "m"),
        ("11:13", ""),
    ]
    assert understood["rate"] == {"Hz": 25.0, "from": str(tmp_path / "p.toml")}
    assert understood["held"] == ["gripper"]
    assert understood["action"]["joints"][3]["by"] == "spring"
    assert json.loads(json.dumps(understood)) == understood

    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render(understood))
    text = console.export_text()
    for words in ("8:11", "2 samples, oldest first", "-2 to 2", "spring 20 N·m/rad", "25 Hz", "p.toml", "gripper"):
        assert words in text


def test_names_are_whole_in_a_narrow_terminal(tmp_path: Path) -> None:
    koch = load_arm("koch-v1.1")
    names = koch.joint_names
    terms = tuple(
        Term(kind, len(names), joints=names, offset=tuple(0.1234 + i / 7 for i in range(len(names))))
        for kind in ("joint_position", "joint_velocity")
    )
    told = contract(observation=terms, action=Action("position", names), arm=koch.name)
    file = linear(tmp_path / "p.onnx", np.zeros((2 * len(names), len(names))), metadata=carrying(told))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render(explain(load_policy(file, koch), koch)))
    text = console.export_text()
    assert all(text.count(name) >= 3 for name in names)
    assert "…" not in text


def test_what_cannot_be_done_stands_in_the_table(tmp_path: Path) -> None:
    file = linear(tmp_path / "p.onnx", np.zeros((8, 4)), metadata=carrying(contract(action=Action("velocity", JOINTS))))
    understood = explain(load_policy(file, ARM), ARM)
    assert [joint["by"] for joint in understood["action"]["joints"]] == ["NOT POSSIBLE"] * 4
    assert len(understood["mismatch"]) == 4
    assert "'joint1' is in mode 'current' and the policy says velocity" in understood["mismatch"][0]
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render(understood))
    text = console.export_text()
    assert "joint_velocity" in text
    assert "cannot be flown: joint 'joint4'" in text
