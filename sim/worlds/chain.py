"""Where the tip is, for many measured poses at once: the chain of bodies from the tip to the base, in NumPy.

The runtime asks MuJoCo for one pose at a time; training needs hundreds, of angles as the servos report them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from robot_runtime.arrays import Floats
from sim.worlds.arm import ArmWorld


class _Link(NamedTuple):
    """One step towards the base: turn about the joint, if there is one, then go over to the parent's frame."""

    joint: int  # -1: none
    axis: Floats
    centre: Floats
    rotation: Floats | None  # None: identity
    offset: Floats


class Chain:
    """Forward kinematics of a world's tip."""

    def __init__(self, world: ArmWorld) -> None:
        """Read the chain from the model."""
        model = world.model
        self._tip = np.array(model.site_pos[world.tip])
        self._links = []
        body = int(model.site_bodyid[world.tip])
        while body:
            joint = int(model.body_jntadr[body]) if model.body_jntnum[body] else -1
            axis, centre = (np.array(model.jnt_axis[joint]), np.array(model.jnt_pos[joint])) if joint >= 0 else (0, 0)
            rotation = _matrix(model.body_quat[body])
            self._links.append(
                _Link(
                    joint,
                    np.asarray(axis),
                    np.asarray(centre),
                    None if np.array_equal(rotation, np.eye(3)) else rotation,
                    np.array(model.body_pos[body]),
                )
            )
            body = int(model.body_parentid[body])

    def tip(self, q: Floats) -> Floats:
        """Positions of the tip (n x 3, m, base frame) at angles `q` (n x joints, rad)."""
        point = np.broadcast_to(self._tip, (len(q), 3))
        sine, cosine = np.sin(q), np.cos(q)
        for link in self._links:
            if link.joint >= 0:
                s, c = sine[:, link.joint, None], cosine[:, link.joint, None]
                arm = point - link.centre
                along = (arm @ link.axis)[:, None] * link.axis
                point = link.centre + along + c * (arm - along) + s * _cross(link.axis, arm)
            if link.rotation is not None:
                point = point @ link.rotation.T
            point = point + link.offset
        return point


def _cross(axis: Floats, points: Floats) -> Floats:
    """The axis times the points, as one product: np.cross costs more than the rest together."""
    x, y, z = axis
    product: Floats = points @ np.array([[0.0, z, -y], [-z, 0.0, x], [y, -x, 0.0]])
    return product


def _matrix(quaternion: Floats) -> Floats:
    w, x, y, z = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
