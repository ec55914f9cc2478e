"""A learner as the source of motion: its actions reach the joints exactly as those of a frozen policy do.

Observation, action and rhythm are those of `robot_runtime.policy.pilot.PolicyPilot`; a test holds both equal. What a
pilot does not know is a learner that is late, because it learns: then the arm is held where it is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from robot_runtime.arm import Arm, JointState
from robot_runtime.arm.scaling import POSITION_MODES
from robot_runtime.arrays import Flags, Floats
from robot_runtime.flying import SourceFlag
from robot_runtime.policy.action import Actuation
from robot_runtime.policy.contract import Contract
from robot_runtime.policy.load import start_pose
from robot_runtime.policy.maps import Maps, NominalMaps
from robot_runtime.policy.observation import Observation
from robot_runtime.policy.pilot import steps_between
from robot_runtime.safety.envelope import Envelope
from robot_runtime.safety.why import REASONS
from sim.real_arm.exchange import Action, Exchange, Seen

_SHORTEST = 0.5
"""Of a period: a late action lasts at least so long before the next observation is taken."""


class LearnerSource:
    """The source of motion (`robot_runtime.flying.Source`) that a learner behind an exchange is."""

    def __init__(
        self, contract: Contract, arm: Arm, bus_period: float, exchange: Exchange, maps: Maps | None = None
    ) -> None:
        """Check that the arm can do what the contract says. `maps`: of a calibration.

        Raises:
            ModeError: a joint's mode cannot do it, or the bus cycle does not divide the period.
            ContractError: the arm has no such start pose.
        """
        spec, steps = arm.spec, steps_between(contract.rate, bus_period)
        self.period = steps * bus_period
        self.start_pose: Floats = start_pose(contract, spec)
        self.envelope: Envelope | None = None
        """What counts the commands that were changed, once there is one."""
        self._arm, self._exchange = arm, exchange
        self._maps: Maps = maps or NominalMaps(spec)
        self._observation = Observation(contract, spec, arm.kinematics)
        self._actuation = Actuation(contract.action, spec, self._maps.carries, steps, bus_period)
        self._shown: npt.NDArray[np.float32] = np.zeros(contract.observation_size, dtype=np.float32)
        count = len(spec.joints)
        self._q, self._dq = np.zeros(count), np.zeros(count)
        self._intent, self._wanted = np.zeros(count), np.zeros(count)
        self._is_position: Flags = np.array([j.mode in POSITION_MODES for j in spec.joints])
        self.by_goal: Flags = self._actuation.directly
        """Joints that follow the learner's own goals or duties, for maps that correct them."""
        self._held: Flags = ~(self._actuation.by_torque | self._actuation.directly)
        self._everyone: Flags = np.ones(count, dtype=bool)
        self._waiting = self._acted = self._late = False
        self._taken = -np.inf  # s, when the last action was taken

    def follow(self, sent: Floats) -> None:
        """`sent`: a live array of what was sent last, in the unit of each joint's mode."""
        self._maps.follow(sent, self.by_goal)

    def reset(self, state: JointState, now: float) -> None:
        """A new episode from this state."""
        self._maps.reset(state, now)
        self._maps.observe(state, now, self._q, self._dq)
        self._observation.reset(now)
        self._actuation.reset(self._q, self.start_pose)
        self._waiting = self._acted = self._late = False
        self._taken = -np.inf
        self._exchange.started()

    def intend(self, state: JointState, target: Floats, now: float, acts: bool, values: Floats) -> int:
        """What every joint should do in this bus cycle, into `values`; returns bits of `SourceFlag`.

        An action holds until the next one, as a policy's does, but never for a bus cycle longer.
        """
        strange = self._maps.observe(state, now, self._q, self._dq)
        flags, action = 0, None
        if self._waiting:
            action = self._exchange.take(wait=False)
            if action is None and self._acted and not self._late:
                self._stand()
        elif acts and now - self._taken > _SHORTEST * self.period:
            self._exchange.show(self.look(state, target, now))
            self._waiting = True
            action = self._exchange.take(wait=True)
        if action is not None:
            flags = self._act(action, now)
        flags |= self._fill(state, now, values)
        np.copyto(self._wanted, values)
        return flags | strange

    def look(self, state: JointState, target: Floats, now: float, faults: tuple[str, ...] = ()) -> Seen:
        """What a learner is shown now."""
        self._observation.build(self._q, self._dq, state.tau, target, now, self._shown)
        none = np.zeros(len(REASONS), dtype=np.int64)
        changed = none if self.envelope is None else self.envelope.counts.sum(0)
        return Seen(self._shown.copy(), self._q.copy(), self._dq.copy(), changed, faults)

    def _act(self, action: Action, now: float) -> int:
        """Take up an action; one that is not finite is for the monitor to judge, and the one before it goes on."""
        self._waiting, self._taken = False, now
        if not np.isfinite(action).all():
            return int(SourceFlag.NOT_FINITE)
        if self._late:  # goals go on from where the arm was held
            self._actuation.reset(self._q, self._arm.hold_angle)
        self._observation.last_action[:] = action
        self._actuation.act(action, self._q)
        self._acted, self._late = True, False
        return 0

    def _stand(self) -> None:
        """Hold the arm where it is, joints that their servos position where they were sent: a servo's loop sags."""
        self._arm.capture_hold(self._everyone)
        np.copyto(self._arm.hold_angle, self._wanted, where=self._is_position)
        self._late = True

    def _fill(self, state: JointState, now: float, values: Floats) -> int:
        if self._late or not self._acted:
            self._arm.hold_into(values, self._everyone)
            return 0
        if self._held.any():
            self._arm.hold_into(values, self._held)
        self._actuation.fill(self._q, self._dq, self._intent)
        np.copyto(values, self._intent, where=self._actuation.directly)
        return self._maps.command(self._intent, self._actuation.by_torque, state, now, values)
