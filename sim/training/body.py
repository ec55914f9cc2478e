"""What a policy knows of its own arm before it learns: its weight, and the way to a target joint by joint.

Both follow from the arm's MJCF, in torch, so that they are frozen into the ONNX: the runtime needs to know nothing of
them.
"""

from __future__ import annotations

import mujoco
import numpy as np
import torch
from torch import Tensor, nn

from sim.worlds.arm import ArmWorld

FARTHEST = 0.1
"""m: of a longer way to the target only its beginning is looked at; the way of the joints is right only near by."""
DAMPING = 0.03
"""m: where a joint moves the tip by less than this a radian, it is not asked to."""
SLIGHT = 0.003
"""m: the same for taking what the way home does to the tip back out of it. Damped as the way itself is, it halves the
way and bends it where the arm is stretched, and what a network says in error holds the tip 4 to 8 mm short."""
AWAY = 0.05
"""m: nearer to the target than this, the arm is the less drawn to its home pose."""
ROOM = 0.15
"""rad from a stop, where a joint begins to be asked for less."""
SAG = 0.06
"""rad from a stop, where a joint may end: a goal keeps a margin from it, and the arm hangs below its goal."""
TINY = 1e-6
"""m: keeps a division from failing where the target is straight behind the base."""
UPRIGHT = 0.99
"""Of the first joint's axis upwards: such an arm turns to face its target, and reaches for it in one plane."""


