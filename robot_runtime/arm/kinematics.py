"""What the arm's MJCF knows: gravity, the tip's pose, distances to itself and the table. No simulation happens here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import mujoco
import numpy as np
from numpy.typing import NDArray

from robot_runtime.arm.state import run_of
from robot_runtime.spec import ArmSpec, ArmSpecError

Angles = Sequence[float] | NDArray[np.float64]
"""One value a joint."""

TABLE = "table"
"""Name of the geom that the arm stands on."""

_POLYNOMIAL = 5  # coefficients of a joint equality in MuJoCo
_SAMPLES = 50  # of a polynomial, between its leader's limits
_TOUCHING = 1e-9  # m
_POINT_INERTIA = 1e-9  # kg·m²


@dataclass(frozen=True, slots=True)
class Clearance:
    """The closest pair of bodies."""

    distance: float  # m, negative when they overlap
    first: str
    second: str


@dataclass(slots=True, eq=False)
class Pair:
    """Two geoms that may touch, and what was last measured between them."""

    first: str
    second: str
    geoms: tuple[int, int]
    moves: NDArray[np.float64]
    """By degree of freedom of the model: 1 where it moves the second geom alone, -1 the first alone, else 0."""
    distance: float = np.inf  # m
    segment: NDArray[np.float64] = field(default_factory=lambda: np.zeros(6))
    """m: the points of both that are nearest to each other."""


@dataclass(frozen=True, slots=True)
class Follower:
    """A joint that no servo turns: it goes along with one that a servo does."""

    name: str
    goes: tuple[float, float]  # rad or m: from where to where its leader takes it
    stops: tuple[float, float]  # how far the MJCF lets it go


@dataclass(frozen=True, slots=True)
class _Coupling:
    """A joint that follows one of the arm's joints by a polynomial (a gripper's fingers)."""

    qpos: int
    dof: int
    leader: int
    leader_home: float
    home: float
    coefficients: tuple[float, ...]

    @property
    def is_straight(self) -> bool:
        """Whether its slope is always the same."""
        return len(self.coefficients) <= 2

    def position(self, leader: float) -> float:
        x, value = leader - self.leader_home, 0.0
        for c in reversed(self.coefficients):
            value = value * x + c
        return self.home + value

    def slope(self, leader: float) -> float:
        x, value = leader - self.leader_home, 0.0
        for k in range(len(self.coefficients) - 1, 0, -1):
            value = value * x + k * self.coefficients[k]
        return value

    def steepest(self, limits: NDArray[np.float64]) -> float:
        """The steepest slope at any of these leader's angles (rad), a little more."""
        return 1.1 * max(abs(self.slope(x)) for x in np.linspace(limits[0], limits[1], _SAMPLES))


