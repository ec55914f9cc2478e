"""The two maps as torch modules: identified physics, plus a residual that starts at zero and never has much to say.

Each takes one flat vector of raw history and gives values and novelty of all joints; normalisation, physics, linear
part, the ensemble of small networks, its clip and its fade are all inside, so that each exports as one ONNX. Joints
have their own weights; all joints and members are one batched product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from calibration.maps.targets import STICK

HIDDEN, FEWEST_HIDDEN = 32, 8
"""Units of each of two layers: of all joints together; and of each joint, at least. With half of them one joint's map
is 3 % worse, with a quarter 12 %; but every cycle pays for them.
"""
MEMBERS = 3
FADE = (4.0, 6.0)
"""Standard deviations from the calibration's data between which the residual fades to nothing."""
SOFT = 0.2
"""Of the arm's dry friction: a simulator's joint that rubs less is taken to rub so much, where its friction divides."""


class Ensemble(nn.Module):
    """`members` networks for each of `joints`: features -> tanh -> tanh -> outputs; the last layer starts at zero."""

    w0: Tensor
    w1: Tensor
    w2: Tensor
    b0: Tensor
    b1: Tensor
    b2: Tensor

    def __init__(
        self, joints: int, features: int, outputs: int = 1, members: int = MEMBERS, hidden: int | None = None
    ) -> None:
        """Random first layers, different in each member."""
        super().__init__()
        self.members = members
        hidden = hidden or max(FEWEST_HIDDEN, HIDDEN // joints)
        sizes = ((features, hidden), (hidden, hidden), (hidden, outputs))
        for i, (a, b) in enumerate(sizes):
            weight = torch.randn(members * joints, a, b) / a**0.5 if i < 2 else torch.zeros(members * joints, a, b)
            self.register_parameter(f"w{i}", nn.Parameter(weight))
            self.register_parameter(f"b{i}", nn.Parameter(torch.zeros(members * joints, 1, b)))

    def forward(self, x: Tensor) -> Tensor:
        """(joints, batch, features) -> (members, joints, batch, outputs)."""
        joints = x.shape[0]
        y = x.repeat(self.members, 1, 1)
        y = torch.tanh(torch.baddbmm(self.b0, y, self.w0))
        y = torch.tanh(torch.baddbmm(self.b1, y, self.w1))
        y = torch.baddbmm(self.b2, y, self.w2)
        return y.reshape(self.members, joints, -1, y.shape[-1])


class Residual(nn.Module):
    """What is added to physics: a linear part, and an ensemble that fades away from the data; their sum is clipped.

    The linear part is a short filter (sensors lag, torque comes late) and holds beyond the data as filters do; networks
    know nothing there.
    """

    mean: Tensor
    scale: Tensor
    linear: Tensor
    bias: Tensor
    most: Tensor
    clip: Tensor
    watched: Tensor

    def __init__(self, joints: int, features: int, watched: Sequence[int] = ()) -> None:
        """Adds nothing yet. `watched`: features that show how far from the data it is (default: all)."""
        super().__init__()
        self.register_buffer("watched", torch.tensor(watched or range(features)))
        self.register_buffer("mean", torch.zeros(joints, 1, features))
        self.register_buffer("scale", torch.ones(joints, 1, features))
        self.register_buffer("linear", torch.zeros(joints, features, 1))
        self.register_buffer("bias", torch.zeros(joints, 1, 1))
        self.register_buffer("most", torch.zeros(joints, 1, 1))  # size of both together, at most
        self.register_buffer("clip", torch.zeros(joints, 1, 1))  # size of the networks' part, at most; 0: not used
        self.ensemble = Ensemble(joints, features)

    def forward(self, x: Tensor, share: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
        """(joints, batch, features) -> residual, of which so much counts, and novelty: (joints, batch, 1) each."""
        z = (x - self.mean) * self.scale
        novelty = z[:, :, self.watched].abs().amax(dim=2, keepdim=True)
        fade = ((FADE[1] - novelty) / (FADE[1] - FADE[0])).clamp(0.0, 1.0)
        member = _within(self.ensemble(z).mean(dim=0), self.clip) * fade
        return _within(share * (torch.baddbmm(self.bias, z, self.linear) + member), self.most), novelty

    def members(self, x: Tensor) -> Tensor:
        """Every member on its own, for training: (members, joints, batch, 1)."""
        z = (x - self.mean) * self.scale
        return torch.baddbmm(self.bias, z, self.linear) + cast("Tensor", self.ensemble(z))


def _within(value: Tensor, size: Tensor) -> Tensor:
    return torch.maximum(torch.minimum(value, size), -size)


def _ends(taps: int, quantities: int) -> list[int]:
    """The first, middle and last tap of each quantity: those between are like them."""
    return [k * taps + i for k in range(quantities) for i in sorted({0, taps // 2, taps - 1})]


class ObservationMap(nn.Module):
    """Taps of position, velocity register and command -> what the simulator would have sensed.

    Input, flat: for each joint q taps, dq taps, command taps, newest first. Output: q, dq, novelty of all joints.

    Of a joint that sticks the residual counts only while it moves: at rest friction takes up whatever command there is,
    and a filter of commands would make a speed of it.
    """

    offset: Tensor
    relative: Tensor
    still: Tensor

    def __init__(self, joints: int, taps: int, offset: Tensor, lead: float, *, relative: Tensor, period: float) -> None:
        """`relative`: 1 where a joint's command is an angle; `lead`: s, how old the reading is when the policy acts."""
        super().__init__()
        self.joints, self.taps = joints, taps
        self.register_buffer("offset", offset.reshape(joints, 1, 1))
        self.register_buffer("relative", relative.reshape(joints, 1, 1))
        # rad: a joint whose past angles lie no further from that of now, on average, stands; 0: it never counts as that
        self.register_buffer("still", torch.zeros(joints, 1, 1))
        self.lead, self.rate = lead, 1.0 / period
        self.residual = Residual(joints, 3 * taps, _ends(taps, 3))

    def features(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of (batch, joints * 3 * taps): features (joints, batch, 3 taps), q and dq (joints, batch, 1)."""
        taps = self.taps
        y = x.reshape(-1, self.joints, 3 * taps).transpose(0, 1)
        q, dq, command = torch.split(y, taps, dim=2)
        now = q[:, :, :1]
        past = torch.cat([(q[:, :, :-1] - q[:, :, 1:]) * self.rate, dq[:, :, :1] * 0.0], dim=2)
        return torch.cat([past, dq, command - self.relative * now], dim=2), now, dq[:, :, :1]

    def moves(self, x: Tensor) -> Tensor:
        """How far the residual counts, (joints, batch, 1): from 0, the joint stands, to 1 at twice that."""
        q = x.reshape(-1, self.joints, 3 * self.taps).transpose(0, 1)[:, :, : self.taps]
        way = (q - q[:, :, :1]).abs().mean(dim=2, keepdim=True)
        sticks = self.still > 0.0
        return torch.where(sticks, (way / torch.where(sticks, self.still, 1.0) - 1.0).clamp(0.0, 1.0), 1.0)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, joints * 3 * taps) -> (batch, 3 * joints)."""
        features, now, register = self.features(x)
        added, novelty = self.residual(features, self.moves(x))
        dq = register + added
        q = now + self.offset + self.lead * dq
        return torch.cat([q, dq, novelty], dim=0)[:, :, 0].transpose(0, 1)


class TorqueMap(nn.Module):
    """Taps of the simulator's torque and of the joint's speed, and volts -> command of a PWM or a current joint.

    Input, flat: for each joint torque taps, dq taps, volts, extra torque (what the arm weighs more than the
    simulator's, N·m), and weight (the simulator's own). Output: command and novelty of all joints.

    Of the torques only that of now counts. A fit sees torques through differentiated angles and would average their
    noise away over the past; a policy's torque has none, and in flight such a mean is a lag of 15 ms.
    """

    sim_coulomb: Tensor
    sim_viscous: Tensor
    sim_load: Tensor
    coulomb: Tensor
    viscous: Tensor
    load: Tensor
    constant: Tensor
    nominal_constant: Tensor
    resistance: Tensor
    supply: Tensor
    pwm: Tensor

    def __init__(self, joints: int, taps: int, physics: dict[str, Tensor], *, pwm: Tensor) -> None:
        """`physics`: see PHYSICS, one number a joint; `pwm`: 1 where the command is a duty, 0 where it is N·m."""
        super().__init__()
        self.joints, self.taps = joints, taps
        for name in PHYSICS:
            self.register_buffer(name, physics[name].reshape(joints, 1, 1))
        self.register_buffer("pwm", pwm.reshape(joints, 1, 1))
        self.residual = Residual(joints, 1 + taps, [0, *(1 + tap for tap in _ends(taps, 1))])

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of (batch, joints * (2 taps + 3)): features (joints, batch, 1 + taps), and the command by physics."""
        taps = self.taps
        y = x.reshape(-1, self.joints, 2 * taps + 3).transpose(0, 1)
        torque, dq, volts, extra, weight = torch.split(y, [taps, taps, 1, 1, 1], dim=2)
        command = self.physical(torque[:, :, :1], dq[:, :, :1], volts, extra, weight)
        return torch.cat([command, dq], dim=2), command

    def physical(self, torque: Tensor, dq: Tensor, volts: Tensor, extra: Tensor, weight: Tensor) -> Tensor:
        """What makes the arm's motor do as the simulator's: its friction off, the arm's on, then the servo's law."""
        sense = self.sense(torque, dq, weight)
        net = torque - sense * (self.sim_coulomb + self.sim_load * torque.abs()) - self.sim_viscous * dq + extra
        needed = net + self.coulomb * sense + self.viscous * dq
        motor = needed / (1.0 - self.load * sense * torch.sign(needed))
        amps = motor / self.constant
        across = self.resistance * amps + self.constant * dq
        # duty (volts - supply duty amps) = across: the root that exists without load
        root = (volts * volts - 4.0 * self.supply * amps * across).clamp(min=0.0).sqrt()
        duty = 2.0 * across / (volts + root)
        return self.pwm * duty + (1.0 - self.pwm) * amps * self.nominal_constant

    def sense(self, torque: Tensor, dq: Tensor, weight: Tensor) -> Tensor:
        """Which way dry friction acts, and what share of it: all of it against a motion; at rest as much as the
        simulator's joint needs to hold against what pushes it. So the arm's comes loose where the simulator's would.
        """
        moving = torch.tanh(dq / STICK)
        most = torch.maximum(self.sim_coulomb, SOFT * self.coulomb).clamp(min=1e-6) + self.sim_load * torque.abs()
        held = ((torque - weight) / most).clamp(-1.0, 1.0)
        return moving + (1.0 - moving.abs()) * held

    def forward(self, x: Tensor) -> Tensor:
        """(batch, joints * (2 taps + 3)) -> (batch, 2 * joints)."""
        features, command = self.parts(x)
        added, novelty = self.residual(features)
        return torch.cat([command + added, novelty], dim=0)[:, :, 0].transpose(0, 1)


class GoalMap(nn.Module):
    """Taps of goal, position and speed of the simulator, and volts -> goal of a position joint.

    The goal is moved by the joint's offset, and by how much farther ahead of the joint the arm's servo must be told to
    be than the simulator's, to hold its weight against its friction while it follows: the arm's law backwards, less the
    simulator's. Of equal arms nothing is left. It goes by the goal's own speed: what was measured would come back late,
    around a servo that holds its own loop and rings.
    Input, flat: for each joint goal taps, q taps, dq taps, volts, extra torque, weight. Output: goal and novelty of all
    joints.
    """

    offset: Tensor
    gain: Tensor
    authority: Tensor
    constant: Tensor
    sim_volts: Tensor
    span: float

    def __init__(self, joints: int, lags: Sequence[float], servos: Mapping[str, Tensor]) -> None:
        """`lags`: s before now of the taps; `servos`: see SERVOS, one number a joint."""
        super().__init__()
        self.joints, self.taps = joints, len(lags)
        self.span = lags[-1] - lags[0]
        for name in SERVOS:
            self.register_buffer(name, servos[name].reshape(joints, 1, 1))
        self.register_buffer("sim_supply", torch.zeros(joints, 1, 1))  # its volts stay what they are
        self.residual = Residual(joints, 2 * self.taps, _ends(self.taps, 2))

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of (batch, joints * (3 taps + 3)): features (joints, batch, 2 taps), and the goal by physics."""
        taps = self.taps
        y = x.reshape(-1, self.joints, 3 * taps + 3).transpose(0, 1)
        goal, q, dq, volts, extra, weight = torch.split(y, [taps, taps, taps, 1, 1, 1], dim=2)
        speed = (goal[:, :, :1] - goal[:, :, -1:]) / self.span
        moved = self.duty("", weight + extra, speed, volts) - self.duty("sim_", weight, speed, self.sim_volts)
        told = goal[:, :, :1] - self.offset + _within(moved / self.gain, self.authority)
        return torch.cat([goal - q, dq], dim=2), told

    def duty(self, whose: str, weight: Tensor, speed: Tensor, volts: Tensor) -> Tensor:
        """That holds a weight against friction at a speed."""
        coulomb, viscous, load, constant, resistance, supply = (getattr(self, whose + name) for name in MOTOR)
        sense = torch.tanh(speed / STICK)
        needed = weight + coulomb * sense + viscous * speed
        amps = needed / (1.0 - load * sense * torch.sign(needed)) / constant
        across = resistance * amps + constant * speed
        # duty (volts - supply duty amps) = across: the root that exists without load
        root = (volts * volts - 4.0 * supply * amps * across).clamp(min=0.0).sqrt()
        return cast("Tensor", 2.0 * across / (volts + root))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, joints * (3 taps + 3)) -> (batch, 2 * joints)."""
        features, goal = self.parts(x)
        added, novelty = self.residual(features)
        return torch.cat([goal + added, novelty], dim=0)[:, :, 0].transpose(0, 1)


MOTOR = ("coulomb", "viscous", "load", "constant", "resistance", "supply")
SERVOS = ("offset", "gain", "authority", "sim_volts", *MOTOR, *(f"sim_{name}" for name in MOTOR[:-1]))
"""Numbers of a goal map: rad, duty for 1 rad, the largest correction (rad), V of the simulator's supply; of the arm's
motor and of the simulator's: friction (N·m, N·m·s/rad, share of the load), N·m/A, ohm, ohm of the supply."""

PHYSICS = (
    "sim_coulomb",
    "sim_viscous",
    "sim_load",
    "coulomb",
    "viscous",
    "load",
    "constant",
    "nominal_constant",
    "resistance",
    "supply",
)
"""Numbers of a torque map: friction of the simulator's joint and of the arm's, N·m/A true and nominal, ohm, ohm."""
