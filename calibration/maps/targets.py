"""Targets: what the simulator would have sensed and done along a recorded motion, on the clock of the control loop.

Position, velocity and acceleration come from local polynomials through samples before and after: no lag, but only
offline. Torque is the simulator's own: its inverse dynamics, its friction included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from calibration.logs.log import Log
from calibration.logs.windows import LONGEST_HOLE, SLOPE_REACH, open_volts, slopes
from calibration.physics.rollout import Rig
from robot_runtime.arrays import Flags, Floats

BEND_REACH = 0.030
"""s to either side for the acceleration."""
LEAD, TAIL = 0.2, 0.06
"""s at the beginning and the end of a log without a target: histories fill up, polynomials lack a side. A hole in it is
an end and a beginning."""
MOVING = 0.15
"""rad/s: below it friction hides what torque was on, and the command says nothing of it."""
UNSATURATED = 0.98
"""Duty from which on more command changes nothing."""
STICK = 0.05
"""rad/s over which dry friction changes its sign in the maps."""


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One log on a uniform grid; samples x joints."""

    name: str
    period: float  # s
    q: Floats  # rad, as measured
    dq: Floats  # rad/s, the velocity register
    command: Floats  # unit of the mode; nan: none
    volts: Floats
    duty: Floats
    true_q: Floats  # rad, offset included
    true_dq: Floats
    torque: Floats  # N·m, what the simulator would have applied
    usable: Flags  # in the middle of valid data, torque on
    moving: Flags  # usable, not stuck, not saturated, all joints known: where a torque map is defined
    sensed_dq: Floats | None = None  # what the simulator's register would show when a command of now takes effect
    caused_by: Floats | None = None  # the command that was in force, one delay ago
    extra: Floats | None = None  # N·m that the arm weighs more than the simulator's
    weight: Floats | None = None  # N·m that the simulator's arm weighs
    open_volts: Floats | None = None  # V of each joint's supply without load while this was recorded; nan: not known

    def __len__(self) -> int:
        """Samples."""
        return len(self.q)

    @property
    def cause(self) -> Floats:
        """The command that made the motion."""
        return self.command if self.caused_by is None else self.caused_by

    @property
    def wanted_dq(self) -> Floats:
        """What an observation map is to give."""
        return self.true_dq if self.sensed_dq is None else self.sensed_dq


def track(
    rig: Rig,
    log: Log,
    period: float,
    offset: Floats,
    *,
    friction: bool = True,
    until: float = np.inf,
    delay: float | None = None,
    ahead: float | None = None,
) -> Track:
    """Resample a log. `friction`: whether the simulator's torque pays for its joints' friction, as its motors do.

    delay: s between a command's sending and its effect. ahead: s by which the velocity that
    an observation map is to give lies ahead of the reading; None: the true velocity of now.
    """
    span = min(log.duration, until)
    at = log.time[0] + np.arange(0.0, span, period)
    n = len(log.joints)
    value, register = np.empty((len(at), n)), np.empty((len(at), n))
    fine = np.zeros((len(at), n), dtype=bool)
    unknown = np.zeros((len(at), n), dtype=bool)

    def resampled(values: Floats, when: Floats) -> Floats:
        return np.stack([np.interp(when, log.time, values[:, i]) for i in range(n)], axis=1)

    for i in range(n):
        good = np.flatnonzero(log.valid[:, i])
        value[:, i] = np.interp(at, log.time[good], log.q[good, i])
        register[:, i] = np.interp(at, log.time[good], log.dq[good, i])  # a bad sample's speed is made up as well
        fine[:, i] = np.interp(at, log.time, (log.valid & log.torque_on)[:, i].astype(float)) > UNSATURATED
        unknown[:, i] = _in_holes(at, log.time[good], log.time)
    speed = even_slopes(value, period, SLOPE_REACH)[1]
    bend = even_slopes(value, period, BEND_REACH, degree=2)[2]
    inside = (at >= log.time[0] + LEAD - 1e-9) & (at < log.time[0] + span - TAIL)
    usable = fine & inside[:, None] & ~unknown
    pushed = usable & ~unknown.any(axis=1, keepdims=True)  # each joint's motion pushes at all others
    duty = resampled(log.duty, at)
    stuck = np.abs(speed) <= MOVING
    return Track(
        log.name,
        period,
        value,
        register,
        resampled(log.command, at),
        resampled(log.volts, at),
        duty,
        value + offset,
        speed,
        simulator_torque(rig, value + offset, speed, bend, friction=friction),
        usable,
        pushed & ~stuck & ~(np.abs(duty) >= UNSATURATED),
        sensed_dq=None
        if ahead is None
        else np.stack([np.interp(at + ahead, at, speed[:, i]) for i in range(n)], axis=1),
        caused_by=None if delay is None else in_force(log, at - delay),
        open_volts=open_volts(log),
    )


