from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from robot_runtime.policy import ContractError, IncompleteContractError, Term
from robot_runtime.policy.load import arm_named, load_policy
from robot_runtime.spec import load_arm
from tests.robot_runtime.policy.networks import JOINTS, carrying, contract, linear

ARM = load_arm("open-manipulator-x")
WEIGHTS = np.zeros((8, 4))

MJLAB = {
    "run_path": "runs/7",
    "joint_names": ",".join(JOINTS),
    "joint_stiffness": "20.000,20.000,10.000,5.000",
    "joint_damping": "1.000,1.000,0.500,0.200",
    "default_joint_pos": "0.000,-1.000,0.300,0.700",
    "command_names": "",
    "observation_names": "joint_pos,joint_vel,goal",
    "observation_terms_scale": "1.000,0.050,1.000",
    "observation_terms_history_length": "0.000,0.000,0.000",
    "action_scale": "0.250",
}

OBSERVATION = f"""
[[observation]]
kind = "joint_position"
joints = {list(JOINTS)}
[[observation]]
kind = "joint_velocity"
joints = {list(JOINTS)}
"""


def descriptor() -> dict[str, Any]:
    """As `export_IODescriptors.py` writes it, for a four-joint arm."""
    term: dict[str, Any] = {
        "dtype": "torch.float32",
        "extras": {"modifiers": None},
        "mdp_type": "Observation",
        "shape": [4],
    }
    plain = {"clip": None, "flatten_history_dim": True, "history_length": 0, "scale": None}
    functions = "isaaclab.envs.mdp.observations."
    return {
        "actions": [
            {
                "action_type": "JointAction",
                "clip": [[-0.5, 0.5], [-1.5, -0.5], [-0.2, 0.8], [0.2, 1.2]],
                "full_path": "isaaclab.envs.mdp.actions.joint_actions.JointPositionAction",
                "joint_names": list(JOINTS),
                "offset": [0.0, -1.0, 0.3, 0.7],
                "scale": 0.5,
                "shape": [4],
            }
        ],
        "articulations": {
            "robot": {
                "joint_names": [*JOINTS, "gripper"],
                "default_joint_pos": [0.0, -1.0, 0.3, 0.7, 0.0],
                "default_joint_stiffness": [20.0, 20.0, 10.0, 5.0, 1.0],
                "default_joint_damping": [1.0, 1.0, 0.5, 0.2, 0.1],
            }
        },
        "observations": {
            "policy": [
                term
                | {
                    "full_path": functions + "joint_pos_rel",
                    "joint_names": list(JOINTS),
                    "joint_pos_offsets": [0.0, -1.0, 0.3, 0.7],
                    "overloads": plain | {"clip": [-2.0, 2.0], "scale": 0.5},
                },
                term
                | {
                    "full_path": functions + "joint_vel_rel",
                    "joint_names": list(JOINTS),
                    "joint_vel_offsets": [0.0] * 4,
                    "overloads": plain | {"history_length": 3},
                },
                term | {"full_path": functions + "last_action", "overloads": plain},
            ]
        },
        "scene": {"decimation": 4, "dt": 0.02, "physics_dt": 0.005},
    }


def test_our_own_metadata(tmp_path: Path) -> None:
    ours = contract(rate=62.5)
    policy = load_policy(linear(tmp_path / "p.onnx", WEIGHTS, metadata=carrying(ours)), ARM)
    assert policy.contract == ours
    assert policy.source == f"{tmp_path / 'p.onnx'}, metadata 'contract'"


def test_a_toml_beside_it_wins_key_by_key(tmp_path: Path) -> None:
    file = linear(tmp_path / "p.onnx", WEIGHTS, metadata=carrying(contract()))
    (tmp_path / "policy.toml").write_text('start = "rest"\n[action]\nscale = 0.5\n')
    policy = load_policy(file, ARM)
    assert policy.contract.start == "rest"
    assert policy.contract.action.scale == (0.5,)
    assert policy.contract.rate == 50.0
    assert policy.origin["start"].endswith("policy.toml")
    assert policy.origin["rate"].endswith("'contract'")


