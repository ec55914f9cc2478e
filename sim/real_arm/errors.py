"""What the environment of a real arm raises, besides what port, bus and arm raise themselves."""

from __future__ import annotations

from rich.console import Console

from robot_runtime.preflight.table import Check, table
from robot_runtime.verdict import Verdict

_WIDTH = 140
"""Characters a line of the preflight's table."""


class RealArmError(RuntimeError):
    """The arm cannot be used as an environment now."""


class PreflightFailedError(RealArmError):
    """Something was not as it should be before torque came on; nothing has moved. `checks` has all of it.

    Example scenarios:
        - A servo is set up differently from the arm file, is too hot, or reports an error.
        - A joint stands outside its limits.
    """

    def __init__(self, checks: list[Check]) -> None:
        """The message is the table of what is wrong."""
        self.checks = checks
        console = Console(width=_WIDTH, no_color=True)
        with console.capture() as captured:
            console.print(table(check for check in checks if check.ok is not True))
        super().__init__(f"the preflight found something wrong; nothing has moved\n{captured.get()}")


class ArmStoppedError(RealArmError):
    """A fault stopped the arm, and only a person may let it move again. `verdict` says what happened.

    Example scenarios:
        - The emergency stop was pressed.
        - A joint met something, a servo got too hot, a cable came loose.
    """

    def __init__(self, verdict: Verdict) -> None:
        """The message says what happened and where the arm was left."""
        self.verdict = verdict
        super().__init__(
            f"the arm was stopped: {verdict.text} ({verdict.outcome}). See what is wrong with it before it moves "
            "again; then make a new environment"
        )
