"""What each servo has carried of late, and what that comes to if it goes on.

When that is too much its overload protection lets go of the joint, and what it holds falls.
"""

from __future__ import annotations

import math

import numpy as np

from robot_runtime.arm.state import JointState
from robot_runtime.arrays import Floats
from robot_runtime.safety.settings import Settings
from robot_runtime.spec import ArmSpec, JointSpec

EVERY = 0.02
"""s between two looks: loads that tire a servo last for tenths of a second."""

LATELY = 0.5
"""s over which the load is averaged that may go on: a start or a swing of the arm has passed by then."""


class Load:
    """Shares of the servos' full load, as averages."""

    def __init__(self, spec: ArmSpec, settings: Settings, period: float) -> None:
        """Nothing was carried yet. `period`: s, of the bus."""
        self._full = np.array([_full(joint) for joint in spec.joints])
        self._turns = np.array([_turns(joint) for joint in spec.joints])
        self._over, self._longest = settings.overload_time, 2.0 * max(EVERY, period)
        self._goes_on = _come(settings.overload_ahead, settings.overload_time)
        self._average = np.zeros(len(spec.joints))
        self.lately: Floats = np.zeros(len(spec.joints))
        self._then = -math.inf

    def look(self, state: JointState, now: float) -> Floats:
        """Of every joint, the average now, or that to which it will have come, whichever is more."""
        elapsed = min(now - self._then, self._longest)  # nobody saw what was carried in a pause
        self._then = now
        share = np.abs(state.tau / self._full - state.dq * self._turns)
        self._average += (share - self._average) * _come(elapsed, self._over)
        self.lately += (share - self.lately) * _come(elapsed, LATELY)
        return _soon(self._average, self.lately, self._goes_on)


def seen_within(settings: Settings, times: float) -> float:
    """How long (s) until a load of so many times what a servo bears is seen, from none."""
    seconds, load = 0.0, np.array(times * settings.overload_share)
    goes_on = _come(settings.overload_ahead, settings.overload_time)
    while True:
        seconds += EVERY
        average, lately = (load * _come(seconds, over) for over in (settings.overload_time, LATELY))
        if _soon(average, lately, goes_on) > settings.overload_share:
            return seconds + EVERY  # looks come between


def _soon(average: Floats, lately: Floats, goes_on: float) -> Floats:
    """The average, or that to which it will have come, if more, when the load of lately has gone on."""
    soon: Floats = average + np.maximum(lately - average, 0.0) * goes_on
    return soon


def _come(seconds: float, over: float) -> float:
    """Share of the way that an average over these s has come after those."""
    return 1.0 - math.exp(-seconds / over)


def _full(joint: JointSpec) -> float:
    """N·m that the state shows at full load."""
    motor = joint.servo.motor
    if joint.servo.has_current:
        return abs(joint.torque_per_ampere) * motor.stall_current
    return joint.gear * motor.stall_torque


def _turns(joint: JointSpec) -> float:
    """Of full load, for each rad/s: a servo without a current sensor shows its output, and what of that turns the motor
    against its own voltage pushes nothing.
    """
    return 0.0 if joint.servo.has_current else joint.gear / joint.servo.motor.no_load_speed
