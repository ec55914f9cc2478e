"""The mechanical side: the arm's MJCF in MuJoCo, changed by the gap, with gears that rub and have play.

Dry friction grows with the torque that passes the gears (MuJoCo's frictionloss, set anew each step). Play is a second
hinge of a few milliradians in series with the first: the motor, its inertia and its friction sit before it, the link
and the encoder behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np

from sim.mjcf import without_motors
from sim.twin.arm_file import ArmFileError, TwinArm
from sim.twin.arrays import Floats
from sim.twin.gap import Gap, JointGap
from sim.twin.hand import Hand
from sim.twin.servo_data import load_servo

STUCK = 1000.0
"""N·m of dry friction in a blocked shaft: more than any servo or fall can overcome."""
PAYLOAD_RADIUS = 0.02
"""m, the payload is a ball of this size around the tip; only its inertia notices."""
PLAY_DAMPING = 2e-4
"""N·m·s/rad between the faces of the teeth: grease. Estimate, small against every servo's own viscous friction."""
DRY_SOLREF, DRY_SOLIMP = (0.004, 1.0), (0.999, 0.9999, 0.001, 0.5, 2.0)
"""Stiffness of dry friction in MuJoCo's terms: its default lets a held joint creep visibly."""
PLAY_SOLREF, PLAY_SOLIMP = (0.003, 1.0), (0.998, 0.9998, 0.001, 0.5, 2.0)
"""Stiffness of tooth against tooth in MuJoCo's terms: apart again within three steps, sunk in by little of the play."""


class Physics:
    """One arm in MuJoCo. Arrays have one entry an arm joint, in the order of `arm.toml`, but for the motors' torques.

    Armature, damping and dry friction of the MJCF are those of the whole joint, whether one servo turns it or two.
    """

    def __init__(self, arm: TwinArm, gap: Gap, period: float) -> None:
        """Compile the arm with the gap applied. Raises ArmFileError where arm.toml and MJCF do not fit."""
        names = [joint.name for joint in arm.joints]
        gaps = [gap.joint(name) for name in names]
        motors = [load_servo(joint.servo_model).motor for joint in arm.joints]
        play = [m["backlash"] if g.backlash is None else g.backlash for m, g in zip(motors, gaps, strict=True)]
        try:
            spec = without_motors(mujoco.MjSpec.from_file(str(arm.mjcf)))
        except ValueError as error:
            raise ArmFileError(f"{arm.mjcf}: not a model that MuJoCo can read: {error}") from error
        _check(spec, arm)
        for name, joint_gap, width in zip(names, gaps, play, strict=True):
            _change_joint(spec, names, name, joint_gap, width)
        if gap.payload > 0:
            _add_payload(spec, arm.tip, gap.payload)
        self.model: Any = spec.compile()
        self.model.opt.timestep = period
        self.data: Any = mujoco.MjData(self.model)

        model, n = self.model, len(names)
        self._joints = [model.joint(name) for name in names]
        # Selection matrices: one product gathers what lies behind the play, one scatters what acts before it.
        self.gather_position, self._gather_velocity = np.zeros((n, model.nq)), np.zeros((n, model.nv))
        self.gather_motor_velocity = np.zeros((n, model.nv))
        for i, name in enumerate(names):
            for part in (name, _play_name(name)):
                if (index := mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, part)) < 0:
                    continue
                self.gather_position[i, model.jnt_qposadr[index]] = 1.0
                self._gather_velocity[i, model.jnt_dofadr[index]] = 1.0
            self.gather_motor_velocity[i, model.joint(name).dofadr[0]] = 1.0
        # What two servos do at one joint adds up there; so does what they rub, also where they fight one another.
        self._turned = [servo.joint for servo in arm.servos]
        self._scatter = self.gather_motor_velocity[self._turned].T.copy()
        share = np.array([g.load_share(m["load_friction"]) for m, g in zip(motors, gaps, strict=True)])
        self._load_friction = self._scatter * share[self._turned]
        self._dry_friction = np.array(model.dof_frictionloss)
        self._free_dry_friction = self._dry_friction.copy()
        self._push = np.zeros(model.nv)
        self._pushes = np.zeros(n)
        self._pushed = False
        self._hands: dict[int, Hand] = {}
        self._stuck: set[int] = set()  # servos
        self._size, self._friction = np.empty(len(self._turned)), np.empty(model.nv)
        # The arrays that a step touches, fetched once: each access through the binding costs as much as the arithmetic.
        self.qpos, self.qvel = self.data.qpos, self.data.qvel
        self._applied, self._frictionloss = self.data.qfrc_applied, model.dof_frictionloss

    def place(self, angles: Sequence[float]) -> None:
        """Put the joints at these angles, at rest; what is coupled to them follows."""
        model, data = self.model, self.data
        mujoco.mj_resetData(model, data)
        for joint, angle in zip(self._joints, angles, strict=True):
            data.qpos[joint.qposadr[0]] = angle
        for equality in range(model.neq):
            if model.eq_type[equality] == mujoco.mjtEq.mjEQ_JOINT and model.eq_obj2id[equality] >= 0:
                follower = model.jnt_qposadr[model.eq_obj1id[equality]]
                leader = model.jnt_qposadr[model.eq_obj2id[equality]]
                polynomial = model.eq_data[equality][4::-1]
                data.qpos[follower] = model.qpos0[follower] + np.polyval(
                    polynomial, data.qpos[leader] - model.qpos0[leader]
                )
        mujoco.mj_forward(model, data)

    def positions(self) -> Floats:
        """Joint angles behind the play, rad."""
        angles: Floats = self.gather_position @ self.qpos
        return angles

    def velocities(self) -> Floats:
        """Joint velocities behind the play, rad/s."""
        speeds: Floats = self._gather_velocity @ self.qvel
        return speeds

    def push(self, i: int, torque: float) -> None:
        """Act on joint i from outside with this torque (N·m) until told otherwise."""
        self._pushes[i] = torque
        np.dot(self._pushes, self._gather_velocity, out=self._push)
        self._pushed = bool(np.any(self._push))

    def hand(self, i: int, radians: float, seconds: float) -> None:
        """Let a hand turn joint i by this angle within that time, and then let go."""
        self._hands[i] = Hand(self.model, self.data, self._joints[i], radians, max(seconds, self.model.opt.timestep))

    def stick(self, i: int, *, stuck: bool) -> None:
        """Block the gears of servo i, or let them go; its joint turns when those of all its servos do."""
        (self._stuck.add if stuck else self._stuck.discard)(i)
        joint = self._turned[i]
        dof = self._joints[joint].dofadr[0]
        blocked = any(self._turned[servo] == joint for servo in self._stuck)
        self._dry_friction[dof] = STUCK if blocked else self._free_dry_friction[dof]

    def step(self, torque: Floats) -> None:
        """Advance by one period with these torques of the motors at their joints (N·m), one entry a servo."""
        np.dot(self._scatter, torque, out=self._applied)
        if self._pushed:
            np.add(self._applied, self._push, out=self._applied)
        if self._hands:
            self._hands = {i: hand for i, hand in self._hands.items() if not hand.over}
            for hand in self._hands.values():
                self._applied[hand.dof] += hand.torque()
        np.abs(torque, out=self._size)
        np.dot(self._load_friction, self._size, out=self._friction)
        np.add(self._friction, self._dry_friction, out=self._frictionloss)
        mujoco.mj_step(self.model, self.data)


