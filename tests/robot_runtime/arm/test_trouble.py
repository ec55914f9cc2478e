"""What the state says is wrong, said of the right joint and in words that help."""

from __future__ import annotations

import re

import pytest

from robot_runtime.arm import troubles
from tests.robot_runtime.arm.twins import start

FAULTS = [
    ("overload:servo=12", r"joint2.*servo 12.*hardware error \(overload\)"),
    ("hot:servo=13,celsius=95", r"joint3.*hardware error \(overheating\)"),
    ("brown-out:servo=14,for=0.01", r"joint4.*lost its power or restarted"),
    ("servo-dead:servo=11", r"joint1.*does not answer"),
    ("encoder-jump:servo=12,ticks=300", r"joint2.*jumped to"),
]


@pytest.mark.parametrize(("fault", "words"), FAULTS)
def test_faults_are_told_of_the_right_joint(fault: str, words: str) -> None:
    rig = start()
    rig.arm.torque_on()
    rig.run(0.3)
    assert troubles(rig.arm) == ()
    rig.twin.inject(fault)
    rig.run(0.5)
    found = troubles(rig.arm)
    assert len({text.split("(")[0] for text in found}) == 1  # nobody else is accused
    assert re.search(words, found[0]), found


def test_a_servo_that_stopped_by_itself_is_told() -> None:
    rig = start("koch-v1.1")
    rig.arm.torque_on()
    rig.run(0.1)
    rig.port.sleep_until(rig.port.now() + 0.5)
    rig.run(0.1)
    assert len(troubles(rig.arm)) == 6
    assert "stopped by itself" in troubles(rig.arm)[0]


def test_all_is_well_while_lost_packets_are_asked_for_again() -> None:
    rig = start(faults=["packet-lost:p=0.02"])
    rig.arm.torque_on()
    for _ in range(200):
        rig.run(0.005)
        assert troubles(rig.arm) == ()
