"""CycleLayout: what one cycle of a flight is in memory, and what each piece of it is called in the file.

One row a cycle, one piece of the row a topic. A piece is laid out as CDR lays out a ROS 2 message, so the bytes that
the loop wrote go into the file as they are: exact, nothing is converted, and Foxglove, PlotJuggler and others plot them
by the names of the joints.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

_PACKAGE = "robot_flight"
_SEPARATOR = "=" * 80


class Shape(StrEnum):
    """How many numbers a quantity is."""

    ONE = "one"
    JOINT = "joint"  # one a joint
    OBSERVATION = "observation"
    ACTION = "action"
    TARGET = "target"


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something that is recorded every cycle."""

    name: str
    kind: str  # numpy's code; larger ones come first in a topic, so that each is aligned as CDR wants it
    shape: Shape
    unit: str


def _each(shape: Shape, *entries: tuple[str, str, str]) -> tuple[Quantity, ...]:
    return tuple(Quantity(name, kind, shape, unit) for name, kind, unit in entries)


TOPICS: Mapping[str, tuple[Quantity, ...]] = {
    "joint_state": _each(
        Shape.JOINT,
        ("q", "f8", "rad"),
        ("dq", "f8", "rad/s"),
        ("tau", "f8", "N·m"),
        ("stamp", "f8", "s"),
        ("fresh", "?", ""),
        ("alert", "?", ""),
        ("jumped", "?", ""),
        ("restarted", "?", ""),
        ("watchdog_tripped", "?", ""),
        ("split", "?", ""),
    ),
    "health": _each(
        Shape.JOINT,
        ("voltage", "f8", "V"),
        ("temperature", "f8", "°C"),
        ("health_stamp", "f8", "s"),
        ("hardware_error", "i8", "bits of the servo's Hardware Error Status; -1 not read"),
        ("torque_on", "?", ""),
        ("halved", "?", ""),
    ),
    "target": (
        *_each(Shape.TARGET, ("target", "f8", "as the policy's contract says")),
        *_each(Shape.ONE, ("target_stamp", "f8", "s")),
    ),
    "mapped_state": _each(
        Shape.JOINT,
        ("mapped_q", "f8", "rad, as the simulator would have sensed it"),
        ("mapped_dq", "f8", "rad/s"),
    ),
    "observation": _each(Shape.OBSERVATION, ("observation", "f4", "what the network was given")),
    "action": _each(Shape.ACTION, ("action", "f4", "what it said")),
    "intent": _each(
        Shape.JOINT,
        ("unmapped", "f8", "what the policy wants: N·m before the torque map, or as intent"),
        ("intent", "f8", "what is wanted, in the unit of the joint's mode"),
    ),
    "command": (
        *_each(Shape.JOINT, ("command", "f8", "what was let through, in the unit of the joint's mode")),
        *_each(Shape.JOINT, ("hold", "f8", "rad, where held joints are kept")),
    ),
    "interventions": _each(Shape.JOINT, ("interventions", "u2", "bits of the reasons")),
    "timing": _each(
        Shape.ONE,
        ("due", "f8", "s, when the cycle should have begun"),
        ("begin", "f8", "s, when it began"),
        ("read", "f8", "s, when the arm had been read"),
        ("acted", "f8", "s, when it was known what is wanted"),
        ("limited", "f8", "s, when that had passed the envelope"),
        ("written", "f8", "s, when the command was out"),
        ("lateness", "f8", "s"),
        ("cycle", "u8", "number since the loop began"),
        ("request", "u4", "bits of Request"),
        ("missing", "u4", "joints that did not answer, one bit each"),
        ("source_flags", "u4", "bits of SourceFlag"),
        ("skipped", "u4", "cycles left out before this one"),
        ("phase", "u1", "number of Phase"),
        ("stop", "u1", "class of stop"),
        ("acts", "?", "the policy acted in this cycle"),
    ),
}
"""Topic -> quantities. Times are the port's clock. `timing` is last: a cycle counts when its timing was written."""

_ROS = {"f8": "float64", "f4": "float32", "i8": "int64", "u8": "uint64", "u4": "uint32", "u2": "uint16"}
_ROS |= {"u1": "uint8", "?": "bool"}

_STRUCT = {"f8": "d", "f4": "f", "i8": "q", "u8": "Q", "u4": "I", "u2": "H", "u1": "B", "?": "?"}


