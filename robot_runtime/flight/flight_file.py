"""FlightFile: frames from the loop, as an MCAP file. Only the writer's process imports this."""

from __future__ import annotations

import json
import os
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mcap.writer import CompressionType, Writer

from robot_runtime.flight.layout import CycleLayout
from robot_runtime.flight.recorder import Level

CDR = b"\x00\x01\x00\x00"
"""In front of a CDR message: little endian, plain."""

_REPEAT = 100_000_000
"""ns: a topic that does not change is written again after this, so that plots show a line and not two points."""

_POSE_EVERY = 40_000_000
"""ns between messages for Foxglove's 3D view."""

_CHUNK = 1 << 30
"""Bytes: no chunk ends by itself, `flush` ends it; so what a cycle wrote is in the file whole or not at all."""

_TIME = {"type": "object", "properties": {"sec": {"type": "integer"}, "nsec": {"type": "integer"}}}

LOG_SCHEMA = {
    "title": "foxglove.Log",
    "type": "object",
    "properties": {
        "timestamp": _TIME,
        "level": {"type": "integer", "description": "1 debug, 2 info, 3 warning, 4 error, 5 fatal"},
        "message": {"type": "string"},
        "name": {"type": "string"},
        "file": {"type": "string"},
        "line": {"type": "integer"},
    },
}
POSE_SCHEMA = {
    "title": "foxglove.JointStates",
    "type": "object",
    "properties": {
        "timestamp": _TIME,
        "joints": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "position": {"type": "number"},
                    "velocity": {"type": "number"},
                    "effort": {"type": "number"},
                },
            },
        },
    },
}
_MEDIA = {".toml": "application/toml", ".xml": "application/xml", ".json": "application/json"}


