"""Torque, direction, and the servo watchdog. On a real arm these need --allow-motion and a hand on the power switch."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hw_tests.conftest import Bench
from robot_runtime.arm import Arm, JointCommand, Move
from robot_runtime.arm.scaling import POSITION_MODES
from robot_runtime.bus import BusError, PortError, ServoRefusedError
from robot_runtime.flying import Inputs
from robot_runtime.safety.monitor import Monitor, Settings
from robot_runtime.spec import ArmSpec

pytestmark = pytest.mark.moves_arm

PERIOD = 0.01  # s
STILL = 0.026  # rad (1.5 degrees): gear play and the sag of a P controller under load
NUDGE = 0.3  # rad, enough for the soft spring of a held torque joint to overcome its gears' friction


def cycle(arm: Arm, seconds: float, move: Move | None = None) -> NDArray[np.float64]:
    """Read and write by absolute deadlines, every joint held; with a move, the hold follows it.

    Returns the fastest speed of each joint, with its sign. A flight's monitor watches: what would stop a flight ends
    the test, with torque off.
    """
    begin, command = arm.bus.port.now(), JointCommand(len(arm.spec.joints))
    fastest = np.zeros(len(arm.spec.joints))
    watch = Watch(arm)
    for k in range(1, int(seconds / PERIOD) + 1):
        due = begin + k * PERIOD
        try:
            watch.look(arm.read(due))
            if move is not None:
                move.at(k * PERIOD, arm.hold_angle)
            arm.write(command)
        except PortError as error:
            pytest.fail(f"{error}; the servos stop by their own watchdogs")
        np.copyto(fastest, arm.state.dq, where=np.abs(arm.state.dq) > np.abs(fastest))
        arm.bus.port.sleep_until(due)
    return fastest


class Watch:
    """Lets go of the arm, and fails, as soon as a flight's monitor sees a fault."""

    def __init__(self, arm: Arm) -> None:
        self._arm, self._nobody = arm, Inputs(0)
        self._sent = np.full(len(arm.spec.joints), np.nan)
        self._in_position = np.array([j.mode in POSITION_MODES for j in arm.spec.joints])
        # As patient as the servos: a twin's process, whose watchdogs are slow, may have to wait for its processor.
        patience = arm.spec.bus.watchdog
        self._monitor = Monitor(arm.spec, PERIOD, Settings(silent_time=patience / 2, loss_time=10 * patience))

    def look(self, missing: int) -> None:
        """After a read. What was sent is where the joints are held; of torques that says nothing."""
        arm = self._arm
        if not self._monitor.look(arm.state, missing, self._nobody, 0, 0.0, 0, self._sent, arm.bus.port.now()):
            np.copyto(self._sent, arm.hold_angle, where=self._in_position)
            return
        told = "; ".join(fault.text for fault in self._monitor.seen)
        try:
            arm.torque_off()
        except BusError as error:
            told = f"{told}; CUT THE POWER: {error}"
        pytest.fail(f"let go: {told}")


def test_torque_on_does_not_move_the_arm(bench: Bench) -> None:
    arm = bench.arm
    arm.prepare()
    arm.read(arm.bus.port.now() + 0.5)
    before = arm.state.q.copy()
    arm.torque_on()
    cycle(arm, 0.5)
    moved = np.abs(arm.state.q - before)
    assert moved.max() < STILL, f"{arm.spec.joint_names[int(moved.argmax())]} moved {moved.max():.3f} rad"
    assert arm.state.torque_on.all()


def test_every_joint_goes_the_way_it_is_told(bench: Bench, spec: ArmSpec) -> None:
    """Position and velocity agree with the command's direction, joint by joint, a little way and back."""
    arm = bench.arm
    arm.prepare()
    arm.torque_on()
    home = np.array(spec.poses["home"])
    move = Move.between(spec, arm.state.q, home)
    cycle(arm, move.duration + 0.5, move)
    for i, joint in enumerate(spec.joints):
        way = 1 if home[i] + NUDGE <= joint.limits.upper else -1
        goal = home.copy()
        goal[i] += way * NUDGE
        before = float(arm.state.q[i])
        there = Move.between(spec, home, goal)
        fastest = cycle(arm, there.duration, there)
        assert way * fastest[i] > 0, f"{joint.name}: velocity has the wrong sign"
        cycle(arm, 0.5, Move(goal, goal, there.duration))
        assert way * (arm.state.q[i] - before) > NUDGE / 3, f"{joint.name} went {arm.state.q[i] - before:+.3f} rad"
        cycle(arm, there.duration, Move.between(spec, goal, home))
    rest = Move.between(spec, home, np.array(spec.poses["rest"]))
    cycle(arm, rest.duration + 0.5, rest)


def test_eeprom_is_locked_while_torque_is_on(bench: Bench) -> None:
    arm = bench.arm
    arm.prepare()
    arm.torque_on()
    servo = arm.servos[0]
    register = servo.model.register("operating_mode")
    with pytest.raises(ServoRefusedError) as refused:
        arm.bus.write(servo.joint.servo_id, register, servo.model.modes[servo.joint.mode])
    assert refused.value.number == 7


def test_servos_stop_by_themselves_when_they_hear_nothing(bench: Bench, spec: ArmSpec) -> None:
    """Run this with the arm at rest: in current mode a tripped watchdog lets it go limp."""
    arm = bench.arm
    arm.prepare()
    arm.torque_on()
    cycle(arm, 0.2)
    arm.bus.port.sleep_until(arm.bus.port.now() + spec.bus.watchdog + 0.1)
    for servo in arm.servos:
        tripped = arm.bus.read(servo.joint.servo_id, servo.model.register("bus_watchdog"))
        assert tripped == -1, f"{servo.joint.name}: watchdog reads {tripped}"
