"""Rollouts: windows of logs simulated in MuJoCo under many parameter vectors at once, one simulation each.

A Jacobian is one batch: every window under every perturbed vector. The laws of the servos run on top, in NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch

from calibration.logs.windows import Windows
from calibration.physics.joints import fitted_joints
from calibration.physics.law import Laws, Servos
from calibration.physics.numbers import Physics
from robot_runtime.arrays import Floats
from robot_runtime.spec import ArmSpec
from sim.worlds.arm import ArmWorld, arm_world, payload_inertia

FLICKER_SEED = 1
"""Every row of z sees the same flicker of the encoders: differences are the numbers' alone."""
MOST_SIMULATIONS = 6000
"""In one batch; more come one batch after the other, so that memory stays small."""


@dataclass(frozen=True, slots=True, eq=False)
class Rig:
    """An arm to simulate: its world without contacts (the arm was free when it was recorded) and its servos' laws."""

    world: ArmWorld
    laws: Laws

    @classmethod
    def of(cls, spec: ArmSpec, joints: tuple[str, ...] | None = None, step: float = 0.002) -> Rig:
        """Of these joints (default: all that are fitted).

        Raises:
            ArmSpecError: the arm's MJCF cannot be used.
        """
        world = arm_world(spec, joints or fitted_joints(spec), step)
        world.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
        return cls(world, Laws(world.joints))

    def loaded(self, load: float) -> Rig:
        """The same with so much (kg) hung at the tip, which everybody knows: the simulator's arm carries it too."""
        world = self.world
        if world.spec.load == load:
            return self
        return Rig.of(replace(world.spec, load=load), world.names, world.model.opt.timestep)


def rollout(
    rig: Rig, physics: Physics, z: Floats, windows: Windows, threads: int = 2, *, smooth: bool = False
) -> tuple[Floats, Floats]:
    """Angles and speeds as the encoders would show them: (rows of z, windows, samples, joints) each; rad, rad/s.

    `smooth`: D gains see smooth angles, without the encoder's steps.
    """
    z = np.atleast_2d(z)
    rows = max(1, MOST_SIMULATIONS // len(windows))
    parts = [_some(rig, physics, z[i : i + rows], windows, threads, smooth) for i in range(0, len(z), rows)]
    return np.concatenate([q for q, _ in parts]), np.concatenate([dq for _, dq in parts])


class Arms:
    """Simulations of a rig, each with numbers and servos of its own. Arrays: simulations x joints."""

    def __init__(
        self,
        rig: Rig,
        numbers: dict[str, Floats],
        volts: Floats,
        gains: tuple[Floats, Floats],
        load: Floats,
        threads: int = 1,
    ) -> None:
        """`numbers`: Physics.expand, a row a simulation; volts, gains: as for `Servos`; `load`: kg that hang at each
        one's tip besides.
        """
        self._batch = Batch(rig.world.model, len(volts), threads)
        _apply(self._batch, rig, numbers, load)
        self.servos = Servos(rig.laws, numbers, volts, gains, float(rig.world.model.opt.timestep))
        self.q, self.dq = self._batch.bind("qpos"), self._batch.bind("qvel")  # live, truly; rad, rad/s
        self._applied, self._friction = self._batch.bind("qfrc_applied"), self._batch.expand("dof_frictionloss")
        self._dry, self._load = numbers["coulomb"], numbers["load_friction"]

    def step(self, command: Floats, on: npt.NDArray[np.bool_], seen: Floats) -> None:
        """A step of the physics under these commands; `seen`: rad, as the encoders show it."""
        torque = self.servos.torque(command, on, seen, self.dq)
        self._applied[:] = torque
        np.abs(torque, out=torque)
        np.multiply(torque, self._load, out=torque)
        np.add(torque, self._dry, out=self._friction)
        self._batch.step()


def _some(rig: Rig, physics: Physics, z: Floats, windows: Windows, threads: int, smooth: bool) -> tuple[Floats, Floats]:
    vectors, count, n = len(z), len(windows), len(rig.world.joints)
    numbers = {k: np.repeat(v, count, axis=0) for k, v in physics.expand(z).items()}
    which = np.tile(np.arange(count), vectors)
    gains = windows.gains[0][which], windows.gains[1][which]
    arms = Arms(rig, numbers, windows.volts[which], gains, windows.load[which], threads)
    arms.servos.kicks &= not smooth
    offset, q, dq = numbers["offset"], arms.q, arms.dq
    q[:] = windows.q[which, 0] + offset
    dq[:] = windows.dq[which, 0]
    samples = windows.q.shape[1]
    shown = np.empty((samples, vectors * count, n)), np.empty((samples, vectors * count, n))
    shown[0][0], shown[1][0] = windows.q[which, 0], windows.dq[which, 0]

    lag = numbers["delay"][:, 0] / windows.step
    first = windows.margin - lag
    base, part = np.floor(first).astype(np.intp), (first - np.floor(first))[:, None]
    table, on = windows.commanded, windows.on
    flicker = np.sqrt(np.maximum(windows.noise**2 - rig.laws.rounding, 0.0))
    random = np.random.default_rng(FLICKER_SEED)

    def commanded(k: int) -> Floats:
        row = base + k
        low, high = table[which, row], table[which, row + 1]
        return np.asarray(low + part * (high - low))

    before = commanded(0)
    for k in range((samples - 1) * windows.every):
        after = commanded(k + 1)
        seen = q - offset
        if arms.servos.kicks:
            seen += (flicker * random.standard_normal(flicker.shape))[which]
        arms.step((after - before) / windows.step, on[which, windows.margin + k], seen)
        before = after
        if (k + 1) % windows.every == 0:
            row = (k + 1) // windows.every
            np.subtract(q, offset, out=shown[0][row])
            shown[1][row] = dq
    return tuple(s.reshape(samples, vectors, count, n).transpose(1, 2, 0, 3) for s in shown)  # type: ignore[return-value]


def _apply(batch: Batch, rig: Rig, numbers: dict[str, Floats], load: Floats) -> None:
    """Write the mechanical numbers into the models; `load`: kg that hang at each one's tip besides."""
    model = rig.world.model
    batch.expand("dof_armature")[:] = numbers["armature"]
    damping = batch.expand("dof_damping")
    damping.reshape(*numbers["viscous"].shape, -1)[..., 0] = numbers["viscous"]
    masses, tip = numbers["link_mass"], numbers["payload"] + load[:, None]
    if np.any(masses != 1.0) or np.any(tip != 0.0):
        mass, inertia = batch.expand("body_mass"), batch.expand("body_inertia")
        for i, bodies in enumerate(rig.world.carried):
            mass[:, bodies] = model.body_mass[bodies] * masses[:, i : i + 1]
            inertia[:, bodies] = model.body_inertia[bodies] * masses[:, i : i + 1, None]
        mass[:, rig.world.payload] = model.body_mass[rig.world.payload] + tip[:, 0]
        inertia[:, rig.world.payload] = model.body_inertia[rig.world.payload] + payload_inertia(tip)
        batch.set_const()
