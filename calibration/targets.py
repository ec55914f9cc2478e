"""Targets: what the simulator would have sensed and done along a recorded motion, on the clock of the control loop.

Position, velocity and acceleration come from local polynomials through samples before and after: no lag, but only
offline. Torque is the simulator's own: its inverse dynamics, its friction included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from calibration.log import Flags, Floats, Log
from calibration.rollout import Rig
from calibration.windows import slopes

SLOPE_REACH = 0.020
"""s to either side for the velocity."""
BEND_REACH = 0.030
"""s to either side for the acceleration."""
LEAD, TAIL = 0.2, 0.06
"""s at the beginning and the end of a log without a target: histories fill up, polynomials lack a side."""
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
    moving: Flags  # usable, not stuck, not saturated: where a torque map is defined

    def __len__(self) -> int:
        """Samples."""
        return len(self.q)


def track(
    rig: Rig,
    log: Log,
    period: float,
    offset: Floats,
    *,
    friction: bool = True,
    until: float = np.inf,
    delay: float = 0.0,
) -> Track:
    """Resample a log. `friction`: whether the simulator's torque pays for its joints' friction, as its motors do.

    `delay`: s between a command and its effect; commands are taken that much earlier.
    """
    span = min(log.duration, until)
    at = log.time[0] + np.arange(0.0, span, period)
    n = len(log.joints)
    value, speed, bend = (np.empty((len(at), n)) for _ in range(3))
    fine = np.zeros((len(at), n), dtype=bool)

    def resampled(values: Floats, when: Floats) -> Floats:
        return np.stack([np.interp(when, log.time, values[:, i]) for i in range(n)], axis=1)

    for i in range(n):
        good = np.flatnonzero(log.valid[:, i])
        grid = np.interp(at, log.time[good], log.q[good, i])[:, None]
        value[:, i] = grid[:, 0]
        speed[:, i] = slopes(at, grid, at, SLOPE_REACH)[1][:, 0]
        bend[:, i] = slopes(at, grid, at, BEND_REACH, degree=2)[2][:, 0]
        fine[:, i] = np.interp(at, log.time, (log.valid & log.torque_on)[:, i].astype(float)) > UNSATURATED
    inside = (at >= log.time[0] + LEAD - 1e-9) & (at < log.time[0] + span - TAIL)
    usable = fine & inside[:, None]
    duty = resampled(log.duty, at)
    stuck = np.abs(speed) <= MOVING
    return Track(
        log.name,
        period,
        value,
        resampled(log.dq, at),
        resampled(log.command, at - delay),
        resampled(log.volts, at),
        duty,
        value + offset,
        speed,
        simulator_torque(rig, value + offset, speed, bend, friction=friction),
        usable,
        usable & ~stuck & ~(np.abs(duty) >= UNSATURATED),
    )


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
