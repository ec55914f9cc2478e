"""How good a policy is on the twin: through the runtime's own pilot and envelope, in virtual time, with a reality gap.

One flight visits one target after the other, without going home in between. A gap may turn encoders by a degree, which
no policy can see: the error is told twice, as it truly is and as the arm feels it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robot_runtime.arm import Arm, JointCommand, Move
from robot_runtime.arrays import Floats
from robot_runtime.policy.load import load_policy
from robot_runtime.policy.pilot import PolicyPilot
from robot_runtime.safety.envelope import Envelope
from robot_runtime.safety.why import REASONS
from sim.tasks.arm_task import ArmTask
from sim.training.evaluate import Figure, mean, share
from sim.twin import LockstepPort, Twin

PERIOD = 0.005
"""s, of the bus."""
SETTLING = 0.5
"""s at the start pose before the flight."""


@dataclass(frozen=True, slots=True)
class TwinResult:
    """Of one flight over many targets."""

    gap: str
    targets: int
    success: Figure  # truly within the tolerance for as long as the task asks
    success_felt: Figure  # by what the arm senses
    error: Figure  # true, when the target's time is over
    error_felt: Figure
    limited: dict[str, float]  # reason -> share of joints and cycles in which the envelope changed a command
    shut_down: tuple[str, ...]  # joint, why and when, of servos that gave up; from then on nothing is reached


def fly(path: Path, task: ArmTask, gap: str | None, targets: int, seed: int = 0) -> TwinResult:
    """Fly the policy over this many of the task's targets, each for as long as an episode lasts.

    Raises:
        ArmError, BusError: the twin could not be flown.
        PolicyFileError, ContractError: the policy cannot be used.
    """
    spec, goal = task.world.spec, task.goal
    twin = Twin.load(str(spec.path), gap=gap, pose="home", seed=seed)
    port = LockstepPort(twin)
    arm = Arm.open(spec, port)
    arm.prepare()
    arm.torque_on()
    pilot = PolicyPilot(load_policy(path, spec), arm, PERIOD)
    envelope = Envelope(spec, arm.kinematics, PERIOD)
    command = JointCommand(len(spec.joints))
    command.held[:] = False
    _bring(arm, port, pilot.start_pose)
    pilot.reset(arm.state, port.now())
    envelope.reset(arm.state, port.now())
    aims = task.new_targets(targets, seed)
    acts_every = round(pilot.period / PERIOD)
    cycles, held = round(goal.episode / PERIOD), round(goal.held_for / PERIOD)
    true, felt = np.zeros((targets, held)), np.zeros((targets, held))
    shut_down: dict[str, str] = {}
    began = due = port.now()
    for row in range(targets):
        for k in range(cycles):
            aim = aims.at(np.full(targets, k * PERIOD))[row]
            arm.read(due + PERIOD)
            now = port.now()
            _look(arm, now - began, shut_down)
            pilot.intend(arm.state, aim, now, k % acts_every == 0, command.values)
            envelope.limit(command.values, arm.state, now)
            arm.write(command)
            due += PERIOD
            port.sleep_until(due)
            if (left := cycles - k - 1) < held:
                true[row, left] = error_at(task, arm, aim, np.array(twin.drives.joint_position))
                felt[row, left] = error_at(task, arm, aim, arm.state.q)
    arm.torque_off()
    changed = envelope.counts[task.world.index].mean(0) / (targets * cycles)
    return TwinResult(
        gap or "none",
        targets,
        share(true.max(1) < goal.tolerance),
        share(felt.max(1) < goal.tolerance),
        mean(true[:, 0]),
        mean(felt[:, 0]),
        {str(why.name).lower(): float(n) for why, n in zip(REASONS, changed, strict=True) if n},
        tuple(f"{joint}: {what}" for joint, what in shut_down.items()),
    )


def _look(arm: Arm, now: float, shut_down: dict[str, str]) -> None:
    """Note which servos report a hardware error for the first time."""
    if not (arm.state.hardware_error > 0).any():
        return
    for joint, bits in zip(arm.spec.joints, arm.state.hardware_error.tolist(), strict=True):
        if bits > 0 and joint.name not in shut_down:
            shut_down[joint.name] = f"{', '.join(joint.servo.error_names(bits))} after {now:.0f} s"


def _bring(arm: Arm, port: LockstepPort, pose: Floats) -> None:
    """Softly to the start pose: an arm may have sunk before its torque came on."""
    arm.read(port.now() + PERIOD)
    move = Move.between(arm.spec, arm.state.q.copy(), pose)
    command = JointCommand(len(arm.spec.joints))
    command.held[:] = True
    began = due = port.now()
    while due < began + move.duration + SETTLING:
        move.at(due - began, arm.hold_angle)
        arm.write(command)
        due += PERIOD
        port.sleep_until(due)
        arm.read(due + PERIOD)


def error_at(task: ArmTask, arm: Arm, aim: Floats, q: Floats) -> float:
    """How far the arm with its joints at `q` (rad) is from an aim of the task, m or rad."""
    here = arm.kinematics.tip_position(q) if task.goal.quantity == "tip_position" else q[task.world.index]
    return float(np.linalg.norm(aim - here))
