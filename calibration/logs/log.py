"""Log: what an arm did and was told, as arrays on the log's own clock. What calibration works on, whoever recorded it.

Arrays are samples x joints. A sample that must not be used is not taken out but marked in `valid`: time stays whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from robot_runtime.arrays import Flags, Floats

SAMPLED = ("command", "q", "dq", "duty", "current", "volts", "temperature", "torque_on", "valid")
"""Fields with one row a sample and one column a joint."""


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """One recording of one arm. A quantity that nobody logged is nan throughout."""

    name: str
    joints: tuple[str, ...]
    modes: tuple[str, ...]  # what each joint's command is, as in arm.toml
    time: Floats  # s, ascending, when the sample was taken
    sent: Floats  # s, when the row's command went out: in force from then on
    command: Floats  # rad, rad/s, N·m or duty (-1 to 1), as the mode says
    q: Floats  # rad, as the servo reported it
    dq: Floats  # rad/s, the servo's velocity register
    duty: Floats  # share of the supply voltage at the motor, in the joint's sense
    current: Floats  # A, in the joint's sense
    volts: Floats  # V at the servo
    temperature: Floats  # °C
    torque_on: Flags
    valid: Flags
    gains: tuple[Mapping[str, float], ...]  # a joint: gain registers by name
    load: float = 0.0  # kg known to hang at the tip, besides what the arm's files have
    source: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)  # whatever else the source says of it
    findings: tuple[str, ...] = ()  # what was wrong with it, in words

    def __len__(self) -> int:
        """Samples."""
        return len(self.time)

    @property
    def duration(self) -> float:
        """From the first sample to the last, s."""
        return float(self.time[-1] - self.time[0]) if len(self) else 0.0

    def select(self, joints: Sequence[str]) -> Log:
        """The same log of these joints only, in this order."""
        columns = [self.joints.index(name) for name in joints]
        return replace(
            self,
            joints=tuple(joints),
            modes=tuple(self.modes[i] for i in columns),
            gains=tuple(self.gains[i] for i in columns),
            **{name: getattr(self, name)[:, columns] for name in SAMPLED},
        )

    def cut(self, rows: slice | npt.NDArray[np.intp]) -> Log:
        """A piece of it; the clock goes on."""
        sampled: dict[str, Any] = {name: getattr(self, name)[rows] for name in SAMPLED}
        return replace(self, time=self.time[rows], sent=self.sent[rows], **sampled)

    def without(self, bad: Flags, finding: str) -> Log:
        """The same log with these samples (samples x joints) marked as unusable, and why."""
        return replace(self, valid=self.valid & ~bad, findings=(*self.findings, finding))


def make_log(
    name: str,
    joints: Sequence[str],
    modes: Sequence[str],
    time: npt.ArrayLike,
    q: npt.ArrayLike,
    command: npt.ArrayLike,
    *,
    sent: npt.ArrayLike | None = None,
    gains: Sequence[Mapping[str, float]] | None = None,
    load: float = 0.0,
    source: str = "",
    notes: Mapping[str, str] | None = None,
    findings: Sequence[str] = (),
    **sampled: npt.ArrayLike,
) -> Log:
    """A log of what there is: what is missing is nan, torque is on and all is valid unless `sampled` says more."""
    angles = np.asarray(q, dtype=float)
    columns: dict[str, npt.NDArray[Any]] = {"q": angles, "command": np.asarray(command, dtype=float)}
    for key in SAMPLED[2:]:
        flag = key in ("torque_on", "valid")
        value = sampled.pop(key, True if flag else np.nan)
        columns[key] = np.array(np.broadcast_to(np.asarray(value, dtype=bool if flag else float), angles.shape))
    if sampled:
        raise TypeError(f"not quantities of a log: {', '.join(sampled)}")
    clock = np.asarray(time, dtype=float)
    return Log(
        name=name,
        joints=tuple(joints),
        modes=tuple(modes),
        time=clock,
        sent=clock if sent is None else np.asarray(sent, dtype=float),
        gains=tuple(gains or ({} for _ in joints)),
        load=load,
        source=source,
        notes=notes or {},
        findings=tuple(findings),
        **columns,
    )
