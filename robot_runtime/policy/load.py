"""Policy: a network and the contract that makes its numbers joint angles and torques, checked against an arm."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robot_runtime.arrays import Floats
from robot_runtime.policy.contract import Contract
from robot_runtime.policy.draft import OBSERVATION_LINES, Draft, build, require_complete
from robot_runtime.policy.errors import ContractError
from robot_runtime.policy.network import Network, OnnxFile
from robot_runtime.policy.sources import draft_of
from robot_runtime.spec import ArmSpec


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """A frozen policy, ready to run."""

    contract: Contract
    network: Network
    source: str  # where the contract came from
    origin: Mapping[str, str]  # the source of each of its keys
    remarks: tuple[str, ...]  # what a person should know of the sources

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the network's files."""
        return self.network.digest


def load_policy(path: str | Path, spec: ArmSpec, contract_path: str | Path | None = None) -> Policy:
    """Load a network, find out what its numbers mean, and check that they are about this arm.

    Whether the arm's modes can do what the policy wants is checked when a pilot takes it (`PolicyPilot`).

    Raises:
        PolicyFileError: the network cannot be used.
        ContractError: its contract is missing, incomplete, wrong, or does not fit network or arm.
    """
    file = OnnxFile(Path(path))
    draft = draft_of(file.path, file.metadata, Path(contract_path) if contract_path else None)
    _offer(draft, spec)
    if wrong := list(_of_arm(draft.values, spec)):
        _require_meant(draft, spec, str(path))
        draft.wrong += [(key.split(".")[0], draft.told(key, problem, str(path))) for key, problem in wrong]
    contract = build(draft, str(path), _sizes(file))
    require_sizes(contract, file)
    network = Network(file, contract.observation_size, contract.action_size)
    source = "; ".join(dict.fromkeys(draft.origin.values()))
    return Policy(contract, network, source, draft.origin, tuple(draft.remarks))


def arm_named(path: str | Path, contract_path: str | Path | None = None) -> str:
    """The arm that a policy was made for, as its contract names it.

    Raises:
        PolicyFileError: the network cannot be used.
        ContractError: a source of its contract cannot be read, or none names an arm; all else that is missing is told.
    """
    file = OnnxFile(Path(path))
    draft = draft_of(file.path, file.metadata, Path(contract_path) if contract_path else None)
    name = str(draft.values.get("arm", ""))
    if name:
        return name
    draft.values.pop("arm", None)
    require_complete(draft, str(path), _sizes(file), also=("arm",))
    raise AssertionError("an arm that is missing is complained of")


def _of_arm(values: Mapping[str, Any], spec: ArmSpec) -> Iterator[tuple[str, str]]:
    """What a contract, complete or not, says of joints and poses that this arm does not have: key, problem."""
    named = {f"observation.{i + 1}.joints": term.joints for i, term in enumerate(values.get("observation", ()))}
    named["action.joints"] = values.get("action.joints", ())
    named["target.joints"] = target.joints if (target := values.get("target")) else ()
    start = values.get("start", "home")
    named["start"] = () if isinstance(start, str) else tuple(start)
    for key, joints in named.items():
        if unknown := [joint for joint in joints if joint not in spec.joint_names]:
            yield key, f"{spec.name} has no joint {', '.join(unknown)}; it has {', '.join(spec.joint_names)}"
    yield from _start_problems(start, named["action.joints"], spec)


def _require_meant(draft: Draft, spec: ArmSpec, path: str) -> None:
    """Nothing that a policy for another arm says of joints is of interest here."""
    made_for = str(draft.values.get("arm", ""))
    if made_for not in ("", spec.name):
        told = draft.told("arm", f"made for {made_for}, asked to fly {spec.name}", path)
        raise ContractError(f"{told}, which has other joints or poses; choose the policy for it, or --arm {made_for}")


def _offer(draft: Draft, spec: ArmSpec) -> None:
    """Where nobody has a better offer: the names of this arm."""
    names = json.dumps(list(spec.joint_names))
    draft.offers.setdefault("arm", f'arm = "{spec.name}"')
    asked = f"joints = {'?':<17}"
    draft.offers.setdefault("action.joints", f"joints = {names}  # in the order of the output: leave out, reorder")
    draft.offers.setdefault("observation", OBSERVATION_LINES.replace(asked, f"joints = {names}  ", 1))


def _sizes(file: OnnxFile) -> str:
    """What the network takes and gives, for messages."""
    return f"the network takes {', '.join(map(str, file.inputs))} and gives {', '.join(map(str, file.outputs))}"


def require_sizes(contract: Contract, file: OnnxFile) -> None:
    """What the terms add up to, when the network takes another number: the arithmetic, for the message."""
    sizes = {port.shape[-1] for port in file.inputs if len(port.shape) in (1, 2) and port.name != "time_step"}
    if contract.observation_size in sizes or None in sizes or not sizes:
        return
    raise ContractError(
        f"{file.path}: the contract's observation has {contract.observation_size} numbers "
        f"({contract.observation_sum}), the network takes {', '.join(str(size) for size in sizes)}"
    )


def start_pose(contract: Contract, spec: ArmSpec) -> Floats:
    """Where the policy starts (rad, every joint of the arm); joints that it does not name are at home.

    Raises:
        ContractError: the arm has no such pose, or it is outside a joint's limits.
    """
    for key, problem in _start_problems(contract.start, contract.action.joints, spec):
        raise ContractError(f"{key}: {problem}")
    if isinstance(contract.start, str):
        return np.array(spec.poses[contract.start])
    home = zip(spec.joint_names, spec.poses["home"], strict=True)
    return np.array([contract.start.get(name, angle) for name, angle in home])


def _start_problems(
    start: Mapping[str, float] | str, driven: tuple[str, ...], spec: ArmSpec
) -> Iterator[tuple[str, str]]:
    """What is wrong with a start pose: key, problem."""
    if isinstance(start, str):
        if start not in spec.poses:
            yield "start", f"{spec.name} has no pose '{start}'; it has {', '.join(spec.poses)}, or give angles"
        return
    if missing := [joint for joint in driven if joint not in start]:
        yield "start", f"no angle for {', '.join(missing)}; expected one for every joint of the action"
    for joint in spec.joints:
        limits = joint.limits
        if not limits.lower <= start.get(joint.name, limits.lower) <= limits.upper:
            ends = f"{limits.lower} to {limits.upper}"
            yield f"start.{joint.name}", f"{start[joint.name]} rad is outside the joint's limits, {ends}"
