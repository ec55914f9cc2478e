"""How near the tip comes to its targets: which are told, and when."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from robot_runtime.aim import HELD, Aim, in_a_word
from robot_runtime.arm import Kinematics
from robot_runtime.flying import Phase
from robot_runtime.policy.contract import Target
from robot_runtime.spec import load_arm
from tests.robot_runtime.flights import swing_contract

SPEC = load_arm("open-manipulator-x")
HOME = np.array(SPEC.poses["home"])
TIP = Kinematics(SPEC).tip_position(HOME)
PERIOD = 0.005


class Flight:
    """A loop that stands for the real one: the arm stays at home."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.aim = Aim(SPEC, self.told.append)
        self.loop: Any = SimpleNamespace(
            phase=Phase.START,
            pacer=SimpleNamespace(due=100.0),
            arm=SimpleNamespace(state=SimpleNamespace(q=HOME)),
            inputs=SimpleNamespace(target=np.zeros(3)),
        )

    def fly(self, seconds: float, target: np.ndarray, phase: Phase = Phase.RUN) -> None:
        self.loop.phase, self.loop.inputs.target[:] = phase, target
        for _ in range(round(seconds / PERIOD)):
            self.loop.pacer.due += PERIOD
            self.aim(self.loop)


def test_every_target_that_was_held_is_told_at_its_end_and_the_last_in_any_case() -> None:
    flight, near = Flight(), TIP + np.array([0.0, 0.003, 0.004])
    flight.fly(3.0, TIP, Phase.START)
    flight.fly(2.0, near)
    assert flight.told == []
    flight.fly(HELD / 2, np.zeros(3))  # a point of a path
    flight.fly(HELD / 2, TIP + np.array([0.0, 0.0, 0.02]))
    flight.fly(1.0, TIP, Phase.STOP)
    assert [r.distance for r in flight.aim.reached] == pytest.approx([0.005, 0.02])
    assert [r.seconds for r in flight.aim.reached] == pytest.approx([2.0, HELD / 2])
    assert flight.aim.reached[0].target == pytest.approx(tuple(near))
    assert [text[:15] for text in flight.told] == ["tip 5.0 mm from", "tip 20.0 mm fro"]


def test_what_is_no_place_of_the_tip_has_no_distance() -> None:
    contract = swing_contract(SPEC)
    assert Aim.of(SPEC, contract) is None
    object.__setattr__(contract, "target", Target("joint_position", 1, ("joint1",)))
    assert Aim.of(SPEC, contract) is None
    object.__setattr__(contract, "target", Target("tip_position", 3))
    assert Aim.of(SPEC, contract) is not None


def test_many_targets_are_told_in_one_line() -> None:
    assert in_a_word([]) == ""
    assert in_a_word([{"distance": 0.0018}]) == "the tip ended 1.8 mm from its target"
    assert in_a_word([{"distance": 0.0018}, {"distance": 0.25}]) == "the tip ended 1.8 mm, 250 mm from its targets"
    many = [{"distance": k * 1e-3} for k in range(11)]
    assert in_a_word(many) == "the tip ended 5.0 mm from its 11 targets in the median, 10.0 mm at worst"
