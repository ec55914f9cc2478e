"""The source of motion that an excitation is: goals for joints that their servo positions, tracked torques for others.

Torques and duties follow the reference by the arm's own model (inertia, gravity, Coriolis, sure friction, computed
before the flight) and by a soft spring and damper. So a log's commands are what was sent, and its motion is near what
was planned, whatever the servos are worth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from calibration.excitation.segment import Excitation, Gains, Segment
from robot_runtime.arm import Arm, JointState, Kinematics
from robot_runtime.arm.duty import Duty
from robot_runtime.arm.scaling import POSITION_MODES
from robot_runtime.arrays import Floats
from robot_runtime.spec import ArmSpec

FULL_TORQUE_ERROR = 0.4
"""rad at which the spring reaches a joint's torque limit: as soft as a held joint, which swings on no shipped gap."""
DAMPING_TIME = 0.05  # s, damping over stiffness, as a held joint's
SURE_FRICTION = 0.5  # of the nominal friction that is fed forward; gears were seen from half to three times of it
FRICTION_SPEED = 0.1  # rad/s over which dry friction turns its sign
STALE = 0.05  # s: a spring that pulls towards news so old may pull the wrong way

Tell = Callable[[str, Segment, float], None]
"""What happened ("begin", "end"), to which segment, when (s, the port's clock)."""


def with_gains(spec: ArmSpec, gains: Gains) -> ArmSpec:
    """The arm with other gain registers; the file it came from stays the same."""
    joints = tuple(replace(j, gains={**j.gains, **gains[j.name]}) if j.name in gains else j for j in spec.joints)
    return replace(spec, joints=joints)


def feedforward(
    spec: ArmSpec, kinematics: Kinematics, q: Floats, period: float, friction: float = SURE_FRICTION
) -> Floats:
    """N·m that make a nominal arm, with this share of its friction, move like this: samples x joints."""
    motors = [(j.servo.motor, j.gear) for j in spec.joints]
    dry = friction * np.array([g * m.coulomb_friction for m, g in motors])
    viscous = friction * np.array([g**2 * m.viscous_friction for m, g in motors])
    dq = np.gradient(q, period, axis=0)
    ddq = np.gradient(dq, period, axis=0)
    count = q.shape[1]
    torque, bias, inertia = np.empty_like(q), np.empty(count), np.empty((count, count))
    for row in range(len(q)):
        kinematics.dynamics(q[row], dq[row], bias, inertia)
        torque[row] = bias + inertia @ ddq[row]
    torque += dry * np.clip(dq / FRICTION_SPEED, -1.0, 1.0) + viscous * dq
    return torque


class ExcitationSource:
    """Flies segments, one after the other, a sample a cycle: cycles that are skipped make it longer, not jerky."""

    def __init__(self, excitation: Excitation, arm: Arm, tell: Tell = lambda *_: None) -> None:
        """Compute what can be computed before the flight."""
        spec = arm.spec
        self.start_pose: Floats = excitation.start.copy()
        self.period = excitation.period
        self.done = False
        """All segments have been flown."""
        self.at = 0
        """Samples flown."""
        self._tell = tell
        self._segments = excitation.segments
        self._q = np.concatenate([s.q for s in self._segments])
        self._ends = np.cumsum([len(s.q) for s in self._segments])
        self._dq = np.concatenate([s.speeds(self.period) for s in self._segments])
        by_torque = np.array([j.mode not in POSITION_MODES for j in spec.joints])
        self._positions = ~by_torque
        self._any_torque = bool(by_torque.any())
        self._torque = (
            np.concatenate([feedforward(spec, arm.kinematics, s.q, self.period) for s in self._segments])
            if self._any_torque
            else np.zeros((0, len(spec.joints)))
        )
        self._limit = np.array([j.limits.torque for j in spec.joints])
        self._stiffness = self._limit / FULL_TORQUE_ERROR
        self._damping = DAMPING_TIME * self._stiffness
        self._duty = Duty(spec)
        self._number = 0
        self._begun = False

    @property
    def samples(self) -> int:
        """In all."""
        return len(self._q)

    @property
    def current(self) -> tuple[int, Segment]:
        """The segment that is being flown, and its number."""
        number = min(self._number, len(self._segments) - 1)
        return number, self._segments[number]

    def follow(self, sent: Floats) -> None:
        """What was sent does not matter."""

    def reset(self, state: JointState, now: float) -> None:  # noqa: ARG002 (the reference knows where it begins)
        """The arm stands at the start pose."""
        self.at = self._number = 0
        self._begun = self.done = False

    def intend(self, state: JointState, target: Floats, now: float, acts: bool, values: Floats) -> int:  # noqa: ARG002
        """The next sample, into `values`; where the arm should be (rad), into `target`."""
        if self.done:
            row = len(self._q) - 1
        else:
            row = self.at
            self._announce(row, now)
            self.at += 1
        np.copyto(target, self._q[row])
        if self._any_torque:
            values[:] = self._track(row, state, now)
        np.copyto(values, self._q[row], where=self._positions)
        return 0

    def _announce(self, row: int, now: float) -> None:
        """Tell who begins and who ends. The last sample of a segment stays one cycle longer than it must."""
        if row == self._ends[self._number] - 1:
            self._tell("end", self._segments[self._number], now)
            self._number += 1
            self._begun = False
            self.done = self._number == len(self._segments)
        elif not self._begun:
            self._tell("begin", self._segments[self._number], now)
            self._begun = True

    def _track(self, row: int, state: JointState, now: float) -> Floats:
        error, slip = self._q[row] - state.q, self._dq[row] - state.dq
        fresh = now - state.stamp < STALE
        torque = self._torque[row] + np.where(fresh, self._stiffness * error + self._damping * slip, 0.0)
        torque = torque.clip(-self._limit, self._limit)
        if self._duty.any_pwm:
            torque = np.where(self._duty.is_pwm, self._duty.of_torque(torque, state), torque)
        return np.asarray(torque)
