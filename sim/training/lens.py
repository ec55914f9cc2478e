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
from sim.training.ahead import Ahead
from sim.training.body import Body

FINE = 0.05
"""rad: the half range of the way that is shown enlarged."""
LOOSE = 0.006
"""rad: a joint further than this from where it should be is pushed there as hard as its gears rub."""
CLOSE = 0.003
"""rad: a joint further than this from where it should be, and slower than the next, sticks."""
STILL = 0.03
"""rad/s"""
AT_ONCE = 0.7
"""Of the friction in the servo's data file, what is overcome at once: gears may rub half as much, and a joint that gets
all of it then swings about its target. The rest comes with the ramp."""
RAMP = 0.05
"""Of the range of torques, which a joint that sticks gets more with every action."""
HAND_OFF = 0.2
"""rad: nearer than this to where it should be, a joint that sticks is left to the ramp ..."""
WORD = 0.05
"""... but for so much of the network's output. More would hold the ramp where it is: then the joint rests for good."""
KEPT = 0.6
"""Of what a joint that does not stick got beyond weight and friction, in the next action."""
APPROACH, PURSUIT = 0.06, 0.1
"""Of the way, a step of a position to a target that is still, and to one that moves. The joint follows some 0.2 s late:
at twice the first it swings about its target. But the larger the step, the less it misses of a target that moves."""
HOMEWARDS, HOMEWARDS_BY_TORQUE = 0.3, 0.1
"""Of the way home, which the way of arms that take positions has in it, and of those that take torques. Without it an
arm folds up until it touches itself."""
LEAD, LEAD_BY_TORQUE = 0.19, 0.1
"""s that positions, and torques, look ahead of a target that moves: a goal that goes `PURSUIT` of the way in every step
is late by that much, and a joint that torques push by less."""
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
        self.ahead = Ahead.of(task.contract)
        self.share = APPROACH if self.ahead is None else PURSUIT
        self.fastest = task.goal.motion.fastest if task.goal.motion else 0.0  # m/s or rad/s
        self.to_tip = task.goal.quantity == "tip_position"
        self.by_torque = task.full_torque is not None
        self.lead = LEAD_BY_TORQUE if self.by_torque else LEAD
        # Of the target's past the networks see what comes of it.
        self.size = task.contract.observation_size if self.ahead is None else self.ahead.start
        motors = [joint.servo.motor for joint in task.world.joints]
        self.register_buffer("scale", torch.tensor(task.contract.action.scale))
        self.register_buffer("full", torch.tensor(task.full_torque if self.by_torque else [], dtype=torch.float32))
        self.register_buffer("dry", torch.tensor(task.model.dof_frictionloss, dtype=torch.float32))
        self.register_buffer("rub", torch.tensor([motor.load_friction for motor in motors]))

    def forward(self, obs: Tensor) -> Tensor:
        """What the networks see: the observation, the way of the joints twice, and last the action to begin with."""
        if self.body is None:
            return obs
        q, now = obs[:, self.angles], obs[:, self.targets]
        way = self._way(q, now if self.ahead is None else self.ahead.target(obs, self.lead, self.fastest))
        seen = [obs[:, : self.size], way, (way / FINE).clamp(-1.0, 1.0)]
        if not self.by_torque:
            return torch.cat((*seen, self.share * way / self.scale), 1)
        if self.ahead is not None:  # two ways say how fast to go
            seen.append((self._way(q, now) / FINE).clamp(-1.0, 1.0))
        push = (way / LOOSE).clamp(-1.0, 1.0)
        bare = self.body.weight(q) + AT_ONCE * self.dry * push
        rub = AT_ONCE * self.rub  # gears rub the more, the more passes them
        carried = bare / (1.0 - rub * push * bare.sign()) / self.full
        last = obs[:, self.last]
        beyond = (last - carried) * (last != 0.0).any(1, keepdim=True)  # before the first action: nothing
        more = torch.where(self._sticks(obs, way), beyond + RAMP * push, KEPT * beyond)
        return torch.cat((*seen, carried, carried + more), 1)

    def action(self, seen: Tensor, said: Tensor) -> Tensor:
        """The action, from what was seen and said."""
        if self.body is None:
            return said
        count = said.shape[1]
        begin = seen[:, -count:]
        if self.by_torque:
            way = seen[:, self.size : self.size + count]
            left = self._sticks(seen, way) & (way.abs() < HAND_OFF)
            return (begin + STEP * torch.where(left, said.clamp(-WORD, WORD), said)).clamp(-1.0, 1.0)
        left = (begin * self.scale).abs().amax(1, keepdim=True) / self.share  # rad: it is a step of the way
        return (begin + STRAY * (left / NEAR).clamp(max=1.0) * said).clamp(-1.0, 1.0)

    def _way(self, q: Tensor, target: Tensor) -> Tensor:
        """What is left for the joints to turn."""
        if self.body is None or not self.to_tip:
            return target - q
        homewards = HOMEWARDS_BY_TORQUE if self.by_torque else HOMEWARDS
        # Positions add up what a network says in error: to a place where they shall stand, their way has to be whole.
        moves, stands = self.ahead is not None, self.ahead is None and not self.by_torque
        return self.body.way(q, target, homewards, around=moves or stands, exactly=stands)

    def _sticks(self, obs: Tensor, way: Tensor) -> Tensor:
        """Which joints rest beside where they should be."""
        return (obs[:, self.speeds].abs() < STILL) & (way.abs() > CLOSE)


def _columns(contract: Contract, kind: str) -> slice:
    """Where the observation holds this, as it is."""
    start = 0
    for term in contract.observation:
        if term.kind == kind and term.scale == (1.0,) and term.history == 1:
            return slice(start, start + term.size)
        start += term.size * term.history
    raise ValueError(f"the observation holds no {kind} as it is")
