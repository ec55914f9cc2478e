"""An arm as a training world: its MJCF through MjSpec, joints that nobody moves welded, a payload at the tip.

Only what trains is kept: a held gripper needs no degree of freedom, and each one costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from robot_runtime.arrays import Floats
from robot_runtime.spec import ArmSpec, ArmSpecError, JointSpec
from sim.mjcf import without_motors

PAYLOAD = "payload"
PAYLOAD_RADIUS = 0.02
"""m: the payload is a ball of this size around the tip; only its inertia notices."""


@dataclass(frozen=True, slots=True, eq=False)
class ArmWorld:
    """A compiled arm. Arrays follow `joints`, in which order qpos and qvel are too."""

    spec: ArmSpec
    model: Any
    joints: tuple[JointSpec, ...]  # that move; the others are held at their angle of the home pose
    index: npt.NDArray[np.intp]  # where they stand in the arm's own order
    home: Floats  # rad
    tip: int  # site
    payload: int  # body
    carried: tuple[npt.NDArray[np.intp], ...]  # bodies that hang on each joint up to the next one
    inertia: Floats  # kg·m², what each joint turns in the home pose, rotor included
    turned: Mapping[str, int]  # body that each of the arm's joints turns, those that are welded here as well

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the joints that move."""
        return tuple(joint.name for joint in self.joints)


def arm_world(spec: ArmSpec, moved: Sequence[str], timestep: float, payload: float = 0.0) -> ArmWorld:
    """Compile the world of an arm of which these joints move. `payload` (kg) hangs at the tip, beside the arm's load.

    Raises:
        ArmSpecError: the arm or its MJCF lacks a joint or the tip, or the MJCF does not compile.
    """
    if unknown := [name for name in moved if name not in spec.joint_names]:
        raise ArmSpecError(f"{spec.path}: no joint {', '.join(unknown)}; it has {', '.join(spec.joint_names)}")
    mjcf = _read(spec)
    home = dict(zip(spec.joint_names, spec.poses["home"], strict=True))
    turned = {name: mjcf.joint(name).parent for name in spec.joint_names}
    _weld(mjcf, {name: angle for name, angle in home.items() if name not in moved})
    _add_payload(mjcf, spec.tip, payload + spec.load)
    mjcf.option.timestep = timestep
    try:
        model = mjcf.compile()
    except ValueError as error:
        raise ArmSpecError(f"{spec.mjcf}: {error}") from error
    names = [model.joint(i).name for i in range(model.njnt)]
    if set(names) != set(moved):
        raise ArmSpecError(f"{spec.mjcf}: joints {names} are left over, expected {list(moved)}")
    joints = tuple(joint for name in names for joint in spec.joints if joint.name == name)
    angles = np.array([home[name] for name in names])
    return ArmWorld(
        spec=spec,
        model=model,
        joints=joints,
        index=np.array([spec.joint_names.index(name) for name in names]),
        home=angles,
        tip=int(model.site(spec.tip).id),
        payload=int(model.body(PAYLOAD).id),
        carried=_carried(model),
        inertia=_inertia(model, angles),
        turned={name: int(body.id) for name, body in turned.items()},
    )


def leaders(spec: ArmSpec) -> frozenset[str]:
    """Joints of the MJCF that others follow (`<equality><joint>`).

    Raises:
        ArmSpecError: the MJCF cannot be read.
    """
    coupled = (e for e in _read(spec).equalities if e.type == mujoco.mjtEq.mjEQ_JOINT and e.active)
    return frozenset(equality.name2 for equality in coupled)


def _read(spec: ArmSpec) -> Any:
    try:
        mjcf = without_motors(mujoco.MjSpec.from_file(str(spec.mjcf)))
    except ValueError as error:
        raise ArmSpecError(f"{spec.mjcf}: not a model that MuJoCo can read: {error}") from error
    for name in spec.joint_names:
        if mjcf.joint(name) is None:
            raise ArmSpecError(f"{spec.mjcf}: no joint '{name}', which {spec.path.name} names")
    if mjcf.site(spec.tip) is None:
        raise ArmSpecError(f"{spec.mjcf}: no site '{spec.tip}', which {spec.path.name} names as tip")
    return mjcf


def _weld(mjcf: Any, angles: dict[str, float]) -> None:
    """Take these joints away at these angles, and with each what is coupled to it."""
    angles = dict(angles)
    for equality in list(mjcf.equalities):
        if equality.type != mujoco.mjtEq.mjEQ_JOINT or equality.name2 not in angles:
            continue
        follower, leader = mjcf.joint(equality.name1), mjcf.joint(equality.name2)
        turned = angles[equality.name2] - leader.ref
        angles[equality.name1] = follower.ref + float(np.polyval(np.asarray(equality.data)[4::-1], turned))
        mjcf.delete(equality)
    for name, angle in angles.items():
        joint = mjcf.joint(name)
        body, turned = joint.parent, angle - joint.ref
        frame, axis = _matrix(body.quat), np.asarray(joint.axis) / np.linalg.norm(joint.axis)
        if joint.type == mujoco.mjtJoint.mjJNT_HINGE:
            turn = np.empty(4)
            mujoco.mju_axisAngle2Quat(turn, axis, turned)
            body.pos = body.pos + frame @ (joint.pos - _matrix(turn) @ joint.pos)
            turned_frame = np.empty(4)
            mujoco.mju_mulQuat(turned_frame, np.asarray(body.quat), turn)
            body.quat = turned_frame
        else:
            body.pos = body.pos + frame @ axis * turned
        mjcf.delete(joint)


def _matrix(quaternion: npt.ArrayLike) -> Floats:
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, np.asarray(quaternion, dtype=float))
    return matrix.reshape(3, 3)


def _add_payload(mjcf: Any, tip: str, mass: float) -> None:
    site = mjcf.site(tip)
    body = site.parent.add_body(name=PAYLOAD, pos=site.pos)
    body.explicitinertial = True
    body.mass, body.inertia, body.ipos = mass, payload_inertia(mass) * np.ones(3), np.zeros(3)


def payload_inertia(mass: npt.ArrayLike) -> Floats:
    """kg·m², of a ball of this mass."""
    inertia: Floats = 0.4 * PAYLOAD_RADIUS**2 * np.asarray(mass, dtype=float)
    return inertia


def _carried(model: Any) -> tuple[npt.NDArray[np.intp], ...]:
    bodies: list[list[int]] = [[] for _ in range(model.njnt)]
    owner = np.full(model.nbody, -1)
    for body in range(1, model.nbody):
        own = model.body_jntnum[body] > 0
        owner[body] = model.body_jntadr[body] if own else owner[model.body_parentid[body]]
        if owner[body] >= 0 and model.body(body).name != PAYLOAD:
            bodies[owner[body]].append(body)
    return tuple(np.array(b) for b in bodies)


def _inertia(model: Any, angles: Floats) -> Floats:
    data = mujoco.MjData(model)
    data.qpos[:] = angles
    mujoco.mj_forward(model, data)
    full = np.empty((model.nv, model.nv))
    mujoco.mj_fullM(model, data, full)
    return np.array(np.diag(full))


def gravity_torques(world: ArmWorld, poses: Floats) -> Floats:
    """N·m that hold the arm still in these poses (n x joints)."""
    data = mujoco.MjData(world.model)
    torques = np.empty_like(poses)
    for row, q in enumerate(poses):
        data.qpos[:] = q
        mujoco.mj_forward(world.model, data)
        torques[row] = data.qfrc_bias
    return torques
