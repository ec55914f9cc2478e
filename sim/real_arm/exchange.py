"""Where a learner and the flight of its arm meet: observations one way, actions and targets the other."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robot_runtime.arrays import Floats
from robot_runtime.flying import Inputs, Request
from robot_runtime.operator_inputs import Operator

Action = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a learner is shown of the arm: copies, they stay as they are."""

    observation: npt.NDArray[np.float32]
    q: Floats  # rad, the whole arm, as measured
    dq: Floats  # rad/s
    changed: npt.NDArray[np.int64]  # commands that the envelope has changed since the flight began, by reason
    faults: tuple[str, ...] = ()  # what stopped the arm; empty while it flies


class Exchange:
    """Two threads take turns: one steps the environment, the other one flies the arm and is the loop's input source."""

    def __init__(self, target_size: int, patience: float | None, operator: Operator | None = None) -> None:
        """`patience`: s that a cycle waits for an action; None: until it comes, where time stands still meanwhile.

        `operator`: who else may stop the arm.
        """
        self._news = threading.Condition()
        self._patience, self._operator = patience, operator
        self._target: Floats = np.zeros(target_size)
        self._action: Action | None = None
        self._seen: Seen | None = None
        self._starts = self._ends = self._stopped = self._over = False
        self._error: Exception | None = None

    # -- the learner's side --------------------------------------------------------------------------------------------

    def act(self, action: Action, target: Floats) -> Seen:
        """Hand over an action and the target of the next observation; returns that."""
        with self._news:
            if not self._stopped:
                self._action, self._target, self._seen = action, target, None
                self._news.notify_all()
            return self._wait()

    def restart(self, target: Floats) -> Seen:
        """Have the arm brought to the start pose; returns the first observation there.

        Raises:
            What the flight raised, if it could not begin.
        """
        with self._news:
            if not self._stopped:
                self._starts, self._target, self._action, self._seen = True, target, None, None
                self._news.notify_all()
            return self._wait()

    def end(self) -> None:
        """No more actions: let the arm down."""
        with self._news:
            self._ends = True
            self._news.notify_all()

    def _wait(self) -> Seen:
        self._news.wait_for(lambda: self._seen is not None or self._over)
        if self._error is not None:
            raise self._error
        assert self._seen is not None, "a flight that is over has shown its end"
        return self._seen

    # -- the flight's side ---------------------------------------------------------------------------------------------

    @property
    def wants_start(self) -> bool:
        """Whether the learner wants the arm at the start pose, and it has not been brought there yet."""
        return self._starts

    def started(self) -> None:
        """The arm is at the start pose."""
        with self._news:
            self._starts = False

    def show(self, seen: Seen) -> None:
        """A step is over: this came of it."""
        with self._news:
            self._seen = seen
            self._stopped = bool(seen.faults)
            self._news.notify_all()

    def take(self, *, wait: bool) -> Action | None:
        """The action, if there is a new one; `wait` for it as long as patience lasts."""
        with self._news:
            if wait:
                self._news.wait_for(lambda: self._action is not None or self._starts or self._ends, self._patience)
            action, self._action = self._action, None
            return action

    def over(self, error: Exception | None) -> None:
        """The flight has ended, perhaps by an error that the learner should hear of."""
        with self._news:
            self._over, self._error = True, error
            self._news.notify_all()

    def sample(self, inputs: Inputs, now: float) -> None:
        """The target, and whether the flight should end."""
        inputs.target[:] = self._target
        inputs.target_stamp = now
        if self._ends:
            inputs.request |= Request.TARGETS_ENDED
        if self._operator is not None:
            self._operator.sample(inputs, now)

    def begin(self, now: float) -> None:
        """Nothing counts from here: targets come step by step."""
