"""Where the readings of `robot-setup zero` come from: an arm that is moved by hand, or captures that were kept."""

from __future__ import annotations

import json
import math
import select
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.live import Live
from rich.table import Table

from robot_runtime.bus import Bus, MissingServosError
from robot_runtime.cli.common import Screen, UsageError
from robot_runtime.setup.errors import RefusedError
from robot_runtime.setup.positions import PositionReader
from robot_runtime.setup.zero import Capture, Zeroing
from robot_runtime.spec import ArmSpec

_PERIOD = 0.04
"""s between two readings: hands are slow."""

_SILENCE = 25
"""Readings in a row without any answer that mean that the arm is gone."""

_MOST_TICKS = 1 << 31
"""A position register has 4 bytes."""

_KIND, _VERSION = "robot-setup zero log", 1

Sample = tuple[float, list[int | None]]


class LiveHand:
    """The arm itself; Enter, or the time that was given, ends a capture."""

    def __init__(
        self,
        bus: Bus,
        spec: ArmSpec,
        homing: Mapping[str, int],
        hints: Mapping[str, str],
        screen: Screen,
        seconds: float | None,
        log: CaptureLog | None,
    ) -> None:
        """`hints`: what each joint's positive direction looks like.

        Raises:
            RefusedError: captures would end with Enter, and nobody is there.
        """
        if seconds is None and not screen.interactive:
            raise RefusedError(
                "would wait: move the arm, press Enter; a script says how long each capture lasts (--seconds S) or "
                "brings kept ones (--from-log FILE)"
            )
        self.homing = homing
        self.repeats = seconds is None
        self._bus, self._spec, self._hints, self._screen = bus, spec, hints, screen
        self._seconds, self._log = seconds, log
        self._reader = PositionReader(bus, spec.servos)

    def samples(self, capture: Capture, zeroing: Zeroing) -> Iterator[Sample]:
        """Readings until the capture is over.

        Raises:
            MissingServosError: the arm does not answer any more.
        """
        port = self._bus.port
        self._screen.aside(self._instruction(capture, zeroing))
        if self._log is not None:
            self._log.begin(capture.label(self._spec))
        silent = 0
        end = math.inf if self._seconds is None else port.now() + self._seconds
        shown = not self._screen.as_json and self._screen.err.is_terminal
        with Live(console=self._screen.err, transient=True, auto_refresh=False) as live:
            while port.now() < end and not (self._seconds is None and _enter_pressed()):
                next_time = port.now() + _PERIOD
                ticks = self._reader.read()
                silent = 0 if any(value is not None for value in ticks) else silent + 1
                if silent > _SILENCE:
                    raise MissingServosError(self._spec.servo_ids, "the arm does not answer any more; check its power")
                if self._log is not None:
                    self._log.add(port.now(), ticks)
                yield port.now(), ticks
                if shown:
                    live.update(live_table(zeroing, capture), refresh=True)
                port.sleep_until(next_time)

    def _instruction(self, capture: Capture, zeroing: Zeroing) -> str:
        end = "then press Enter" if self._seconds is None else f"within {self._seconds:g} s"
        if capture.joint is not None:
            name = self._spec.joints[capture.joint].name
            return f"Move '{name}' in its positive direction, {end}. From '{zeroing.pose_name}': {self._hints[name]}."
        chosen = dict.fromkeys(zeroing.servos[i].name for i in zeroing.chosen)
        names = ", ".join(chosen)
        if capture.kind == "stops":
            return f"Move {names} to both hard stops, {end}."
        pose = ", ".join(f"{name} {zeroing.pose[name]:g}" for name in chosen)
        return f"Hold the arm still in the pose '{zeroing.pose_name}' ({pose} rad), {end}."


