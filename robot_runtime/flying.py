"""The words that loop, policy, safety and recorder share: what comes in each cycle, and who wants the arm to move."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Protocol

import numpy as np

from robot_runtime.arm import JointState
from robot_runtime.arrays import Floats


class Phase(IntEnum):
    """Where a flight is."""

    PREFLIGHT = 0
    START = 1  # softly to the policy's start pose
    RUN = 2
    STOP = 3  # something ended it; what, the faults say
    ENDED = 4  # torque is off


class Request(IntFlag):
    """What somebody or something outside the loop wants it to know."""

    CTRL_C = 1
    SIGTERM = 2
    SIGHUP = 4
    SPACE = 8
    ESTOP = 16
    PARENT_GONE = 32
    DISK_FULL = 64
    RECORDER_FAILED = 128
    RECORDER_BEHIND = 256
    TARGETS_ENDED = 512
    LET_GO = 1024  # asked to stop for the second time: torque off now


class SourceFlag(IntFlag):
    """What is wrong with what a source of motion says."""

    NOT_FINITE = 1  # nothing usable was said
    FROZEN = 2  # the same output for long, while the input moved
    OUT_OF_DISTRIBUTION = 4  # the calibration does not know this place
    OBSERVATION_MAP = 8  # the calibration's map made no number of numbers
    TORQUE_MAP = 16
    GOAL_MAP = 32


@dataclass(slots=True, eq=False)
class Inputs:
    """What comes from outside besides the arm, sampled once a cycle; with the bytes of the bus it makes a replay."""

    target_size: int
    request: int = 0  # bits of Request
    target: Floats = field(init=False)
    target_stamp: float = -np.inf  # s, the port's clock; -inf: none was ever given

    def __post_init__(self) -> None:
        """Allocate."""
        self.target = np.zeros(self.target_size)


class InputSource(Protocol):
    """Where inputs come from: operator and target source, or a recorded flight."""

    def sample(self, inputs: Inputs, now: float) -> None:
        """Update `inputs`; `now` is the port's clock (s)."""
        ...

    def begin(self, now: float) -> None:
        """The source of motion is in charge from now on: times in files of targets count from here."""
        ...


class Source(Protocol):
    """Who wants the arm to move while it runs: a frozen policy, or a program that steps the arm by itself."""

    start_pose: Floats
    """rad: where the soft start goes."""

    period: float
    """s, how often it acts: a whole multiple of the bus period."""

    def follow(self, sent: Floats) -> None:
        """Said once, before the first cycle: `sent` is a live array of what was sent last, in the unit of each joint's
        mode; nan before the first.
        """
        ...

    def reset(self, state: JointState, now: float) -> None:
        """Begin anew, from this state."""
        ...

    def intend(self, state: JointState, target: Floats, now: float, acts: bool, values: Floats) -> int:
        """What every joint should do, into `values`, in the unit of its mode; returns bits of SourceFlag.

        `acts`: this cycle is one of its own; in the others it goes on with what it wanted (a torque is held, a
        position interpolated).
        """
        ...
