"""What is known of the arm's joints: one array a quantity, allocated once and updated in place by every read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_runtime.arrays import Flags, Floats

BOTH = -1
"""In `JointState.blamed`: the joint's two servos, or nobody in particular."""

POWERED = 1.0
"""V: below this the servo's voltage is not known yet, and the nominal one stands in."""


def run_of(index: list[int]) -> Any:
    """The same places in an array, as a slice where they are in a row: that takes a quarter of the time."""
    first = index[0] if index else 0
    row = range(first, first + len(index))
    return slice(row.start, row.stop) if index == list(row) else np.array(index)


@dataclass(slots=True, eq=False)
class JointState:
    """State of all joints in the order of the arm's spec. A servo that did not answer keeps its last values.

    Where two servos turn a joint, angle and velocity are the mean of both's (with torque off the first one's; while one
    is silent, what the other knows); the torque is both servos', and of their health it is the worse.

    What is read together lies together in memory, in the order below, so that it is written and recorded in one piece.
    """

    count: int
    q: Floats = field(init=False)  # rad
    dq: Floats = field(init=False)  # rad/s, the servo's own velocity register: it lags
    tau: Floats = field(init=False)  # N·m, by the motor's current, measured or computed from its duty: an estimate
    stamp: Floats = field(init=False)  # s, monotonic, when the reply was complete; -inf before the first
    fresh: Flags = field(init=False)  # answered in the last read
    alert: Flags = field(init=False)  # the last reply carried the alert bit: Hardware Error Status is not zero
    jumped: Flags = field(init=False)  # position moved faster than the servo can turn; stays until cleared
    restarted: Flags = field(init=False)  # the servo lost its power or rebooted; stays until cleared
    watchdog_tripped: Flags = field(init=False)  # the servo stopped by itself: it heard nothing for too long
    split: Flags = field(init=False)  # the joint's two servos disagree about where it is; stays until cleared
    voltage: Floats = field(init=False)  # V
    temperature: Floats = field(init=False)  # °C
    health_stamp: Floats = field(init=False)  # s, monotonic, when voltage to torque_on were last read
    hardware_error: NDArray[np.int64] = field(init=False)  # bits of Hardware Error Status; -1 where the read lacks it
    torque_on: Flags = field(init=False)  # as the servo says, or as last commanded where the read lacks it
    halved: Flags = field(init=False)  # of the joint's two servos one acts on no command; the other one does

    whole_stamp: Floats = field(init=False)  # s, when all servos of the joint had answered; `stamp` where it has one
    blamed: NDArray[np.int64] = field(init=False)  # whom bad news was about last: its place in `spec.servos`, or BOTH

    motion: Floats = field(init=False)
    """q, dq, tau and stamp as one array."""
    troubles: Flags = field(init=False)
    """alert, jumped, restarted, watchdog_tripped and split as one array."""

    def __post_init__(self) -> None:
        """Allocate."""
        n = self.count
        self.blamed = np.arange(n)
        numbers = 4 * n * np.dtype(np.float64).itemsize
        moving = np.zeros(numbers + 6 * n, dtype=np.uint8)
        self.motion = moving[:numbers].view(np.float64).reshape(4, n)
        self.q, self.dq, self.tau, self.stamp = self.motion
        self.stamp[:] = -np.inf
        self.whole_stamp = self.stamp
        flags = moving[numbers:].view(np.bool_).reshape(6, n)
        self.fresh, self.alert, self.jumped, self.restarted, self.watchdog_tripped, self.split = flags
        self.troubles = flags[1:]
        health = np.zeros(numbers + 2 * n, dtype=np.uint8)
        self.voltage, self.temperature, self.health_stamp, _ = health[:numbers].view(np.float64).reshape(4, n)
        self.health_stamp[:] = -np.inf
        self.hardware_error = health[:numbers].view(np.int64).reshape(4, n)[3]
        self.hardware_error[:] = -1
        self.torque_on, self.halved = health[numbers:].view(np.bool_).reshape(2, n)

    def supply(self, nominal: Floats) -> Floats:
        """V at every servo; the nominal voltage where it is not known yet."""
        return np.where(self.voltage > POWERED, self.voltage, nominal)


@dataclass(slots=True, eq=False)
class JointCommand:
    """What each joint should do, in the unit of its mode: N·m, rad/s, rad, or duty (-1 to 1) in PWM mode.

    A joint marked in `held` ignores its value and is kept where it stood when it was first held.
    """

    count: int
    values: Floats = field(init=False)
    held: Flags = field(init=False)

    def __post_init__(self) -> None:
        """Allocate; every joint is held until somebody commands it."""
        self.values = np.zeros(self.count)
        self.held = np.ones(self.count, dtype=bool)