def test_a_file_given_by_hand_is_taken_instead_of_the_one_beside(tmp_path: Path) -> None:
    file = linear(tmp_path / "p.onnx", WEIGHTS, metadata=carrying(contract()))
    (tmp_path / "p.toml").write_text("rate = 10")
    (tmp_path / "mine.toml").write_text("rate = 25")
    assert load_policy(file, ARM).contract.rate == 10
    assert load_policy(file, ARM, tmp_path / "mine.toml").contract.rate == 25
    with pytest.raises(ContractError, match=r"expected a .toml, .json or .yaml file"):
        load_policy(file, ARM, tmp_path / "contract.pkl")


def test_a_policy_toml_that_may_belong_to_another_network(tmp_path: Path) -> None:
    file = linear(tmp_path / "p.onnx", WEIGHTS, metadata=carrying(contract()))
    linear(tmp_path / "q.onnx", WEIGHTS)
    (tmp_path / "policy.toml").write_text("rate = 10")
    with pytest.raises(ContractError, match=r"may belong to p.onnx or to q.onnx; rename it p.toml"):
        load_policy(file, ARM)


def test_a_bare_network_is_refused_with_the_lines_to_write(tmp_path: Path) -> None:
    file = linear(tmp_path / "p.onnx", WEIGHTS)
    with pytest.raises(IncompleteContractError) as caught:
        load_policy(file, ARM)
    text = str(caught.value)
    assert "nothing says rate, start, action.meaning" in text
    assert "the network takes obs[1, 8] and gives actions[1, 4]" in text
    with pytest.raises(IncompleteContractError, match=r"nothing says arm, rate, start(.|\n)*arm = \?"):
        arm_named(file)


def test_the_lines_to_write_are_all_that_is_needed(tmp_path: Path) -> None:
    """Every ? answered and every # of an optional line taken away: it loads."""
    file = linear(tmp_path / "p.onnx", np.zeros((15, 5)))
    with pytest.raises(IncompleteContractError) as caught:
        load_policy(file, ARM)
    answers = {
        "rate": "50",
        "start": '"home"',
        "meaning": '"position"',
        "scale": "0.5",
        "offset": "0.0",
        "low": "-1.0",
        "high": "1.0",
        "stiffness": "5.0",
        "damping": "0.1",
    }
    lines = []
    table = ""
    for line in str(caught.value).split(":\n\n", 1)[1].splitlines():
        bare = line.removeprefix("# ").removeprefix("# ")
        table = bare.split()[0] if bare.startswith("[") else table
        if table == "[target]":
            answers |= {"kind": '"custom"', "size": "2", "low": "[0, 0]", "high": "[1, 1]", "default": "[0, 0]"}
        key, _, rest = bare.partition(" = ")
        if not rest or (table == "[target]" and key == "joints") or key in ("period", "stacked"):
            lines.append(bare if bare.startswith("[") else "")
            continue
        if key == "kind" and table == "[[observation]]":
            answers["kind"] = '"joint_position"'
        lines.append(f"{key} = {answers[key]}" if rest.startswith("?") else bare)
        if table == "[[observation]]":
            answers.pop("kind", None)
    text = "\n".join(lines)
    head, target = text.split("[target]")
    terms = (
        '[[observation]]\nkind = "last_action"\n[[observation]]\nkind = "target"\n[[observation]]\nkind = "constant"\n'
    )
    more = '[[observation]]\nkind = "phase"\nperiod = 2.0\n'
    (tmp_path / "p.toml").write_text(f"{head}{terms}{more}[target]{target}")
    read = load_policy(file, ARM).contract
    assert read.action.joints == ARM.joint_names
    assert read.action.clip == (-1.0, 1.0)
    assert read.target is not None
    assert read.target.default == (0.0, 0.0)


def test_all_that_is_wrong_is_told_at_once_by_file_and_line(tmp_path: Path) -> None:
    file = linear(tmp_path / "p.onnx", WEIGHTS)
    (tmp_path / "p.toml").write_text(
        """rate = "50"
start = { joint1 = 9.0 }
colour = 3
[action]
meaning = "force"
joints = "joint1"
[[observation]]
kind = "joint_position"
joints = ["joint1", "wrist_rol"]
scale = [1, 2, 3]
[[observation]]
kind = "phase"
[[observation]]
kind = "target_error"
scale = [1, 2]
clip = [1]
history = 0
[[observation]]
joints = []
"""
    )
    with pytest.raises(IncompleteContractError) as caught:
        load_policy(file, ARM)
    text = str(caught.value)
    for told in (
        "p.toml:1: rate: expected a number",
        "p.toml:2: start.joint1: 9.0 rad is outside",
        "p.toml:3: colour: unknown key",
        "p.toml:5: action.meaning: expected one of torque",
        'p.toml:6: action.joints: expected a list of joint names, such as ["',
        "p.toml:9: observation.1.joints: open-manipulator-x has no joint wrist_rol",
        "p.toml:10: observation.1.scale: expected 1 or 2 numbers, found 3",
        "p.toml:11: observation.2.period: a phase has a period",
        "p.toml:16: observation.3.clip: expected [low, high]",
        "p.toml:17: observation.3.history: expected at least 1",
        "p.toml:18: observation.4.kind: missing",
        "nothing says action.scale, action.offset, target.",
    ):
        assert told in text


