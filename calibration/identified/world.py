"""The identified arm as a task: the task's own batched physics with a calibration's numbers, its maps in the loop.

    what is sensed -> observation map -> (pre) -> policy -> (post) -> torque or goal map -> arm

The arm lives at the bus's cycle, as in flight; the policy acts every few of them. Every episode is on another one of
the arms that the data allow, so that nothing is learnt that hangs on one of them; trials are on arms that no training
has met. Not in it: play between teeth, heat, a supply that sags, and what of the envelope depends on the rest of the
arm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from calibration.identified.arms import Identified
from calibration.identified.batch import BatchMap
from calibration.physics.motor import Motor
from calibration.physics.numbers import KINDS
from robot_runtime.arm.scaling import POSITION_MODES
from robot_runtime.arrays import Floats, Indices
from robot_runtime.calibrated.file import Calibration, MapFile
from robot_runtime.calibrated.maps import NOW
from robot_runtime.calibrated.weight import ExtraWeight
from robot_runtime.policy.pilot import steps_between
from robot_runtime.spec import ArmSpec
from sim.tasks.arm_task import ArmTask
from sim.tasks.goals import goal_of
from sim.worlds.arm import payload_inertia
from sim.worlds.domain import Domain

LONGEST_STEP = 0.0025
"""s of the physics: what divides a bus cycle, at most."""
DRIVEN_BY = {"torque": "torque", "position_delta": "goal", "duty": "torque"}
"""Meaning of an action -> the map that it goes through: a duty as the torque that the simulator's motor makes of it."""

TASKS = ("reach", "track", "hold")
"""That arms do."""


class Learning(Protocol):
    """Maps around a policy that still learn."""

    def as_sensed(self, mapped: Floats) -> Floats:
        """`mapped` (arms x (q, dq)) as pre has it."""
        ...

    def as_wanted(self, rows: Floats) -> Floats:
        """What the policy wants (arms x joints) as post has it; `rows`: that, and behind it what post looks at."""
        ...

    def last(self) -> tuple[Floats, Floats]:
        """Of the last observations: what the policy itself said, and the action of both without noise."""
        ...