class Body(nn.Module):
    """Serial arm: poses in, statics and kinematics out. Row vectors throughout: a turned v is v @ rotation."""

    # Of the pose q = 0, one row a joint, in the base frame.
    axis: Tensor
    skew: Tensor  # v @ skew = axis x v
    square: Tensor  # skew @ skew
    anchor: Tensor  # m, a point of the axis
    centre: Tensor  # m, centre of mass of what the joint carries up to the next one
    pull: Tensor  # N, weight of that
    tip: Tensor  # m, 1 x 3
    limits: Tensor  # rad, low and high
    home: Tensor  # rad
    identity: Tensor

    def __init__(self, world: ArmWorld) -> None:
        """Read joints, fixed transforms and masses from the model.

        Raises:
            ValueError: the joints are no chain of hinges from the base to the tip.
        """
        super().__init__()
        model, joints = world.model, len(world.joints)
        if list(model.jnt_type) != [mujoco.mjtJoint.mjJNT_HINGE] * joints:
            raise ValueError(f"{world.spec.mjcf}: only hinges are known here")
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)  # the frames of q = 0, from which everything turns
        owner = np.full(model.nbody, -1)
        for body in range(1, model.nbody):
            own = int(model.body_jntadr[body])
            parent = int(model.body_parentid[body])
            owner[body] = own if own >= 0 else owner[parent]
            if own > 0 and owner[parent] != own - 1:
                raise ValueError(f"{world.spec.mjcf}: the joints that move are not one behind the other")
        moments = np.zeros((joints, 3))
        masses = np.zeros(joints)
        carried = owner >= 0
        np.add.at(masses, owner[carried], model.body_mass[carried])
        np.add.at(moments, owner[carried], model.body_mass[carried, None] * data.xipos[carried])
        skew = np.cross(data.xaxis[:, None, :], np.eye(3))
        self.joints = joints
        self._keep("axis", data.xaxis)
        self._keep("square", skew @ skew)
        self._keep("skew", skew)
        self._keep("anchor", data.xanchor)
        self._keep("centre", moments / np.maximum(masses, 1e-9)[:, None])
        self._keep("pull", -masses * model.opt.gravity[2])
        self._keep("tip", data.site_xpos[[world.tip]])
        self._keep("identity", np.eye(3))
        self.turns = joints > 1 and abs(float(data.xaxis[0, 2])) > UPRIGHT
        self._keep("home", world.home)
        self._keep("limits", np.array([[joint.limits.lower, joint.limits.upper] for joint in world.joints]))

    def _keep(self, name: str, value: np.ndarray) -> None:
        self.register_buffer(name, torch.tensor(value, dtype=torch.float32))

    def way(
        self, q: Tensor, target: Tensor, homewards: float = 0.0, *, around: bool = False, exactly: bool = True
    ) -> Tensor:
        """How far the joints (k x n, rad) have to turn to bring the tip there (k x 3, m); far away: to begin with.

        `homewards`: how much of the way to the home pose they should go too, as far as that leaves the tip alone: of
        the many ways to a place, that one has room on all sides. `around`: what a joint near its stop cannot do, the
        others do; else only its share grows smaller. `exactly`: the way home leaves the tip alone where the arm is
        stretched, too.
        """
        axis, anchor, _, tip = self._posed(q)
        lever = torch.linalg.cross(axis, tip - anchor)  # k x n x 3: m the tip moves a radian
        turn_to, target = self._faced(q, target)
        error = target - tip[:, 0]
        other = homewards * self._homewards(q, error) if homewards else torch.zeros_like(q)
        room, slight = self._room(q), SLIGHT if exactly else DAMPING
        way = _shortest(lever, room, error, other, slight)
        if around:
            way = _shortest(lever, room * self._may(q, way), error, other, slight)
        return torch.cat((way[:, :1] + turn_to, way[:, 1:]), 1)

    def weight(self, q: Tensor) -> Tensor:
        """What holds the arm still at these angles (N·m): every joint carries the links from its own on."""
        axis, anchor, centre, _ = self._posed(q)
        pulls = []
        for j in range(self.joints):
            arm = centre[:, j:] - anchor[:, j : j + 1]
            lift = axis[:, j, 0:1] * arm[:, :, 1] - axis[:, j, 1:2] * arm[:, :, 0]
            pulls.append((lift * self.pull[j:]).sum(1))
        return torch.stack(pulls, 1)

    def tip_at(self, q: Tensor) -> Tensor:
        """Where the tip is (k x 3, m)."""
        return self._posed(q)[3][:, 0]

    def _posed(self, q: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Axes, anchors and centres of mass (k x n x 3), and the tip (k x 1 x 3), at these angles."""
        turn, shift = self.identity.expand(len(q), 3, 3), torch.zeros(len(q), 1, 3)
        sine, cosine = q.sin()[..., None, None], q.cos()[..., None, None]
        axes, anchors, centres = [], [], []
        for j in range(self.joints):  # what lies behind joint j is at x @ turn + shift
            local = self.identity + sine[:, j] * self.skew[j] + (1.0 - cosine[:, j]) * self.square[j]
            anchor = self.anchor[j : j + 1] @ turn + shift
            axes.append(self.axis[j : j + 1] @ turn)
            turn = local @ turn
            shift = anchor - self.anchor[j : j + 1] @ turn
            anchors.append(anchor)
            centres.append(self.centre[j : j + 1] @ turn + shift)
        return torch.cat(axes, 1), torch.cat(anchors, 1), torch.cat(centres, 1), self.tip @ turn + shift

    def _faced(self, q: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """How far the base has to turn to face the target without running into its stop, and the target turned back.

        The shortest way from here may lead through the stop, or over the base.
        """
        if not self.turns:
            return torch.zeros(len(q), 1), target
        x, y = (target[:, :2] - self.anchor[0, :2]).unbind(1)
        # The half angle's tangent: ONNX has no atan2.
        ahead = (x.square() + y.square()).sqrt() + x
        bearing = 2.0 * (y / ahead.clamp(min=TINY)).atan() * self.axis[0, 2].sign()
        away = bearing.clamp(self.limits[0, 0], self.limits[0, 1]) - q[:, 0]
        back = -away * self.axis[0, 2].sign()
        sine, cosine = back.sin(), back.cos()
        x, y = cosine * x - sine * y + self.anchor[0, 0], sine * x + cosine * y + self.anchor[0, 1]
        return away[:, None], torch.stack((x, y, target[:, 2]), 1)

    def _room(self, q: Tensor) -> Tensor:
        """How free the joints are to move (k x n x 1): 1, and nearly 0 at a stop."""
        low, high = self.limits.unbind(1)
        return (torch.minimum(q - low, high - q) / ROOM).clamp(0.01, 1.0)[:, :, None]

    def _may(self, q: Tensor, way: Tensor) -> Tensor:
        """Which joints can go on in this direction (k x n x 1): 1, and nearly 0 where the stop is too near."""
        low, high = self.limits.unbind(1)
        left = torch.where(way < 0.0, q - low, high - q)
        return ((left - SAG) / ROOM).clamp(0.001, 1.0)[:, :, None]

    def _homewards(self, q: Tensor, error: Tensor) -> Tensor:
        """The way home, fading near the target; not of a joint that turns to face it."""
        far = (error.square().sum(1, keepdim=True).sqrt() / AWAY).clamp(max=1.0)
        way = far * (self.home - q)
        return torch.cat((way[:, :1] * float(not self.turns), way[:, 1:]), 1)


def _shortest(lever: Tensor, room: Tensor, error: Tensor, other: Tensor, slight: float) -> Tensor:
    """The shortest way beyond the `other` one that brings the tip there, and what that one does to the tip back out:
    o + W J^T ((J W J^T + d^2)^-1 e - (J W J^T + slight^2)^-1 J o).
    """
    size = error.square().sum(1, keepdim=True).sqrt()
    near, aside = error * (FARTHEST / size.clamp(min=FARTHEST)), (lever * other[:, :, None]).sum(1)
    moves = lever.transpose(1, 2) @ (room * lever)
    solved = _solved(moves, DAMPING, near) - _solved(moves, slight, aside)
    return other + (room * lever @ solved[:, :, None])[:, :, 0]


def _solved(matrix: Tensor, damping: float, right: Tensor) -> Tensor:
    """(matrix + damping^2)^-1 right, of symmetric 3 x 3 matrices, by their cofactors: ONNX has no solver."""
    (xx, xy, xz), (yy, yz), zz = _symmetric(matrix, damping**2)
    a, b, c = yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy
    d, e, f = xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy
    x, y, z = right.unbind(1)
    solved = torch.stack((a * x + b * y + c * z, b * x + d * y + e * z, c * x + e * y + f * z), 1)
    return solved / (xx * a + xy * b + xz * c)[:, None]


def _symmetric(matrix: Tensor, damping: float) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, Tensor], Tensor]:
    """Entries of the upper triangle, with the damping on the diagonal."""
    return (
        (matrix[:, 0, 0] + damping, matrix[:, 0, 1], matrix[:, 0, 2]),
        (matrix[:, 1, 1] + damping, matrix[:, 1, 2]),
        matrix[:, 2, 2] + damping,
    )
