"""Contract: what the numbers of a policy mean. Which observation goes in, what comes out, in what units, how often.

A policy is a function from numbers to numbers; its contract is what makes them joint angles and torques. It says
everything that could be guessed wrongly: order of joints by name, scales, offsets, history, rate. Nothing has a silent
default that could move an arm: what a source does not say is missing, and a missing thing is an error.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from robot_runtime.policy.errors import ContractError, ContradictionError

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
    "phase",  # sine and cosine of 2 pi t / period, t since the first action
    "constant",  # its offset, as it stands
)
"""What a term of an observation can be."""

JOINT_KINDS = ("joint_position", "joint_velocity", "joint_torque")
"""Kinds with one entry a joint; their terms name the joints."""

TARGETS = ("tip_position", "joint_position", "custom")
"""What a target can be: m in the base frame, rad by joint, or numbers that only the policy knows the meaning of."""


@dataclass(frozen=True, slots=True)
class Term:
    """A piece of the observation: y = clip((x - offset) * scale), `history` times, oldest first.

    `scale` and `offset` hold one number for all entries or one an entry; `clip` is one interval for all.
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
    """What the output means: value = clip(output) * scale + offset, within low and high; rad, rad/s, N·m or duty."""

    meaning: str  # one of MEANINGS
    joints: tuple[str, ...]  # in the order of the output; other joints are held
    scale: tuple[float, ...] = (1.0,)  # one for all joints or one a joint; so are all numbers below but `clip`
    offset: tuple[float, ...] = (0.0,)
    clip: tuple[float, float] | None = None  # of the raw output, one interval for all
    stiffness: tuple[float, ...] | None = None  # N·m/rad, positions carried by torque: torque = stiffness (goal - q)
    damping: tuple[float, ...] | None = None  # N·m·s/rad  ... - damping dq
    delta_from: str = "command"  # position_delta: from the last goal ("command") or from where it stands ("measured")
    low: tuple[float, ...] | None = None  # ends of the value, where the training had any
    high: tuple[float, ...] | None = None


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
    """Everything that a run needs to know of a policy beyond the network itself.

    Raises:
        ContradictionError: it contradicts itself; so no contract ever does.
    """

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
    def observation_sum(self) -> str:
        """How these numbers come together, for messages: joint_position 4x2 + last_action 4."""
        return " + ".join(f"{t.kind} {t.size}{f'x{t.history}' if t.history > 1 else ''}" for t in self.observation)

    @property
    def action_size(self) -> int:
        """Numbers that come out."""
        return len(self.action.joints)

    def columns(self, i: int, ago: int = 0) -> slice:
        """Where the observation holds its term `i`, as it was `ago` actions ago."""
        before, term = self.observation[:i], self.observation[i]
        sample = term.history - 1 - ago  # the oldest comes first
        if self.stacked:
            start = sample * sum(t.size for t in self.observation) + sum(t.size for t in before)
        else:
            start = sum(t.size * t.history for t in before) + sample * term.size
        return slice(start, start + term.size)

    def where(self, kind: str, ago: int = 0) -> slice:
        """Where the observation holds this as it is, neither scaled nor shifted nor clipped, `ago` actions ago.

        Raises:
            ContractError: nowhere.
        """
        for i, term in enumerate(self.observation):
            as_it_is = set(term.scale) == {1.0} and not any(term.offset) and term.clip is None
            if term.kind == kind and as_it_is and term.history > ago:
                return self.columns(i, ago)
        raise ContractError(f"the observation holds no {kind} as it is{f', {ago} actions ago' if ago else ''}")

    def __post_init__(self) -> None:
        """Check that it makes sense in itself."""
        if found := list(problems(self)):
            raise ContradictionError(found)


def problems(contract: Contract) -> Iterator[tuple[str, str]]:
    """What in a contract contradicts what: key, and what is wrong with it."""
    if not contract.observation:
        yield "observation", "expected at least one term"
    for i, term in enumerate(contract.observation):
        for key, problem in term_problems(term):
            yield f"observation.{i + 1}.{key}", problem
        if term.kind == "last_action" and term.size != contract.action_size:
            yield f"observation.{i + 1}.size", f"the action has {contract.action_size} numbers, found {term.size}"
        if term.kind in ("target", "target_error"):
            yield from ((f"observation.{i + 1}.{k}", p) for k, p in _of_target(term, contract.target))
    histories = sorted({term.history for term in contract.observation})
    if contract.stacked and len(histories) > 1:
        yield "stacked", f"the whole observation is stacked, so every term has the same history; found {histories}"
    yield from ((f"action.{k}", p) for k, p in action_problems(contract.action))
    if contract.target:
        yield from ((f"target.{k}", p) for k, p in target_problems(contract.target))
    if not (math.isfinite(contract.rate) and contract.rate > 0):
        yield "rate", f"expected a number above 0 (Hz), found {contract.rate}"