class Kinematics:
    """The arm's rigid-body model, in the joint order of its spec. Not thread-safe: it holds one working state."""

    def __init__(self, spec: ArmSpec) -> None:
        """Compile the MJCF.

        Raises:
            ArmSpecError: the MJCF lacks a joint or the tip that the arm file names, or does not compile.
        """
        try:
            self._model = mujoco.MjModel.from_xml_path(str(spec.mjcf)) if not spec.load else _loaded(spec)
        except ValueError as error:
            raise ArmSpecError(f"{spec.mjcf}: {error}") from error
        model = self._model
        self._data = mujoco.MjData(model)
        # Arrays that every call touches are fetched once: an access through the binding costs as much as the
        # arithmetic, and so does an index array where a slice would do.
        joint_ids = [self._id(mujoco.mjtObj.mjOBJ_JOINT, name, spec, "joint") for name in spec.joint_names]
        for name, joint in zip(spec.joint_names, joint_ids, strict=True):
            if model.jnt_type[joint] != mujoco.mjtJoint.mjJNT_HINGE:
                raise ArmSpecError(
                    f"{spec.mjcf}: joint '{name}', which {spec.path.name} names, does not turn: an arm's joints are "
                    "hinges; what slides can follow one of them (<equality><joint>)"
                )
        self._joints = np.array(joint_ids)
        self._qpos = run_of([int(model.jnt_qposadr[j]) for j in joint_ids])
        self._dof = np.array([model.jnt_dofadr[j] for j in joint_ids])
        roots = {int(model.body_rootid[model.jnt_bodyid[j]]) for j in joint_ids}
        if len(roots) != 1:
            raise ArmSpecError(f"{spec.mjcf}: {spec.path.name} names joints of {len(roots)} trees of bodies, not of 1")
        root = roots.pop()
        self._middle = self._data.subtree_com[root]  # m, what MuJoCo relates the joints' axes to
        self._axes = self._data.cdof
        self._tip = self._id(mujoco.mjtObj.mjOBJ_SITE, spec.tip, spec, "site")
        self.carries_tip: NDArray[np.bool_] = _carry(model, joint_ids, int(model.site_bodyid[self._tip]))
        """Joints that bring the tip somewhere; the others grip."""
        self.has_table = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, TABLE) >= 0
        limited = model.jnt_limited[joint_ids, None].astype(bool)
        self.ranges: NDArray[np.float64] = np.where(limited, model.jnt_range[joint_ids], (-np.inf, np.inf))
        """rad, joints x (lower, upper): how far the model lets them turn."""
        self.armatures: NDArray[np.float64] = np.array(model.dof_armature[self._dof])
        """kg·m², of each joint's rotor and gears, as the MJCF has them."""
        self._couplings = _couplings(model, joint_ids)
        self.loose: tuple[str, ...] = _loose(model, root, joint_ids, self._couplings)
        """Joints of the arm that no servo turns, and that follow none."""
        self._pairs = _collision_pairs(model, root)
        self._bias = np.zeros(model.nv)
        self._jacobian = np.zeros((3, model.nv))
        self._full = np.zeros((model.nv, model.nv))
        # Gravity is asked for at rest; what moves has a working state of its own.
        self._moving = mujoco.MjData(model)
        self._angles = self._data.qpos
        self._moving_angles, self._moving_speeds = self._moving.qpos, self._moving.qvel
        self._fold = np.zeros((model.nv, len(joint_ids)))
        self._fold[self._dof, np.arange(len(joint_ids))] = 1.0
        for coupling in self._couplings:
            self._fold[coupling.dof, coupling.leader] = coupling.slope(0.0)
        alike = np.array_equal(model.jnt_qposadr, model.jnt_dofadr) and model.nq == model.nv
        self._straight = alike and all(coupling.is_straight for coupling in self._couplings)
        self._still = np.array(model.qpos0)  # all angles of the model are then these, and `_fold` times the joints'
        self._still[self._qpos] = 0.0
        for coupling in self._couplings:
            self._still[coupling.qpos] = coupling.position(0.0)
        self.pairs: tuple[Pair, ...] = tuple(self._pair(*geoms) for geoms in self._pairs)
        self.tip_is_bare, self.bare_links = self._bare()
        """Whether nothing at the tip could touch the table; and which other links on the way there could not."""

    def gravity(self, q: Angles, out: NDArray[np.float64]) -> NDArray[np.float64]:
        """Joint torques (N·m) that hold the arm still at `q` (rad) against gravity, into `out`."""
        self._place(q)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_rne(self._model, self._data, 0, self._bias)
        return np.dot(self._bias, self._fold, out=out)

    def weigh_only(self, factors: Mapping[str, float]) -> None:
        """From now on `gravity` is that of these shares of the masses: of what hangs on a named joint up to the next
        named one (joint -> factor, negative for less than nothing). Everything else weighs nothing.
        """
        model, owner = self._model, np.zeros(self._model.nbody)
        for body in range(1, model.nbody):
            first, count = int(model.body_jntadr[body]), int(model.body_jntnum[body])
            names = (mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_JOINT, first + k) for k in range(count))
            inherited = owner[model.body_parentid[body]]
            owner[body] = next((factors[name] for name in names if name in factors), inherited)
        model.body_mass[:] *= owner

    def dynamics(
        self,
        q: Angles,
        dq: Angles,
        bias: NDArray[np.float64],
        inertia: NDArray[np.float64] | None = None,
    ) -> None:
        """The rigid-body model at (q, dq): torque = inertia @ acceleration + bias (N·m), friction left out.

        `bias` (gravity, Coriolis and centrifugal torques) and, if given, `inertia` (joints x joints, kg·m²) are filled.
        """
        model, data = self._model, self._moving
        self._set(self._moving_angles, q)
        np.dot(self._fold, dq, out=self._moving_speeds)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_comVel(model, data)
        mujoco.mj_rne(model, data, 0, self._bias)
        fold = self._fold
        np.dot(self._bias, fold, out=bias)
        if inertia is not None:
            mujoco.mj_crb(model, data)
            mujoco.mj_fullM(model, data, self._full)
            np.dot(fold.T, np.dot(self._full, fold), out=inertia)

    def place(self, q: Angles) -> None:
        """Put the arm at `q` (rad) for the calls that follow: `distance`, `gradients`, `tip_motion`."""
        self._place(q)
        mujoco.mj_comPos(self._model, self._data)

    def distance(self, pair: Pair, within: float) -> float:
        """Distance of a pair (m) where the arm was placed, negative when they overlap; `within` when it is more."""
        first, second = pair.geoms
        pair.distance = mujoco.mj_geomDistance(self._model, self._data, first, second, within, pair.segment)
        return pair.distance

    def gradients(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        """How the distances of pairs that were measured last change with each joint (pairs x joints, m/rad).

        A unit force along the line between the nearest points makes a torque about each joint's axis; that is it.
        """
        middle = self._middle.tolist()
        forces = [self._force(pair, *middle) for pair in pairs]
        torques = np.dot(forces, self._axes.T)
        torques *= [pair.moves for pair in pairs]
        gradients: NDArray[np.float64] = np.dot(torques, self._fold)
        return gradients

    def _force(
        self, pair: Pair, middle_x: float, middle_y: float, middle_z: float
    ) -> tuple[float, float, float, float, float, float]:
        """Torque about the middle, and direction, of a unit force from the first nearest point to the second."""
        x, y, z, to_x, to_y, to_z = pair.segment.tolist()
        if abs(pair.distance) < _TOUCHING:  # no direction to be had from the points: the geoms' middles give one
            first, second = pair.geoms
            way = self._data.geom_xpos[second] - self._data.geom_xpos[first]
            dx, dy, dz = (way / max(float(np.linalg.norm(way)), _TOUCHING)).tolist()
        else:
            dx, dy, dz = (to_x - x) / pair.distance, (to_y - y) / pair.distance, (to_z - z) / pair.distance
        x, y, z = x - middle_x, y - middle_y, z - middle_z
        return y * dz - z * dy, z * dx - x * dz, x * dy - y * dx, dx, dy, dz

    def tip_motion(self, position: NDArray[np.float64], jacobian: NDArray[np.float64]) -> None:
        """The tip (m) where the arm was placed, and how it moves with each joint (3 x joints, m/rad), into both."""
        np.copyto(position, self._data.site_xpos[self._tip])
        mujoco.mj_jacSite(self._model, self._data, self._jacobian, None, self._tip)
        np.matmul(self._jacobian, self._fold, out=jacobian)

    def levers(self) -> NDArray[np.float64]:
        """How fast at most each joint can change the distance of each pair (pairs x joints, m/rad)."""
        mujoco.mj_kinematics(self._model, self._moving)  # whatever the pose: only what is fixed in it is looked at
        rows = [self._bounded(reach, pair) for reach, pair in zip(self.reaches().tolist(), self.pairs, strict=True)]
        return np.array(rows).reshape(len(rows), len(self._dof))

    def reaches(self) -> NDArray[np.float64]:
        """How far at most what each joint moves of each pair is from its axis (pairs x joints, m); 0: it moves both
        geoms of the pair, or none, and so does nothing to their distance.
        """
        moved = np.array([self._reach(int(self._model.geom_bodyid[g]), g) for g in range(self._model.ngeom)])
        drives = np.zeros((self._model.nv, len(self._dof)))
        drives[self._dof, np.arange(len(self._dof))] = 1.0
        for coupling in self._couplings:
            drives[coupling.dof, coupling.leader] = 1.0
        rows = []
        for pair in self.pairs:
            first, second = (moved[geom] for geom in pair.geoms)
            # Who leads others may move both geoms, and yet not alike.
            far = np.where(first * second > 0.0, first + second, np.maximum(first, second))
            rows.append(np.where(np.abs(pair.moves) @ drives > 0.0, far, 0.0))
        return np.array(rows).reshape(len(rows), len(self._dof))

    def turned_by_hinges(self, pair: Pair) -> bool:
        """Whether nothing changes this pair's distance but named joints that turn, each alone in its body, and that no
        other joint follows: of such pairs levers alone tell how far they can come in all poses.
        """
        model, named = self._model, set(self._dof.tolist())
        alone = {
            int(model.jnt_dofadr[joint])
            for joint in range(model.njnt)
            if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_HINGE and model.body_jntnum[model.jnt_bodyid[joint]] == 1
        }
        followers = {coupling.dof for coupling in self._couplings}
        return set(np.flatnonzero(pair.moves).tolist()) <= (named & alone) - followers

    def tip_levers(self) -> NDArray[np.float64]:
        """How fast at most each joint can move the tip (m/rad)."""
        return self._reach(int(self._model.site_bodyid[self._tip]), None)

    def _bounded(self, reach: list[float], pair: Pair) -> list[float]:
        """Levers of a pair. What a joint changes of its distance is the moment arm, about the joint's axis, of the line
        between the nearest points. Both points lie on that line: the geom that stays where it is bounds it as well.
        """
        lever = reach[:]
        leaders = {coupling.leader for coupling in self._couplings}  # these move more than what hangs on them
        for i, far in enumerate(reach):
            if far > 0.0 and i not in leaders:  # it moves one of them, and not the other
                stays = pair.geoms[0 if pair.moves[self._dof[i]] > 0.0 else 1]
                lever[i] = min(far, self._away(int(self._joints[i]), stays))
        return lever

    def _away(self, joint: int, geom: int) -> float:
        """How far a geom that a joint does not move can be from its axis (m). A plane: without end; but no joint that
        always turns in it moves an arm off it.
        """
        model, data = self._model, self._moving
        body, base = int(model.jnt_bodyid[joint]), int(model.geom_bodyid[geom])
        is_plane = model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_PLANE
        first = joint == model.body_jntadr[body]  # those behind it in the same body turn with it
        if first and model.body_weldid[model.body_parentid[body]] == model.body_weldid[base]:  # always as they are now
            axis = data.xaxis[joint]
            if is_plane:
                upright = abs(float(data.geom_xmat[geom].reshape(3, 3)[:, 2] @ axis)) > 1.0 - _TOUCHING
                return 0.0 if upright else np.inf
            off_axis = np.cross(axis, data.geom_xpos[geom] - data.xanchor[joint])
            return float(np.linalg.norm(off_axis) + model.geom_rbound[geom])
        if is_plane:
            return np.inf
        upwards = {base: 0.0}  # m that the origin of each body above the geom can be from that of its own
        while base:
            upwards[int(model.body_parentid[base])] = upwards[base] + self._span(base)
            base = int(model.body_parentid[base])
        way = float(np.linalg.norm(model.geom_pos[geom]) + model.geom_rbound[geom])
        while body not in upwards:  # the joint's own body at least: its anchor is as near to the parent as the body
            way += self._span(body)
            body = int(model.body_parentid[body])
        return way + upwards[body]

    def _span(self, body: int) -> float:
        """How far a body's origin, and the anchors of its joints, can be from its parent's origin (m)."""
        first, count = int(self._model.body_jntadr[body]), int(self._model.body_jntnum[body])
        return float(np.linalg.norm(self._model.body_pos[body])) + sum(map(self._shift, range(first, first + count)))

    def _shift(self, joint: int) -> float:
        """How far a joint brings its body's origin (m)."""
        shift = 2.0 * float(np.linalg.norm(self._model.jnt_pos[joint]))  # it turns about a point beside it
        if self._model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_SLIDE:
            shift += float(np.abs(self._model.jnt_range[joint]).max())
        return shift

    def _reach(self, body: int, geom: int | None) -> NDArray[np.float64]:
        """How far a geom, or the tip, can be from the axis of each joint that moves it (m); 0: it does not."""
        model = self._model
        reach = np.zeros(len(self._dof))
        length = float(np.linalg.norm(model.site_pos[self._tip]))
        if geom is not None:
            length = float(np.linalg.norm(model.geom_pos[geom]) + model.geom_rbound[geom])
        while body:
            first = int(model.body_jntadr[body])
            for joint in reversed(range(first, first + int(model.body_jntnum[body]))):  # the last is the nearest
                for i in np.flatnonzero(self._joints == joint):
                    reach[i] = length + float(np.linalg.norm(model.jnt_pos[joint]))
                for coupling in self._couplings:
                    if coupling.dof == model.jnt_dofadr[joint]:
                        reach[coupling.leader] = max(
                            reach[coupling.leader],
                            coupling.steepest(self._model.jnt_range[self._joints[coupling.leader]]),
                        )
                length += self._shift(joint)
            length += float(np.linalg.norm(model.body_pos[body]))
            body = int(model.body_parentid[body])
        return reach

    def tip_position(self, q: NDArray[np.float64]) -> NDArray[np.float64]:
        """Position of the tip (m, base frame) at `q` (rad)."""
        self._place(q)
        return np.array(self._data.site_xpos[self._tip])

    def tip_jacobian(self, q: NDArray[np.float64]) -> NDArray[np.float64]:
        """How the tip's position moves with each joint (3 x joints, m/rad) at `q` (rad)."""
        self._place(q)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_jacSite(self._model, self._data, self._jacobian, None, self._tip)
        return np.array(self._jacobian @ self._fold)

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

    def all_angles(self, q: Angles) -> NDArray[np.float64]:
        """Angles (rad) and ways (m) of all joints of the MJCF, in its order, with the arm's joints at `q` (rad)."""
        self._set(self._angles, q)
        return np.array(self._angles)

    def followers(self, low: Angles, high: Angles) -> tuple[Follower, ...]:
        """Joints that follow one of the arm's, which turns from `low` to `high` (rad)."""
        model, found = self._model, []
        for coupling in self._couplings:
            ways = [coupling.position(x) for x in np.linspace(low[coupling.leader], high[coupling.leader], _SAMPLES)]
            joint = int(np.flatnonzero(model.jnt_qposadr == coupling.qpos)[0])
            stops = model.jnt_range[joint] if model.jnt_limited[joint] else (-np.inf, np.inf)
            found.append(
                Follower(_joint_name(model, joint), (min(ways), max(ways)), (float(stops[0]), float(stops[1])))
            )
        return tuple(found)

    def _place(self, q: Angles) -> None:
        self._set(self._angles, q)
        mujoco.mj_kinematics(self._model, self._data)

    def _set(self, angles: NDArray[np.float64], q: Angles) -> None:
        if self._straight:
            np.dot(self._fold, q, out=angles)
            np.add(angles, self._still, out=angles)
            return
        angles[self._qpos] = q
        for coupling in self._couplings:
            leader = float(q[coupling.leader])
            angles[coupling.qpos] = coupling.position(leader)
            if not coupling.is_straight:
                self._fold[coupling.dof, coupling.leader] = coupling.slope(leader)

    def _id(self, kind: mujoco.mjtObj, name: str, spec: ArmSpec, what: str) -> int:
        found = mujoco.mj_name2id(self._model, kind, name)
        if found < 0:
            count = {mujoco.mjtObj.mjOBJ_JOINT: self._model.njnt, mujoco.mjtObj.mjOBJ_SITE: self._model.nsite}[kind]
            there = [mujoco.mj_id2name(self._model, kind, k) for k in range(count)]
            has = f"it has {', '.join(filter(None, there)) or 'none with a name'}"
            raise ArmSpecError(f"{spec.mjcf}: no {what} '{name}', which {spec.path.name} names; {has}")
        return int(found)

    def _bare(self) -> tuple[bool, tuple[str, ...]]:
        """Of geoms that collide with nothing (`contype`, `conaffinity`, excluded) no distance is ever kept."""
        model = self._model
        on_table = [pair.geoms for pair in self.pairs if TABLE in (pair.first, pair.second)]
        guarded = {int(model.body_weldid[model.geom_bodyid[geom]]) for geoms in on_table for geom in geoms}
        last = int(model.body_weldid[model.site_bodyid[self._tip]])
        behind = {last}  # what the tip's link carries is at the tip, too
        for body in range(last + 1, model.nbody):
            if int(model.body_parentid[body]) in behind:
                behind.add(body)
        links = [int(model.jnt_bodyid[joint]) for joint in self._joints[self.carries_tip]]
        bare = [
            body
            for body in links
            if body != last and body not in guarded and model.body_weldid[model.body_parentid[body]] != 0
        ]
        return not behind & guarded, tuple(model.body(body).name or f"body {body}" for body in bare)

    def _pair(self, first: int, second: int) -> Pair:
        moves = self._moved_by(second) - self._moved_by(first)
        return Pair(self._geom_name(first), self._geom_name(second), (first, second), moves)

    def _moved_by(self, geom: int) -> NDArray[np.float64]:
        """1 for each degree of freedom that moves a geom."""
        model, moved = self._model, np.zeros(self._model.nv)
        body = int(model.geom_bodyid[geom])
        while body:
            moved[int(model.body_dofadr[body]) :][: int(model.body_dofnum[body])] = 1.0
            body = int(model.body_parentid[body])
        return moved

    def _geom_name(self, geom: int) -> str:
        body = int(self._model.geom_bodyid[geom])
        return str(
            mujoco.mj_id2name(self._model, mujoco.mjtObj.mjOBJ_GEOM, geom)
            or mujoco.mj_id2name(self._model, mujoco.mjtObj.mjOBJ_BODY, body)
        )


def _loaded(spec: ArmSpec) -> mujoco.MjModel:
    """The model with the arm's load at its tip, as small as MuJoCo lets a body be."""
    mjcf = mujoco.MjSpec.from_file(str(spec.mjcf))
    site = mjcf.site(spec.tip)
    if site is None:
        raise ArmSpecError(f"{spec.mjcf}: no site '{spec.tip}', which {spec.path.name} names")
    body = site.parent.add_body(pos=site.pos)
    body.explicitinertial, body.mass = True, spec.load
    body.ipos, body.inertia = np.zeros(3), np.full(3, _POINT_INERTIA)
    return mjcf.compile()


def _carry(model: mujoco.MjModel, joints: Sequence[int], body: int) -> NDArray[np.bool_]:
    """Which joints this body hangs on."""
    bodies = set()
    while body:
        bodies.add(body)
        body = int(model.body_parentid[body])
    return np.array([int(model.jnt_bodyid[joint]) in bodies for joint in joints])


def _couplings(model: mujoco.MjModel, joint_ids: list[int]) -> tuple[_Coupling, ...]:
    found = []
    for i in range(model.neq):
        leader = int(model.eq_obj2id[i])
        if model.eq_type[i] != mujoco.mjtEq.mjEQ_JOINT or leader not in joint_ids or not model.eq_active0[i]:
            continue
        follower = int(model.eq_obj1id[i])
        found.append(
            _Coupling(
                qpos=int(model.jnt_qposadr[follower]),
                dof=int(model.jnt_dofadr[follower]),
                leader=joint_ids.index(leader),
                leader_home=float(model.qpos0[model.jnt_qposadr[leader]]),
                home=float(model.qpos0[model.jnt_qposadr[follower]]),
                coefficients=tuple(np.trim_zeros(model.eq_data[i][:_POLYNOMIAL], "b").tolist()),
            )
        )
    return tuple(found)


def _loose(model: mujoco.MjModel, root: int, joint_ids: list[int], couplings: Sequence[_Coupling]) -> tuple[str, ...]:
    """By name; joints of things beside the arm, which hangs on this root body, are not meant."""
    following = {coupling.qpos for coupling in couplings}
    return tuple(
        _joint_name(model, joint)
        for joint in range(model.njnt)
        if joint not in joint_ids
        and int(model.jnt_qposadr[joint]) not in following
        and model.body_rootid[model.jnt_bodyid[joint]] == root
    )


def _joint_name(model: mujoco.MjModel, joint: int) -> str:
    body = mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_BODY, int(model.jnt_bodyid[joint]))
    return mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_JOINT, joint) or f"of body '{body}'"


def _collision_pairs(model: mujoco.MjModel, root: int) -> tuple[tuple[int, int], ...]:
    """Pairs of geoms that MuJoCo would test: by its bit masks, not in one body, not parent and child, not excluded; and
    one of them of the arm, whose root body this is: what lies on the table lies there.

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
            of_arm = model.body_rootid[one] == root or model.body_rootid[two] == root
            if (
                of_arm
                and mask
                and w1 != w2
                and not related
                and (one, two) not in excluded
                and (two, one) not in excluded
            ):
                pairs.append((a, b))
    return tuple(pairs)
