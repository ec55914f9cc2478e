"""What `robot-calibrate check` says at the end."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.cli.check import _say
from calibration.judging.drift import Change, Checked, Verdict
from robot_runtime.cli.common import Screen

CHANGE = Change("joint1.offset", 0.0, 0.1, 20.0, "rad")


@pytest.mark.parametrize(
    ("verdict", "changes", "last"),
    [
        (Verdict.HOLDS, (), "holds; no number changed beyond noise"),
        (Verdict.DRIFTED, (), "drifted; no number says why: look for play"),
        (Verdict.DRIFTED, (CHANGE,), "drifted"),
        (Verdict.FOREIGN, (), "does not belong to this arm"),
    ],
)
def test_the_last_line_says_what_no_number_does(
    verdict: Verdict, changes: tuple[Change, ...], last: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = np.array([0.01])
    _say(Checked(verdict, ("joint1",), error, error, error, changes, ()), Screen())
    said = capsys.readouterr()
    line = (said.out + said.err).strip().splitlines()[-1]
    assert line.startswith(last)
    assert (";" in line) == (";" in last)
