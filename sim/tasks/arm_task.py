"""Tasks of an arm: bring the tip to a target (reach), follow one (track), bring and keep a joint at an angle (hold).

The policy sees what the runtime will show it, through servos that do what servos do, and its contract says how.
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from robot_runtime.arrays import Floats, Indices
from robot_runtime.policy.contract import Action, Contract, Target, Term
from robot_runtime.safety.servo_stages import WINDUP
from robot_runtime.spec import ArmSpec
from sim.tasks.goals import GOALS, PACE, Goal
from sim.tasks.observing import Observer
from sim.tasks.paths import Follower, Paths, facing
from sim.tasks.targets import Targets
from sim.tasks.task import Task
from sim.worlds.arm import ArmWorld, arm_world, gravity_torques, payload_inertia
from sim.worlds.chain import Chain
from sim.worlds.domain import Domain
from sim.worlds.drives import MEANING_OF_MODE, Drives
from sim.worlds.poses import free_poses
from sim.worlds.senses import Senses

POSES = 8192
"""Poses that starts and targets are drawn from."""
PATHS = 2048
"""Ways that a target that moves is drawn from."""
POSES_SEED = 7
POSES_WEIGHED = 1000
_UPRIGHT = 0.99
AIM = 0.3
"""Of the tolerance, where half of the pay for being there is paid: a joint that sticks leaves some of the way."""
FINE = 5.0  # tolerances, the half range of the fine error
PAST = 16
"""Samples, one an action, that a policy sees of a target that moves: from them it knows where it goes."""
TIMESTEP = 0.002
"""s of the physics."""


class ArmTask(Task):
    """An arm, a goal, and the policy's contract."""

    contract: Contract
    poses: Floats
    """Where episodes start, and whose tips, or angles, are the targets (n x joints, rad)."""
    chain: Chain
    """Where the tip is."""

    def __init__(
        self,
        name: str,
        spec: ArmSpec,
        seeds: Sequence[int],
        *,
        goal: Goal | None = None,
        domain: Domain | None = None,
        threads: int = 1,
        timestep: float = TIMESTEP,
    ) -> None:
        """`domain`: what is drawn anew each episode; None: every arm as its files say."""
        goal = goal or GOALS[name]
        moved = moved_joints(spec)
        world = arm_world(spec, moved, timestep)
        super().__init__(world.model, seeds, period=1 / goal.rate, episode=goal.episode, threads=threads)
        self.name, self.goal, self.world, self.domain = name, goal, world, domain
        self.chain = Chain(world)
        self.poses = _poses(world, goal, self.chain)
        aims = _aims(world, goal, self.chain, self.poses)
        reached = np.concatenate(aims.sampled(goal.episode)) if isinstance(aims, Paths) else aims
        self.contract = contract = _contract(name, world, goal, self.poses, reached)
        self.action_size = n = contract.action_size
        self._scale = np.array(contract.action.scale)
        self._drives = Drives(world.joints, self.count, timestep, world.inertia)
        self._senses = Senses(world.joints, self.count, timestep)
        self._observer = Observer(contract, self.count)
        self.observation = self._observer.values
        self._aims = aims
        self._targets = Targets(self.count, aims)
        self.target = np.zeros((self.count, reached.shape[1]))
        self._noise = np.zeros((self.count, self.limit + 1, n))  # rad
        self._command = np.zeros((self.count, n))
        self._before = np.zeros((self.count, n))  # the command of the step before
        self._last_action = np.zeros((self.count, n))
        self._within = np.zeros(self.count, dtype=np.intp)  # steps
        self._bind()
        self._limits()

    def _bind(self) -> None:
        batch = self.batch
        self._qpos, self._qvel, self._applied = batch.bind("qpos"), batch.bind("qvel"), batch.bind("qfrc_applied")
        self._contacts, self._bias = batch.bind("ncon"), batch.bind("qfrc_bias")
        self._geom_xpos, self._geom_xmat = batch.bind("geom_xpos"), batch.bind("geom_xmat")
        self._dry = np.array(batch.expand("dof_frictionloss"))  # without what the load adds
        self._frictionloss = batch.expand("dof_frictionloss")
        self._masses, self._inertias = batch.expand("body_mass"), batch.expand("body_inertia")
        self._armature, self._viscous = batch.expand("dof_armature"), batch.expand("dof_damping")
        self._constant, self._resistance = self._drives.constant[0].copy(), self._drives.resistance[0].copy()
        self._volts, self._load = self._drives.voltage[0].copy(), self._drives.load_friction[0].copy()

    def _limits(self) -> None:
        model = self.model
        moves = (model.geom_type == mujoco.mjtGeom.mjGEOM_CAPSULE) & (model.body_weldid[model.geom_bodyid] > 0)
        self._capsules = np.flatnonzero(moves)
        self._radius, self._half = model.geom_size[moves, 0], model.geom_size[moves, 1]
        limits = [joint.limits for joint in self.world.joints]
        self._lower, self._upper = np.array([x.lower for x in limits]), np.array([x.upper for x in limits])
        self._speed_limit = np.array([x.velocity for x in limits])
        # Where the first joint stands, seen from above, if the arm turns on it.
        upright = abs(float(self.world.model.jnt_axis[0, 2])) > _UPRIGHT and self.goal.quantity == "tip_position"
        self._base = self.world.model.body_pos[self.world.model.jnt_bodyid[0], :2] if upright else None

    @property
    def full_torque(self) -> Floats | None:
        """N·m that an action of 1 makes in nominal servos at rest; None: they take positions."""
        return self._drives.torque_of(self._scale)

    def new_targets(self, count: int, seed: int) -> Targets:
        """Targets as the task draws them, for flights outside its own simulations."""
        targets, random = Targets(count, self._aims), np.random.default_rng(seed)
        for i in range(count):
            targets.draw(i, random)
        return targets

    # --- a new episode ---

    def _begin(self, i: int, random: np.random.Generator) -> None:
        goal, world = self.goal, self.world
        if random.random() < goal.from_home:
            q = np.clip(random.normal(world.home, goal.home_spread), self._lower, self._upper)
        else:
            q = self.poses[random.integers(len(self.poses))]
        self._qpos[i] = q
        self._targets.draw(i, random)
        payload = 0.0 if goal.payload is None else float(goal.payload.draw(random, 1)[0])
        if self.domain is not None:
            drawn = self._draw(self.domain, i, random)
            self._differ(i, drawn)
            payload = payload if goal.payload is not None else float(drawn["payload"][0])
            sigma = drawn["position_noise"] * [abs(joint.rad_per_tick) for joint in world.joints]
            self._noise[i] = random.normal(0.0, 1.0, self._noise[i].shape) * sigma
        self._masses[i, world.payload], self._inertias[i, world.payload] = payload, payload_inertia(payload)

    def _draw(self, domain: Domain, i: int, random: np.random.Generator) -> dict[str, Floats]:  # noqa: ARG002
        """The arm that simulation i will be."""
        return domain.draw(random, self.action_size)

    def _differ(self, i: int, drawn: dict[str, Floats]) -> None:
        """Make simulation i the arm that was drawn."""
        model, drives = self.model, self._drives
        factors = self._weigh(drawn)
        self._masses[i] = model.body_mass * factors
        self._inertias[i] = model.body_inertia * factors[:, None]
        self._armature[i] = model.dof_armature * drawn["armature"]
        self._viscous[i] = (model.dof_damping.T * drawn["viscous"]).T
        self._dry[i] = model.dof_frictionloss * drawn["coulomb"]
        drives.constant[i] = self._constant * drawn["torque_constant"]
        drives.resistance[i] = self._resistance * drawn["resistance"]
        drives.voltage[i] = self._volts * drawn["voltage"]
        drives.load_friction[i] = self._load * drawn["load_friction"]
        drives.delay[i] = round(float(drawn["delay"][0]) / model.opt.timestep)
        self._senses.window[i] = self._senses.window_of(float(drawn["velocity_lag"][0]))

    def _weigh(self, drawn: dict[str, Floats]) -> Floats:
        """Factor on each body's mass: that of the joint that it hangs on."""
        factors = np.ones(self.model.nbody)
        for factor, bodies in zip(drawn["link_mass"], self.world.carried, strict=True):
            factors[bodies] = factor
        return factors

    def _begun(self, ids: Indices) -> None:
        self.batch.set_const(ids)
        self.batch.forward(ids, stage=mujoco.mjtStage.mjSTAGE_VEL)
        command = self._drives.holding(self._qpos[ids], self._bias[ids])
        self._drives.reset(ids, command, self._bias[ids])  # the runtime carries the arm until the policy does
        self._senses.reset(ids, self._qpos[ids])
        self._last_action[ids] = 0.0
        self._within[ids] = 0
        self._command[ids] = self._before[ids] = command
        self._observer.reset(ids, self._sense())

    # --- a step ---

    def _move(self, actions: Floats) -> None:
        drives, senses, batch = self._drives, self._senses, self.batch
        bounded = np.clip(actions, -1.0, 1.0)
        self._change = bounded - self._last_action
        self._last_action[:] = bounded
        self._before[:] = self._command
        if drives.meaning == "position_delta":
            goal = np.clip(self._command + bounded * self._scale, senses.q - WINDUP, senses.q + WINDUP)
            np.clip(goal, self._lower, self._upper, out=self._command)
        else:
            np.multiply(bounded, self._scale, out=self._command)
        for k in range(self.substeps):
            torque = drives.step(self._goal_at(k), self._qpos, self._qvel)
            self._applied[:] = torque
            np.add(self._dry, drives.friction, out=self._frictionloss)
            batch.step()
            senses.record(self._qpos)

    def _goal_at(self, k: int) -> Floats:
        """What the servos are told in this part of the period: torques are held, positions interpolated."""
        if self._drives.meaning == "position_delta":
            share = np.clip((k + 1 - self._drives.delay) / self.substeps, 0.0, 1.0)[:, None]
            goal: Floats = self._before + share * (self._command - self._before)
            return goal
        return np.where((k >= self._drives.delay)[:, None], self._command, self._before)

    def _judge(self) -> None:
        goal = self.goal
        self._observer.update(self._sense())
        is_now = self.chain.tip(self._qpos) if goal.quantity == "tip_position" else self._qpos
        error = np.linalg.norm(self.target - is_now, axis=1)
        over = np.maximum(np.abs(self._qvel) - goal.allowed_speed * self._speed_limit, 0.0)
        near_stop = np.maximum(self._lower + goal.stop_margin - self._qpos, 0.0)
        near_stop += np.maximum(self._qpos - self._upper + goal.stop_margin, 0.0)
        np.greater(self._contacts, 0, out=self.terminated)
        self.error[:] = error
        self.reward[:] = (
            2.0 * (1.0 - error / goal.far)
            + np.exp(-error / goal.near)
            + 1.0 / (1.0 + (error / (AIM * goal.tolerance)) ** 2)  # its long tail leads to the last millimetres
            + goal.turn * (1.0 - self._turn())
            - goal.effort * (self._last_action**2).sum(1)
            - goal.change * (self._change**2).sum(1)
            - goal.speed * (over**2).sum(1)
            - goal.stop * near_stop.sum(1)
            - goal.low * np.maximum(1.0 - self._height() / goal.low_height, 0.0)
            - goal.crash * self.terminated
        )
        self._within += 1
        self._within[error > goal.tolerance] = 0
        np.greater_equal(self._within, round(goal.held_for / self.period), out=self.success)

    def _height(self) -> Floats:
        """How far the lowest of what moves is above the table (m)."""
        centre, upwards = self._geom_xpos[:, self._capsules, 2], self._geom_xmat[:, self._capsules, 8]
        height: Floats = (centre - np.abs(upwards) * self._half - self._radius).min(1)
        return height

    def _turn(self) -> Floats:
        """Whole turns that the base is away from facing the target; 0 where no base turns."""
        if self._base is None:
            return np.zeros(self.count)
        x, y = (self.target[:, :2] - self._base).T
        bearing = np.arctan2(y, x)
        behind = bearing - np.copysign(np.pi, bearing)  # the arm leans over backwards
        wanted = np.where((bearing >= self._lower[0]) & (bearing <= self._upper[0]), bearing, behind)
        turn: Floats = np.abs(wanted - self._qpos[:, 0]) / (2 * np.pi)
        return turn

    def _sense(self) -> dict[str, Floats]:
        """What the contract's terms are made of, as measured."""
        senses = self._senses
        senses.noise[:] = self._noise[np.arange(self.count), self.steps]
        senses.measure()
        self.target[:] = self._targets.at(np.multiply(self.steps, self.period, dtype=float))
        tip = self.chain.tip(senses.q)
        is_now = tip if self.goal.quantity == "tip_position" else senses.q
        return {
            "joint_position": senses.q,
            "joint_velocity": senses.dq,
            "tip_position": tip,
            "last_action": self._last_action,
            "target": self.target,
            "target_error": self.target - is_now,
        }


