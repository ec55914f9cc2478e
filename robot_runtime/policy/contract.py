"""Contract: what the numbers of a policy mean. Which observation goes in, what comes out, in what units, how often.

A policy is a function from numbers to numbers; its contract is what makes them joint angles and torques. It says
everything that could be guessed wrongly: order of joints by name, scales, offsets, history, rate. Nothing has a silent
default that could move an arm: what a source does not say is missing, and a missing thing is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VERSION = 1
"""Of the JSON form; a reader refuses a newer one."""

MEANINGS = ("torque", "position", "position_delta", "velocity", "duty")
"""What an action can be: N·m, rad, rad a step, rad/s, or the share of the supply voltage (-1 to 1)."""

KINDS = (
    "joint_position",  # rad, one a joint
    "joint_velocity",  # rad/s, one a joint
    "joint_torque",  # N·m, one a joint: an estimate by the servos' currents
    "tip_position",  # m, x y z of the tip in the base frame, by the arm's MJCF
    "last_action",  # the network's own last output, before scale and offset
    "target",  # what the arm should do: see Target
    "target_error",  # target minus the same quantity as it is now: tip or joints, see Target
    "phase",  # sine and cosine of 2 pi t / period
    "constant",  # its offset, as it stands
)
"""What a term of an observation can be."""

TARGETS = ("tip_position", "joint_position", "custom")
"""What a target can be: m in the base frame, rad by joint, or numbers that only the policy knows the meaning of."""


@dataclass(frozen=True, slots=True)
class Term:
    """A piece of the observation: y = clip((x - offset) * scale), `history` times, oldest first.

    `scale`, `offset` and both ends of `clip` hold one number for all entries or one an entry.
    """

    kind: str  # one of KINDS
    size: int  # entries of one sample, without history
    joints: tuple[str, ...] = ()  # joint terms: which, in this order
    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    clip: tuple[float, float] | None = None
    history: int = 1  # samples, one an action; at the start all are the first one
    period: float | None = None  # s, of a phase


@dataclass(frozen=True, slots=True)
class Action:
    """What the output means: value = clip(output) * scale + offset, in rad, rad/s, N·m or duty."""

    meaning: str  # one of MEANINGS
    joints: tuple[str, ...]  # in the order of the output; other joints are held
    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    clip: tuple[float, float] | None = None  # of the raw output
    stiffness: tuple[float, ...] | None = None  # N·m/rad, positions carried by torque: torque = stiffness (goal - q)
    damping: tuple[float, ...] | None = None  # N·m·s/rad  ... - damping dq
    delta_from: str = "command"  # position_delta: from the last goal ("command") or from where it stands ("measured")


@dataclass(frozen=True, slots=True)
class Target:
    """What a target given to the policy is."""

    kind: str  # one of TARGETS
    size: int
    joints: tuple[str, ...] = ()  # joint_position: which
    low: tuple[float, ...] | None = None  # the range it was trained for, per entry
    high: tuple[float, ...] | None = None
    default: tuple[float, ...] | None = None  # used when nobody gives one


@dataclass(frozen=True, slots=True)
class Contract:
    """Everything that a run needs to know of a policy beyond the network itself."""

    observation: tuple[Term, ...]
    action: Action
    rate: float  # Hz, of actions
    start: Mapping[str, float] | str = "home"  # where it starts: joint angles (rad) by name, or a pose of the arm
    target: Target | None = None
    stacked: bool = False  # history: the whole observation k times (True) or term by term (False)
    arm: str = ""  # name of the arm it was trained for; "" unknown
    mjcf_digest: str = ""  # SHA-256 of the MJCF it was trained in; "" unknown
    provenance: Mapping[str, Any] = field(default_factory=dict)  # task, versions, seed, success: for people and reports

    @property
    def observation_size(self) -> int:
        """Numbers that go in."""
        return sum(term.size * term.history for term in self.observation)

    @property
    def action_size(self) -> int:
        """Numbers that come out."""
        return len(self.action.joints)
