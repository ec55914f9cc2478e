"""read_flight: a recorded flight as arrays, however it ended. What is damaged is left out, and said."""

from __future__ import annotations

import json
import mmap
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_runtime.flight.layout import TOPICS, CycleLayout, Shape
from robot_runtime.flight.mcap_records import Messages, NotMcapError, Records
from robot_runtime.flight.raw import Piece, unpack
from robot_runtime.spec import ArmSpec, load_arm

_CDR = 4
"""Bytes in front of a CDR message."""

_ONES = {q.name for quantities in TOPICS.values() for q in quantities if q.shape is Shape.ONE}
"""Quantities that are one number a cycle."""


class FlightError(ValueError):
    """A file that is no flight.

    Example scenarios:
        - It is no MCAP file, or one that something else has written.
        - It was torn so early that not even its beginning is there.
    """


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the log."""

    time: float  # s, the port's clock
    level: int  # `recorder.Level`
    name: str  # who says it
    text: str


@dataclass(eq=False)
class Flight:
    """A recorded flight."""

    path: Path
    layout: CycleLayout
    columns: Mapping[str, NDArray[Any]]
    """Quantity -> one row a cycle; see `layout.TOPICS`."""

    events: Sequence[Event]
    metadata: Mapping[str, Mapping[str, str]]
    attachments: Mapping[str, bytes]
    damage: Sequence[str]
    """What is wrong with the file, in words; empty: it is whole."""

    epoch_ns: int
    """ns since 1970 when the port's clock stood at zero."""

    unbroken: int
    """Cycles in front of the first hole that damage has torn; all, where there is none."""

    packed: Sequence[bytes] = field(repr=False, default=())

    def __len__(self) -> int:
        """Cycles."""
        return len(self.columns["cycle"])

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A quantity: an array of cycles, or of cycles x joints (entries).

        Raises:
            KeyError: no such quantity; says which there are.
        """
        try:
            return self.columns[name]
        except KeyError:
            raise KeyError(f"{self.path} has no '{name}'; it has {', '.join(self.columns)}") from None

    def __contains__(self, name: object) -> bool:
        """Whether this quantity is in it."""
        return name in self.columns

    @property
    def truncated(self) -> bool:
        """Whether something is missing."""
        return bool(self.damage)

    @property
    def lost(self) -> int:
        """Cycles that ran and are not in it, by the numbers of those that are."""
        gaps = np.diff(self["cycle"].astype(np.int64)) - 1 - self["skipped"][1:]
        return int(gaps[gaps > 0].sum())

    @property
    def verdict(self) -> Mapping[str, str] | None:
        """How the flight ended; None when nobody was left to say it."""
        return self.metadata.get("verdict")

    @cached_property
    def pieces(self) -> Sequence[Piece]:
        """What went over the port, for `ReplayPort`."""
        return [piece for data in self.packed for piece in unpack(data)]

    def extract(self, folder: Path) -> None:
        """Write the attachments into a folder: `load_arm(folder / "arm")` then gives the arm as it was."""
        for name, data in self.attachments.items():
            path = folder / name
            if path.resolve().is_relative_to(folder.resolve()):  # never anywhere else, whoever has written the file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)


@contextmanager
def unpacked_arm(flight: Flight) -> Iterator[ArmSpec]:
    """The arm as it was, with its files for as long as this lasts.

    Raises:
        ArmSpecError: the recording does not have it whole.
    """
    with tempfile.TemporaryDirectory() as folder:
        flight.extract(Path(folder))
        yield load_arm(Path(folder) / "arm")


def read_flight(path: Path) -> Flight:
    """Read a whole flight.

    Raises:
        FlightError: it is none.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise FlightError(f"{path}: empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                records = Records(data)
                messages = records.messages()
                return _flight(path, records, messages)
            except NotMcapError as error:
                raise FlightError(f"{path}: {error}") from error
            except FlightError:
                raise
            except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
                raise FlightError(f"{path}: what it says of itself is damaged ({error})") from error


def _flight(path: Path, records: Records, messages: Mapping[str, Messages]) -> Flight:
    metadata = records.metadata
    try:
        layout = CycleLayout.from_json(json.loads(metadata["layout"]["json"]))
    except KeyError as error:
        why = "; ".join(records.damage) or "another program has written it"
        raise FlightError(f"{path}: no flight, or its beginning is missing ({why})") from error
    none = Messages()
    sequence = np.array(messages.get("/timing", none).sequences)
    columns: dict[str, NDArray[Any]] = {}
    for topic in layout.topics:
        kind, written = layout.topic(topic), messages.get(f"/{topic}", none)
        if len(written.data) != len(written.ends) * (_CDR + kind.itemsize):
            version = json.loads(metadata.get("versions", {}).get("robot-runtime", "null")) or "another version"
            raise FlightError(
                f"{path}: its /{topic} is laid out otherwise than here: read it by {version}, which wrote it"
            )
        columns |= _columns(kind, written, sequence)
    epoch = int(metadata.get("clock", {}).get("epoch_ns", "0"))
    return Flight(
        path,
        layout,
        columns,
        list(_events(messages.get("/events", none), epoch)),
        metadata,
        records.attachments,
        records.damage,
        epoch,
        int(np.append(np.flatnonzero(sequence != np.arange(len(sequence))), len(sequence))[0]),
        [data[_CDR + 4 :] for data in messages.get("/raw", none)],
    )


def _columns(kind: np.dtype[Any], messages: Messages, rows: NDArray[np.int64]) -> Iterator[tuple[str, NDArray[Any]]]:
    """One topic's quantities for every row: what does not change is in the file but now and then."""
    table = np.frombuffer(messages.data, np.dtype([("cdr", f"V{_CDR}"), ("piece", kind)]))["piece"]
    written = np.array(messages.sequences)
    table = table[np.searchsorted(written, rows, side="right") - 1] if len(table) else np.zeros(len(rows), kind)
    for name in kind.names or ():
        column = table[name]
        yield name, column[:, 0] if name in _ONES else column


def _events(messages: Messages, epoch: int) -> Iterator[Event]:
    for log_time, text in zip(messages.log_times, messages, strict=True):
        data = json.loads(text)
        yield Event((log_time - epoch) * 1e-9, int(data["level"]), str(data["name"]), str(data["message"]))
