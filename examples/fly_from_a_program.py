"""Move one joint of an arm from a program of your own, with everything that guards a flight around it.

    python examples/fly_from_a_program.py                                  on a twin of OpenMANIPULATOR-X
    python examples/fly_from_a_program.py --arm koch-v1.1 --port /dev/ttyUSB0

Type an angle (rad) and Enter to send the joint there; an empty line, or Ctrl-C, ends the flight.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np

from robot_runtime.arm import Arm, ArmError, JointState
from robot_runtime.arrays import Floats
from robot_runtime.bus import Bus, BusError, Port, SerialPort
from robot_runtime.flight.recorder import NullRecorder
from robot_runtime.flying import Inputs, InputSource
from robot_runtime.loop import Loop
from robot_runtime.operator_inputs import Operator
from robot_runtime.policy.contract import Target
from robot_runtime.policy.errors import TargetError
from robot_runtime.policy.targets import LiveTarget
from robot_runtime.preflight.gate import preflight
from robot_runtime.preflight.table import passed
from robot_runtime.realtime import RealTime
from robot_runtime.session import Orders, Together, layout_of, make_loop
from robot_runtime.setup.unboxed import set_up_unboxed
from robot_runtime.spec import ArmSpec, load_arm
from robot_runtime.twin_process import TwinProcess
from robot_runtime.verdict import Verdict, verdict

RATE = 200.0  # Hz
SPEED = 0.5  # rad/s


class Follow:
    """A source of motion: the first joint goes where the target says, the others are held at the home pose."""

    def __init__(self, arm: Arm, period: float) -> None:
        self.start_pose: Floats = np.array(arm.spec.poses["home"])  # where the soft start goes
        self.period = period  # it acts in every cycle
        self._arm = arm
        self._everyone = np.ones(len(arm.spec.joints), dtype=bool)

    def follow(self, sent: Floats) -> None:
        """What was sent last does not matter here."""

    def reset(self, state: JointState, now: float) -> None:
        """The soft start is over."""

    def intend(self, state: JointState, target: Floats, now: float, acts: bool, values: Floats) -> int:  # noqa: ARG002
        """Shift where the joint is held, at a speed of ours; the envelope has the last word."""
        angle, step = self._arm.hold_angle, SPEED * self.period
        angle[0] += np.clip(target[0] - angle[0], -step, step)
        self._arm.hold_into(values, self._everyone)  # in the unit of each joint's mode
        return 0  # nothing is wrong with what was said


def targets_for(spec: ArmSpec) -> LiveTarget:
    """An angle of the first joint; others are refused when they are set."""
    joint = spec.joints[0]
    low, high, home = joint.limits.lower, joint.limits.upper, spec.poses["home"][0]
    return LiveTarget(Target("joint_position", 1, (joint.name,), low=(low,), high=(high,), default=(home,)))


def fly(
    spec: ArmSpec, port: Port, input_source: InputSource, every_cycle: Callable[[Loop], None] | None = None
) -> Verdict | None:
    """From the checks to torque off; None: the checks found something."""
    orders = Orders(rate=RATE)
    arm, checks = preflight(spec, port, orders.period)
    if arm is None or not passed(checks):
        for check in checks:
            if check.ok is False:
                print(f"{check.name}: {check.found}. {check.advice}")
        return None
    with arm:
        recorder = NullRecorder(layout_of(spec, None, target=1))  # flight.recorder.Recorder(path, ...) writes a file
        source = Follow(arm, orders.period)
        loop = make_loop(arm, source, Inputs(1), input_source, recorder, orders, show_cycle=every_cycle)
        loop.fly()
        return verdict(loop)


def ask(targets: LiveTarget) -> None:
    """Angles from standard input, in a thread of their own."""
    for line in sys.stdin:
        if not line.strip():
            break
        try:
            targets.set([float(line)])
        except (TargetError, ValueError) as error:
            print(error)
    targets.end()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arm", default="open-manipulator-x", help="shipped name or path of an arm.toml")
    parser.add_argument("--port", help="serial port; without it a twin is started")
    options = parser.parse_args()
    spec = load_arm(options.arm)
    targets = targets_for(spec)
    with ExitStack() as stack:
        name = options.port or stack.enter_context(TwinProcess(options.arm)).port
        port = SerialPort(name, spec.bus.baudrate)
        if not options.port:
            set_up_unboxed(Bus(port), spec)
        threading.Thread(target=ask, args=(targets,), daemon=True).start()
        realtime = stack.enter_context(RealTime())
        realtime.enter()
        port.spin = realtime.spin(1 / RATE)
        operator = stack.enter_context(Operator(keys=False))  # Ctrl-C ends the flight in order
        try:
            ended = fly(spec, port, Together(operator, targets))
        except (ArmError, BusError) as error:  # torque could not be switched on; it is off
            print(f"error: {error}", file=sys.stderr)
            return 1
    if ended is None:
        return 5
    print(f"{ended.headline}; the arm: {ended.outcome}")
    return ended.exit_code


if __name__ == "__main__":
    sys.exit(main())
