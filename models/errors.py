"""What can go wrong on the way from a checkpoint to an ONNX; every error says what was found, where, and what to do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DAMAGED = (AttributeError, EOFError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
"""What reading a file that is cut, or something else altogether, may end in: readers of pickles have no class of it."""


EXPORT = "export the policy as an ONNX where it was trained, and robot-run flies that (docs/policies.md says how)"
"""The way that is open to every policy."""


class ParityError(ValueError):
    """Two computations that should be one differ by more than rounding.

    Example scenarios:
        - An operator has another meaning in ONNX than in torch.
        - The observation is normalised in one and not in the other.
    """

    def __init__(self, message: str, worst_input: NDArray[np.float32]) -> None:
        """`worst_input`: the observations [steps, n] from the start of the episode up to the difference."""
        super().__init__(message)
        self.worst_input = worst_input


class ExportError(ValueError):
    """A policy that cannot be frozen.

    Example scenarios:
        - The contract speaks of 12 observations, and the network takes 17.
        - The network is larger than one ONNX file can be.
    """


class ExportParityError(ExportError, ParityError):
    """The ONNX computes something else than what it was made of; nothing was written. `worst_input` shows it."""


class PolicyImportError(ValueError):
    """Base of what reading a checkpoint raises."""


class CheckpointError(PolicyImportError):
    """A file that cannot be read as what it is said to be.

    Example scenarios:
        - The checkpoint is damaged, or of another library.
        - A pickle asks for something that statistics have no need of.
        - The policy was trained under VecNormalize, and its statistics were not given.
    """


class UnsupportedError(PolicyImportError):
    """A policy that this importer cannot rebuild, or could only guess at.

    Example scenarios:
        - An own features extractor, images, discrete actions.
        - The checkpoint does not say its activation function, and nobody else does.
    """


class NotProvenError(PolicyImportError):
    """The trainer's own library is not installed, so nothing shows that the ONNX equals the checkpoint."""
