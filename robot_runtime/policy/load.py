"""Policy: a network and the contract that makes its numbers joint angles and torques, checked against an arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robot_runtime.arm.state import Floats
from robot_runtime.policy.contract import Contract
from robot_runtime.policy.draft import build
from robot_runtime.policy.errors import ContractError, IncompleteContractError
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
    contract = build(draft, str(path))
    require_arm(contract, spec)
    require_sizes(contract, file)
    network = Network(file, contract.observation_size, contract.action_size)
    source = "; ".join(dict.fromkeys(draft.origin.values()))
    return Policy(contract, network, source, draft.origin, tuple(draft.remarks))


def arm_named(path: str | Path, contract_path: str | Path | None = None) -> str:
    """The arm that a policy was made for, as its contract names it.

    Raises:
        PolicyFileError: the network cannot be used.
        ContractError: a source of its contract cannot be read, or none names an arm.
    """
    file = OnnxFile(Path(path))
    draft = draft_of(file.path, file.metadata, Path(contract_path) if contract_path else None)
    name = str(draft.values.get("arm", ""))
    if not name:
        raise IncompleteContractError(f"{path}: nothing says for which arm it is; say it with --arm")
    return name


def require_arm(contract: Contract, spec: ArmSpec) -> None:
    """Every joint that the contract names is one of the arm's, and the start pose is one that it can take.

    Raises:
        ContractError: it is not.
    """
    named = {f"observation.{i + 1}.joints": term.joints for i, term in enumerate(contract.observation)}
    named["action.joints"] = contract.action.joints
    named["target.joints"] = contract.target.joints if contract.target else ()
    named["start"] = () if isinstance(contract.start, str) else tuple(contract.start)
    for key, joints in named.items():
        unknown = [joint for joint in joints if joint not in spec.joint_names]
        if unknown:
            has = ", ".join(spec.joint_names)
            raise ContractError(f"{key}: {spec.name} has no joint {', '.join(unknown)}; it has {has}")
    start_pose(contract, spec)


def require_sizes(contract: Contract, file: OnnxFile) -> None:
    """What the terms add up to, when the network takes another number: the arithmetic, for the message."""
    sizes = {port.shape[-1] for port in file.inputs if len(port.shape) in (1, 2) and port.name != "time_step"}
    if contract.observation_size in sizes or None in sizes or not sizes:
        return
    terms = " + ".join(f"{t.kind} {t.size}" + (f"x{t.history}" if t.history > 1 else "") for t in contract.observation)
    raise ContractError(
        f"{file.path}: the contract's observation has {contract.observation_size} numbers ({terms}), the network takes "
        f"{', '.join(str(size) for size in sizes)}"
    )


def start_pose(contract: Contract, spec: ArmSpec) -> Floats:
    """Where the policy starts (rad, every joint of the arm); joints that it does not name are at home.

    Raises:
        ContractError: the arm has no such pose, or it is outside a joint's limits.
    """
    if isinstance(contract.start, str):
        if contract.start not in spec.poses:
            raise ContractError(
                f"start: {spec.name} has no pose '{contract.start}'; it has {', '.join(spec.poses)}, or give angles"
            )
        return np.array(spec.poses[contract.start])
    missing = [joint for joint in contract.action.joints if joint not in contract.start]
    if missing:
        raise ContractError(f"start: no angle for {', '.join(missing)}; expected one for every joint of the action")
    pose = np.array(spec.poses["home"])
    for i, joint in enumerate(spec.joints):
        pose[i] = contract.start.get(joint.name, pose[i])
        if not joint.limits.lower <= pose[i] <= joint.limits.upper:
            limits = f"{joint.limits.lower} to {joint.limits.upper}"
            raise ContractError(f"start.{joint.name}: {pose[i]} rad is outside the joint's limits, {limits}")
    return pose