class _Stream:
    """What the MCAP writer writes to: everything up to a flush goes out in one piece, or not at all."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waiting = bytearray()
        self._out = 0  # bytes that are safely in the file

    def write(self, data: bytes) -> int:
        self._waiting += data
        return len(data)

    def tell(self) -> int:
        return self._out + len(self._waiting)

    def flush(self) -> None:
        sent = 0
        try:
            while sent < len(self._waiting):
                sent += os.write(self._fd, memoryview(self._waiting)[sent:])
        except OSError:
            os.ftruncate(self._fd, self._out)  # half a chunk is of no use, and its room may be
            raise
        self._out += sent
        self._waiting.clear()


@dataclass(slots=True)
class _Channel:
    """A topic of the row."""

    number: int
    where: slice
    always: bool  # a topic whose every message counts, changed or not
    last: bytes = b""
    written: int = 0  # ns


class FlightFile:
    """A flight in MCAP. Methods raise OSError when the file cannot be written."""

    def __init__(self, fd: int) -> None:
        """Begin a file that is open for writing and empty."""
        self._stream = _Stream(fd)
        self._mcap = Writer(self._stream, _CHUNK, CompressionType.ZSTD)  # type: ignore[arg-type]
        self._mcap.start(library="robot-runtime")
        self._layout: CycleLayout | None = None
        self._channels: list[_Channel] = []
        self._rows = 0
        self._begin = 0
        self._raw: list[bytes] = []
        self._posed = 0
        self._clock = time.time_ns() - time.monotonic_ns()
        self._log = self._json_channel("/events", LOG_SCHEMA)
        self._pose = self._json_channel("/joint_states", POSE_SCHEMA)
        schema = self._mcap.register_schema("robot_flight/msg/Bytes", "ros2msg", b"uint8[] data\n")
        self._raw_channel = self._mcap.register_channel("/raw", "cdr", schema)
        self._now = time.time_ns()

    def metadata(self, name: str, data: Mapping[str, str]) -> None:
        """Keys and texts. `layout` says how rows look, `clock` what time it was when the port's clock stood at zero."""
        if name == "layout":
            self._begin_rows(CycleLayout.from_json(json.loads(data["json"])))
        if name == "clock":
            self._clock = int(data["epoch_ns"])
        self._mcap.add_metadata(name, dict(data))

    def attachment(self, name: str, path: Path) -> None:
        """A whole file; one that cannot be read becomes an event."""
        try:
            data = path.read_bytes()
            changed = int(path.stat().st_mtime * 1e9)
        except OSError as error:
            self.event(Level.ERROR, "recorder", f"not in this file: {name}: {error}", None)
            return
        media = _MEDIA.get(path.suffix, "application/octet-stream")
        self._mcap.add_attachment(changed, time.time_ns(), name, media, data)

    def event(self, level: int, name: str, text: str, at: float | None) -> None:
        """Something worth a line in the log; `at`: s, the port's clock."""
        now = time.time_ns() if at is None else self._epoch(at)
        data = {"timestamp": _stamp(now), "level": level, "message": text, "name": name, "file": "", "line": 0}
        self._mcap.add_message(self._log, now, json.dumps(data, ensure_ascii=False).encode(), now)

    def raw(self, data: bytes) -> None:
        """What went over the port; written in few large messages."""
        self._raw.append(data)

    def row(self, row: bytes) -> None:
        """One cycle: every topic that has changed, or was not written for long."""
        self._now = now = self._epoch(struct.unpack_from("<d", row, self._begin)[0])
        for channel in self._channels:
            piece = row[channel.where]
            if channel.always or piece != channel.last or now - channel.written > _REPEAT:
                channel.last, channel.written = piece, now
                self._mcap.add_message(channel.number, now, CDR + piece, now, self._rows)
        if now - self._posed > _POSE_EVERY:
            self._posed = now
            self._write_pose(row, now)
        self._rows += 1

    def flush(self) -> None:
        """All that was given so far goes to the operating system: it is safe from anything but a loss of power."""
        if self._raw:
            data = b"".join(self._raw)
            self._raw.clear()
            prefix = CDR + struct.pack("<I", len(data))
            self._mcap.add_message(self._raw_channel, self._now, prefix + data, self._now)
        self._mcap.flush()  # type: ignore[no-untyped-call]

    def finish(self) -> None:
        """The file's index; nothing comes after it."""
        self.flush()
        self._mcap.finish()  # type: ignore[no-untyped-call]
        self._stream.flush()

    def _begin_rows(self, layout: CycleLayout) -> None:
        self._layout = layout
        self._begin = layout.offset("begin")
        for topic, where in layout.topics.items():
            name, text = layout.schema(topic)
            schema = self._mcap.register_schema(name, "ros2msg", text)
            number = self._mcap.register_channel(f"/{topic}", "cdr", schema)
            self._channels.append(_Channel(number, where, topic == "timing"))

    def _json_channel(self, topic: str, schema: Mapping[str, Any]) -> int:
        number = self._mcap.register_schema(str(schema["title"]), "jsonschema", json.dumps(schema).encode())
        return self._mcap.register_channel(topic, "json", number)

    def _write_pose(self, row: bytes, now: int) -> None:
        assert self._layout is not None
        values = np.frombuffer(row, self._layout.dtype)[0]
        rows = zip(self._layout.joints, *(values[name].tolist() for name in ("q", "dq", "tau")), strict=True)
        joints = [{"name": j, "position": q, "velocity": dq, "effort": tau} for j, q, dq, tau in rows]
        data = json.dumps({"timestamp": _stamp(now), "joints": joints}).encode()
        self._mcap.add_message(self._pose, now, data, now, self._rows)

    def _epoch(self, at: float) -> int:
        """Nanoseconds since 1970 of a time of the port's clock (s)."""
        return max(self._clock + round(at * 1e9), 0)


def _stamp(nanoseconds: int) -> dict[str, int]:
    return {"sec": nanoseconds // 1_000_000_000, "nsec": nanoseconds % 1_000_000_000}
