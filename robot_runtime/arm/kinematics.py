"""What the arm's MJCF knows: gravity, the tip's pose, distances to itself and the table. No simulation happens here."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from robot_runtime.spec import ArmSpec, ArmSpecError

_POLYNOMIAL = 5  # coefficients of a joint equality in MuJoCo


@dataclass(frozen=True, slots=True)
class Clearance:
    """The closest pair of bodies."""

    distance: float  # m, negative when they overlap
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class _Coupling:
    """A joint that follows one of the arm's joints by a polynomial (a gripper's fingers)."""

    qpos: int
    dof: int
    leader: int
    leader_home: float
    home: float
    coefficients: tuple[float, ...]

    def position(self, leader: float) -> float:
        x = leader - self.leader_home
        return self.home + sum(c * x**k for k, c in enumerate(self.coefficients))

    def slope(self, leader: float) -> float:
        x = leader - self.leader_home
        return sum(k * c * x ** (k - 1) for k, c in enumerate(self.coefficients) if k)


class Kinematics:
    """The arm's rigid-body model, in the joint order of its spec. Not thread-safe: it holds one working state."""

    def __init__(self, spec: ArmSpec) -> None:
        """Compile the MJCF.

        Raises:
            ArmSpecError: the MJCF lacks a joint or the tip that the arm file names, or does not compile.
        """
        try:
            self._model = mujoco.MjModel.from_xml_path(str(spec.mjcf))
        except ValueError as error:
            raise ArmSpecError(f"{spec.mjcf}: {error}") from error
        model = self._model
        self._data = mujoco.MjData(model)
        joint_ids = [self._id(mujoco.mjtObj.mjOBJ_JOINT, name, spec, "joint") for name in spec.joint_names]
        self._qpos = np.array([model.jnt_qposadr[j] for j in joint_ids])
        self._dof = np.array([model.jnt_dofadr[j] for j in joint_ids])
        self._tip = self._id(mujoco.mjtObj.mjOBJ_SITE, spec.tip, spec, "site")
        self._couplings = _couplings(model, joint_ids)
        self._pairs = _collision_pairs(model)
        self._bias = np.zeros(model.nv)
        self._jacobian = np.zeros((3, model.nv))

    def gravity(self, q: NDArray[np.float64], out: NDArray[np.float64]) -> NDArray[np.float64]:
        """Joint torques (N·m) that hold the arm still at `q` (rad) against gravity, into `out`."""
        self._place(q)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_rne(self._model, self._data, 0, self._bias)
        np.take(self._bias, self._dof, out=out)
        for coupling in self._couplings:
            out[coupling.leader] += self._bias[coupling.dof] * coupling.slope(float(q[coupling.leader]))
        return out

    def tip_position(self, q: NDArray[np.float64]) -> NDArray[np.float64]:
        """Position of the tip (m, base frame) at `q` (rad)."""
        self._place(q)
        return np.array(self._data.site_xpos[self._tip])

    def tip_rotation(self, q: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rotation matrix (3 x 3) of the tip in the base frame at `q` (rad)."""
        self._place(q)
        return np.array(self._data.site_xmat[self._tip]).reshape(3, 3)

    def tip_jacobian(self, q: NDArray[np.float64]) -> NDArray[np.float64]:
        """How the tip's position moves with each joint (3 x joints, m/rad) at `q` (rad)."""
        self._place(q)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_jacSite(self._model, self._data, self._jacobian, None, self._tip)
        return np.array(self._jacobian[:, self._dof])

    def clearance(self, q: NDArray[np.float64], within: float = 0.5) -> Clearance | None:
        """The closest pair that may touch (arm and table, arm and itself) at `q`, if nearer than `within` (m)."""
        self._place(q)
        closest, pair = within, None
        for first, second in self._pairs:
            distance = mujoco.mj_geomDistance(self._model, self._data, first, second, closest, None)
            if distance < closest:
                closest, pair = distance, (first, second)
        if pair is None:
            return None
        return Clearance(closest, self._geom_name(pair[0]), self._geom_name(pair[1]))

    def _place(self, q: NDArray[np.float64]) -> None:
        self._data.qpos[self._qpos] = q
        for coupling in self._couplings:
            self._data.qpos[coupling.qpos] = coupling.position(float(q[coupling.leader]))
        mujoco.mj_kinematics(self._model, self._data)

    def _id(self, kind: mujoco.mjtObj, name: str, spec: ArmSpec, what: str) -> int:
        found = mujoco.mj_name2id(self._model, kind, name)
        if found < 0:
            raise ArmSpecError(f"{spec.mjcf}: no {what} '{name}', which {spec.path.name} names")
        return int(found)

    def _geom_name(self, geom: int) -> str:
        body = int(self._model.geom_bodyid[geom])
        return str(
            mujoco.mj_id2name(self._model, mujoco.mjtObj.mjOBJ_GEOM, geom)
            or mujoco.mj_id2name(self._model, mujoco.mjtObj.mjOBJ_BODY, body)
        )


def _couplings(model: mujoco.MjModel, joint_ids: list[int]) -> tuple[_Coupling, ...]:
    found = []
    for i in range(model.neq):
        leader = int(model.eq_obj2id[i])
        if model.eq_type[i] != mujoco.mjtEq.mjEQ_JOINT or leader not in joint_ids:
            continue
        follower = int(model.eq_obj1id[i])
        found.append(
            _Coupling(
                qpos=int(model.jnt_qposadr[follower]),
                dof=int(model.jnt_dofadr[follower]),
                leader=joint_ids.index(leader),
                leader_home=float(model.qpos0[model.jnt_qposadr[leader]]),
                home=float(model.qpos0[model.jnt_qposadr[follower]]),
                coefficients=tuple(float(c) for c in model.eq_data[i][:_POLYNOMIAL]),
            )
        )
    return tuple(found)


def _collision_pairs(model: mujoco.MjModel) -> tuple[tuple[int, int], ...]:
    """Pairs of geoms that MuJoCo would test: by its bit masks, not in one body, not parent and child, not excluded.

    Source: MuJoCo documentation, Computation, Collision detection, Selection.
    """
    weld = model.body_weldid
    parent = model.body_parentid
    excluded = {(int(s) >> 16, int(s) & 0xFFFF) for s in model.exclude_signature}
    pairs = []
    for a in range(model.ngeom):
        for b in range(a + 1, model.ngeom):
            mask = (model.geom_contype[a] & model.geom_conaffinity[b]) | (
                model.geom_contype[b] & model.geom_conaffinity[a]
            )
            one, two = int(model.geom_bodyid[a]), int(model.geom_bodyid[b])
            w1, w2 = int(weld[one]), int(weld[two])
            related = w1 != 0 and w2 != 0 and (weld[parent[w1]] == w2 or weld[parent[w2]] == w1)
            if mask and w1 != w2 and not related and (one, two) not in excluded and (two, one) not in excluded:
                pairs.append((a, b))
    return tuple(pairs)
