from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_runtime.policy import (
    Action,
    Contract,
    ContractError,
    IncompleteContractError,
    Target,
    Term,
    contract_from_json,
    contract_to_json,
)
from robot_runtime.policy.contract_json import draft_from_toml
from robot_runtime.policy.draft import build
from tests.robot_runtime.policy.networks import JOINTS, contract

FULL = Contract(
    observation=(
        Term("joint_position", 4, JOINTS, scale=(0.1, 0.2, 0.3, 1 / 3), offset=(0.5,), clip=(-1.0, 1.0), history=3),
        Term("last_action", 2),
        Term("target_error", 3, scale=(2.0,)),
        Term("phase", 2, period=0.7),
        Term("constant", 1, offset=(0.25,)),
    ),
    action=Action("position", ("joint1", "joint2"), (0.3,), (0.0, 0.1), (-1, 1), (2.0,), (0.1, 0.2), "measured"),
    rate=33.3,
    start={"joint1": 0.1, "joint2": -0.2},
    target=Target("tip_position", 3, low=(0.0, -0.1, 0.0), high=(0.3, 0.1, 0.3), default=(0.2, 0.0, 0.1)),
    arm="open-manipulator-x",
    provenance={"seed": 3, "success": 0.97},
)


def test_a_contract_survives_its_text() -> None:
    text = contract_to_json(FULL)
    assert contract_from_json(text) == FULL
    assert "\n" not in text


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=4, max_size=4))
def test_numbers_survive_to_the_last_bit(numbers: list[float]) -> None:
    before = contract(action=Action("torque", JOINTS, scale=tuple(numbers)))
    assert contract_from_json(contract_to_json(before)).action.scale == tuple(numbers)


def edited(**changes: Any) -> str:
    return json.dumps(json.loads(contract_to_json(FULL)) | changes)


ACTION = json.loads(contract_to_json(FULL))["action"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "version: 2 is newer than 1"),
        ({"frequency": 50}, "frequency: unknown key; known here: version, observation, action, rate"),
        ({"rate": "50"}, r"rate: expected a number \(Hz\), found '50'"),
        ({"rate": 0}, "rate: expected a number above 0"),
        ({"rate": True}, "rate: expected a number"),
        ({"action": ACTION | {"scale": [1, 2, 3]}}, "action.scale: expected 1 or 2 numbers, found 3"),
        ({"action": ACTION | {"offset": ["a"]}}, "action.offset: expected a number or a list of numbers"),
        ({"action": ACTION | {"offset": 10**400}}, "action.offset: expected finite numbers"),
        ({"action": ACTION | {"meaning": "force"}}, "action.meaning: expected one of torque, position"),
        ({"action": ACTION | {"joints": ["joint1", "joint1"]}}, "action.joints: a joint is named twice"),
        ({"action": ACTION | {"damping": None}}, "action.damping: stiffness and damping go together"),
        ({"action": ACTION | {"gain": 1}}, "action.gain: unknown key"),
        ({"observation": [{"kind": "pose"}]}, "observation.1.kind: expected one of joint_position"),
        ({"observation": [{"kind": "joint_position"}]}, "observation.1.joints: expected the names"),
        ({"observation": [{"kind": "phase"}]}, "observation.1.period: a phase has a period"),
        ({"observation": [{"kind": "tip_position", "size": 4}]}, "observation.1.size: expected 3, found 4"),
        ({"observation": [{"kind": "last_action", "size": 4}]}, "observation.1.size: the action has 2 numbers"),
        ({"observation": [{"kind": "last_action", "clip": [1, -1]}]}, "observation.1.clip: expected .* ascending"),
        ({"observation": 3}, "observation: expected at least one"),
        ({"observation": []}, "observation: expected at least one term"),
        ({"stacked": True}, r"stacked: .* same history; found \[1, 3\]"),
        ({"target": None}, "nothing says target"),
        ({"target": {"kind": "joint_position"}}, "target.joints: expected the names"),
        ({"target": {"kind": "custom"}}, "target.size: missing"),
        ({"target": {"kind": "custom", "size": 3}}, "observation.3.kind: the error of a custom target"),
        ({"target": {"kind": "tip_position", "low": [0, 0]}}, "target.low: expected 3 finite numbers"),
    ],
)
def test_what_cannot_be_is_told_by_its_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        contract_from_json(edited(**changes))


