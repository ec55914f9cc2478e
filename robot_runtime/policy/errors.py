"""What can be wrong with a policy; every error says what was found, where, and what to do."""

from __future__ import annotations

from collections.abc import Sequence


class PolicyError(Exception):
    """Base of what loading or flying a policy raises."""


class PolicyFileError(PolicyError):
    """The network's file cannot be used.

    Example scenarios:
        - There is no such file, or it is not an ONNX (a `.pt` or `.zip` was given; those are never opened).
        - Its external data (`X.onnx.data`) was not copied along.
    """


class ContractError(PolicyError, ValueError):
    """A contract says something impossible, or does not fit the network or the arm; the message names the key.

    Example scenarios:
        - A scale has three numbers for four joints.
        - The terms add up to 20 numbers and the network takes 22.
        - The contract is of a newer version than this software.
    """


class ContradictionError(ContractError):
    """A contract contradicts itself; `problems`: every key that is wrong, and what is wrong with it."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        """From all that is wrong."""
        super().__init__("\n".join(f"{key}: {problem}" for key, problem in problems))
        self.problems = problems


class IncompleteContractError(ContractError):
    """Nothing says some of what must be known; the message lists it and offers the lines to write.

    Example scenarios:
        - A bare ONNX without metadata and without a `policy.toml` beside it.
        - An mjlab export: its metadata knows no rate.
    """


class ModeError(PolicyError):
    """What the policy says cannot be done by this arm in the modes that its joints are in.

    Example scenarios:
        - A torque policy on a position arm, without a calibration's torque map.
        - A position policy without stiffness and damping on joints in current mode.
        - The bus cycle does not divide the policy's period.
    """


class TargetError(PolicyError, ValueError):
    """A target that the policy cannot be given.

    Example scenarios:
        - Two numbers where three are expected.
        - A position outside the range that the policy was trained for.
    """
