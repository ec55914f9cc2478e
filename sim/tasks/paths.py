"""Ways that a moving target goes: two sines an entry around a pose's tip, or angles, of those that the arm can follow.

A way that leaves the arm's reach, passes through the table, or wants a joint faster than an action of 1 is a task that
nobody can do. So the arm goes along each by inverse kinematics before it is asked for: all of the way keeps to what
`free_poses` asks of its middle.
"""

from __future__ import annotations

from typing import NamedTuple

import mujoco
import numpy as np
from mujoco.batch import Batch

from robot_runtime.arrays import Flags, Floats, Indices
from robot_runtime.spec import ArmSpecError
from sim.tasks.goals import PACE, Motion
from sim.worlds.arm import ArmWorld
from sim.worlds.chain import Chain
from sim.worlds.poses import CLEARANCE, LIMIT_MARGIN

SWELL = 1.0
"""s in which a motion grows from nothing."""
NEAREST = 0.06
"""m from the axis of the base to a target."""
SAMPLES = 5.0
"""Hz, at which a way is looked at: at least ten times in a turn of the fastest sine."""
CLOSE = 0.001
"""m or rad from the target, within which the arm follows."""
_DRAWN = 256  # ways at once
_PATIENCE = 20  # times so many, until an arm that can follow less than one of them counts as unable
_ROUNDS = 5  # of Gauss and Newton: 30 find no more
_DAMPING = 0.01  # m a radian
_NUDGE = 1e-6  # rad, for derivatives


class Paths(NamedTuple):
    """Ways, one a row."""

    centre: Floats  # n x size, m or rad
    amplitude: Floats  # n x size x 2, of the sines
    frequency: Floats  # the same, rad/s
    phase: Floats  # the same, rad

    def at(self, time: Floats) -> Floats:
        """Where the targets are at these times since the start (s, one a row)."""
        waves = self.amplitude * np.sin(self.frequency * time[:, None, None] + self.phase)
        now: Floats = self.centre + np.minimum(time / SWELL, 1.0)[:, None] * waves.sum(-1)
        return now

    def sampled(self, duration: float) -> Floats:
        """Points of the ways in this time (n x samples x size)."""
        times = np.arange(0.0, duration + 0.5 / SAMPLES, 1.0 / SAMPLES)
        return np.stack([self.at(np.full(len(self.centre), time)) for time in times], 1)

    def rows(self, chosen: Flags | Indices | slice) -> Paths:
        """Some of them."""
        return Paths(*(values[chosen] for values in self))


def draw(centres: Floats, motion: Motion, random: np.random.Generator) -> Paths:
    """A way around each of these points, whether an arm can follow or not."""
    shape = (*centres.shape, 2)
    shares = random.dirichlet((1.0, 1.0), centres.shape)
    amplitude = random.uniform(motion.amplitude.low, motion.amplitude.high, centres.shape)
    frequency = 2 * np.pi * random.uniform(motion.frequency.low, motion.frequency.high, shape)
    return Paths(centres, shares * amplitude[:, :, None], frequency, random.uniform(-np.pi, np.pi, shape))


def facing(world: ArmWorld, q: Floats, tips: Floats) -> Flags:
    """In which poses the arm faces its tip, and not from right above its base."""
    away = tips[:, :2] - world.model.body_pos[world.model.jnt_bodyid[0], :2]
    ahead: Floats = np.cos(q[:, 0]) * away[:, 0] + np.sin(q[:, 0]) * away[:, 1]
    return ahead > NEAREST


class Follower:
    """An arm that goes along ways, each from a pose at its middle."""

    def __init__(self, world: ArmWorld, chain: Chain | None) -> None:
        """`chain`: targets are positions of the tip; None: angles."""
        self._world, self._chain = world, chain
        limits = [joint.limits for joint in world.joints]
        self._low = np.array([x.lower for x in limits]) + LIMIT_MARGIN
        self._high = np.array([x.upper for x in limits]) - LIMIT_MARGIN
        self._speed = PACE * np.array([x.velocity for x in limits])
        self._batch = Batch(world.model, 4 * _DRAWN, 1)
        self._batch.expand("geom_margin")[:] = CLEARANCE
        self._contacts = self._batch.bind("ncon")

    def paths(self, poses: Floats, motion: Motion, duration: float, count: int, seed: int) -> Paths:
        """`count` ways around these poses that it can follow for as long as this (s); the same for a seed.

        Raises:
            ArmSpecError: hardly any of those that were tried.
        """
        random = np.random.default_rng(seed)
        found: list[Paths] = []
        while (so_far := sum(len(some.centre) for some in found)) < count:
            if len(found) >= _PATIENCE and so_far < len(found):
                spec = self._world.spec
                raise ArmSpecError(
                    f"{spec.path}: {spec.name} can follow {so_far} of {len(found) * _DRAWN} moving targets: "
                    "check its limits and shapes"
                )
            q = poses[random.integers(len(poses), size=_DRAWN)]
            drawn = draw(self._at(q), motion, random)
            found.append(drawn.rows(self.follows(drawn, q, duration)))
        return Paths(*map(np.concatenate, zip(*found, strict=True))).rows(slice(count))

    def follows(self, paths: Paths, q: Floats, duration: float) -> Flags:
        """Which of these ways it can follow, standing at `q` (rad, one row a way) at their middles."""
        points = paths.sampled(duration)
        ways, samples, size = points.shape
        points = points.reshape(-1, size)
        turned = self._turned(points, np.repeat(q, samples, 0))
        fine = np.linalg.norm(points - self._at(turned), axis=1) < CLOSE
        fine &= ((turned >= self._low) & (turned <= self._high)).all(1)
        if self._chain is not None:
            fine &= facing(self._world, turned, points)
        turned = turned.reshape(ways, samples, -1)
        kept: Flags = fine.reshape(ways, samples).all(1)
        kept &= (np.abs(np.diff(turned, axis=1)) * SAMPLES <= self._speed).all((1, 2))
        kept[kept] = self._clear(turned[kept].reshape(-1, turned.shape[2])).reshape(-1, samples).all(1)
        return kept

    def _at(self, q: Floats) -> Floats:
        """What is to follow the target: the tip, or the angles."""
        return q if self._chain is None else self._chain.tip(q)

    def _turned(self, points: Floats, q: Floats) -> Floats:
        """Angles near `q` that bring the tip to the points: damped least squares of the joints that are at no stop."""
        if self._chain is None:
            return points
        free = np.ones_like(q)
        for _ in range(_ROUNDS):
            tip = self._chain.tip(q)
            nudged = [self._chain.tip(q + nudge) for nudge in _NUDGE * np.eye(q.shape[1])]
            slope = (np.stack(nudged, 2) - tip[:, :, None]) / _NUDGE
            back = (slope * free[:, None, :]).transpose(0, 2, 1)
            step = back @ np.linalg.solve(slope @ back + _DAMPING**2 * np.eye(3), (points - tip)[:, :, None])
            wanted = q + step[:, :, 0]
            q = np.clip(wanted, self._low, self._high)
            free = np.where(wanted == q, 1.0, 0.0)
        return q

    def _clear(self, q: Floats) -> Flags:
        """In which poses the arm is clear of the table and of itself."""
        clear = np.zeros(len(q), dtype=bool)
        for start in range(0, len(q), self._batch.qpos.shape[0]):
            some = q[start : start + self._batch.qpos.shape[0]]
            self._batch.qpos[: len(some)] = some
            self._batch.forward(stage=mujoco.mjtStage.mjSTAGE_POS)
            clear[start : start + len(some)] = self._contacts[: len(some)].ravel() == 0
        return clear
