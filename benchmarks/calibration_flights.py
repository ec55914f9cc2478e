"""What a calibration gives back: a frozen policy in simulation, zero-shot on a twin with a gap, calibrated on it.

python benchmarks/calibration_flights.py TASK POLICY.onnx --cases FOLDER [--gaps mild,harsh] [--targets 40]
    [--zeroed JOINTS]

FOLDER is that of calibration_twin.py: one folder a case, with its arm.cal. Every target is flown for as long as an
episode lasts, through the runtime's own pilot, maps and envelope, in virtual time. Bars, and a line of JSON a gap.

--zeroed: the encoders of these joints (or 'all') stand as they should, as after `robot-setup zero`. Where an axis
is upright, nothing that joints feel shows its offset, and no calibration by joint data can find it.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))  # run as a script, from anywhere
from benchmarks.gaps import joints_named, zeroed_gap
from robot_runtime.arm import Arm, JointCommand
from robot_runtime.calibrated.file import Calibration
from robot_runtime.calibrated.maps import ResidualMaps
from robot_runtime.policy.load import load_policy
from robot_runtime.policy.pilot import PolicyPilot
from robot_runtime.safety.envelope import Envelope
from sim.tasks.arm_task import ArmTask
from sim.tasks.registry import make_task
from sim.training.evaluate import contract_of, evaluate, onnx_policy
from sim.twin import LockstepPort, Twin
from sim.twin.arm_file import TwinArm
from sim.twin.gap import Gap, load_gap

BAR = 30


@dataclass(frozen=True, slots=True)
class Flown:
    """Of all targets."""

    success: float  # share
    error: float  # m or rad, as it truly is, when a target's time is over
    outside: float  # share of cycles in which a map was beyond its data


def fly(
    policy: Path,
    task: ArmTask,
    gap: Gap,
    targets: int,
    calibration: Calibration | None,
    seed: int = 0,
    period: float = 0.005,
) -> Flown:
    """One flight over the task's targets; `period`: s, of the bus. Errors are true: a crooked encoder counts, as it
    does on a table.
    """
    spec, goal = task.world.spec, task.goal
    twin = Twin(TwinArm.load(str(spec.path)), gap=gap, pose="home", seed=seed)
    port = LockstepPort(twin)
    arm = Arm.open(spec, port)
    weight = twin.drives.model.opt.gravity.copy()
    twin.drives.model.opt.gravity[:] = 0.0  # until torque is on: it starts at home as after a soft start
    arm.prepare()
    arm.torque_on()
    twin.drives.model.opt.gravity[:] = weight
    maps = ResidualMaps(spec, calibration, period) if calibration else None
    pilot = PolicyPilot(load_policy(policy, spec), arm, period, maps)
    envelope = Envelope(spec, arm.kinematics, period)
    command = JointCommand(len(spec.joints))
    command.held[:] = False
    if maps is not None:
        maps.follow(command.values, pilot.by_goal)
    arm.read(port.now() + period)
    pilot.reset(arm.state, port.now())
    envelope.reset(arm.state, port.now())
    aims = task.new_targets(targets, seed)
    acts_every = round(pilot.period / period)
    cycles, held = round(goal.episode / period), round(goal.held_for / period)
    errors = np.zeros((targets, held))
    outside, due = 0, port.now()
    for row in range(targets):
        for k in range(cycles):
            aim = aims.at(np.full(targets, k * period))[row]
            arm.read(due + period)
            now = port.now()
            flags = pilot.intend(arm.state, aim, now, k % acts_every == 0, command.values)
            outside += bool(flags)
            envelope.limit(command.values, arm.state, now)
            arm.write(command)
            due += period
            port.sleep_until(due)
            if (left := cycles - k - 1) < held:
                q = np.array(twin.drives.joint_position)
                errors[row, left] = _error(task, arm, aim, q)
    arm.torque_off()
    return Flown(float((errors.max(1) < goal.tolerance).mean()), float(errors[:, 0].mean()), outside / targets / cycles)


def _error(task: ArmTask, arm: Arm, aim: np.ndarray[Any, Any], q: np.ndarray[Any, Any]) -> float:
    here = arm.kinematics.tip_position(q) if task.goal.quantity == "tip_position" else q[task.world.index]
    return float(np.linalg.norm(aim - here))


def recovered(simulated: float, zero_shot: float, calibrated: float) -> float:
    """Share of what zero-shot lost."""
    lost = simulated - zero_shot
    return (calibrated - zero_shot) / lost if abs(lost) > 1e-9 else 1.0


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("reach", "track", "hold"))
    parser.add_argument("policy", type=Path)
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--gaps", default="mild,harsh")
    parser.add_argument("--targets", type=int, default=40)
    parser.add_argument("--zeroed", default="", metavar="JOINTS")
    options = parser.parse_args()
    arm = load_policy_arm(options.policy)
    task = make_task(options.task, range(options.targets), arm=arm)
    if not isinstance(task, ArmTask):
        raise SystemExit(f"{options.task} is not flown by an arm")
    joints = task.world.spec.joint_names
    result = evaluate(task, onnx_policy(options.policy, task))
    simulated = Flown(result.success.mean, result.error.mean, 0.0)
    show("in simulation", simulated)
    for name in options.gaps.split(","):
        calibration = Calibration.read(options.cases / f"{arm}_{name.replace(':', '-')}" / "arm.cal")
        gap = zeroed_gap(load_gap(name), joints, joints_named(options.zeroed, joints))
        period = calibration.maps["observation"].period
        zero_shot = fly(options.policy, task, gap, options.targets, None, period=period)
        calibrated = fly(options.policy, task, gap, options.targets, calibration, period=period)
        show(f"{name}, zero-shot", zero_shot)
        show(f"{name}, calibrated", calibrated)
        shares = [recovered(*(getattr(f, k) for f in (simulated, zero_shot, calibrated))) for k in ("success", "error")]
        print(f"{'':24}recovered: success {shares[0]:.0%}, error {shares[1]:.0%}", flush=True)
        facts = {"arm": arm, "gap": name, "zeroed": options.zeroed, "recovered": shares}
        for which, flown in (("simulated", simulated), ("zero_shot", zero_shot), ("calibrated", calibrated)):
            facts[which] = {"success": flown.success, "error": flown.error, "outside": flown.outside}
        print(json.dumps(facts), flush=True)


def load_policy_arm(policy: Path) -> str:
    """The arm that the policy names."""
    return contract_of(policy).arm or ""


def show(name: str, flown: Flown) -> None:
    """A line with a bar."""
    bar = "#" * round(BAR * flown.success)
    print(
        f"{name:24}{bar:<{BAR}} {flown.success:5.0%}  error {flown.error:.4f}  outside {flown.outside:.1%}", flush=True
    )


if __name__ == "__main__":
    main()