def moved_joints(spec: ArmSpec) -> tuple[str, ...]:
    """The joints that place the tip: in front of the first whose servo only turns or closes the hand."""
    meaning = MEANING_OF_MODE.get(spec.joints[0].mode)
    names = []
    for joint in spec.joints:
        if MEANING_OF_MODE.get(joint.mode) != meaning or joint.name in ("wrist_roll", "wrist_rotate", "gripper"):
            break
        names.append(joint.name)
    return tuple(names)


def _poses(world: ArmWorld, goal: Goal, chain: Chain) -> Floats:
    """Where episodes start, and where targets are: free poses; for tips, those in which the arm faces its tip.

    Leaning over backwards, or right above its base, an arm reaches few places that it does not reach facing them, and
    from there the way on leads through the stop of its first joint or past a singularity.
    """
    poses = free_poses(world, 2 * POSES, POSES_SEED)
    if goal.quantity == "tip_position":
        poses = poses[facing(world, poses, chain.tip(poses))]
    return poses[:POSES]


def _aims(world: ArmWorld, goal: Goal, chain: Chain, poses: Floats) -> Floats | Paths:
    """Where targets are, or the ways that they go."""
    of_tip = goal.quantity == "tip_position"
    if goal.motion is None:
        return chain.tip(poses) if of_tip else poses
    follower = Follower(world, chain if of_tip else None)
    return follower.paths(poses, goal.motion, goal.episode, PATHS, POSES_SEED)


