"""Which way a joint's positive direction is, in words that help somebody who stands before the arm."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from robot_runtime.spec import ArmSpec, ArmSpecError

_LEVER = 0.015
"""m: a point that moves less than this a radian is hard to see moving."""

_SHARE = 0.35
"""Of the largest component of a movement: a smaller one is not worth a word."""

_WORDS = (("forward", "back"), ("to the left", "to the right"), ("up", "down"))
"""Base frame of the arm files: x forward, y left, z up."""

_VIEWS = (("the front", "behind"), ("the left", "the right"), ("above", "below"))


def positive_directions(spec: ArmSpec, pose: str) -> dict[str, str]:
    """What is seen when each joint is moved in its positive direction out of a named pose, by joint name.

    Raises:
        ArmSpecError: the MJCF cannot be used.
    """
    try:
        model = mujoco.MjModel.from_xml_path(str(spec.mjcf))
    except ValueError as error:
        raise ArmSpecError(f"{spec.mjcf}: {error}") from error
    data = mujoco.MjData(model)
    ids = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, name) for name in spec.joint_names]
    if missing := [name for name, i in zip(spec.joint_names, ids, strict=True) if i < 0]:
        raise ArmSpecError(f"{spec.mjcf}: no joint '{missing[0]}', which {spec.path.name} names")
    for i, angle in zip(ids, spec.poses[pose], strict=True):
        data.qpos[model.jnt_qposadr[i]] = angle
    mujoco.mj_kinematics(model, data)
    tip = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, spec.tip)
    return {name: _describe(model, data, i, tip) for name, i in zip(spec.joint_names, ids, strict=True)}


def _describe(model: mujoco.MjModel, data: mujoco.MjData, joint: int, tip: int) -> str:
    if follower := _fingers(model, data, joint):
        return follower
    axis, anchor = np.array(data.xaxis[joint]), np.array(data.xanchor[joint])
    body = int(model.jnt_bodyid[joint])
    carries_tip = tip >= 0 and _below(model, int(model.site_bodyid[tip]), body)
    if carries_tip:
        movement = np.cross(axis, data.site_xpos[tip] - anchor)
        if np.linalg.norm(movement) >= _LEVER:
            return f"the tip moves {_words(movement, _WORDS)}"
    points = [data.geom_xpos[g] for g in range(model.ngeom) if _below(model, int(model.geom_bodyid[g]), body)]
    moved = max((np.cross(axis, p - anchor) for p in points), key=np.linalg.norm, default=np.zeros(3))
    if not carries_tip and np.linalg.norm(moved) >= _LEVER / 2:
        return f"its part moves {_words(moved, _WORDS)}"
    strongest = int(np.argmax(np.abs(axis)))
    return f"turns counter-clockwise, seen from {_VIEWS[strongest][0 if axis[strongest] > 0 else 1]}"


def _fingers(model: mujoco.MjModel, data: mujoco.MjData, joint: int) -> str | None:
    """A joint that drives two sliding fingers opens or closes them."""
    followers = [
        (int(model.eq_obj1id[e]), float(model.eq_data[e][1]))
        for e in range(model.neq)
        if model.eq_type[e] == mujoco.mjtEq.mjEQ_JOINT and int(model.eq_obj2id[e]) == joint
    ]
    if len(followers) != 2:
        return None
    (one, slope_one), (two, slope_two) = followers
    bodies = [int(model.jnt_bodyid[j]) for j in (one, two)]
    apart = data.xpos[bodies[0]] - data.xpos[bodies[1]]
    opening = float(apart @ (data.xaxis[one] * slope_one - data.xaxis[two] * slope_two))
    return "the fingers open" if opening > 0 else "the fingers close"


def _below(model: mujoco.MjModel, body: int, ancestor: int) -> bool:
    while body > 0:
        if body == ancestor:
            return True
        body = int(model.body_parentid[body])
    return False


def _words(vector: NDArray[np.float64], words: tuple[tuple[str, str], ...]) -> str:
    size = np.abs(vector)
    order = [int(k) for k in np.argsort(-size) if size[k] >= _SHARE * size.max()]
    return " and ".join(words[k][0 if vector[k] > 0 else 1] for k in order)
