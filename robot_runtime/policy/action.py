"""Action: from what the network says to what each joint should do in the mode that it is in.

What a meaning becomes:
    torque           the torque map (nominal: as it is in current mode, a duty in PWM mode)
    position         the servo's own goal, on a line between actions; in current and PWM modes a spring and a damper
    position_delta   the same, from the last goal or from where the joint stands
    velocity         the servo's own goal in velocity mode; in position modes a goal that moves at this speed
    duty             the servo's own goal in PWM mode
Everything else is refused before anything moves. A goal that adds up stays inside the joint's limits, and near a joint
that is held back (before the table, say): it would wind up beyond them and take as long to come back.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from robot_runtime.arm.scaling import POSITION_MODES
from robot_runtime.arm.state import run_of
from robot_runtime.arrays import Flags, Floats
from robot_runtime.policy.contract import Action
from robot_runtime.policy.errors import ModeError
from robot_runtime.safety.servo_stages import WINDUP
from robot_runtime.spec import ArmSpec, JointSpec

_ARRIVED = 0.1
"""rad: nearer than this a joint counts as being at the start pose, and its goal goes on from there: its weight makes a
servo's position sag, and a goal that began at the sagged position would let it sag again.
"""


class Route(IntEnum):
    """How a joint is made to do what the action says."""

    TORQUE = 0  # by the torque map
    GOAL = 1  # the servo's position goal
    SPRING = 2  # stiffness and damping here, torque by the torque map
    SPEED = 3  # the servo's velocity goal
    DUTY = 4  # the servo's PWM goal


def routes(action: Action, spec: ArmSpec, carries: Flags) -> tuple[Route, ...]:
    """How each joint of the action goes; `carries`: joints whose torque the torque map turns into commands.

    Raises:
        ModeError: a joint's mode cannot do it; the message says why and what could.
    """
    by_name = {joint.name: i for i, joint in enumerate(spec.joints)}
    return tuple(_route(action, spec.joints[by_name[n]], carried=bool(carries[by_name[n]])) for n in action.joints)


def _route(action: Action, joint: JointSpec, *, carried: bool) -> Route:
    meaning, mode = action.meaning, joint.mode
    at = f"joint '{joint.name}' is in mode '{mode}' and the policy says {meaning}"
    if meaning == "torque":
        if carried:
            return Route.TORQUE
        raise ModeError(f"{at}: that needs the torque map of a calibration (--calibration), or mode 'current' or 'pwm'")
    if meaning in ("position", "position_delta"):
        if mode in POSITION_MODES:
            return Route.GOAL
        if carried and action.stiffness is not None:
            return Route.SPRING
        if carried:
            raise ModeError(f"{at}: that needs action.stiffness and action.damping in its contract, or a position mode")
        raise ModeError(f"{at}: expected one of {', '.join(POSITION_MODES)}, or current or pwm")
    if meaning == "velocity":
        if mode == "velocity":
            return Route.SPEED
        if mode in POSITION_MODES:
            return Route.GOAL
        raise ModeError(f"{at}: expected velocity or one of {', '.join(POSITION_MODES)}")
    if mode == "pwm":
        return Route.DUTY
    raise ModeError(f"{at}: a duty needs mode 'pwm'")


class Actuation:
    """The action of a policy, cycle by cycle. Arrays are in the order of the action's joints."""

    def __init__(self, action: Action, spec: ArmSpec, carries: Flags, steps: int, bus_period: float) -> None:
        """Find a route for each joint; `steps`: bus cycles from one action to the next.

        Raises:
            ModeError: there is none.
        """
        ways = np.array(routes(action, spec, carries))
        count = len(action.joints)
        joints = [spec.joints[spec.joint_names.index(name)] for name in action.joints]
        self._action = action
        self._index = run_of([spec.joint_names.index(name) for name in action.joints])
        self.by_torque: Flags = np.zeros(len(spec.joints), dtype=bool)
        self.by_torque[self._index] = (ways == Route.TORQUE) | (ways == Route.SPRING)
        self.directly: Flags = np.zeros(len(spec.joints), dtype=bool)
        self.directly[self._index] = ~self.by_torque[self._index]
        self._spring: Flags = ways == Route.SPRING
        self._has_spring, self._all_springs = bool(self._spring.any()), bool(self._spring.all())
        self._by_goal: Flags = ways == Route.GOAL
        self._leash = np.where(self._by_goal, WINDUP, np.inf)  # rad; how far a spring is drawn is the policy's affair
        self._integrates = action.meaning == "velocity"
        self._has_goal = bool((self._spring | self._by_goal).any())
        self._scale, self._offset = (np.broadcast_to(np.array(v), (count,)) for v in (action.scale, action.offset))
        self._stiffness = np.broadcast_to(np.array(action.stiffness or (0.0,)), (count,))
        self._damping = np.broadcast_to(np.array(action.damping or (0.0,)), (count,))
        self._low = None if action.low is None else np.array(action.low)
        self._high = None if action.high is None else np.array(action.high)
        self._lower = np.array([j.limits.lower for j in joints])
        self._upper = np.array([j.limits.upper for j in joints])
        self._steps, self._bus_period = steps, bus_period
        self.value: Floats = np.zeros(count)  # what the last action said, in its unit
        self._goal, self._from, self._to = np.zeros(count), np.zeros(count), np.zeros(count)
        self._wanted, self._error = np.zeros(count), np.zeros(count)
        self._step = 0

    def reset(self, q: Floats, start: Floats) -> None:
        """Goals begin at the start pose (rad, whole arm), or where a joint stands that is not there."""
        here = np.where(np.abs(q - start) < _ARRIVED, start, q)[self._index]
        for goal in (self._goal, self._from, self._to):
            goal[:] = here
        self.value.fill(0.0)
        self._step = 0

    def act(self, output: NDArray[np.float32], q: Floats) -> None:
        """Take a new action, finite; `q`: where the joints are (rad, whole arm)."""
        value, action = self.value, self._action
        value[:] = output
        if action.clip is not None:
            value.clip(*action.clip, out=value)
        np.multiply(value, self._scale, out=value)
        np.add(value, self._offset, out=value)
        if self._low is not None:
            np.maximum(value, self._low, out=value)
        if self._high is not None:
            np.minimum(value, self._high, out=value)
        if not self._has_goal or self._integrates:
            return
        if action.meaning == "position_delta":
            base = self._to if action.delta_from == "command" else q[self._index]
            np.add(base, value, out=self._to)
            self._stay_near(self._to, q)
        else:
            self._to[:] = value
        self._from[:] = self._goal
        self._step = 0

    def fill(self, q: Floats, dq: Floats, intent: Floats) -> None:
        """What the joints should do in this bus cycle, into `intent` (whole arm; N·m where `by_torque`)."""
        if self._has_goal:
            self._move_goal(q)
        if self._all_springs:
            intent[self._index] = self._pull(q, dq)
            return
        wanted = self.value
        if self._has_goal:
            wanted = self._wanted
            wanted[:] = self.value
            np.copyto(wanted, self._goal, where=self._by_goal)
            if self._has_spring:
                np.copyto(wanted, self._pull(q, dq), where=self._spring)
        intent[self._index] = wanted

    def _stay_near(self, goal: Floats, q: Floats) -> None:
        """Keep a goal that adds up where the envelope lets it through: inside the limits and near the joint."""
        here = q[self._index]
        goal.clip(here - self._leash, here + self._leash, out=goal)
        goal.clip(self._lower, self._upper, out=goal)

    def _move_goal(self, q: Floats) -> None:
        """Towards the last action's goal, there with the last bus cycle before the next action."""
        if self._integrates:
            np.multiply(self.value, self._bus_period, out=self._error)
            np.add(self._goal, self._error, out=self._goal)
            self._stay_near(self._goal, q)
            return
        self._step = min(self._step + 1, self._steps)
        if self._step == self._steps:
            self._goal[:] = self._to
            return
        np.subtract(self._to, self._from, out=self._goal)
        np.multiply(self._goal, self._step / self._steps, out=self._goal)
        np.add(self._goal, self._from, out=self._goal)

    def _pull(self, q: Floats, dq: Floats) -> Floats:
        """Torque of spring and damper; the goal stands between actions, as it does in a simulator."""
        torque: Floats = self._stiffness * (self._to - q[self._index]) - self._damping * dq[self._index]
        return torque