@dataclass(frozen=True, slots=True)
class CycleLayout:
    """The sizes of one flight's rows, and the words for its numbers."""

    joints: tuple[str, ...]
    modes: tuple[str, ...]
    """Of each joint: what its command is (`Mode` of the arm file)."""

    observation: int = 0
    action: int = 0
    target: int = 0
    reasons: tuple[str, ...] = ()
    """Names of the bits of `interventions`, the lowest first."""

    dtype: np.dtype[Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compute the row."""
        object.__setattr__(self, "dtype", self._row())

    def count(self, shape: Shape) -> int:
        """Numbers of a quantity of this shape."""
        match shape:
            case Shape.ONE:
                return 1
            case Shape.JOINT:
                return len(self.joints)
            case Shape.OBSERVATION:
                return self.observation
            case Shape.ACTION:
                return self.action
            case Shape.TARGET:
                return self.target

    def topic(self, name: str) -> np.dtype[Any]:
        """One topic's piece of the row, without the room behind it."""
        fields = [(q.name, q.kind, (n,)) for q in TOPICS[name] if (n := self.count(q.shape))]
        return np.dtype(fields)

    @property
    def topics(self) -> dict[str, slice]:
        """Where in the row's bytes each topic is; topics without numbers are left out."""
        found, at = {}, 0
        for name in TOPICS:
            if size := self.topic(name).itemsize:
                found[name] = slice(at, at + size)
                at += (size + 7) & ~7
        return found

    def views(self, row: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The quantities of one row by name: live arrays, scalars as arrays of one."""
        return {q.name: row[q.name][0] for quantities in TOPICS.values() for q in quantities if q.name in self.names}

    def packer(self, topic: str, row: memoryview) -> Callable[..., None]:
        """Writes all quantities of a topic into the bytes of a row, in the order of TOPICS; each must be one number."""
        codes = "".join(_STRUCT[q.kind] for q in TOPICS[topic])
        return partial(struct.Struct("<" + codes).pack_into, row, self.topics[topic].start)

    @property
    def names(self) -> tuple[str, ...]:
        """Quantities of a row."""
        return self.dtype.names or ()

    def offset(self, name: str) -> int:
        """Where in the row's bytes a quantity begins."""
        assert self.dtype.fields is not None
        return self.dtype.fields[name][1]

    def schema(self, topic: str) -> tuple[str, bytes]:
        """Name and text of a topic's ROS 2 message: a joint's number is a field with the joint's name."""
        lines, kinds = [], []
        for q in TOPICS[topic]:
            ros, count = _ROS[q.kind], self.count(q.shape)
            comment = f"  # {q.unit}" if q.unit else ""
            if q.shape is Shape.JOINT:
                kinds.append(ros)
                lines.append(f"{_PACKAGE}/Joints{ros.capitalize()} {q.name}{comment}")
            elif count:
                lines.append(f"{ros}{'' if q.shape is Shape.ONE else f'[{count}]'} {q.name}{comment}")
        for ros in dict.fromkeys(kinds):
            lines += [_SEPARATOR, f"MSG: {_PACKAGE}/Joints{ros.capitalize()}"]
            lines += [f"{ros} {name}" for name in _field_names(self.joints)]
        kind = "".join(word.capitalize() for word in topic.split("_"))
        return f"{_PACKAGE}/msg/{kind}", ("\n".join(lines) + "\n").encode()

    def as_json(self) -> dict[str, Any]:
        """For the file and for the writer; `from_json` takes it."""
        return {
            "joints": list(self.joints),
            "modes": list(self.modes),
            "observation": self.observation,
            "action": self.action,
            "target": self.target,
            "reasons": list(self.reasons),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `as_json` gave. Raises KeyError when something is missing."""
        return cls(
            tuple(data["joints"]),
            tuple(data["modes"]),
            int(data["observation"]),
            int(data["action"]),
            int(data["target"]),
            tuple(data["reasons"]),
        )

    def _row(self) -> np.dtype[Any]:
        names, formats, offsets = [], [], []
        end = 0
        for topic, where in self.topics.items():
            piece = self.topic(topic)
            for name in piece.names or ():
                assert piece.fields is not None
                kind, offset = piece.fields[name][:2]
                names.append(name)
                formats.append(kind)
                offsets.append(where.start + offset)
            end = (where.stop + 7) & ~7
        return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": end})


def _field_names(joints: tuple[str, ...]) -> tuple[str, ...]:
    """Joint names as ROS 2 takes them for fields: lower case, no two the same."""
    found: list[str] = []
    for i, joint in enumerate(joints):
        name = re.sub(r"[^a-z0-9]+", "_", joint.lower()).strip("_")
        if not name or not name[0].isalpha() or name in found:
            name = f"joint_{i}_{name}".rstrip("_")
        found.append(name)
    return tuple(found)
