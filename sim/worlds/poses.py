"""Poses that an arm can take without touching the table or itself: where episodes start and targets lie."""

from __future__ import annotations

import mujoco
import numpy as np
from mujoco.batch import Batch

from robot_runtime.arrays import Floats
from sim.worlds.arm import ArmWorld

LIMIT_MARGIN = 0.1
"""rad that a pose stays away from the joints' limits: a policy must be able to come from either side."""
CLEARANCE = 0.01
"""m that the arm stays away from the table and from itself."""
_CHUNK = 4096


def free_poses(world: ArmWorld, count: int, seed: int = 0) -> Floats:
    """`count` poses (count x joints, rad), uniform within the limits and clear of everything; the same for a seed."""
    random = np.random.default_rng(seed)
    low = np.array([joint.limits.lower for joint in world.joints]) + LIMIT_MARGIN
    high = np.array([joint.limits.upper for joint in world.joints]) - LIMIT_MARGIN
    batch = Batch(world.model, _CHUNK, 1)
    batch.expand("geom_margin")[:] = CLEARANCE
    contacts = batch.bind("ncon")
    found: list[Floats] = []
    while sum(map(len, found)) < count:
        q = random.uniform(low, high, (_CHUNK, len(low)))
        batch.qpos[:] = q
        batch.forward(stage=mujoco.mjtStage.mjSTAGE_POS)
        found.append(q[contacts == 0])
    return np.concatenate(found)[:count]
