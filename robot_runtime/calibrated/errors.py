"""What can be wrong with a calibration; every error says what was found, where, and what to do."""

from __future__ import annotations


class ArmCalError(Exception):
    """Base of what loading or using an `arm.cal` raises."""


class NotCalibrationError(ArmCalError, ValueError):
    """The file is something else.

    Example scenarios:
        - A policy (`.onnx`) or a recording (`.mcap`) was given.
        - A zip file without `calibration.json` in it.
    """


class TornCalibrationError(ArmCalError, ValueError):
    """The file begins as a calibration does, but parts of it are missing or damaged.

    Example scenarios:
        - The disk was full, or a copy was interrupted.
        - A bit of a map has flipped.
    """


class CalibrationVersionError(ArmCalError, ValueError):
    """The file is of a later version than this software knows."""


class CalibrationDigestError(ArmCalError, ValueError):
    """The content is not what its digest says: somebody has edited it."""


class UnfitMapError(ArmCalError, ValueError):
    """A map cannot be run as it is asked to be.

    Example scenarios:
        - It was fitted to histories in steps of 5 ms, and the bus cycle is 8 ms.
        - It names a joint that the arm does not have, or wants the command of the cycle that it is asked in.
    """
