"""Whether what a fit says of weak arms comes true: drawn twins that are called weak, and those that let go in flight.

python benchmarks/weak_arms.py TASK POLICY.onnx [--seeds 6-25] [--targets 16] [--zeroed JOINTS]

Nothing is recorded or fitted: the numbers are the twin's own, and the policy flies zero-shot, in virtual time. One line
a gap: what is said of it, and in how many targets a servo switched itself off. At the end how often that agrees.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from robot_runtime.arrays import Floats

sys.path.insert(0, str(Path(__file__).parent.parent))  # run as a script, from anywhere
from benchmarks.calibration_flights import fly, load_policy_arm
from benchmarks.gaps import joints_named, zeroed_gap
from calibration.judging.strength import weaknesses
from calibration.physics.numbers import Physics
from calibration.physics.rollout import Rig
from sim.tasks.arm_task import ArmTask
from sim.tasks.registry import make_task
from sim.twin.gap import Gap, load_gap

FACTORS = ("torque_constant", "resistance", "coulomb", "viscous", "link_mass")


def true_numbers(rig: Rig, gap: Gap) -> tuple[dict[str, Floats], Floats]:
    """What a fit would find of a twin if it found the truth, and V of its supply without load."""
    numbers = {kind: value.copy() for kind, value in Physics(rig.world, ()).nominal.items()}
    for i, joint in enumerate(map(gap.joint, rig.world.names)):
        for kind in FACTORS:
            numbers[kind][i] *= getattr(joint, kind)
        numbers["load_friction"][i] = joint.load_share(numbers["load_friction"][i])
    numbers["payload"][:] = gap.payload
    numbers["supply_resistance"][:] = gap.supply.internal_resistance
    return numbers, gap.supply.voltage_factor * rig.laws.nominal_volts


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("reach", "track", "hold"))
    parser.add_argument("policy", type=Path)
    parser.add_argument("--seeds", default="6-25", metavar="FIRST-LAST")
    parser.add_argument("--targets", type=int, default=16)
    parser.add_argument("--zeroed", default="", metavar="JOINTS")
    options = parser.parse_args()
    task = make_task(options.task, range(options.targets), arm=load_policy_arm(options.policy))
    if not isinstance(task, ArmTask):
        raise SystemExit(f"{options.task} is not flown by an arm")
    spec = task.world.spec
    rig, first, last = Rig.of(spec), *map(int, options.seeds.split("-"))
    zeroed, agree = joints_named(options.zeroed, spec.joint_names), 0
    for seed in range(first, last + 1):
        gap = load_gap(f"random:{seed}")
        said = weaknesses(rig, *true_numbers(rig, gap))
        flown = fly(options.policy, task, zeroed_gap(gap, spec.joint_names, zeroed), options.targets, None)
        agree += bool(said) == bool(flown.let_go)
        told = ", ".join(f"{w.joint} {w.weak:.0%} weak {w.tired:.0%} tired" for w in said) or "nothing"
        print(f"random:{seed:<4} servo off in {flown.let_go:2}   said: {told}", flush=True)
    print(f"agree: {agree} of {last - first + 1}")


if __name__ == "__main__":
    main()
