"""What is known of the arm's joints: one array a quantity, allocated once and updated in place by every read."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(slots=True, eq=False)
class JointState:
    """State of all joints in the order of the arm's spec. A servo that did not answer keeps its last values."""

    count: int
    q: Floats = field(init=False)  # rad
    dq: Floats = field(init=False)  # rad/s, the servo's own velocity register: it lags
    tau: Floats = field(init=False)  # N·m, from current times torque constant: an estimate, not a sensor
    stamp: Floats = field(init=False)  # s, monotonic, when the reply was complete; -inf before the first
    fresh: Flags = field(init=False)  # answered in the last read
    alert: Flags = field(init=False)  # the last reply carried the alert bit: Hardware Error Status is not zero
    jumped: Flags = field(init=False)  # position moved faster than the servo can turn; stays until cleared
    restarted: Flags = field(init=False)  # the servo lost its power or rebooted; stays until cleared
    watchdog_tripped: Flags = field(init=False)  # the servo stopped by itself: it heard nothing for too long
    voltage: Floats = field(init=False)  # V
    temperature: Floats = field(init=False)  # °C
    hardware_error: NDArray[np.int64] = field(init=False)  # bits of Hardware Error Status; -1 where the read lacks it
    torque_on: Flags = field(init=False)  # as the servo says, or as last commanded where the read lacks it
    health_stamp: Floats = field(init=False)  # s, monotonic, when voltage to torque_on were last read

    def __post_init__(self) -> None:
        """Allocate."""
        n = self.count
        for name in ("q", "dq", "tau", "voltage", "temperature"):
            setattr(self, name, np.zeros(n))
        for name in ("stamp", "health_stamp"):
            setattr(self, name, np.full(n, -np.inf))
        for name in ("fresh", "alert", "jumped", "restarted", "watchdog_tripped", "torque_on"):
            setattr(self, name, np.zeros(n, dtype=bool))
        self.hardware_error = np.full(n, -1, dtype=np.int64)


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
