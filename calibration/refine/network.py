"""What learns: two small maps around a policy that does not, as torch has them.

    q, dq of the observation map -> pre -> observation -> frozen policy -> torque or goal -> post -> torque or goal map

Both begin as very nearly nothing, and however long they learn they add no more than their bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from calibration.identified.world import IdentifiedArm
from models.onnx_torch import OnnxModule
from sim.training.body import Body

HIDDEN = 32
SHRINK = 0.01
"""Factor on all fresh parameters: a map begins as very nearly nothing, and yet has gradients. Both as published."""
ANGLE = 0.03
"""rad: the largest correction of an angle; gears and offsets are off by less."""
SPEED = 0.1
"""Of a joint's velocity limit: the largest correction of a velocity."""
TORQUE = 0.2
"""Of the torque of an action of 1: the largest correction of a torque."""
GOAL = 0.05
"""rad: the largest correction of a goal."""
STEEPEST = 5.0
"""Times the mean: the largest derivative by what is sensed that learning believes. A policy that shakes a joint loose
jumps, and a few samples at a jump would say where all of it goes."""


class SmallMap(nn.Module):
    """x + bound tanh(net((x, more) / unit)), net with one hidden layer of tanh: `more` is looked at and not given."""

    unit: Tensor
    bound: Tensor

    def __init__(self, unit: Sequence[float], bound: Sequence[float]) -> None:
        """`unit`: usual size of every entry of x and of more; `bound`: of every entry of x, the most that is added."""
        super().__init__()
        self.register_buffer("unit", torch.tensor(unit, dtype=torch.float32))
        self.register_buffer("bound", torch.tensor(bound, dtype=torch.float32))
        self.first, self.second = nn.Linear(len(unit), HIDDEN), nn.Linear(HIDDEN, len(bound))
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.mul_(SHRINK)

    def forward(self, x: Tensor) -> Tensor:
        """Of rows (x, more): rows of x."""
        hidden = torch.tanh(self.first(x / self.unit))
        return x[:, : len(self.bound)] + self.bound * torch.tanh(self.second(hidden))


class Around(nn.Module):
    """The frozen policy of a task between its maps: from the task's observation to the action."""

    scale: Tensor
    lower: Tensor
    upper: Tensor
    emf: Tensor  # of a duty's torque: the duty that a speed of 1 rad/s takes up
    stall: Tensor  # N·m of a duty of 1 at rest
    limit: Tensor  # N·m
    said: Tensor
    mean: Tensor

    def __init__(self, task: IdentifiedArm, policy: Path) -> None:
        """Maps for the joints of the task.

        Raises:
            UntrainablePolicyError: gradients do not pass through this policy.
        """
        super().__init__()
        self.frozen = OnnxModule(policy)
        where = task.contract.where
        self._sensors, self._target = (where("joint_position"), where("joint_velocity")), where("target")
        self._terms = task.contract.observation
        self._to_tip = task.goal.quantity == "tip_position"
        self.body = Body(task.world) if self._to_tip else None
        limits = [joint.limits for joint in task.world.joints]
        n, speeds = len(limits), [limit.velocity for limit in limits]
        self.joints, self.meaning = n, task.contract.action.meaning
        self.register_buffer("scale", _numbers(np.broadcast_to(task.contract.action.scale, n)))
        self.register_buffer("lower", _numbers([limit.lower for limit in limits]))
        self.register_buffer("upper", _numbers([limit.upper for limit in limits]))
        self.pre = SmallMap([1.0] * n + speeds, [ANGLE] * n + [SPEED * speed for speed in speeds])
        motor = task.motor
        self.register_buffer("emf", _numbers(motor.constant / motor.volts))
        self.register_buffer("stall", _numbers(motor.stall))
        self.register_buffer("limit", _numbers(motor.limit))
        full = torch.minimum(self.stall, self.limit) if self.meaning == "duty" else self.scale
        self.post = SmallMap([1.0] * 2 * n + speeds, [GOAL] * n)
        if self.meaning != "position_delta":
            self.post = SmallMap(full.tolist() + speeds, (TORQUE * full).tolist())
        self.said = self.mean = torch.zeros(task.count, n)

    def forward(self, seen: Tensor) -> Tensor:
        """From what the task shows, and behind it the goals so far, to actions in the task's unit."""
        observation, wanted = seen[:, : -self.joints], seen[:, -self.joints :]
        sensed = self._sensed(observation)
        said = self.frozen(self._observed(observation, sensed)).clamp(-1.0, 1.0)
        self.said = said.detach()
        action: Tensor
        # Speeds of now; in flight post looks again in every cycle until the policy's next action.
        dq = sensed[:, self.joints :]
        if self.meaning == "torque":
            action = self.post(torch.cat([self.scale * said, dq], 1)) / self.scale
        elif self.meaning == "duty":
            torque = (said - self.emf * dq) * self.stall
            torque = torch.minimum(torch.maximum(torque, -self.limit), self.limit)
            action = said + (self.post(torch.cat([torque, dq], 1)) - torque) / self.stall
        else:
            goal = torch.minimum(torch.maximum(wanted + self.scale * said, self.lower), self.upper)
            action = (self.post(torch.cat([goal, sensed], 1)) - wanted) / self.scale
        self.mean = action.detach()
        return action

    def last(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the last observations: what the policy itself said, and the action of all three, without noise."""
        return self.said.numpy().astype(float), self.mean.numpy().astype(float)

    def as_sensed(self, mapped: np.ndarray) -> np.ndarray:
        """`mapped` (arms x (q, dq)) as pre has it."""
        return _through(self.pre, mapped)

    def as_wanted(self, rows: np.ndarray) -> np.ndarray:
        """What the policy wants, and behind it what post looks at (arms x ...), as post has it."""
        return _through(self.post, rows)

    def _sensed(self, observation: Tensor) -> Tensor:
        """Angles and speeds as pre has them."""
        before = torch.cat([observation[:, columns] for columns in self._sensors], 1)
        after: Tensor = self.pre(before)
        if after.requires_grad:
            after.register_hook(_tamed)  # type: ignore[no-untyped-call]
        return after

    def _observed(self, observation: Tensor, sensed: Tensor) -> Tensor:
        """The observation as it would be if the map had said so."""
        q, dq = sensed[:, : self.joints], sensed[:, self.joints :]
        target = observation[:, self._target]
        here = self.body.tip_at(q) if self.body is not None else q
        known = {
            "joint_position": q,
            "joint_velocity": dq,
            "tip_position": here,
            "target": target,
            "target_error": target - here,
        }
        parts, start = [], 0
        for term in self._terms:
            size = term.size * term.history
            if term.kind in known and term.history == 1:
                value = (known[term.kind] - _numbers(term.offset)) * _numbers(term.scale)
                parts.append(value if term.clip is None else value.clamp(*term.clip))
            else:
                parts.append(observation[:, start : start + size])
            start += size
        return torch.cat(parts, 1)


def _numbers(values: npt.ArrayLike) -> Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float32)


def _through(net: SmallMap, rows: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        found: np.ndarray = net(torch.from_numpy(rows.astype(np.float32))).numpy()
    return found.astype(float)


def _tamed(gradient: Tensor) -> Tensor:
    """Without what is no number, and without the few that are far larger than the rest."""
    finite = gradient.nan_to_num(0.0, 0.0, 0.0)
    most = STEEPEST * finite.abs().mean(0)
    return torch.minimum(torch.maximum(finite, -most), most)
