"""The lens between an observation and the networks: what follows from the arm's model is computed, not learnt.

It shows the way to the target joint by joint, and begins with an action that a model would choose: on arms that take
torques or duties, what carries the arm and overcomes its gears on that way, growing while a joint sticks; on arms that
take positions, a step of the way. The network says by how much to change that. Without it a joint that rubs rests a few
millimetres beside the target: a little more torque changes nothing there, so trial and error finds no reason for it,
and the noise that shakes a joint loose in training is gone in flight.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robot_runtime.policy.contract import Contract
from sim.tasks import Task
from sim.tasks.arm_task import ArmTask
from sim.training.body import Body

FINE = 0.05
"""rad: the half range of the way that is shown enlarged."""
LOOSE = 0.006
"""rad: a joint further than this from where it should be is pushed there as hard as its gears rub."""
CLOSE = 0.003
"""rad: a joint further than this from where it should be, and slower than the next, sticks."""
STILL = 0.03
"""rad/s"""
RAMP = 0.05
"""Of the range of torques, which a joint that sticks gets more with every action."""
KEPT = 0.6
"""Of what a joint that does not stick got beyond weight and friction, in the next action."""
APPROACH = 0.06
"""Of the way, a step of a position. The joint follows some 0.2 s late: at twice that it swings about the target."""
HOMEWARDS = 0.3
"""Of the way home, which the way of arms that take positions has in it."""
LEAD = 0.35
"""s that positions look ahead of a target that moves: a goal that goes `APPROACH` of the way in every step is late by
that much."""
STEP = 0.5
"""Of the range of actions, what an output of 1 of the network changes."""
STRAY = 0.05
"""The same of positions. They need no shaking loose, and their first action goes most of the way: noise that drowns it
teaches nothing."""
NEAR = 0.1
"""rad: where less of the way is left, a position is changed by that much less. A goal adds up, so what a network says
in error would leave the tip millimetres beside the target, to which the way itself leads."""


class Lens(nn.Module):
    """What the networks see of an observation, and the action that they mean. Without an arm it changes nothing."""

    scale: Tensor  # rad of an action of 1
    full: Tensor  # N·m of an action of 1
    dry: Tensor  # N·m, friction of the gears
    rub: Tensor  # the same, a share of the torque

    def __init__(self, task: Task) -> None:
        """Read the model of the task's arm, if there is one."""
        super().__init__()
        self.body: Body | None = None
        if not isinstance(task, ArmTask):
            return
        self.body = Body(task.world)
        self.angles = _columns(task.contract, "joint_position")
        self.speeds = _columns(task.contract, "joint_velocity")
        self.last = _columns(task.contract, "last_action")
        self.targets = _columns(task.contract, "target")
        self.past = _past(task.contract, "target")
        self.to_tip = task.goal.quantity == "tip_position"
        self.by_torque = task.full_torque is not None
        motors = [joint.servo.motor for joint in task.world.joints]
        self.register_buffer("scale", torch.tensor(task.contract.action.scale))
        self.register_buffer("full", torch.tensor(task.full_torque if self.by_torque else [], dtype=torch.float32))
        self.register_buffer("dry", torch.tensor(task.model.dof_frictionloss, dtype=torch.float32))
        self.register_buffer("rub", torch.tensor([motor.load_friction for motor in motors]))

    def forward(self, obs: Tensor) -> Tensor:
        """What the networks see: the observation, the way of the joints twice, and last the action to begin with."""
        if self.body is None:
            return obs
        q, target = obs[:, self.angles], obs[:, self.targets]
        if self.past is not None and not self.by_torque:
            columns, since = self.past
            target = target + LEAD / since * (target - obs[:, columns])
        way = self.body.way(q, target, 0.0 if self.by_torque else HOMEWARDS) if self.to_tip else target - q
        seen = (obs, way, (way / FINE).clamp(-1.0, 1.0))
        if not self.by_torque:
            return torch.cat((*seen, APPROACH * way / self.scale), 1)
        push = (way / LOOSE).clamp(-1.0, 1.0)
        bare = self.body.weight(q) + self.dry * push
        carried = bare / (1.0 - self.rub * push * bare.sign()) / self.full  # gears rub the more, the more passes them
        last = obs[:, self.last]
        beyond = (last - carried) * (last != 0.0).any(1, keepdim=True)  # before the first action: nothing
        sticks = (obs[:, self.speeds].abs() < STILL) & (way.abs() > CLOSE)
        more = torch.where(sticks, beyond + RAMP * push, KEPT * beyond)
        return torch.cat((*seen, carried, carried + more), 1)

    def action(self, seen: Tensor, said: Tensor) -> Tensor:
        """The action, from what was seen and said."""
        if self.body is None:
            return said
        count = said.shape[1]
        begin = seen[:, -count:]
        if self.by_torque:
            return (begin + STEP * said).clamp(-1.0, 1.0)
        left = (begin * self.scale).abs().amax(1, keepdim=True) / APPROACH  # rad: it is a step of the way
        return (begin + STRAY * (left / NEAR).clamp(max=1.0) * said).clamp(-1.0, 1.0)


def _past(contract: Contract, kind: str) -> tuple[slice, float] | None:
    """Where the observation holds the oldest sample of this, and how old (s) it is; None: it holds no past of it."""
    start = 0
    for term in contract.observation:
        if term.kind == kind and term.history > 1:
            return slice(start, start + term.size), (term.history - 1) / contract.rate
        start += term.size * term.history
    return None


def _columns(contract: Contract, kind: str) -> slice:
    """Where the observation holds this, as it is."""
    start = 0
    for term in contract.observation:
        if term.kind == kind and term.scale == (1.0,) and term.history == 1:
            return slice(start, start + term.size)
        start += term.size * term.history
    raise ValueError(f"the observation holds no {kind} as it is")
