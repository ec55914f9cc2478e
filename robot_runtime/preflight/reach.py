"""Targets that are known before the flight, against the arm: a policy that is sent beyond its reach goes anywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robot_runtime.arm import Kinematics
from robot_runtime.arrays import Floats
from robot_runtime.preflight.drawn import drawn_poses, limits_of
from robot_runtime.preflight.table import Check
from robot_runtime.safety.clearance import MARGIN
from robot_runtime.spec import ArmSpec

NEAR = 0.01
"""m: what is nearer to a place that the tip can be at is a matter of a model's lengths."""

FAR = 5.0
"""Times the furthest that the tip can be: no target, but another unit."""

MOST, TOLD = 20, 3
"""Targets that are looked at, the first different ones, for a file may hold a path of thousands; told of one by one."""

_POSES, _SEEDS, _STEPS = 1000, 8, 40
"""Drawn from inside the limits; those nearest to a target from which a way to it is looked for; steps of each."""

_BETTER, _PATIENCE = 0.99, 4
"""Of what was left, and how many steps in a row may bring no more than that."""

_DAMPING, _STRIDE = 1e-3, 0.3
"""m, of the least squares: what is further off than that along a direction is gone to; rad at most in one step."""


def check_reach(spec: ArmSpec, kinematics: Kinematics, targets: Sequence[Sequence[float]]) -> Check:
    """Whether the tip can be at each target (m, base frame) with all joints inside their limits, clear of all else."""
    low, high = limits_of(spec)
    poses = drawn_poses(spec, _POSES)
    tips = np.array([kinematics.tip_position(pose) for pose in poses])

    def why_not(place: Floats) -> str:
        """Empty: it can."""
        least, blocked = np.inf, ""
        for seed in poses[np.argsort(np.linalg.norm(tips - place, axis=1))[:_SEEDS]]:
            q, off = _towards(kinematics, seed, place, low, high)
            least = min(least, off)
            if off > NEAR:
                continue
            near = kinematics.clearance(q, MARGIN)
            if near is None:
                return ""
            blocked = f"{near.first} and {near.second} come nearer than {MARGIN * 1e3:g} mm"
        return blocked or f"no pose was found in which the tip is nearer than {least * 1e3:.0f} mm"

    looked_at = list(dict.fromkeys(map(tuple, targets)))[:MOST]
    beyond = {target: why for target in looked_at if (why := why_not(np.array(target)))}
    if not beyond:
        return Check("targets", ok=True, found="within reach")
    told = [f"{' '.join(f'{x:+.3f}' for x in target)}: {why}" for target, why in list(beyond.items())[:TOLD]]
    huge = max(float(np.linalg.norm(target)) for target in beyond) > FAR * float(np.linalg.norm(tips, axis=1).max())
    more = f"; and {len(beyond) - TOLD} more" if len(beyond) > TOLD else ""
    return Check(
        "targets",
        ok=False if huge else None,
        found="; ".join(told) + more,
        wanted="places (m, in the base's frame) that the tip can be at",
        advice="are these millimetres? m is meant"
        if huge
        else "give one that it can: what a policy does about others nobody has trained",
    )


def _towards(kinematics: Kinematics, start: Floats, target: Floats, low: Floats, high: Floats) -> tuple[Floats, float]:
    """From a pose as near to the target as damped least squares come inside the limits; m that are left."""
    q, best, least, stuck = start.copy(), start, np.inf, 0
    for _ in range(_STEPS):
        error = target - kinematics.tip_position(q)
        off = float(np.linalg.norm(error))
        stuck = 0 if off < _BETTER * least else stuck + 1
        if off < least:
            best, least = q.copy(), off
        if off < 0.1 * NEAR or stuck == _PATIENCE:
            break
        jacobian = kinematics.tip_jacobian(q)
        jacobian[:, ((q <= low) & (jacobian.T @ error < 0)) | ((q >= high) & (jacobian.T @ error > 0))] = 0.0
        step = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + _DAMPING**2 * np.eye(3), error)
        step *= min(1.0, _STRIDE / max(float(np.abs(step).max()), _STRIDE))
        q = np.clip(q + step, low, high)
    return best, least
