"""How good a policy is: success, error and return over episodes that it has never seen, with confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from robot_runtime.arrays import Floats
from robot_runtime.policy.contract import Contract
from robot_runtime.policy.contract_json import METADATA_KEY, contract_from_json
from robot_runtime.policy.network import Network, OnnxFile
from sim.tasks import Task

Policy = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
"""Observations (n x size) to actions (n x size)."""

Z = 1.96
"""Standard deviations either side that hold 95 % of a normal distribution."""


class PolicyMismatchError(ValueError):
    """A policy that does not fit the task: it senses, acts or ticks differently from what the task offers."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean and its 95 % confidence interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}]"


@dataclass(frozen=True, slots=True)
class Result:
    """Of one evaluation."""

    episodes: int
    success: Figure  # share
    error: Figure  # at the end of the episode, in the task's unit (m or rad)
    returns: Figure
    worst_error: float


def evaluate(task: Task, policy: Policy) -> Result:
    """One whole episode in each of the task's simulations."""
    task.reset()
    running = np.ones(task.count, dtype=bool)
    returns, errors, successes = np.zeros(task.count), np.zeros(task.count), np.zeros(task.count, dtype=bool)
    while running.any():
        task.step(policy(task.observation))
        returns += task.reward * running
        ended = task.done & running
        errors[ended], successes[ended] = task.error[ended], task.success[ended]
        running &= ~ended
    return Result(task.count, share(successes), mean(errors), mean(returns), float(errors.max()))


def onnx_policy(path: Path, task: Task) -> Policy:
    """The policy in a file, as the runtime runs it: one observation at a time.

    Raises:
        PolicyMismatchError: it has a memory, or its contract is not the task's.
        PolicyFileError, ContractError: it cannot be used at all.
    """
    size = task.observation.shape[1]
    network = Network(path, size, task.action_size)
    if network.states:
        raise PolicyMismatchError(f"{path}: it has a memory; many episodes at once would share it")
    actions = np.zeros((task.count, task.action_size), dtype=np.float32)

    def policy(observations: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        for row, observation in enumerate(observations):
            network.observation[:] = observation
            network.run()
            actions[row] = network.action
        return actions

    return policy


def contract_of(path: Path) -> Contract:
    """The contract that a policy carries.

    Raises:
        PolicyMismatchError: it carries none.
        PolicyFileError, ContractError: it cannot be used.
    """
    text = OnnxFile(path).metadata.get(METADATA_KEY)
    if text is None:
        raise PolicyMismatchError(f"{path}: it carries no contract; robot-import makes one of a foreign policy")
    return contract_from_json(text, str(path))


def require_same(contract: Contract, task: Task, path: Path) -> None:
    """Refuse a policy that the task would show something else than it was trained on.

    Raises:
        PolicyMismatchError: observation, action or rate differ, or no arm flies this task.
    """
    if task.contract is None:
        raise PolicyMismatchError(f"task {task.name} has no contract to compare with that of {path}")
    for part in ("observation", "action", "rate"):
        has, offers = getattr(contract, part), getattr(task.contract, part)
        if has != offers:
            has, offers = (_told(one, part) for one in (contract, task.contract))
            how = (
                f"is {has}; task {task.name} offers {offers}" if has != offers else "has other joints, scales or limits"
            )
            raise PolicyMismatchError(f"{path}: its {part} {how}: another task or arm, or trained by another version?")


def _told(contract: Contract, part: str) -> str:
    """A part of a contract in a few words."""
    if part == "observation":
        return contract.observation_sum
    action = contract.action
    return f"{action.meaning} of {', '.join(action.joints)}" if part == "action" else f"{contract.rate:g} Hz"


def mean(values: Floats) -> Figure:
    """Mean with the interval that the central limit theorem gives."""
    middle = float(values.mean())
    half = Z * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.inf
    return Figure(middle, middle - half, middle + half)


def share(outcomes: npt.NDArray[np.bool_]) -> Figure:
    """Share of successes with Wilson's interval, which stays inside 0 and 1 and is honest about 1000 of 1000."""
    n, p = len(outcomes), float(outcomes.mean())
    centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
    return Figure(p, max(centre - half, 0.0), min(centre + half, 1.0))
