"""An arm task on an arm that differs from its files, or on another arm: what the arm studies transfer to.

All differences of a twin's gap are here that the batched physics can have, encoders mounted askew too. Not in it: play
between teeth, heat, a supply that sags; the twin itself has them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from robot_runtime.arrays import Floats
from robot_runtime.spec import ArmSpec, load_arm
from sim.tasks.arm_task import ArmTask, moved_joints
from sim.tasks.goals import goal_of
from sim.tasks.registry import DEFAULT_ARM
from sim.twin.gap import load_gap
from sim.worlds.domain import Domain

Table = Mapping[str, str | float]


@dataclass(frozen=True, slots=True)
class OneArm(Domain):
    """No distribution: always this arm."""

    values: Mapping[str, Floats] = field(default_factory=dict)

    def draw(self, random: np.random.Generator, joints: int) -> dict[str, Floats]:  # noqa: ARG002 (nothing is drawn)
        """The arm."""
        return dict(self.values)


class OtherArmTask(ArmTask):
    """The task on the arm that a target's table describes."""

    def __init__(self, name: str, table: Table, seeds: Sequence[int], *, source: Table | None = None) -> None:
        """`source`: the arm that the policy learnt on: an action of 1 goes on to mean what it meant there.

        Raises:
            ArmSpecError: no such arm, or one whose joints differ in number or in what commands them from the source's.
            GapError: no such gap.
        """
        spec = load_arm(str(table.get("arm", DEFAULT_ARM[name])))
        joints = moved_joints(spec)
        values, self._offset = _differences(spec, joints, table)
        goal = goal_of(name, spec)
        with tempfile.TemporaryDirectory() as folder:
            if "links" in table:
                spec = _scaled(spec, float(table["links"]), Path(folder))
            super().__init__(name, spec, seeds, goal=goal, domain=OneArm(values=values))
        if source is not None and source != table:
            _keep_contract(self, OtherArmTask(name, source, [0]))

    def _begin(self, i: int, random: np.random.Generator) -> None:
        super()._begin(i, random)
        self._noise[i] -= self._offset


def _keep_contract(task: OtherArmTask, source: OtherArmTask) -> None:
    ours, theirs = task.contract, source.contract
    if ours.action_size != theirs.action_size or ours.observation_size != theirs.observation_size:
        raise ValueError(
            f"{ours.arm} has {ours.action_size} joints that move, {theirs.arm} has {theirs.action_size}: "
            "a policy of one does not fit the other"
        )
    if ours.action.meaning == theirs.action.meaning:
        action = replace(ours.action, scale=theirs.action.scale)
        task.contract = replace(ours, action=action)
        task._scale = np.array(action.scale)


def _differences(spec: ArmSpec, joints: Sequence[str], table: Table) -> tuple[dict[str, Floats], Floats]:
    """What a domain draws, and how far each joint stands from what its encoder says (rad)."""
    gap = load_gap(str(table.get("gap", "none")))
    gaps = [gap.joint(name) for name in joints]
    lag = max(joint.servo.motor.velocity_lag for joint in spec.joints if joint.name in joints)
    worst = [gap.velocity_lag for gap in gaps if gap.velocity_lag is not None]
    factors = ("link_mass", "torque_constant", "resistance", "armature", "coulomb", "viscous")
    nominal = [joint.servo.motor.load_friction for joint in spec.joints if joint.name in joints]
    eaten = [g.load_share(share) / share if share else 1.0 for g, share in zip(gaps, nominal, strict=True)]
    values = {key: np.array([getattr(joint, key) for joint in gaps]) * float(table.get(key, 1.0)) for key in factors}
    values |= {
        "load_friction": np.array(eaten) * float(table.get("load_friction", 1.0)),
        "voltage": np.array([gap.supply.voltage_factor]),
        "payload": np.array([gap.payload + float(table.get("payload", 0.0))]),
        "delay": np.array([gap.command_delay]),
        "velocity_lag": np.array([max(worst, default=lag)]),
        "position_noise": np.array([joint.position_noise for joint in gaps]),
    }
    return values, np.array([joint.offset for joint in gaps])


def _scaled(spec: ArmSpec, factor: float, folder: Path) -> ArmSpec:
    """The arm with all lengths of its moving links times this factor; masses stay, as of thinner tubes."""
    mjcf = mujoco.MjSpec.from_file(str(spec.mjcf))
    for body in _below(mjcf.worldbody):
        body.pos, body.ipos, body.inertia = body.pos * factor, body.ipos * factor, body.inertia * factor**2
        for site in body.sites:
            site.pos = site.pos * factor
        for geom in body.geoms:
            if np.isfinite(geom.fromto).all():
                geom.fromto = geom.fromto * factor
            else:
                geom.pos = geom.pos * factor
    path = folder / spec.mjcf.name
    path.write_text(mjcf.to_xml(), encoding="utf-8")
    return replace(spec, mjcf=path)


def _below(world: Any) -> list[Any]:
    """All bodies but the one that stands on the table."""
    found, waiting = [], [child for base in world.bodies for child in base.bodies]
    while waiting:
        body = waiting.pop()
        found.append(body)
        waiting += list(body.bodies)
    return found
