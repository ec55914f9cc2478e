"""Tests that move a real arm let go as soon as something befalls it; on the lock-step twin, in virtual time."""

from __future__ import annotations

import numpy as np
import pytest

from hw_tests.test_torque import cycle
from robot_runtime.arm import JointCommand, Move
from tests.robot_runtime.arm.twins import TwinArm, start

KOCH, OMX = "koch-v1.1", "open-manipulator-x"
AT = 0.3  # s


def homewards(arm: str) -> tuple[TwinArm, Move]:
    rig = start(arm)
    rig.arm.prepare()
    rig.arm.torque_on()
    return rig, Move.between(rig.arm.spec, rig.arm.state.q, np.array(rig.arm.spec.poses["home"]))


@pytest.mark.parametrize(
    ("arm", "fault", "told"),
    [
        (KOCH, "encoder-jump:servo=2,ticks=600", "shoulder_lift.* jumped"),
        (OMX, "encoder-jump:servo=12,ticks=-600", "joint2.* jumped"),
        (KOCH, "servo-dead:servo=3", "elbow_flex.* has not answered.*CUT THE POWER"),
        (KOCH, "overload:servo=3", "elbow_flex.* hardware error"),
        (OMX, "packet-lost:p=1.0,for=0.2", "no servo has answered"),
        (KOCH, "unplugged", "vanished"),
    ],
)
def test_a_fault_while_the_arm_moves_lets_go(arm: str, fault: str, told: str) -> None:
    rig, move = homewards(arm)
    began, sent = rig.port.now(), []
    rig.twin.inject(f"{fault}{',' if ':' in fault else ':'}at={AT}")
    write = rig.arm.write

    def noted(command: JointCommand) -> None:
        sent.append(rig.port.now() - began)
        write(command)

    rig.arm.write = noted  # type: ignore[method-assign]
    with pytest.raises(pytest.fail.Exception, match=told):
        cycle(rig.arm, move.duration + 0.5, move)
    assert sent[-1] < AT + 0.15
    if fault != "unplugged" and "dead" not in fault:
        assert not rig.drives.torque_on.any()


@pytest.mark.parametrize("arm", [KOCH, OMX])
def test_a_healthy_arm_is_moved(arm: str) -> None:
    rig, move = homewards(arm)
    cycle(rig.arm, move.duration + 0.5, move)
    assert np.abs(rig.truth - rig.arm.spec.poses["home"]).max() < 0.2
