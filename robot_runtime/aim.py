"""Aim: how near the tip comes to where it is sent, by what the servos measure and the arm's model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from robot_runtime.arm.kinematics import Kinematics
from robot_runtime.arrays import Floats
from robot_runtime.flying import Phase
from robot_runtime.policy.contract import Contract
from robot_runtime.spec import ArmSpec

if TYPE_CHECKING:
    from robot_runtime.loop import Loop

HELD = 1.0
"""s: a target that stays so long is a place to be, and told of; one that goes on sooner is a point of a path."""

_LISTED = 8
"""Targets whose distances are told one by one."""

_MOST = 1000
"""Targets that are remembered, the first ones: a flight may last for days."""


@dataclass(frozen=True, slots=True)
class Reached:
    """How a target ended: another came, or the policy's part was over."""

    target: tuple[float, ...]  # m, base frame
    seconds: float  # that it was the target
    distance: float  # m, from the tip at its end

    @property
    def text(self) -> str:
        """For people."""
        place = " ".join(f"{x:+.3f}" for x in self.target)
        return f"tip {millimetres(self.distance)} from target {place} after {self.seconds:.1f} s"


class Aim:
    """Looks at the end of every cycle (`Loop(every_cycle=...)`): under 1 µs, and one computation of the tip a target.

    It has a model of its own: nothing that it does can change a command.
    """

    def __init__(self, spec: ArmSpec, tell: Callable[[str], None] = lambda _: None) -> None:
        """`tell`: hears of every target that was held, when it has ended."""
        self._kinematics = Kinematics(spec)
        self.tell = tell
        self.reached: list[Reached] = []
        self._target: Floats = np.zeros(3)
        self._bits = b""  # of the target; empty: none is flown to
        self._since = 0.0

    @classmethod
    def of(cls, spec: ArmSpec, contract: Contract) -> Aim | None:
        """For a policy whose targets are positions of the tip; None: they are something else."""
        return cls(spec) if contract.target is not None and contract.target.kind == "tip_position" else None

    def distance(self, q: Floats, target: Floats) -> float:
        """m, from the tip of an arm at `q` (rad) to a target."""
        return math.dist(self._kinematics.tip_position(q), target)

    def __call__(self, loop: Loop) -> None:
        """Note this cycle."""
        runs = loop.phase is Phase.RUN
        bits = loop.inputs.target.tobytes() if runs else b""
        if bits == self._bits:
            return
        if self._bits:
            self._end(loop, last=not runs)
        self._target[:] = loop.inputs.target
        self._bits, self._since = bits, loop.pacer.due

    def _end(self, loop: Loop, *, last: bool) -> None:
        seconds = loop.pacer.due - self._since
        if (seconds < HELD and not last) or len(self.reached) >= _MOST:
            return
        far = self.distance(loop.arm.state.q, self._target)
        self.reached.append(Reached(tuple(self._target.tolist()), seconds, far))
        self.tell(self.reached[-1].text)

    def as_json(self) -> list[dict[str, Any]]:
        """For the verdict."""
        return [{"target": list(r.target), "seconds": r.seconds, "distance": r.distance} for r in self.reached]


def millimetres(metres: float) -> str:
    """A distance as people read it."""
    return f"{metres * 1e3:.1f} mm" if metres < 0.1 else f"{metres * 1e3:.0f} mm"


def in_a_word(reached: Sequence[Mapping[str, Any]]) -> str:
    """A verdict's targets in one line; '' where there were none."""
    far = [r["distance"] for r in reached]
    if len(far) > _LISTED:
        middle, most = (millimetres(float(x)) for x in (np.median(far), max(far)))
        return f"the tip ended {middle} from its {len(far)} targets in the median, {most} at worst"
    told = ", ".join(map(millimetres, far))
    return f"the tip ended {told} from its target{'s' if len(far) > 1 else ''}" if told else ""