def term_problems(term: Term) -> Iterator[tuple[str, str]]:
    """What is wrong with a term by itself: key, problem."""
    if term.kind not in KINDS:
        yield "kind", f"expected one of {', '.join(KINDS)}, found '{term.kind}'"
        return
    sizes = {"tip_position": 3, "phase": 2}
    if term.kind in JOINT_KINDS:
        yield from _joints(term.joints)
        sizes[term.kind] = len(term.joints)
    elif term.joints:
        yield "joints", f"a {term.kind} has no joints of its own"
    if term.size != sizes.get(term.kind, term.size) or term.size < 1:
        yield "size", f"expected {sizes.get(term.kind, 'at least 1')}, found {term.size}"
    yield from _numbers("scale", term.scale, term.size)
    yield from _numbers("offset", term.offset, term.size)
    yield from _interval("clip", term.clip)
    if term.history < 1:
        yield "history", f"expected at least 1, found {term.history}"
    if (term.kind == "phase") != (term.period is not None):
        yield "period", "a phase has a period (s) and nothing else has"
    if term.period is not None and not (math.isfinite(term.period) and term.period > 0):
        yield "period", f"expected a number above 0 (s), found {term.period}"
    if term.kind == "constant" and (set(term.scale) != {1.0} or term.clip is not None):
        yield "scale", "a constant is its offset; it has neither scale nor clip"


def action_problems(action: Action) -> Iterator[tuple[str, str]]:
    """What is wrong with an action: key, problem."""
    if action.meaning not in MEANINGS:
        yield "meaning", f"expected one of {', '.join(MEANINGS)}, found '{action.meaning}'"
    yield from _joints(action.joints)
    for key in ("scale", "offset", "stiffness", "damping", "low", "high"):
        values: tuple[float, ...] | None = getattr(action, key)
        if values is not None:
            yield from _numbers(key, values, len(action.joints))
            if key in ("stiffness", "damping") and any(v < 0 for v in values):
                yield key, f"expected numbers of at least 0, found {list(values)}"
    yield from _interval("clip", action.clip)
    if action.low and action.high and any(a >= b for a, b in _pairs(action.low, action.high)):
        yield "low", f"the low end {list(action.low)} is not below the high end {list(action.high)}"
    if (action.stiffness is None) != (action.damping is None):
        yield "stiffness" if action.stiffness is None else "damping", "stiffness and damping go together"
    if action.delta_from not in ("command", "measured"):
        yield "delta_from", f"expected 'command' or 'measured', found '{action.delta_from}'"


def target_problems(target: Target) -> Iterator[tuple[str, str]]:
    """What is wrong with a target: key, problem."""
    if target.kind not in TARGETS:
        yield "kind", f"expected one of {', '.join(TARGETS)}, found '{target.kind}'"
        return
    if target.kind == "joint_position":
        yield from _joints(target.joints)
    elif target.joints:
        yield "joints", f"a {target.kind} target has no joints"
    size = {"tip_position": 3, "joint_position": len(target.joints)}.get(target.kind, target.size)
    if target.size != size or target.size < 1:
        yield "size", f"expected {size if size > 0 else 'at least 1'}, found {target.size}"
    for key in ("low", "high", "default"):
        values: tuple[float, ...] | None = getattr(target, key)
        if values is not None and (len(values) != target.size or not all(map(math.isfinite, values))):
            yield key, f"expected {target.size} finite numbers, found {list(values)}"
    low, high = target.low or (-math.inf,) * target.size, target.high or (math.inf,) * target.size
    if any(a > b for a, b in zip(low, high, strict=False)):
        yield "low", f"the low end {list(low)} is above the high end {list(high)}"
    elif any(not a <= v <= b for a, v, b in zip(low, target.default or (), high, strict=False)):
        yield "default", f"{list(target.default or ())} is outside the range of the target"


def _of_target(term: Term, target: Target | None) -> Iterator[tuple[str, str]]:
    if target is None:
        yield "kind", f"a {term.kind} needs a [target] that says what it is"
    elif term.size != target.size:
        yield "size", f"the target has {target.size} numbers, found {term.size}"
    elif term.kind == "target_error" and target.kind == "custom":
        yield "kind", "the error of a custom target is not known here: only the policy knows what it means"


def _pairs(low: tuple[float, ...], high: tuple[float, ...]) -> Iterator[tuple[float, float]]:
    """Ends of intervals, where each side is one for all or one an entry."""
    count = max(len(low), len(high))
    return zip(*(v if len(v) == count else v * count for v in (low, high)), strict=False)


def _joints(joints: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if not joints:
        yield "joints", "expected the names of its joints, in order"
    elif len(set(joints)) < len(joints):
        yield "joints", f"a joint is named twice: {', '.join(joints)}"


def _numbers(key: str, values: tuple[float, ...], size: int) -> Iterator[tuple[str, str]]:
    if len(values) not in (1, size):
        yield key, f"expected 1 or {size} numbers, found {len(values)}"
    elif not all(map(math.isfinite, values)):
        yield key, f"expected finite numbers, found {list(values)}"


def _interval(key: str, ends: tuple[float, float] | None) -> Iterator[tuple[str, str]]:
    if ends is not None and not -math.inf < ends[0] < ends[1] < math.inf:  # false for nan too
        yield key, f"expected [low, high], finite and in ascending order, found {list(ends)}"
