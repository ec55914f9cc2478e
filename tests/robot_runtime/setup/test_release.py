"""Letting go: whoever can be reached lets go, whatever is the matter with the others."""

from __future__ import annotations

from robot_runtime.bus import Bus
from robot_runtime.setup.release import release
from robot_runtime.spec import load_arm
from sim.twin.lockstep import LockstepPort
from sim.twin.twin import Twin
from tests.sim.twin.bench import bench_twin

SPEC = load_arm("koch-v1.1")


def holding(*faults: str) -> tuple[Twin, Bus]:
    twin = bench_twin([j.servo.name for j in SPEC.joints], ids=SPEC.servo_ids)
    bus = Bus(LockstepPort(twin))
    for joint in SPEC.joints:
        bus.write(joint.servo_id, joint.servo.register("torque_enable"), 1)
    for fault in faults:
        twin.inject(fault)
    return twin, bus


def test_all_let_go() -> None:
    twin, bus = holding()
    assert release(bus, SPEC.joints) == {}
    assert not any(servo.torque_on for servo in twin.servos)


def test_a_servo_that_is_silent_is_named_and_the_others_let_go() -> None:
    twin, bus = holding("servo-silent:servo=2,for=60")
    failed = release(bus, SPEC.joints)
    assert list(failed) == ["shoulder_lift"]
    assert [servo.torque_on for servo in twin.servos] == [False, True, False, False, False, False]


def test_lost_packets_are_made_good() -> None:
    twin, bus = holding("packet-lost:p=0.2,way=both")
    release(bus, SPEC.joints)
    assert not any(servo.torque_on for servo in twin.servos)