def test_a_scale_of_each_entry_of_a_target(tmp_path: Path) -> None:
    told = contract(observation=(Term("joint_position", 4, JOINTS), Term("joint_velocity", 4, JOINTS)))
    file = linear(tmp_path / "p.onnx", np.zeros((3, 4)), metadata=carrying(told))
    target = '[target]\nkind = "tip_position"\n[[observation]]\nkind = "target_error"\nscale = '
    (tmp_path / "p.toml").write_text(target + "[1, 2, 3]")
    assert load_policy(file, ARM).contract.observation[0].scale == (1.0, 2.0, 3.0)
    (tmp_path / "p.toml").write_text(target + "[1, 2]")
    with pytest.raises(ContractError, match=r"p.toml:5: observation.1.scale: expected 1 or 3 numbers, found 2"):
        load_policy(file, ARM)


def test_a_policy_for_another_arm_says_for_which(tmp_path: Path) -> None:
    file = linear(tmp_path / "p.onnx", WEIGHTS, metadata=carrying(contract(arm="koch-v1.1", start={"a": 1.0})))
    with pytest.raises(ContractError, match=r"made for koch-v1.1, asked to fly open-manipulator-x") as caught:
        load_policy(file, ARM)
    assert "start:" not in str(caught.value)
    same = linear(tmp_path / "q.onnx", WEIGHTS, metadata=carrying(contract(arm="my-own-copy")))
    load_policy(same, ARM)  # it has the same joints: the preflight has the last word


def test_the_arm_that_a_policy_names(tmp_path: Path) -> None:
    file = linear(tmp_path / "p.onnx", WEIGHTS, metadata=carrying(contract(arm=ARM.name)))
    assert arm_named(file) == ARM.name
    with pytest.raises(IncompleteContractError, match="say it with --arm"):
        arm_named(linear(tmp_path / "q.onnx", WEIGHTS, metadata=carrying(contract())))


def test_sizes_that_do_not_fit_show_the_sum(tmp_path: Path) -> None:
    terms = (Term("joint_position", 4, JOINTS, history=2), Term("last_action", 4))
    file = linear(tmp_path / "p.onnx", WEIGHTS, metadata=carrying(contract(observation=terms)))
    with pytest.raises(ContractError, match=r"has 12 numbers \(joint_position 4x2 \+ last_action 4\).* takes 8"):
        load_policy(file, ARM)


def test_joints_and_poses_that_the_arm_does_not_have(tmp_path: Path) -> None:
    wrongs: list[tuple[dict[str, Any], str]] = [
        ({"start": "bed"}, "no pose 'bed'; it has home, rest"),
        ({"start": {"joint1": 0.0}}, "no angle for joint2, joint3, joint4"),
        ({"start": dict.fromkeys(JOINTS, 9.0)}, "start.joint1: 9.0 rad is outside"),
    ]
    for wrong, message in wrongs:
        file = linear(tmp_path / "p.onnx", WEIGHTS, metadata=carrying(contract(**wrong)))
        with pytest.raises(ContractError, match=message):
            load_policy(file, ARM)
    with pytest.raises(ContractError, match="koch-v1.1 has no joint joint1"):
        load_policy(file, load_arm("koch-v1.1"))


