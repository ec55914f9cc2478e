"""PolicyPilot: a frozen policy flies the arm. Sense as the simulator would, observe, run, and say it to each joint."""

from __future__ import annotations

from math import isfinite

import numpy as np
from numpy.typing import NDArray

from robot_runtime.arm import Arm, JointState
from robot_runtime.arm.state import run_of
from robot_runtime.arrays import Flags, Floats
from robot_runtime.flying import SourceFlag
from robot_runtime.policy.action import Actuation, routes
from robot_runtime.policy.contract import JOINT_KINDS, Contract
from robot_runtime.policy.errors import ModeError
from robot_runtime.policy.load import Policy, start_pose
from robot_runtime.policy.maps import Maps, NominalMaps
from robot_runtime.policy.observation import Observation
from robot_runtime.spec import ArmSpec

FROZEN_AFTER = 1.0
"""s: the same output, to the last bit, for so long while the arm moved means that the network does not look."""

_MOVED = 0.05
"""rad: a joint that the policy sees has moved noticeably; far above a servo's resolution and backlash."""


class PolicyPilot:
    """The source of motion (`robot_runtime.flying.Source`) that a policy is.

    Its arrays are live, for the recorder: `observation` and `action` (float32, as the network takes and gives them),
    `mapped` (2 x joints: what the simulator would have sensed, rad and rad/s), `intent` (joints: N·m before the torque
    map where `by_torque`, else the command itself).
    """

    def __init__(self, policy: Policy, arm: Arm, bus_period: float, maps: Maps | None = None) -> None:
        """Check that the arm can do what the policy says.

        Raises:
            ModeError: a joint's mode cannot do it, or the bus cycle does not divide the policy's period.
            ContractError: the arm has no such start pose.
        """
        contract, spec = policy.contract, arm.spec
        steps = steps_between(contract.rate, bus_period)
        self.period = steps * bus_period
        self.start_pose: Floats = start_pose(contract, spec)
        self._arm = arm
        self._maps: Maps = maps or NominalMaps(spec)
        self._network = policy.network
        self._observation = Observation(contract, spec, arm.kinematics)
        self._actuation = Actuation(contract.action, spec, self._maps.carries, steps, bus_period)
        self.observation: NDArray[np.float32] = policy.network.observation
        self.action: NDArray[np.float32] = policy.network.action
        self.mapped: Floats = np.zeros((2, len(spec.joints)))
        self._q, self._dq = self.mapped
        self.intent: Floats = np.zeros(len(spec.joints))
        self.by_torque: Flags = self._actuation.by_torque
        self._directly: Flags = self._actuation.directly
        self._held: Flags = ~(self.by_torque | self._directly)
        self._any_held = bool(self._held.any())
        self.by_goal: Flags = self._directly
        """Joints that follow the policy's own goals or duties, for maps that correct them."""
        self._everyone: Flags = np.ones(len(spec.joints), dtype=bool)
        self._stuck = _Stuck([spec.joint_names.index(n) for n in seen_joints(contract)])
        self._acted = False
        self._flags = 0

    def follow(self, sent: Floats) -> None:
        """`sent`: a live array of what was sent last, in the unit of each joint's mode."""
        self._maps.follow(sent, self.by_goal)

    def reset(self, state: JointState, now: float) -> None:
        """A new episode from this state: recurrent states, history, phases and goals begin anew."""
        self._maps.reset(state, now)
        self._maps.observe(state, now, self._q, self._dq)
        self._network.reset()
        self._observation.reset(now)
        self._actuation.reset(self._q, self.start_pose)
        self._stuck.reset()
        self._acted = False
        self._flags = 0

    def intend(self, state: JointState, target: Floats, now: float, acts: bool, values: Floats) -> int:
        """What every joint should do in this bus cycle, into `values`; returns bits of `SourceFlag`.

        With NOT_FINITE the joints go on with the last action that was finite; before the first, they are held.
        """
        strange = self._maps.observe(state, now, self._q, self._dq)
        if acts:
            self._flags = self._act(state, target, now)
        if not self._acted:
            self._arm.hold_into(values, self._everyone)
            return self._flags | strange
        if self._any_held:
            self._arm.hold_into(values, self._held)
        self._actuation.fill(self._q, self._dq, self.intent)
        np.copyto(values, self.intent, where=self._directly)
        strange |= self._maps.command(self.intent, self.by_torque, state, now, values)
        return self._flags | strange

    def _act(self, state: JointState, target: Floats, now: float) -> int:
        """Observe and run the network."""
        self._observation.build(self._q, self._dq, state.tau, target, now, self.observation)
        self._network.run()
        if not (_all_numbers(self.observation) and _all_numbers(self.action)):
            return int(SourceFlag.NOT_FINITE)
        self._observation.last_action[:] = self.action
        self._actuation.act(self.action, self._q)
        self._acted = True
        return int(SourceFlag.FROZEN) if self._stuck.look(self.action, self._q, now) else 0


def _all_numbers(values: NDArray[np.float32]) -> bool:
    """Whether none is NaN or infinite: their doubles cannot add up to more than a double holds."""
    return isfinite(sum(values.tolist()))


class _Stuck:
    """Whether the output stays the same although what the policy sees of the arm has changed."""

    def __init__(self, seen: list[int]) -> None:
        self._seen = run_of(seen)
        self._q: Floats = np.zeros(len(seen))
        self.reset()

    def reset(self) -> None:
        """Nothing was seen yet."""
        self._bits = b""
        self._since = np.inf
        self._moved = False

    def look(self, output: NDArray[np.float32], q: Floats, now: float) -> bool:
        """Compare with the outputs before."""
        bits = output.tobytes()
        if bits != self._bits:
            self._bits = bits
            self._q[:] = q[self._seen]
            self._since, self._moved = now, False
            return False
        self._moved = self._moved or bool((np.abs(q[self._seen] - self._q) > _MOVED).any())
        return self._moved and now - self._since >= FROZEN_AFTER


def require_flyable(contract: Contract, spec: ArmSpec, bus_period: float) -> None:
    """Refuse, before anything is opened, what a pilot would refuse: for this arm, at this period (s) of the bus.

    Raises:
        ModeError: a joint's mode cannot do what the policy says, or the bus cycle does not divide its period.
        ContractError: the arm has no such start pose.
    """
    steps_between(contract.rate, bus_period)
    start_pose(contract, spec)
    routes(contract.action, spec, NominalMaps(spec).carries)


def seen_joints(contract: Contract) -> tuple[str, ...]:
    """Joints whose motion changes the observation."""
    seen: dict[str, None] = {}
    for term in contract.observation:
        if term.kind in JOINT_KINDS:
            seen |= dict.fromkeys(term.joints)
        elif term.kind in ("tip_position", "target_error"):
            seen |= dict.fromkeys(contract.action.joints)
    return tuple(seen)


def steps_between(rate: float, bus_period: float) -> int:
    """Bus cycles from one action to the next.

    Raises:
        ModeError: not a whole number, or the policy is faster than the bus.
    """
    ratio = 1.0 / (rate * bus_period)
    steps = round(ratio)
    if steps >= 1 and abs(ratio - steps) < 1e-6 * ratio:
        return steps
    below = max(1, int(ratio))
    raise ModeError(
        f"the policy acts {rate:g} times a second, which does not divide the bus rate of {1 / bus_period:g} Hz; "
        f"use --rate {rate * below:g} or --rate {rate * (below + 1):g}"
    )
