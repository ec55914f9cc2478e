"""Stage 0: does the log speak of the arm that its spec describes? Signs, swapped joints, units, the command law.

Each test looks at what it can: position joints follow their commands, and a logged duty obeys the servo's own law. What
no test can see is left to the fit, which ends on a bound when something is upside down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibration.logs.log import Log
from calibration.logs.windows import position_gains
from calibration.physics.law import POSITION_MODES, Laws
from robot_runtime.arrays import Flags, Floats

MOVED = 0.03
"""rad of standard deviation: a joint that moved less says nothing of signs."""
LATEST = 0.25
"""s: how far behind its command a joint is looked for."""
CLEAR = 0.3
"""Correlation above which two signals have to do with each other."""
CLEARER = 0.3
"""Share of what a joint's own command leaves unexplained; if another's leaves less, it is the other's joint."""
LAW_ERROR = 0.02
"""Duty, rms, by which a logged duty may differ from the servo's law: 18 PWM ticks, the register's own rhythm."""
SATURATED = 0.98


@dataclass(frozen=True, slots=True)
class Follow:
    """How a position joint follows commands."""

    joint: str
    correlation: float  # of command and angle, at the best lag
    lag: float  # s
    best: str  # the joint whose command its angle follows best

    @property
    def problem(self) -> str:
        """What is wrong; empty: nothing."""
        if self.best != self.joint:
            return f"{self.joint} follows the command of {self.best}: are their servos or columns swapped?"
        if self.correlation < -CLEAR:
            return f"{self.joint} moves against its command: is its sign, or its column's, wrong?"
        if abs(self.correlation) < CLEAR:
            return f"{self.joint} does not follow its command: is it blocked, or torque off?"
        return ""


@dataclass(frozen=True, slots=True)
class LawCheck:
    """What a logged duty says of the servo's position law: duty = slope * gain * (command - q) + bias."""

    joint: str
    slope: float  # 1: the law as the simulator has it
    bias: float  # duty
    error: float  # duty rms with slope 1 and no bias
    lag: float  # s by which the register follows the law

    @property
    def problem(self) -> str:
        """What is wrong; empty: nothing."""
        if self.slope < 0:
            return f"{self.joint}: the duty acts against the law: sign of the duty, of the angle, or of the command"
        if self.error > LAW_ERROR and abs(self.slope - 1.0) > 0.1:
            return f"{self.joint}: the duty is {self.slope:.2f} times the law's: gain register, or units?"
        return ""


def follow(log: Log) -> list[Follow]:
    """Of all position joints that moved, or were told to."""
    rows = np.flatnonzero((log.valid & log.torque_on).all(axis=1))
    joints = [i for i, mode in enumerate(log.modes) if mode in POSITION_MODES]
    if len(rows) < 20:
        return []
    period = float(np.median(np.diff(log.time)))
    commands = {i: log.command[rows, i] for i in joints}
    found = []
    for i in joints:
        if np.std(log.q[rows, i]) < MOVED and np.std(commands[i]) < MOVED:
            continue
        scores = {j: _best_lag(c, log.q[rows, i], period) for j, c in commands.items() if np.std(c) >= MOVED}
        if i not in scores:
            continue
        best = max(scores, key=lambda j: abs(scores[j][0]))
        mine = scores[i]
        swapped = best != i and 1.0 - scores[best][0] ** 2 < CLEARER * (1.0 - mine[0] ** 2)
        found.append(Follow(log.joints[i], mine[0], mine[1], log.joints[best if swapped else i]))
    return found


def _best_lag(command: Floats, q: Floats, period: float) -> tuple[float, float]:
    """Correlation of the two, and the lag (s) at which it is largest."""
    best = (0.0, 0.0)
    latest = min(round(LATEST / period), len(q) - 10)  # a clock in a wrong unit may put it behind the log's end
    for shift in range(0, max(1, latest), max(1, round(0.005 / period))):
        a, b = command[: len(command) - shift], q[shift:]
        if len(a) > 10 and np.std(a) > 0 and np.std(b) > 0:
            value = float(np.corrcoef(a, b)[0, 1])
            best = max(best, (value, shift * period), key=lambda pair: abs(pair[0]))
    return best


def check_law(log: Log, laws: Laws) -> list[LawCheck]:
    """Of all position joints whose duty was logged and whose D gain is 0."""
    gains = position_gains(log)
    found = []
    for i, joint in enumerate(log.joints):
        p = laws.default_p[i] if np.isnan(gains[0][i]) else gains[0][i]
        d = laws.default_d[i] if np.isnan(gains[1][i]) else gains[1][i]
        wanted = p * laws.p_unit[i] * (log.command[:, i] - log.q[:, i])
        good: Flags = log.valid[:, i] & log.torque_on[:, i] & np.isfinite(log.duty[:, i]) & (np.abs(wanted) < SATURATED)
        if log.modes[i] not in POSITION_MODES or d > 0 or good.sum() < 50:
            continue
        rows = np.flatnonzero(good)
        slope, bias = np.polyfit(wanted[rows], log.duty[rows, i], 1)
        error = float(np.sqrt(np.mean((log.duty[rows, i] - wanted[rows]) ** 2)))
        rate = np.gradient(wanted, log.time)[rows]
        lag = -float(np.dot(log.duty[rows, i] - wanted[rows], rate) / max(float(np.dot(rate, rate)), 1e-12))
        found.append(LawCheck(joint, float(slope), float(bias), error, lag))
    return found
