"""Strain: a recording lowers an arm that has to try too hard, before its monitor or its servos have to stop it.

A monitor's stop holds the arm where it is for a while, a servo's overload protection lets go of it: an arm that is
tired would be at its worst for longest. What ends a flight here is stricter than either; both stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from calibration.excitation.stage import LIFTED
from robot_runtime.arm.scaling import POSITION_MODES
from robot_runtime.flying import Phase
from robot_runtime.loop import Loop
from robot_runtime.safety.fault_kind import Bound, Ending, Fault, FaultKind, Stop
from robot_runtime.spec import ArmSpec

PUSHED = 1.0
"""s over which a push is averaged. Overload protections of servos average over three or more."""
SOONER = 0.5
"""Of the monitor's time for a joint that trails its goal."""

STRAINED = FaultKind(
    "strained",
    "a servo's own overload protection lets go of the arm",
    f"in a recording: a joint pushes with more than {LIFTED:.0%} of its torque limit, averaged over {PUSHED:g} s",
    Stop.LOWER,
    Bound(PUSHED),
    Ending.MOTION,
    "less load, or other poses",
)
TRAILS = FaultKind(
    "trails",
    "as of following-error",
    f"in a recording: as following-error, in {SOONER:.0%} of its time",
    Stop.LOWER,
    Bound(SOONER),
    Ending.MOTION,
    "a higher position P gain, or less load",
)


class Strain:
    """Looks at every cycle of a flight, and tells its monitor; somebody else may look, too."""

    def __init__(self, spec: ArmSpec, period: float, then: Callable[[Loop], None] | None = None) -> None:
        """`period`: of the bus (s)."""
        self._spec, self._period, self._then = spec, period, then
        count = len(spec.joints)
        squeezes = np.array([j.mode == "current_position" for j in spec.joints])  # bounded by its current, as a grip is
        self._most = np.where(squeezes, np.inf, LIFTED * np.array([j.limits.torque for j in spec.joints]))
        self._placed = np.array([j.mode in POSITION_MODES for j in spec.joints]) & ~squeezes
        self._push, self._behind = np.zeros(count), np.zeros(count)
        self._told = False

    def __call__(self, loop: Loop) -> None:
        """After a cycle."""
        if loop.phase in (Phase.START, Phase.RUN) and not self._told:
            self._look(loop)
        if self._then is not None:
            self._then(loop)

    def _look(self, loop: Loop) -> None:
        state, settings = loop.arm.state, loop.monitor.settings
        if loop.phase is Phase.RUN:  # lifting an arm from its rest takes more, for a moment
            self._push += (np.abs(state.tau) - self._push) * min(self._period / PUSHED, 1.0)
        trail = np.abs(loop.command - state.q) - settings.following_lag * np.abs(state.dq)
        behind = self._placed & (trail > settings.following_error)  # no command yet is nan: not behind
        self._behind = np.where(behind, self._behind + self._period, 0.0)
        for i in np.flatnonzero(self._behind > SOONER * settings.following_time):
            self._tell(loop, TRAILS, int(i), f"trails its goal by {trail[i]:.2f} rad")
        for i in np.flatnonzero(self._push > self._most):
            limit = self._spec.joints[i].limits.torque
            self._tell(loop, STRAINED, int(i), f"pushes with {self._push[i]:.2f} N·m for long, its limit is {limit:g}")

    def _tell(self, loop: Loop, kind: FaultKind, i: int, what: str) -> None:
        joint, now = self._spec.joints[i], float(loop.arm.state.stamp[i])
        text = f"joint '{joint.name}' ({joint.moved_by}) {what}: {kind.advice}"
        loop.monitor.add(Fault(kind, (joint.name,), float(self._push[i]), now, text))
        self._told = True