class CaptureLog:
    """Keeps what was captured, one JSON object a line."""

    def __init__(self, path: Path, spec: ArmSpec, homing: Mapping[str, int]) -> None:
        """Start the file.

        Raises:
            UsageError: it exists already.
            OSError: it cannot be written.
        """
        self._path = path
        head = {"kind": _KIND, "version": _VERSION, "joints": _labels(spec), "homing_offset": dict(homing)}
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(json.dumps(head) + "\n")
        except FileExistsError as error:
            raise UsageError(f"{path} exists already and would be lost; name another with --save-log") from error

    def begin(self, label: str) -> None:
        """A capture starts."""
        self._line({"capture": label})

    def add(self, time: float, ticks: list[int | None]) -> None:
        """One reading."""
        self._line({"t": round(time, 4), "ticks": ticks})

    def _line(self, entry: Mapping[str, object]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


class LogHand:
    """Captures that were kept. A capture that is there twice was repeated: the last one counts."""

    repeats = False

    def __init__(self, path: Path, spec: ArmSpec) -> None:
        """Read the file.

        Raises:
            UsageError: it is not such a file, or of another arm.
            OSError: it cannot be read.
        """
        self._path, self._spec = path, spec
        self._captures: dict[str, list[Sample]] = {}
        try:
            lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            head, entries = lines[0], lines[1:]
            known = head["kind"] == _KIND and head["version"] == _VERSION
            joints = list(head["joints"])
            self.homing: Mapping[str, int] = {name: _ticks(head["homing_offset"][name]) for name in joints}
            label = ""
            for entry in entries:
                if "capture" in entry:
                    label = entry["capture"]
                    self._captures[label] = []
                else:
                    self._captures[label].append(_sample(entry, len(joints)))
        except (ValueError, KeyError, IndexError, TypeError, OverflowError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else error
            raise UsageError(f"{path} is not a log of robot-setup zero, or is damaged: {what}") from error
        if not known or joints != _labels(spec):
            raise UsageError(f"{path} holds no captures of this arm's joints, {', '.join(spec.joint_names)}")

    def samples(self, capture: Capture, _: Zeroing) -> Iterator[Sample]:
        """The readings of one capture. Raises UsageError when the log has none."""
        label = capture.label(self._spec)
        if not self._captures.get(label):
            raise UsageError(f"{self._path} holds no capture '{label}'; it holds {', '.join(self._captures)}")
        yield from self._captures[label]


def _labels(spec: ArmSpec) -> list[str]:
    return [joint.servo_label for joint in spec.servos]


def _enter_pressed() -> bool:
    if not select.select([sys.stdin], [], [], 0)[0]:
        return False
    if not sys.stdin.readline():
        raise RefusedError("no answer: the input has ended")
    return True


def _ticks(value: object) -> int:
    if type(value) is not int or abs(value) > _MOST_TICKS:
        raise TypeError(f"{value!r} is no number of ticks")
    return value


def _sample(entry: Mapping[str, Any], joints: int) -> Sample:
    """One reading of a log. Raises KeyError, TypeError or ValueError."""
    time, ticks = float(entry["t"]), [None if value is None else _ticks(value) for value in entry["ticks"]]
    if not math.isfinite(time) or len(ticks) != joints:
        raise ValueError(f"a reading has the time {time} and {len(ticks)} of {joints} positions")
    return time, ticks


def live_table(zeroing: Zeroing, capture: Capture) -> Table:
    """Every servo as it is now; angles by the arm file's zero until the new one is settled."""
    table = Table(box=box.SIMPLE, pad_edge=False)
    for head in ("", "joint", "ID", "ticks", "angle, rad", "moved, degrees", "ticks go", "sign"):
        table.add_column(head, justify="left" if head in ("", "joint", "ticks go") else "right")
    for i, (joint, track) in enumerate(zip(zeroing.servos, zeroing.tracks, strict=True)):
        if not track.seen:
            table.add_row("", joint.servo_label, str(joint.servo_id), "no answer", "", "", "", "")
            continue
        turn = joint.servo.ticks_per_turn
        up, down = track.high - track.start, track.start - track.low
        degrees = 360 / turn / joint.gear
        wanted = i in zeroing.chosen if capture.joint is None else zeroing.spec.turned_by[i] == capture.joint
        table.add_row(
            ">" if wanted else "",
            joint.servo_label,
            str(joint.servo_id),
            str(track.now % turn),
            f"{joint.angle(track.now % turn):.3f}",
            f"-{down * degrees:.0f} +{up * degrees:.0f}",
            "still" if track.rests else "up" if up > down else "down",
            f"{zeroing.signs[i]:+d}" if i in zeroing.signs else "",
        )
    return table