def _contract(name: str, world: ArmWorld, goal: Goal, poses: Floats, aims: Floats) -> Contract:
    """What a policy of this task sees and says; `aims`: targets that it is trained for."""
    joints, n, size = world.names, len(world.joints), aims.shape[1]
    meaning = MEANING_OF_MODE[world.joints[0].mode]
    tip = (Term("tip_position", 3),) if goal.quantity == "tip_position" else ()
    past = () if goal.motion is None else (Term("target", size, history=PAST),)
    return Contract(
        observation=(
            Term("joint_position", n, joints),
            Term("joint_velocity", n, joints),
            Term("last_action", n, clip=(-1.0, 1.0)),
            *tip,  # it saves the network the sines of its first joint
            Term("target", size),
            Term("target_error", size),
            # The same under the magnifying glass: the last millimetres need torques as large as the first ones.
            Term("target_error", size, scale=(1 / (FINE * goal.tolerance),), clip=(-1.0, 1.0)),
            *past,
        ),
        action=Action(meaning, joints, scale=tuple(map(float, _scale(meaning, world, goal, poses))), clip=(-1.0, 1.0)),
        rate=goal.rate,
        start="home",
        target=Target(
            goal.quantity,
            size,
            joints if goal.quantity == "joint_position" else (),
            low=tuple(map(float, aims.min(0))),
            high=tuple(map(float, aims.max(0))),
        ),
        arm=world.spec.name,
        mjcf_digest=world.spec.mjcf_digest,
        provenance={"task": name},
    )


def _scale(meaning: str, world: ArmWorld, goal: Goal, poses: Floats) -> Floats:
    """What an output of 1 stands for, by joint."""
    limits = [joint.limits for joint in world.joints]
    if meaning == "torque":
        # Carries the arm anywhere and makes the joint's acceleration limit: the runtime would let no more through.
        weight = np.abs(gravity_torques(world, poses[:POSES_WEIGHED])).max(0)
        scale: Floats = np.minimum(
            weight + world.inertia * [x.acceleration for x in limits], [x.torque for x in limits]
        )
        return scale
    if meaning == "position_delta":
        return np.array([PACE * x.velocity / goal.rate for x in limits])
    return np.ones(len(limits))
