"""Whether an arm that is too weak ends its flight lowered, or limp: whole flights of drawn twins, in virtual time.

python benchmarks/tired_servos.py TASK POLICY.onnx [--gaps random:1,random:5] [--targets 24] [--zeroed JOINTS]

Every target is a flight of its own, zero-shot, with all that guards one: from preflight over the soft start and
--seconds at the target to rest. Flown twice, with the monitor's eye on the servos' loads (the fault `overloaded`) and
without: how many ended with a servo that had switched itself off, and what the first fault was.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import numpy as np

from robot_runtime.arrays import Floats

sys.path.insert(0, str(Path(__file__).parent.parent))  # run as a script, from anywhere
from benchmarks.calibration_flights import load_policy_arm
from benchmarks.gaps import joints_named, timer_set, zeroed_gap
from robot_runtime.bus import Bus
from robot_runtime.flight.recorder import NullRecorder
from robot_runtime.policy.load import load_policy
from robot_runtime.policy.targets import FixedTarget
from robot_runtime.safety.load import Load
from robot_runtime.session import Orders, fly, layout_of
from robot_runtime.setup.unboxed import set_up_unboxed
from robot_runtime.verdict import Verdict
from sim.tasks.arm_task import ArmTask
from sim.tasks.registry import make_task
from sim.twin import LockstepPort, Twin
from sim.twin.arm_file import TwinArm
from sim.twin.gap import Gap, load_gap


class Blind(Load):
    """Sees no load."""

    def look(self, *_: object) -> Floats:
        """Nothing."""
        return np.zeros(len(self.lately))


def flight(task: ArmTask, path: Path, gap: Gap, target: Floats, seconds: float) -> tuple[Verdict, bool]:
    """How it ended, and whether a servo had switched itself off."""
    spec = task.world.spec
    twin = Twin(TwinArm.load(str(spec.path)), gap=timer_set(gap), seed=0)
    set_up_unboxed(Bus(LockstepPort(twin)), spec)
    policy = load_policy(path, spec)
    assert policy.contract.target is not None
    aim, orders = FixedTarget(target.tolist(), policy.contract.target), Orders(rate=200.0, duration=seconds)
    verdict = fly(spec, policy, LockstepPort(twin), orders, aim, NullRecorder(layout_of(spec, policy.contract)))
    return verdict, any(servo.get("hardware_error_status") for servo in twin.servos)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("reach", "hold"))
    parser.add_argument("policy", type=Path)
    parser.add_argument("--gaps", default="random:1,random:5")
    parser.add_argument("--targets", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--zeroed", default="", metavar="JOINTS")
    options = parser.parse_args()
    task = make_task(options.task, range(options.targets), arm=load_policy_arm(options.policy))
    if not isinstance(task, ArmTask):
        raise SystemExit(f"{options.task} is not flown by an arm")
    names = task.world.spec.joint_names
    aims = task.new_targets(options.targets, 0)
    targets = aims.at(np.zeros(options.targets))
    for name in options.gaps.split(","):
        gap = zeroed_gap(load_gap(name), names, joints_named(options.zeroed, names))
        for told, watch in (("loads watched", Load), ("not watched", Blind)):
            limp, endings = 0, Counter[str]()
            with patch("robot_runtime.safety.monitor.Load", watch):
                for target in targets:
                    verdict, off = flight(task, options.policy, gap, target, options.seconds)
                    limp += off
                    endings[verdict.faults[0].kind.name if verdict.faults else "completed"] += 1
            ended = ", ".join(f"{kind} {count}" for kind, count in endings.most_common())
            print(f"{name:10} {told:14} limp in {limp:2} of {options.targets}; first fault: {ended}", flush=True)


if __name__ == "__main__":
    main()
