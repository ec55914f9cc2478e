"""Rehearsal: a reference through the envelope that will guard the arm, on an arm that follows as a servo would.

What the envelope would change here, it would change in flight: such a segment is drawn calmer before anything moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibration.excitation.tracking import feedforward
from robot_runtime.arm import JointState, Kinematics
from robot_runtime.arm.duty import Duty
from robot_runtime.arm.scaling import POSITION_MODES
from robot_runtime.arrays import Floats
from robot_runtime.safety.envelope import Envelope
from robot_runtime.spec import ArmSpec, JointSpec

LAG = 0.13
"""s by which a positioned joint trails its goal: the slowest of the shipped arms, whose loops have no integral part."""
STICKY = 1.5
"""Times the nominal friction, of the arm that is rehearsed with: its spring pushes more than the envelope's model of it
explains."""
LOOK_EVERY = 10  # cycles between two measurements of the distance
NOTICED = 0.004
"""rad by which a goal is changed noticeably; positions settle to a fraction of that by themselves."""
NOTICED_SHARE = 0.03
"""Of the torque limit, or of full duty, by which a command is."""


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What came of it."""

    changed: Floats  # a joint: share of cycles in which the envelope changed its command noticeably
    nearest: float  # m, the smallest distance to the table or to itself; 0.3 at most


class Rehearsal:
    """One arm and its envelope."""

    def __init__(self, spec: ArmSpec, kinematics: Kinematics, period: float) -> None:
        """`period` (s): of the bus."""
        self._spec, self._kinematics, self._period = spec, kinematics, period
        self._positions = np.array([j.mode in POSITION_MODES for j in spec.joints])
        self._duty = Duty(spec)
        self._noticed = noticed(spec)
        self._volts = np.array([j.servo.motor.nominal_voltage for j in spec.joints])

    def of(self, q: Floats) -> Rehearsed:
        """Rehearse this reference (samples x joints, rad), from rest."""
        spec, period = self._spec, self._period
        shown = _trailing(q, LAG / period) if self._positions.any() else q
        shown = np.where(self._positions, shown, q)
        dq = np.gradient(shown, period, axis=0)
        torque = feedforward(spec, self._kinematics, q, period, friction=STICKY)
        state, envelope = JointState(q.shape[1]), Envelope(spec, self._kinematics, period)
        state.voltage[:], state.fresh[:], state.torque_on[:] = self._volts, True, True
        state.temperature[:] = 30.0
        np.copyto(state.q, shown[0])
        envelope.reset(state, 0.0)
        changed, nearest = np.zeros(q.shape[1]), np.inf
        for row in range(len(q)):
            now = row * period
            np.copyto(state.q, shown[row])
            np.copyto(state.dq, dq[row])
            state.stamp[:] = now
            values = np.where(self._positions, q[row], torque[row])
            if self._duty.any_pwm:
                values = np.where(self._duty.is_pwm, self._duty.of_torque(torque[row], state), values)
            wanted = values.copy()
            envelope.limit(values, state, now)
            changed += np.abs(values - wanted) > self._noticed
            if row % LOOK_EVERY == 0:
                found = self._kinematics.clearance(shown[row], 0.3)
                nearest = min(nearest, 0.3 if found is None else found.distance)
        return Rehearsed(changed / len(q), nearest)


def noticed(spec: ArmSpec) -> Floats:
    """By how much a command of each joint must be changed to be counted, in the unit of its mode."""
    return np.array([_noticed(joint) for joint in spec.joints])


def _noticed(joint: JointSpec) -> float:
    match joint.mode:
        case "current":
            return NOTICED_SHARE * joint.limits.torque
        case "pwm":
            return NOTICED_SHARE
        case _:
            return NOTICED


def _trailing(q: Floats, samples: float) -> Floats:
    """First-order lag of so many samples."""
    out, keep = q.copy(), np.exp(-1.0 / samples)
    for row in range(1, len(q)):
        out[row] = keep * out[row - 1] + (1 - keep) * q[row]
    return out