def test_mjlab_says_all_but_rate_and_observation(tmp_path: Path) -> None:
    file = linear(tmp_path / "p.onnx", WEIGHTS, metadata=MJLAB)
    with pytest.raises(IncompleteContractError) as caught:
        load_policy(file, ARM)
    text = str(caught.value)
    assert "nothing says rate, observation." in text
    assert "offset = [0.0, -1.0, 0.3, 0.7]" in text
    assert "scale = 0.05" in text
    assert "kind = ?                   # 'goal' in mjlab" in text

    (tmp_path / "p.toml").write_text("rate = 50" + OBSERVATION)
    action = load_policy(file, ARM).contract.action
    assert action.meaning == "position"
    assert action.scale == (0.25,)
    assert action.offset == (0.0, -1.0, 0.3, 0.7)
    assert action.stiffness == (20.0, 20.0, 10.0, 5.0)
    assert load_policy(file, ARM).contract.start == dict(zip(JOINTS, action.offset, strict=True))


def test_mjlab_with_joints_that_are_not_driven(tmp_path: Path) -> None:
    file = linear(tmp_path / "p.onnx", WEIGHTS, metadata=MJLAB | {"action_scale": "0.1,0.2"})
    with pytest.raises(IncompleteContractError, match="not every joint is driven"):
        load_policy(file, ARM)
    with pytest.raises(ContractError, match="joint_stiffness: expected numbers"):
        load_policy(linear(tmp_path / "q.onnx", WEIGHTS, metadata=MJLAB | {"joint_stiffness": "a,b"}), ARM)


def test_isaac_lab_descriptor(tmp_path: Path) -> None:
    file = linear(tmp_path / "p.onnx", np.zeros((20, 4)))
    (tmp_path / "isaac_reach_IO_descriptors.yaml").write_text(yaml.safe_dump(descriptor()))
    read = load_policy(file, ARM).contract
    position, velocity, last = read.observation
    assert position == Term("joint_position", 4, JOINTS, (0.5,), (0.0, -1.0, 0.3, 0.7), (-1.0, 1.0))
    assert velocity.history == 3
    assert last.kind == "last_action"
    assert read.rate == 50.0
    assert read.action.low == (-0.5, -1.5, -0.2, 0.2)
    assert read.action.high == (0.5, -0.5, 0.8, 1.2)
    assert read.action.stiffness == (20.0, 20.0, 10.0, 5.0)
    assert read.start == dict(zip(JOINTS, (0.0, -1.0, 0.3, 0.7), strict=True))


def test_what_isaac_lab_says_and_a_contract_cannot(tmp_path: Path) -> None:
    file, beside = linear(tmp_path / "p.onnx", WEIGHTS), tmp_path / "p_IO_descriptors.yaml"
    strange = descriptor()
    strange["observations"] = {"policy": [{"full_path": "x.base_lin_vel", "shape": [3]}]}
    beside.write_text(yaml.safe_dump(strange))
    with pytest.raises(IncompleteContractError, match="'base_lin_vel' cannot be said in a contract"):
        load_policy(file, ARM)
    (tmp_path / "p.toml").write_text(OBSERVATION)
    assert load_policy(file, ARM).contract.observation_size == 8


def test_a_command_of_isaac_lab_needs_a_target(tmp_path: Path) -> None:
    commanded = descriptor()
    commanded["observations"] = {"policy": [{"full_path": "x.generated_commands", "shape": [8]}]}
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(commanded))
    with pytest.raises(IncompleteContractError, match=r"nothing says target(.|\n)*size = 8"):
        load_policy(linear(tmp_path / "p.onnx", WEIGHTS), ARM)


@pytest.mark.parametrize("text", ["!!python/object/apply:os.system ['true']", "- 1", "a: [", "scene: {}"])
def test_yaml_that_is_no_plain_descriptor(tmp_path: Path, text: str) -> None:
    file = linear(tmp_path / "p.onnx", WEIGHTS)
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(ContractError, match=r"not plain YAML|not an IO descriptor"):
        load_policy(file, ARM)


def paths(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested tables and lists."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(place for key, value in items for place in paths(value, (*path, key)))]


@pytest.mark.parametrize("wrong", [None, "x", -1, 0, [], {}, [None], float("nan"), 10**400, True])
def test_whatever_a_descriptor_says_is_read_or_refused(tmp_path: Path, wrong: Any) -> None:
    file = linear(tmp_path / "p.onnx", np.zeros((20, 4)))
    for path in paths(descriptor())[1:]:
        broken = place = descriptor()
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = wrong
        (tmp_path / "p.yaml").write_text(yaml.safe_dump(broken))
        with contextlib.suppress(ContractError):
            load_policy(file, ARM)
