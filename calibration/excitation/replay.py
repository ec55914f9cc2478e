"""Replay: what a policy does in simulation, as a reference: the places and speeds that a calibration has to be good at.

The simulation is the twin without a gap, flown through the runtime itself: any policy that robot-run can fly will do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from calibration.errors import CalibrationError
from robot_runtime.arm import Kinematics
from robot_runtime.arm.scaling import POSITION_MODES
from robot_runtime.arrays import Floats
from robot_runtime.bus import Bus
from robot_runtime.flight.recorder import NullRecorder
from robot_runtime.flying import Inputs, Phase
from robot_runtime.loop import Loop
from robot_runtime.policy.contract import Target
from robot_runtime.policy.load import Policy, load_policy
from robot_runtime.safety.path import soft_path
from robot_runtime.session import Orders, fly, layout_of
from robot_runtime.setup.unboxed import set_up_unboxed
from robot_runtime.spec import ArmSpec

AIM_FOR = 2.5  # s that a target stays
SOFTENED = 0.02  # s over which what the policy did is averaged, twice
ON_THE_WAY = 0.2  # of the limits, at most, to where the policy begins and back


def replay(spec: ArmSpec, kinematics: Kinematics, path: Path, start: Floats, seconds: float, period: float) -> Floats:
    """What the policy in this file does in so many seconds, from the start pose and back: samples x joints, rad.

    Raises:
        PolicyError: the policy cannot be used, or not on this arm.
        CalibrationError: it did not fly through.
    """
    shown = _softened(_flown(spec, load_policy(path, spec), seconds, period), round(SOFTENED / period))
    there = _way(spec, kinematics, start, shown[0], period)
    back = _way(spec, kinematics, shown[-1], start, period)
    return np.concatenate([there, shown[1:], back[1:]])


@dataclass
class _Aims:
    """Targets, drawn inside what the contract allows; another every few seconds."""

    target: Target | None
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    until: float = -np.inf

    def begin(self, now: float) -> None:
        """The policy is in charge."""

    def sample(self, inputs: Inputs, now: float) -> None:
        """The target of now."""
        if self.target is None or now < self.until:
            return
        low, high = (np.array(side, dtype=float) for side in (self.target.low, self.target.high))
        inputs.target[:] = low + self.random.random(len(low)) * (high - low)
        inputs.target_stamp, self.until = now, now + AIM_FOR


def _flown(spec: ArmSpec, policy: Policy, seconds: float, period: float) -> Floats:
    from sim.twin import LockstepPort, Twin  # noqa: PLC0415 (the simulator, only for those who replay)

    twin = Twin.load(str(spec.path))
    set_up_unboxed(Bus(LockstepPort(twin)), spec)
    positions = np.array([j.mode in POSITION_MODES for j in spec.joints])
    rows: list[Floats] = []

    def watch(loop: Loop) -> None:
        if loop.phase is Phase.RUN:
            rows.append(np.where(positions, loop.command, np.array(twin.drives.joint_position)))

    orders = Orders(rate=1.0 / period, duration=seconds)
    recorder = NullRecorder(layout_of(spec, policy.contract))
    ended = fly(spec, policy, LockstepPort(twin), orders, _Aims(policy.contract.target), recorder, show_cycle=watch)
    if ended.exit_code or not rows:
        raise CalibrationError(
            f"the policy did not fly through in simulation, so there is nothing to replay: {ended.text}"
        )
    return np.array(rows)


def _softened(q: Floats, count: int) -> Floats:
    kernel = np.convolve(np.full(count, 1 / count), np.full(count, 1 / count))
    reach = len(kernel) // 2
    padded = np.pad(q, ((reach, reach), (0, 0)), mode="edge")
    return np.stack([np.convolve(column, kernel, "valid") for column in padded.T], axis=1)


def _way(spec: ArmSpec, kinematics: Kinematics, begin: Floats, end: Floats, period: float) -> Floats:
    rows = [begin]
    for move in soft_path(spec, kinematics, begin, end, ON_THE_WAY):
        times = np.arange(period, move.duration + period, period)
        rows += [move.at(t, np.empty_like(begin)) for t in times.tolist()]
    return np.array(rows)