def test_text_that_is_no_table() -> None:
    with pytest.raises(ContractError, match="not valid JSON"):
        contract_from_json("{")
    with pytest.raises(ContractError, match="expected a table of keys, found list"):
        contract_from_json("[]")


def test_what_is_missing_is_listed_with_the_lines_to_write() -> None:
    with pytest.raises(IncompleteContractError) as caught:
        contract_from_json('{"action": {"meaning": "torque", "joints": ["joint1"]}}')
    text = str(caught.value)
    assert "nothing says rate, start, action.scale, action.offset, observation." in text
    assert "[action]\nscale = ?" in text
    assert "[[observation]]" in text
    assert "meaning = ?" not in text


def test_a_person_may_write_less(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(
        """
        rate = 50
        start = "home"
        [action]
        meaning = "torque"
        joints = ["joint1", "joint2"]
        scale = 0.5
        offset = 0
        [[observation]]
        kind = "joint_position"
        joints = ["joint1", "joint2"]
        [[observation]]
        kind = "last_action"
        [[observation]]
        kind = "constant"
        offset = [1.0, 2.0]
        """
    )
    read = build(draft_from_toml(file), "x")
    assert [term.size for term in read.observation] == [2, 2, 2]
    assert read.action.scale == (0.5,)


def test_toml_errors_name_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text('rate = 50\n[action]\nmeaning = "torque"\njoints = ["a"]\nscale = [1, 2]\n')
    with pytest.raises(ContractError, match=r"policy.toml:5: action.scale: expected 1 or 1 numbers, found 2"):
        build(draft_from_toml(file), "x")


def test_a_target_whose_ends_are_swapped_is_one_problem() -> None:
    for default in ({}, {"default": [0.1]}):
        with pytest.raises(ContractError) as error:
            contract_from_json(edited(target={"kind": "custom", "size": 1, "low": 1, "high": 0, **default}))
        assert "target.low: the low end" in str(error.value)
        assert "default" not in str(error.value)


def test_provenance_may_hold_whatever_toml_holds(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(
        "[provenance]\nday = 1979-05-27\nmoment = 1979-05-27T07:32:00Z\nnone = [nan, inf]\ndeep = { at = 07:32:00 }\n"
    )
    facts = draft_from_toml(path).values["provenance"]
    known = contract(provenance=facts)
    assert contract_from_json(contract_to_json(known)) == known
    assert facts["day"] == "1979-05-27"
    assert facts["moment"] == "1979-05-27T07:32:00+00:00"
    assert facts["none"] == ["nan", "inf"]
    assert facts["deep"] == {"at": "07:32:00"}


def test_a_contract_in_code_is_checked_too() -> None:
    with pytest.raises(ContractError, match=r"observation.1.scale: expected 1 or 4 numbers, found 2"):
        contract(observation=(Term("joint_position", 4, JOINTS, scale=(1.0, 2.0)),))
    with pytest.raises(ContractError, match="provenance"):
        contract_to_json(contract(provenance={"x": object()}))


def paths(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested tables and lists."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(place for key, value in items for place in paths(value, (*path, key)))]


@pytest.mark.parametrize("wrong", [None, "x", -1, 0, [], {}, [None], float("nan"), float("inf"), 10**400, True, 1e999])
def test_whatever_a_text_says_is_read_or_refused(wrong: Any) -> None:
    for path in paths(json.loads(contract_to_json(FULL)))[1:]:
        broken = place = json.loads(contract_to_json(FULL))
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = wrong
        try:
            read = contract_from_json(json.dumps(broken))
        except ContractError:
            continue
        if path[0] != "provenance":
            assert contract_from_json(contract_to_json(read)) == read