class IdentifiedArm(ArmTask):
    """A task on the identified arm, through the maps of its calibration."""

    around: Learning | None = None
    """What learns around the policy, while it does. None: as the files have it, and actions are the policy's."""
    wanted: Floats
    """The goals that the policy has asked for (rad, arms x joints), where its actions add up."""

    def __init__(
        self,
        name: str,
        spec: ArmSpec,
        seeds: Sequence[int],
        calibration: Calibration,
        *,
        trial: bool = False,
        which: Indices | None = None,
        threads: int = 1,
    ) -> None:
        """`trial`: episodes start at home, as flights do, on arms kept for trials. `which`: of all arms that the data
        allow, which one each simulation is; None: another one every episode.

        Raises:
            ModeError: the bus cycle of the calibration does not divide the policy's period.
        """
        sense, goal = calibration.maps["observation"], goal_of(name, spec)
        parts = math.ceil(sense.period / LONGEST_STEP - 1e-9)  # steps of the physics in a bus cycle
        goal = replace(goal, from_home=1.0) if trial else goal
        super().__init__(name, spec, seeds, goal=goal, threads=threads, timestep=sense.period / parts)
        names, shape = self.world.names, (self.count, len(self.world.names))
        self.calibration, identified = calibration, Identified.of(calibration, self.world)
        self.domain, self._which = (identified.tried if trial else identified.learnt_on), which
        self._every = identified.arms
        self._parts, self._cycles = parts, steps_between(goal.rate, sense.period)
        kind = DRIVEN_BY[self._drives.meaning]
        self._sensing = _Through(sense, self, ages=("command",))
        self._driving = _Through(calibration.maps[kind], self)
        self._weight = ExtraWeight(spec, calibration.physics)
        self.motor = Motor.of(self.world)
        self._supply = np.tile(identified.volts * identified.rated, (self.count, 1))
        self.mapped: Floats = np.zeros((self.count, 2 * len(names)))  # q, dq as the observation map has them
        self._as_sensed: Floats = np.zeros_like(self.mapped)  # and as pre has them
        self.wanted, self._sent, self._offset = (np.zeros(shape) for _ in range(3))
        self._waits = np.zeros(self.count, dtype=np.intp)  # steps of the physics from a command to its effect
        longest = round(max(KINDS["delay"].high, 0.0) / self.model.opt.timestep)
        self._queue: Floats = np.zeros((longest + 1, *shape))
        self._now, self._arms = 0, np.arange(self.count)
        self._begins: Indices = np.zeros(0, dtype=np.intp)  # who is at the very beginning
        self._more_payload = 0.0

    # --- a new episode ---

    def _draw(self, domain: Domain, i: int, random: np.random.Generator) -> dict[str, Floats]:
        drawn = super()._draw(domain, i, random)
        return drawn if self._which is None else {**drawn, **self._every[self._which[i]]}

    def _differ(self, i: int, drawn: dict[str, Floats]) -> None:
        super()._differ(i, drawn)
        self._offset[i] = drawn["offset"]
        steps = round(float(drawn["delay"][0]) / self.model.opt.timestep)
        self._waits[i] = min(max(steps, 0), len(self._queue) - 1)
        self._more_payload = float(drawn["payload"][0])

    def _weigh(self, drawn: dict[str, Floats]) -> Floats:
        """What hangs on a joint that stands still here may have a factor of its own."""
        return drawn["body_mass"]

    def _begin(self, i: int, random: np.random.Generator) -> None:
        super()._begin(i, random)
        self._noise[i] -= self._offset[i]
        if self.goal.payload is not None:  # the task's own load is beside what hangs there anyway
            payload = self.world.payload
            mass = max(float(self._masses[i, payload]) + self._more_payload, 0.0)
            self._masses[i, payload], self._inertias[i, payload] = mass, payload_inertia(mass)

    def _begun(self, ids: Indices) -> None:
        self._begins = ids
        super()._begun(ids)
        self._begins = ids[:0]

    def _hold(self, ids: Indices) -> None:
        """Until now these arms were held where they stand."""
        held = self._command[ids] - (self._offset[ids] if self._by_goal else 0.0)
        self._sent[ids] = self._queue[:, ids] = held
        self.wanted[ids] = self._qpos[ids]
        self._sensing.reset(ids)
        self._driving.reset(ids)

    @property
    def _by_goal(self) -> bool:
        return self._drives.meaning == "position_delta"

    # --- a step ---

    def _sense(self) -> dict[str, Floats]:
        """As the simulator would have sensed."""
        beginning = len(self._begins) > 0
        if beginning:
            self._hold(self._begins)
        sensed = super()._sense()
        self._map_senses(again=beginning)
        q, dq = self.mapped[:, : self.action_size], self.mapped[:, self.action_size :]
        tip = self.chain.tip(q)
        is_now = tip if self.goal.quantity == "tip_position" else q
        return {
            **sensed,
            "joint_position": q,
            "joint_velocity": dq,
            "tip_position": tip,
            "target_error": self.target - is_now,
        }

    def _map_senses(self, *, again: bool = False) -> None:
        """From the registers through the observation map. `again`: it is still the cycle of the last time."""
        senses, n = self._senses, self.action_size
        self.mapped[:, :n], self.mapped[:, n:] = np.split(
            self._sensing((senses.q, senses.dq, self._sent), again=again), 2, axis=1
        )
        self._as_sensed = self.mapped if self.around is None else self.around.as_sensed(self.mapped)

    def _move(self, actions: Floats) -> None:
        said, noise = np.clip(actions, -1.0, 1.0), np.zeros_like(self.wanted)
        if self.around is not None:
            said, mean = self.around.last()
            noise = actions - mean
        self._change = said - self._last_action
        self._last_action[:] = said
        self._before[:] = self._command
        self._command[:] = said * self._scale
        if self._by_goal:
            np.clip(self.wanted + self._command, self._lower, self._upper, out=self._command)
            self.wanted[:] = self._command
        weights = self._weights()
        for cycle in range(self._cycles):
            if cycle:
                self._senses.measure()
                self._map_senses()
            share = (cycle + 1) / self._cycles if self._by_goal else 1.0
            self._write(self._before + share * (self._command - self._before), noise, weights)
            for _ in range(self._parts):
                self._advance()

    def _write(self, wanted: Floats, noise: Floats, weights: tuple[Floats, Floats]) -> None:
        """Through the torque or goal map."""
        q, dq = np.split(self._as_sensed, 2, axis=1)
        unit = self._scale
        if self._drives.meaning == "duty":
            wanted, unit = self.motor.torque(wanted, dq), self.motor.stall
        others = (q, dq) if self._by_goal else (dq,)
        if self.around is not None:
            wanted = self.around.as_wanted(np.concatenate([wanted, *others], axis=1)) + noise * unit
        self._sent[:] = self._driving((wanted, *others), (self._supply, *weights))
        if self._drives.meaning == "torque":
            np.clip(self._sent, -self._drives.torque_limit, self._drives.torque_limit, out=self._sent)

    def _advance(self) -> None:
        """A step of the physics with what was sent so long ago."""
        queue, now = self._queue, self._now
        queue[now] = self._sent
        command = queue[(now - self._waits) % len(queue), self._arms]
        self._now = (now + 1) % len(queue)
        if self._by_goal:
            command = command + self._offset  # encoders that sit askew take goals askew
        self._applied[:] = self._drives.step(command, self._qpos, self._qvel)
        np.add(self._dry, self._drives.friction, out=self._frictionloss)
        self.batch.step()
        self._senses.record(self._qpos)

    def _weights(self) -> tuple[Floats, Floats]:
        """What the arms weigh more than the simulator's, and what the simulator's weighs (N·m), by the files' masses.

        Once an action, since it changes slowly.
        """
        extra, own = (np.zeros((self.count, self.action_size)) for _ in range(2))
        weight, index, pose = self._weight, self.world.index, np.array(self.world.spec.poses["home"])
        for i, q in enumerate(self._as_sensed[:, : self.action_size]):
            pose[index] = q
            weight.at(pose)
            extra[i], own[i] = weight.torque[index], weight.own[index]
        return extra, own


