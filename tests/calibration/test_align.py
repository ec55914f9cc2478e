from __future__ import annotations

import numpy as np
import pytest

from calibration.judging.align import check_law, follow
from calibration.logs.log import Log, make_log
from calibration.physics.law import Laws
from robot_runtime.spec import load_arm

RIG = "calibration/rigs/xl330-bench"


def two_joints(*, order: tuple[int, int] = (0, 1), signs: tuple[int, int] = (1, 1)) -> Log:
    time = np.arange(0.0, 6.0, 0.005)
    command = np.stack([np.sin(2 * time), 0.7 * np.sin(3.1 * time + 1)], axis=1)
    late = np.stack([np.sin(2 * (time - 0.05)), 0.7 * np.sin(3.1 * (time - 0.05) + 1)], axis=1)
    return make_log("two", ["a", "b"], ["position"] * 2, time, (late * signs)[:, order], command)


def test_joints_that_follow_raise_no_complaint_and_show_their_lag() -> None:
    found = follow(two_joints())
    assert [f.problem for f in found] == ["", ""]
    assert [f.lag for f in found] == pytest.approx([0.05, 0.05], abs=0.006)


def test_a_wrong_sign_and_swapped_joints_are_told() -> None:
    assert "sign" in follow(two_joints(signs=(1, -1)))[1].problem
    assert "swapped" in follow(two_joints(order=(1, 0)))[0].problem


@pytest.mark.parametrize(("factor", "word"), [(1.0, ""), (2.0, "2.00 times"), (-1.0, "against")])
def test_the_position_law_is_recognised_in_a_logged_duty(factor: float, word: str) -> None:
    spec = load_arm(RIG)
    laws = Laws(spec.joints)
    time = np.arange(0.0, 4.0, 0.005)
    q, command = 0.2 * np.sin(5 * time)[:, None], 0.2 * np.sin(5 * time + 0.2)[:, None]
    duty = factor * 400 * laws.p_unit * (command - q)
    log = make_log("law", ["joint"], ["position"], time, q, command, duty=duty, gains=[{"position_p_gain": 400.0}])
    (found,) = check_law(log, laws)
    assert found.slope == pytest.approx(factor)
    assert word in found.problem
    assert bool(found.problem) == bool(word)
