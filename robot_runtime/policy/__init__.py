"""Policies: a frozen ONNX network, its contract, and what they make of a state."""

from robot_runtime.policy.contract import Action, Contract, Target, Term
from robot_runtime.policy.contract_json import contract_from_json, contract_to_json
from robot_runtime.policy.errors import (
    ContractError,
    IncompleteContractError,
    ModeError,
    PolicyError,
    PolicyFileError,
    TargetError,
)

__all__ = [
    "Action",
    "Contract",
    "ContractError",
    "IncompleteContractError",
    "ModeError",
    "PolicyError",
    "PolicyFileError",
    "Target",
    "TargetError",
    "Term",
    "contract_from_json",
    "contract_to_json",
]