def _in_holes(at: Floats, seen: Floats, clock: Floats) -> Flags:
    """Which of these times lie in a hole between the times that a joint was seen at, or near one: motion there would be
    invented. `clock`: times of the log's samples, seen or not.
    """
    known = np.concatenate([[clock[0]], seen, [clock[-1]]])
    holes = np.flatnonzero(np.diff(known) > LONGEST_HOLE)
    change = np.zeros(len(at) + 1)
    np.add.at(change, np.searchsorted(at, known[holes] - TAIL, side="right"), 1)
    np.add.at(change, np.searchsorted(at, known[holes + 1] + LEAD), -1)
    return np.asarray(np.cumsum(change)[:-1] > 0)


def in_force(log: Log, when: Floats) -> Floats:
    """The commands that had been sent last at these times."""
    row = np.clip(np.searchsorted(log.sent, when, side="right") - 1, 0, len(log) - 1)
    return np.asarray(log.command[row])


def even_slopes(values: Floats, period: float, reach: float, degree: int = 1) -> Floats:
    """`windows.slopes` around every sample of an even grid, at once: value, slope, bend ... (first axis)."""
    half = round(reach / period)
    width = 2 * half + 1
    at: Floats = np.arange(len(values), dtype=float) * period
    if len(values) < 2 * width:
        return slopes(at, values, at, reach, degree)
    powers = (np.arange(-half, half + 1) * period)[:, None] ** np.arange(degree + 1)
    factorial = np.cumprod(np.maximum(np.arange(degree + 1), 1))
    weights = np.linalg.pinv(powers) * factorial[:, None]
    out = np.empty((degree + 1, *values.shape))
    windows = np.lib.stride_tricks.sliding_window_view(values, width, axis=0)  # samples x columns x width
    out[:, half : len(values) - half] = np.einsum("dw,scw->dsc", weights, windows)
    for rows in (slice(0, half), slice(len(values) - half, None)):
        out[:, rows] = slopes(at, values, at[rows], reach, degree)
    return out


def simulator_torque(rig: Rig, q: Floats, dq: Floats, ddq: Floats, *, friction: bool) -> Floats:
    """N·m of the motors that make the simulator's arm move like this, by its own figures."""
    model = rig.world.model
    data = mujoco.MjData(model)
    torque = np.empty_like(q)
    full = np.empty((model.nv, model.nv))
    for row in range(len(q)):
        data.qpos[:], data.qvel[:] = q[row], dq[row]
        mujoco.mj_fwdPosition(model, data)
        mujoco.mj_fwdVelocity(model, data)
        mujoco.mj_fullM(model, data, full)
        torque[row] = full @ ddq[row] + data.qfrc_bias
    if friction:
        load = np.array([j.servo.motor.load_friction for j in rig.world.joints])
        damping = np.array(model.dof_damping).reshape(model.nv, -1)[:, 0]
        torque = rubbed(torque, dq, np.array(model.dof_frictionloss), damping, load)
    return torque


def rubbed(net: Floats, dq: Floats, coulomb: Floats, viscous: Floats, load: Floats) -> Floats:
    """Motor torque that leaves `net` (N·m) behind the gears at this speed."""
    sense = np.tanh(dq / STICK)
    needed = net + coulomb * sense + viscous * dq
    return np.asarray(needed / (1.0 - load * sense * np.sign(needed)))


def tapped(values: Floats, lags: Sequence[int]) -> Floats:
    """History: (samples, joints, taps), what stood there `lag` samples before; before the first, the first."""
    rows = np.arange(len(values))[:, None] - np.asarray(lags)[None, :]
    out: Floats = values[np.maximum(rows, 0)].transpose(0, 2, 1)
    return out
