"""What a calibration gives back: a frozen policy in simulation, zero-shot on a twin with a gap, calibrated on it.

In simulation: episodes of its own. On a healthy twin: the very targets that the others fly, by the same runtime, so
that what neither is the gap's fault nor to be had back does not count as lost.

python benchmarks/calibration_flights.py TASK POLICY.onnx --cases FOLDER [--gaps mild,harsh] [--targets 40]
    [--zeroed JOINTS] [--anew] [--truth]

FOLDER is that of calibration_twin.py: one folder a case, with its arm.cal. Every target is flown for as long as an
episode lasts, through the runtime's own pilot, maps and envelope, in virtual time. Bars, and a line of JSON a gap.

--zeroed: the encoders of these joints (or 'all') stand as they should, as after `robot-setup zero`. Where an axis
is upright, nothing that joints feel shows its offset, and no calibration by joint data can find it.
--anew: every target begins at home, so that an arm that got stuck loses one target and not those behind it.
--truth: fly truth.cal too, the maps around the twin's true numbers (calibration_twin.py truth): what it misses as well
is not the fit's to bring.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from robot_runtime.arrays import Floats

sys.path.insert(0, str(Path(__file__).parent.parent))  # run as a script, from anywhere
from benchmarks.gaps import joints_named, timer_set, zeroed_gap
from robot_runtime.arm import Arm, JointCommand
from robot_runtime.calibrated.file import Calibration
from robot_runtime.calibrated.friction import known_friction
from robot_runtime.calibrated.maps import ResidualMaps
from robot_runtime.policy.load import load_policy
from robot_runtime.policy.pilot import PolicyPilot
from robot_runtime.safety.envelope import Envelope
from sim.tasks.arm_task import ArmTask
from sim.tasks.registry import make_task
from sim.tasks.targets import Targets
from sim.training.evaluate import contract_of, evaluate, onnx_policy
from sim.training.twin_trial import error_at
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
    let_go: int = 0  # targets that a servo gave up on, and switched itself off


def fly(
    policy: Path,
    task: ArmTask,
    gap: Gap,
    targets: int,
    calibration: Calibration | None,
    seed: int = 0,
    period: float = 0.005,
    anew: bool = False,
) -> Flown:
    """Fly over the task's targets, one after the other. Errors are true: a crooked encoder counts, as it does on a
    table. Where a servo lets go (overload), that target is lost, and the next one begins with the arm started anew.
    `period`: s, of the bus; `anew`: every target begins with the arm at home.
    """
    aims = task.new_targets(targets, seed)
    errors = np.zeros((targets, round(task.goal.held_for / period)))
    outside, let_go, flight = 0, 0, None
    for row in range(targets):
        flight = None if anew else flight
        flight = flight or _Flight(policy, task, gap, calibration, seed, period)
        outside += flight.towards(aims, row, errors[row])
        if flight.let_go:
            errors[row] = np.maximum(errors[row], task.goal.tolerance)
            let_go, flight = let_go + 1, None
    cycles = targets * round(task.goal.episode / period)
    success = float((errors.max(1) < task.goal.tolerance).mean())
    return Flown(success, float(errors[:, 0].mean()), outside / cycles, let_go)


class _Flight:
    """An arm with its torque on, flown by a policy."""

    def __init__(
        self, policy: Path, task: ArmTask, gap: Gap, calibration: Calibration | None, seed: int, period: float
    ) -> None:
        spec = task.world.spec
        self._task, self._period = task, period
        self._twin = Twin(TwinArm.load(str(spec.path)), gap=timer_set(gap), pose="home", seed=seed)
        self._port = LockstepPort(self._twin)
        self._arm = arm = Arm.open(spec, self._port)
        gravity = self._twin.drives.model.opt.gravity
        weight = gravity.copy()
        gravity[:] = 0.0  # until torque is on: it starts at home as after a soft start
        arm.prepare()
        arm.torque_on()
        gravity[:] = weight
        maps = ResidualMaps(spec, calibration, period) if calibration else None
        self._pilot = PolicyPilot(load_policy(policy, spec), arm, period, maps)
        friction = known_friction(spec, calibration) if calibration else None
        self._envelope = Envelope(spec, arm.kinematics, period, friction=friction)
        self._command = JointCommand(len(spec.joints))
        self._command.held[:] = False
        if maps is not None:
            maps.follow(self._command.values, self._pilot.by_goal)
        arm.read(self._port.now() + period)
        self._due = self._port.now()
        self._pilot.reset(arm.state, self._due)
        self._envelope.reset(arm.state, self._due)

    @property
    def let_go(self) -> bool:
        """A servo has switched itself off."""
        return bool((self._arm.state.hardware_error > 0).any())

    def towards(self, aims: Targets, row: int, errors: Floats) -> int:
        """Fly one target, and write down its last errors, newest first; cycles in which a map was beyond its data."""
        arm, port, command, period = self._arm, self._port, self._command, self._period
        cycles, acts_every = round(self._task.goal.episode / period), round(self._pilot.period / period)
        outside = 0
        for k in range(cycles):
            aim = aims.at(np.full(len(aims.centre), k * period))[row]
            arm.read(self._due + period)
            now = port.now()
            outside += bool(self._pilot.intend(arm.state, aim, now, k % acts_every == 0, command.values))
            self._envelope.limit(command.values, arm.state, now)
            arm.write(command)
            self._due += period
            port.sleep_until(self._due)
            if (left := cycles - k - 1) < len(errors):
                errors[left] = error_at(self._task, arm, aim, np.array(self._twin.drives.joint_position))
        return outside


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
    parser.add_argument("--anew", action="store_true")
    parser.add_argument("--truth", action="store_true")
    options = parser.parse_args()
    arm = load_policy_arm(options.policy)
    task = make_task(options.task, range(options.targets), arm=arm)
    if not isinstance(task, ArmTask):
        raise SystemExit(f"{options.task} is not flown by an arm")
    joints = task.world.spec.joint_names
    result = evaluate(task, onnx_policy(options.policy, task))
    simulated = Flown(result.success.mean, result.error.mean, 0.0)
    show("in simulation", simulated)
    healthy = fly(options.policy, task, Gap(), options.targets, None, anew=options.anew)
    show("on a healthy twin", healthy)
    for name in options.gaps.split(","):
        folder = options.cases / f"{arm}_{name.replace(':', '-')}"
        calibration = Calibration.read(folder / "arm.cal")
        gap = zeroed_gap(load_gap(name), joints, joints_named(options.zeroed, joints))
        period = calibration.maps["observation"].period
        zero_shot, calibrated = (
            fly(options.policy, task, gap, options.targets, maps, period=period, anew=options.anew)
            for maps in (None, calibration)
        )
        show(f"{name}, zero-shot", zero_shot)
        show(f"{name}, calibrated", calibrated)
        facts = {"arm": arm, "gap": name, "zeroed": options.zeroed, "anew": options.anew}
        for whole, told in ((simulated, "of the simulation's"), (healthy, "of a healthy twin's")):
            success, error = (
                recovered(*(getattr(f, figure) for f in (whole, zero_shot, calibrated)))
                for figure in ("success", "error")
            )
            print(f"{'':24}recovered {told}: success {success:.0%}, error {error:.0%}", flush=True)
            facts[f"recovered {told}"] = [success, error]
        flights = {"simulated": simulated, "healthy": healthy, "zero_shot": zero_shot, "calibrated": calibrated}
        if options.truth:
            maps = Calibration.read(folder / "truth.cal")
            known = fly(options.policy, task, gap, options.targets, maps, period=period, anew=options.anew)
            show(f"{name}, true numbers", known)
            flights["true_numbers"] = known
        print(json.dumps(facts | {which: asdict(flown) for which, flown in flights.items()}), flush=True)


def load_policy_arm(policy: Path) -> str:
    """The arm that the policy names."""
    return contract_of(policy).arm or ""


def show(name: str, flown: Flown) -> None:
    """A line with a bar."""
    bar = "#" * round(BAR * flown.success)
    print(
        f"{name:24}{bar:<{BAR}} {flown.success:5.0%}  error {flown.error:.4f}  outside {flown.outside:.1%}"
        + (f"  servo off in {flown.let_go}" if flown.let_go else ""),
        flush=True,
    )


if __name__ == "__main__":
    main()
