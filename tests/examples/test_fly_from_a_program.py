"""The example does what it says, on the lock-step twin."""

from __future__ import annotations

import pytest

from examples.fly_from_a_program import fly, targets_for
from robot_runtime.bus import Bus
from robot_runtime.flying import Phase
from robot_runtime.loop import Loop
from robot_runtime.policy.errors import TargetError
from robot_runtime.setup.unboxed import set_up_unboxed
from robot_runtime.spec import load_arm
from sim.twin import LockstepPort, Twin


@pytest.mark.parametrize("name", ["open-manipulator-x", "koch-v1.1"])
def test_the_joint_goes_where_the_program_says(name: str) -> None:
    spec, twin = load_arm(name), Twin.load(name)
    set_up_unboxed(Bus(LockstepPort(twin)), spec)
    targets = targets_for(spec)
    reached = []

    def direct(loop: Loop) -> None:
        if loop.phase is Phase.RUN:
            if loop.run_time < 0.01:
                targets.set([0.4])
            if loop.run_time > 3.0:
                reached.append(float(twin.drives.joint_position[0]))
                targets.end()

    ended = fly(spec, LockstepPort(twin), targets, direct)
    assert ended is not None
    assert ended.exit_code == 0, ended.text
    assert reached[0] == pytest.approx(0.4, abs=0.1)


def test_a_target_outside_the_limits_is_refused() -> None:
    with pytest.raises(TargetError):
        targets_for(load_arm("koch-v1.1")).set([30.0])


def test_servos_from_the_box_are_not_flown() -> None:
    twin = Twin.load("xl330-pendulum")
    spec = load_arm("xl330-pendulum")
    assert fly(spec, LockstepPort(twin), targets_for(spec)) is None