class _Through:
    """A map of the calibration, of whose joints the world moves some; the others stand still."""

    def __init__(self, file: MapFile, arm: ArmTask, *, ages: Sequence[str] = ()) -> None:
        spec, count = arm.world.spec, arm.count
        self._map = BatchMap(file, file.period, count, ages=ages)
        self._index = np.array([file.joints.index(joint) for joint in arm.world.names])
        home = dict(zip(spec.joint_names, spec.poses["home"], strict=True))
        modes = {joint.name: joint.mode for joint in spec.joints}
        volts = {joint.name: joint.servo.motor.nominal_voltage for joint in spec.joints}
        still = {
            "q": [home[joint] for joint in file.joints],
            "goal": [home[joint] for joint in file.joints],
            "command": [home[joint] if modes[joint] in POSITION_MODES else 0.0 for joint in file.joints],
            "volts": [volts[joint] for joint in file.joints],
        }
        nothing = [0.0] * len(file.joints)
        self._rows, self._more = (
            [np.tile(still.get(name, nothing), (count, 1)) for name in names] for names in (file.taps, NOW)
        )
        self._twice = "q" in file.taps and "command" in file.taps  # gives angles and speeds

    def reset(self, ids: Indices) -> None:
        """The next row of these arms is as it had always been."""
        self._map.reset(ids)

    def __call__(self, rows: Sequence[Floats], now: Sequence[Floats] = (), *, again: bool = False) -> Floats:
        """Of the joints that the world moves; `again`: instead of the last time."""
        for values, row in zip((*self._rows, *self._more), (*rows, *now), strict=False):
            values[:, self._index] = row
        mapped = self._map(self._rows, self._more if now else (), again=again).astype(float)
        if self._twice:
            return np.concatenate([part[:, self._index] for part in np.split(mapped, 2, axis=1)], axis=1)
        return np.asarray(mapped[:, self._index])