def _play_name(joint: str) -> str:
    return f"{joint}_play"


def _check(spec: Any, arm: TwinArm) -> None:
    for joint in arm.joints:
        if spec.joint(joint.name) is None:
            raise ArmFileError(f"{arm.mjcf}: no joint '{joint.name}', which {arm.file.name} names")
    if spec.site(arm.tip) is None:
        raise ArmFileError(f"{arm.mjcf}: no site '{arm.tip}', which {arm.file.name} names as tip")


def _change_joint(spec: Any, names: Sequence[str], name: str, gap: JointGap, play: float) -> None:
    joint = spec.joint(name)
    joint.armature *= gap.armature
    joint.damping = joint.damping * gap.viscous
    joint.frictionloss *= gap.coulomb
    joint.solref_friction, joint.solimp_friction = DRY_SOLREF, DRY_SOLIMP
    for body in _carried(joint.parent, names):
        if body.explicitinertial:
            body.mass *= gap.link_mass
            body.inertia = body.inertia * gap.link_mass
        for geom in body.geoms:
            geom.mass *= gap.link_mass
            geom.density *= gap.link_mass
    if play > 0:
        joint.parent.add_joint(
            name=_play_name(name),
            type=mujoco.mjtJoint.mjJNT_HINGE,
            pos=joint.pos,
            axis=joint.axis,
            limited=mujoco.mjtLimited.mjLIMITED_TRUE,
            range=(-play / 2, play / 2),
            damping=_first(PLAY_DAMPING, joint.damping),
            solref_limit=PLAY_SOLREF,
            solimp_limit=PLAY_SOLIMP,
        )


def _first(value: float, like: Any) -> Any:
    """A damping in the shape that this MuJoCo version wants: a number, or polynomial coefficients."""
    if np.ndim(like) == 0:
        return value
    coefficients = np.zeros(np.shape(like))
    coefficients[0] = value
    return coefficients


def _carried(body: Any, names: Sequence[str]) -> list[Any]:
    """The body and what hangs on it up to the next joint of the arm."""
    bodies = [body]
    for child in body.bodies:
        if not any(joint.name in names for joint in child.joints):
            bodies += _carried(child, names)
    return bodies


def _add_payload(spec: Any, tip: str, mass: float) -> None:
    site = spec.site(tip)
    inertia = 0.4 * mass * PAYLOAD_RADIUS**2
    body = site.parent.add_body(name="payload", pos=site.pos)
    body.explicitinertial = True
    body.mass, body.inertia, body.ipos = mass, (inertia, inertia, inertia), (0.0, 0.0, 0.0)
