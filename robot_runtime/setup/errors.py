"""What can go wrong while servos are set up."""

from __future__ import annotations


class SetupError(Exception):
    """Base of everything that set-up raises beyond the bus's errors."""


class RefusedError(SetupError):
    """Not done, because it could do harm or nobody has agreed to it. Nothing was written.

    Example scenarios:
        - Torque is on, and what was asked for needs it off.
        - A question would have to be asked, and nobody is there to answer.
    """


class CannotBeRightError(RefusedError):
    """What was shown with the arm cannot be right; the message says which joint and why. Nothing was written.

    Example scenarios:
        - A joint did not move, or both ways.
        - The encoder wraps inside the joint's range.
    """


class WhichServoError(SetupError):
    """Not exactly one servo that could be meant, or the wrong one.

    Example scenarios:
        - Two servos are connected where one at a time is set up.
        - Two servos share the ID.
        - Another servo has the ID already.
    """


class NoServoError(WhichServoError):
    """No servo that could be meant answers.

    Example scenarios:
        - The servo has no power, or its cable is not in.
    """


class UndoFileError(SetupError, ValueError):
    """A file that is not an undo file, or one that cannot be written."""


class ArmFileError(SetupError, ValueError):
    """An arm file whose lines cannot be changed in place; the message says what to write by hand."""
