"""The clip of a report: the arm as it moved, and over it what each simulator makes of the same commands."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from calibration.report.story import Story, Tracking
from robot_runtime.arm import Kinematics
from robot_runtime.arrays import Floats
from robot_runtime.flight.clip import Colour, film

SECONDS = 4.0
"""Of held-out motion, at most."""
SLOWER = 2.0
"""Times as slow as it was: half a second of a simulation is soon over."""
RATE = 12.5  # pictures a second
SIZE = (320, 260)

NOMINAL: Colour = (0.84, 0.37, 0.0, 0.55)
CALIBRATED: Colour = (0.0, 0.45, 0.85, 0.55)


def clip(shown: Story) -> bytes:
    """An animated PNG: on the left the arm and the data files' simulator, on the right the arm and the calibrated one.

    Raises:
        ClipError: it cannot be rendered.
    """
    t, spec = shown.tracking, shown.rig.world.spec
    rows = _whole(t)
    step = float(np.median(np.diff(t.time[rows])))
    rows = rows[: round(SECONDS / step) : max(1, round(1.0 / (RATE * SLOWER * step)))]
    poses = np.stack([_poses(shown, q[rows]) for q in (t.measured, t.nominal, t.calibrated)], axis=1)
    return film(spec.mjcf, spec.joint_names, poses, 1.0 / RATE, ghosts=(NOMINAL, CALIBRATED), size=SIZE)


def tips_apart(shown: Story) -> tuple[float, float]:
    """m, from the arm's tip to the simulator's at the end of a rollout, in the median: data files', calibrated."""
    t, kinematics = shown.tracking, Kinematics(shown.rig.world.spec)
    rows = _whole(t)
    ends = rows[np.append(np.diff(rows) > 1, True)]  # a row of nan parts two rollouts
    tips = [
        np.array([kinematics.tip_position(pose) for pose in _poses(shown, q[ends])])
        for q in (t.measured, t.nominal, t.calibrated)
    ]
    nominal, calibrated = (float(np.median(np.linalg.norm(tip - tips[0], axis=1))) for tip in tips[1:])
    return nominal, calibrated


def _whole(t: Tracking) -> npt.NDArray[np.intp]:
    """Rows that have all three."""
    return np.flatnonzero(np.isfinite(t.measured + t.nominal + t.calibrated).all(axis=1))


def _poses(shown: Story, q: Floats) -> Floats:
    """Of all joints: the ones that are not in the calibration stand as in the home pose."""
    spec = shown.rig.world.spec
    poses = np.tile(np.array(spec.poses["home"]), (len(q), 1))
    poses[:, shown.rig.world.index] = q
    return poses
