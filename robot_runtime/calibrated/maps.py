"""ResidualMaps: the maps of a calibration around a policy, cycle by cycle.

What goes into each map, quantity by quantity, and behind it what has no history; in each all joints of the map:
    observation   taps of q, dq (as read), command (as sent, after the envelope)   -> q, dq as the simulator senses them
    torque        taps of torque (the policy's, N·m), dq (mapped)                  -> command of current and PWM joints
    goal          taps of goal (the policy's, rad), q, dq (mapped)                 -> goal to send to position joints
The last two also take, of this cycle: `volts`, each joint's supply without load; `extra`, what the arm weighs more than
the simulator's (N·m); `weight`, what the simulator's weighs. A duty that a policy says is the torque that the
simulator's motor makes of it. Joints that a map does not name are driven by the servo's nominal physics. When a command
is asked for, the newest that the observation map can know is that of the cycle before: its taps count from there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from robot_runtime.arm.duty import Duty
from robot_runtime.arm.state import JointState, run_of
from robot_runtime.arrays import Flags, Floats
from robot_runtime.calibrated.errors import UnfitMapError
from robot_runtime.calibrated.file import Calibration, MapFile
from robot_runtime.calibrated.guard import Guard
from robot_runtime.calibrated.network import MapNetwork
from robot_runtime.calibrated.supply import Supply
from robot_runtime.calibrated.weight import ExtraWeight
from robot_runtime.flying import SourceFlag
from robot_runtime.policy.maps import NominalMaps
from robot_runtime.spec import ArmSpec

QUANTITIES = {"observation": ("q", "dq", "command"), "torque": ("torque", "dq"), "goal": ("goal", "q", "dq")}
"""Kind of map -> what it has histories of, in this order."""

NOW = ("volts", "extra", "weight")
"""What torque and goal maps take besides, of this cycle alone."""


class ResidualMaps:
    """Both maps of a calibrated arm. Fulfils `robot_runtime.policy.maps.Maps`."""

    def __init__(self, spec: ArmSpec, calibration: Calibration, period: float, *, guarded: bool = True) -> None:
        """`period`: of the bus (s). `guarded`: say when the arm is outside of what the maps know; else only count.

        Raises:
            UnfitMapError: a map cannot be run on this arm, or at this period.
        """
        self._nominal = NominalMaps(spec)
        self._outside = int(SourceFlag.OUT_OF_DISTRIBUTION) if guarded else 0
        self.carries: Flags = self._nominal.carries
        self._q, self._dq = np.zeros(len(spec.joints)), np.zeros(len(spec.joints))
        self._sense = _Sense(spec, calibration, period) if "observation" in calibration.maps else None
        self._supply, self._weight = Supply(spec), ExtraWeight(spec, calibration.physics)
        self._torque, self._goal = (
            _Drive(spec, calibration, kind, period, (self._supply.volts, self._weight.torque, self._weight.own))
            if kind in calibration.maps
            else None
            for kind in ("torque", "goal")
        )
        self._motor = Duty(spec)
        self._by_map: Flags = np.zeros(len(spec.joints), dtype=bool)
        if self._torque is not None:
            self._by_map |= self._torque.covered
        self._joints, self._rest, self._any_rest = self.carries, self.carries & ~self._by_map, True
        self._mapped = self._joints
        self._by_goal: Flags = np.zeros(len(spec.joints), dtype=bool)
        self._by_duty, self._any_duty = self._by_goal.copy(), False
        self._torques: Floats = np.zeros(len(spec.joints))
        self._sent: Floats = np.zeros(len(spec.joints))

    def follow(self, sent: Floats, directly: Flags) -> None:
        """`sent`: a live array of what was sent last, in the unit of each joint's mode; `directly`: joints that follow
        the policy's goals or duties.
        """
        self._sent = sent
        self._by_duty = directly & self._motor.is_pwm & self._by_map
        self._by_goal, self._any_duty = directly & ~self._motor.is_pwm, bool(self._by_duty.any())
        self._mapped = self._joints | self._by_duty

    def reset(self, state: JointState, now: float) -> None:  # noqa: ARG002
        """The next state and the next torque are as it had always been."""
        self._supply.reset(state)
        for part in (self._sense, self._torque, self._goal):
            if part is not None:
                part.fresh = True

    def observe(self, state: JointState, now: float, q: Floats, dq: Floats) -> int:
        """What the simulator would have sensed; and whether the map knows this place, and what it says is numbers."""
        flags = 0
        self._nominal.observe(state, now, q, dq)
        if self._sense is not None:
            if self._sense.map(state, self._sent, q, dq):
                flags = self._outside
            if not self._sense.sound():
                flags |= int(SourceFlag.OBSERVATION_MAP)
        self._q, self._dq = q, dq  # live: the maps behind look at them in this cycle
        return flags

    def command(self, torque: Floats, joints: Flags, state: JointState, now: float, values: Floats) -> int:
        """Turn torques of these joints into commands, and goals of the joints that follow goals into those to send.

        `joints`: the same array in every cycle. Returns what `observe` does, of these maps.
        """
        flags = 0
        self._supply.look(state, self._sent)
        if self._torque is not None or self._goal is not None:
            self._weight.at(self._q)
        if self._any_duty:
            np.copyto(self._torques, torque)
            np.copyto(self._torques, self._motor.nominal_torque(values, self._dq), where=self._by_duty)
            torque = self._torques
        if joints is not self._joints:
            self._joints, self._rest = joints, joints & ~self._by_map
            self._mapped = joints | self._by_duty
            self._any_rest = bool(self._rest.any())
        if self._any_rest:
            self._nominal.command(torque, self._rest, state, now, values)
        if self._torque is not None:
            if self._torque.map((torque, self._dq), self._mapped, values):
                flags = self._outside
            if not self._torque.sound():
                flags |= int(SourceFlag.TORQUE_MAP)
        if self._goal is not None:
            if self._goal.map((values, self._q, self._dq), self._by_goal, values):
                flags |= self._outside
            if not self._goal.sound():
                flags |= int(SourceFlag.GOAL_MAP)
        return flags

    def summary(self) -> dict[str, Any]:
        """By kind of map: how often the arm was outside of what it knows."""
        parts = {"observation": self._sense, "torque": self._torque, "goal": self._goal}
        return {kind: part.guard.summary() for kind, part in parts.items() if part is not None}


class _Sense:
    """The observation map and its guard."""

    def __init__(self, spec: ArmSpec, calibration: Calibration, period: float) -> None:
        file = calibration.maps["observation"]
        self._index = _index(spec, file.joints, "observation")
        self._network = _network("observation", file, period)
        self.guard, self.sound = Guard(file.joints, file.bound), self._network.sound
        rows = self._network.row.reshape(3, -1)
        self._moved_rows, self._sent_row = rows[:2], rows[2]
        self._q, self._dq = self._network.mapped.reshape(2, -1)
        self.fresh = True

    def map(self, state: JointState, sent: Floats, q: Floats, dq: Floats) -> bool:
        """From what was read and sent to `q` and `dq`; True: outside of what the map knows."""
        network, index = self._network, self._index
        self._moved_rows[:], self._sent_row[:] = state.motion[:2, index], sent[index]
        if self.fresh:
            network.fill()
            self.fresh = False
        else:
            network.push()
        network.run()
        q[index], dq[index] = self._q, self._dq
        return self.guard.look(network.novelty)


class _Drive:
    """A map from what the policy wants to what the joints are told, and its guard."""

    def __init__(
        self, spec: ArmSpec, calibration: Calibration, kind: str, period: float, now: tuple[Floats, ...]
    ) -> None:
        """`now`: live arrays of all joints, see NOW."""
        file = calibration.maps[kind]
        self._index = index = _index(spec, file.joints, kind)
        self._network = _network(kind, file, period)
        self.guard, self.sound = Guard(file.joints, file.bound), self._network.sound
        self._rows = tuple(self._network.row.reshape(len(file.taps), -1))
        self._now = tuple(zip(self._network.now.reshape(len(NOW), -1), now, strict=True))
        self.covered: Flags = np.zeros(len(spec.joints), dtype=bool)
        self.covered[index] = True
        self._mapped: Floats = np.zeros(len(spec.joints))
        self._joints, self._driven = self.covered, self.covered
        self.fresh = True

    def map(self, wanted: tuple[Floats, ...], joints: Flags, values: Floats) -> bool:
        """Of the map's joints among these (the same array every time), into `values`; True: outside of what it knows.

        `wanted`: the map's quantities, of all joints.
        """
        network, index = self._network, self._index
        if joints is not self._joints:
            self._joints, self._driven = joints, joints & self.covered
            self.guard.watched = self._driven[index].tolist()
        for row, quantity in zip(self._rows, wanted, strict=True):
            row[:] = quantity[index]
        for row, quantity in self._now:
            row[:] = quantity[index]
        if self.fresh:
            network.fill()
            self.fresh = False
        else:
            network.push()
        network.run()
        self._mapped[index] = network.mapped
        np.copyto(values, self._mapped, where=self._driven)
        return self.guard.look(network.novelty)


def require_runnable(calibration: Calibration, period: float) -> None:
    """Refuse, before anything is opened, maps that no arm can be flown with on a bus of this period (s).

    Raises:
        UnfitMapError: what a map is, or looks at, is not what its file says or this software knows.
    """
    for kind, file in calibration.maps.items():
        _network(kind, file, period)


def _network(kind: str, file: MapFile, period: float) -> MapNetwork:
    if tuple(file.taps) != QUANTITIES[kind]:
        raise UnfitMapError(
            f"the {kind} map looks at {', '.join(file.taps)}; this software knows {', '.join(QUANTITIES[kind])}"
        )
    if kind == "observation":
        return MapNetwork(kind, file, period, ages=("command",))
    return MapNetwork(kind, file, period, now=NOW)


def _index(spec: ArmSpec, joints: tuple[str, ...], kind: str) -> Any:
    """Where the map's joints stand in the arm: a slice where they are in a row, which costs less."""
    if unknown := [name for name in joints if name not in spec.joint_names]:
        raise UnfitMapError(f"the {kind} map names {', '.join(unknown)}; the arm has {', '.join(spec.joint_names)}")
    index = [spec.joint_names.index(name) for name in joints]
    return run_of(index)
