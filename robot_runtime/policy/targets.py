"""Where targets come from: fixed numbers, a file, lines on a descriptor, or a program. Each writes into `Inputs`.

A target that cannot be (wrong size, not finite, outside the range that the policy was trained for) is refused: with an
error where it is known before the flight, else it is ignored, counted, and the first of each kind is told.
"""

from __future__ import annotations

import csv
import json
import math
import os
import select
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from robot_runtime.flying import Inputs, Request
from robot_runtime.policy.contract import Target
from robot_runtime.policy.errors import TargetError

Numbers = tuple[float, ...]

_CHUNK = 1 << 16
"""Bytes taken from a stream in one cycle at most, and the longest line."""

_SHOWN = 80
"""Characters of what cannot be a target, in messages."""

_LINES = 16
"""Lines read in one cycle at most, the newest: a sender faster than the loop must not slow it down."""


def checked(values: Any, target: Target) -> Numbers:
    """The numbers of a target.

    Raises:
        TargetError: they are not numbers, too few or many, not finite, or outside the target's range.
    """
    if not isinstance(values, Sequence) or not all(map(_is_number, values)):
        raise TargetFormError(f"expected {target.size} numbers, found {_shown(values)}")
    if len(values) != target.size:
        raise TargetFormError(f"expected {target.size} numbers ({_what(target)}), found {len(values)}")
    if not all(map(_is_finite, values)):
        raise TargetFiniteError(f"expected finite numbers, found {_shown(values)}")
    numbers = tuple(float(v) for v in values)
    low, high = target.low or (-math.inf,) * target.size, target.high or (math.inf,) * target.size
    for i, (a, v, b) in enumerate(zip(low, numbers, high, strict=True)):
        if not a <= v <= b:
            raise TargetRangeError(f"number {i + 1} ({v:g}) is outside {a:g} to {b:g}, the range of the training")
    return numbers


def target_source(text: str | None, target: Target | None, *, last_holds: bool = False) -> TargetSource:
    """What `--target TEXT` means: numbers (`0.2,0,0.1`), a file (.csv, .jsonl), or `-` for lines on standard input.

    `last_holds`: the end of the targets does not end the flight.

    Raises:
        TargetError: it is none of these, the policy takes no target, or it wants one and there is none.
    """
    if target is None:
        if text is not None:
            raise TargetError("this policy takes no target; leave --target out")
        return TargetSource(None)
    if text is None:
        if target.default is None:
            raise TargetError(f"this policy wants a target: --target {','.join(['N'] * target.size)} ({_what(target)})")
        return FixedTarget(target.default, target)
    if text == "-":
        if sys.stdin is None or sys.stdin.closed:
            raise TargetError("--target -: standard input is closed; feed targets into it, or name a file")
        return StreamTarget(sys.stdin.fileno(), target)
    path = Path(text)
    if path.suffix in (".csv", ".jsonl"):
        return FileTarget(path, target, last_holds=last_holds)
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise TargetError(
            f"--target {text}: expected numbers, a .csv or .jsonl file, or - ({_what(target)})"
        ) from error
    return FixedTarget(values, target)


class TargetFormError(TargetError):
    """No numbers, or too few or many."""


class TargetFiniteError(TargetError):
    """NaN, infinity, or a number beyond all floats."""


class TargetRangeError(TargetError):
    """Outside the range that the policy was trained for."""


class TargetSource:
    """No target; base of those that have one.

    Until the first target, `Inputs.target_stamp` is -inf: there is nothing yet that a policy could be given.
    """

    def __init__(self, target: Target | None) -> None:
        """What targets are."""
        self.target = target
        self.ignored = 0
        """Targets that were refused."""
        self.problem = ""
        """What was wrong with the last of them."""
        self.tell: Callable[[str], object] = lambda _: None
        """Called in the loop with the first problem of each kind: set it to what shows or records it."""
        self.known: Sequence[Numbers] = ()
        """Targets that are known before the flight."""
        self._told: set[str] = set()

    def begin(self, now: float) -> None:
        """The policy begins to run now (s, the port's clock): times in a file count from here."""

    @property
    def descriptor(self) -> int | None:
        """From which targets are read, if they are: an operator must not read the same terminal."""
        return None

    def sample(self, inputs: Inputs, now: float) -> None:
        """Update `inputs.target`, `inputs.target_stamp`, and Request.TARGETS_ENDED in `inputs.request`."""

    def _ignore(self, kind: str, problem: str) -> None:
        self.ignored += 1
        self.problem = problem
        if kind not in self._told:
            self._told.add(kind)
            self.tell(f"a target was ignored, and so is every other like it: {problem}")


class FixedTarget(TargetSource):
    """The same target for the whole flight; it is never old."""

    def __init__(self, values: Sequence[float], target: Target) -> None:
        """Check it.

        Raises:
            TargetError: it cannot be a target of this policy.
        """
        super().__init__(target)
        self.known = (checked(values, target),)
        self._values = np.array(self.known[0])

    def sample(self, inputs: Inputs, now: float) -> None:
        """The same numbers, as of now."""
        inputs.target[:] = self._values
        inputs.target_stamp = now


class FileTarget(TargetSource):
    """Targets with times: each holds until the next one's time; they end with the time of the last.

    CSV: `time,x,y,...`; a first line without a number is a header. JSON lines: `{"time": 0.5, "target": [x, y, ...]}`.
    Times in seconds since the policy began to run, ascending; the first target counts from the start.
    """

    def __init__(self, path: Path, target: Target, *, last_holds: bool = False) -> None:
        """Read and check the whole file. `last_holds`: its end does not end the flight.

        Raises:
            TargetError: a row cannot be used; the message names its line. Or the flight would be over as it begins.
        """
        super().__init__(target)
        rows = _read(path)
        self._times: list[float] = []
        self._values: list[Numbers] = []
        for line, time, values in rows:
            try:
                self._values.append(checked(values, target))
            except TargetError as error:
                raise TargetError(f"{path}:{line}: {error}") from error
            if not (_is_number(time) and _is_finite(time)):
                raise TargetError(f"{path}:{line}: expected a time in seconds, found {_shown(time)}")
            if self._times and time <= self._times[-1]:
                raise TargetError(f"{path}:{line}: times must ascend; {time} follows {self._times[-1]}")
            self._times.append(float(time))
        if not rows:
            raise TargetError(f"{path}: no targets in it")
        if self._times[-1] <= 0 and not last_holds:
            ends = f"expected a last time above 0 s, which ends the flight, found {self._times[-1]:g}"
            raise TargetError(f"{path}:{rows[-1][0]}: {ends}; or say with --duration how long the last target holds")
        self.known = self._values
        self._began = math.inf
        self._next = 1

    def begin(self, now: float) -> None:
        """Times count from here."""
        self._began, self._next = now, 1

    def sample(self, inputs: Inputs, now: float) -> None:
        """The target whose time it is."""
        elapsed = now - self._began
        while self._next < len(self._times) and self._times[self._next] <= elapsed:
            self._next += 1
        inputs.target[:] = self._values[self._next - 1]
        inputs.target_stamp = now
        if elapsed >= self._times[-1]:
            inputs.request |= Request.TARGETS_ENDED


class StreamTarget(TargetSource):
    """JSON lines on a descriptor, `[x, y, ...]` or `{"target": [x, y, ...]}`; the newest good one counts.

    It never waits. The end of the stream is Request.TARGETS_ENDED. Until the first line the default holds, if any.
    """

    def __init__(self, descriptor: int, target: Target) -> None:
        """Read from this descriptor; its flags are left alone, for it may be somebody's terminal.

        Raises:
            TargetError: it is not open.
        """
        super().__init__(target)
        try:
            os.fstat(descriptor)
        except OSError as error:
            raise TargetError(f"targets cannot be read from descriptor {descriptor}: {error.strerror}") from error
        self._contract = target
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._rest = b""
        self._ended = False

    @property
    def descriptor(self) -> int:
        """From which targets are read."""
        return self._descriptor

    def sample(self, inputs: Inputs, now: float) -> None:
        """Take what has arrived."""
        if inputs.target_stamp == -math.inf and self._contract.default is not None:
            inputs.target[:] = self._contract.default
            inputs.target_stamp = now
        if self._ended:
            inputs.request |= Request.TARGETS_ENDED
            return
        if not self._poll.poll(0):
            return
        try:
            data = os.read(self._descriptor, _CHUNK)
        except OSError:  # the terminal or the descriptor is gone
            data = b""
        if not data:
            self._ended = True
            data = b"\n"  # what was being written is a line too
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _CHUNK:
            self._ignore("endless", "a line without an end")
            self._rest = b""
        for line in lines[-_LINES:]:
            self._take(line, inputs, now)
        if self._ended:
            inputs.request |= Request.TARGETS_ENDED

    def _take(self, line: bytes, inputs: Inputs, now: float) -> None:
        if not line.strip():
            return
        try:
            data = json.loads(line)
            inputs.target[:] = checked(data.get("target") if isinstance(data, dict) else data, self._contract)
        except TargetError as error:
            self._ignore(type(error).__name__, str(error))
        except (ValueError, RecursionError) as error:  # besides no JSON: no UTF-8, thousands of digits, or of brackets
            self._ignore("not JSON", f"not JSON, such as [0.2, 0.05, 0.12]: {line[:80]!r} ({error})")
        else:
            inputs.target_stamp = now


class LiveTarget(TargetSource):
    """Targets from a program, from any thread; the loop takes the newest in its next cycle."""

    def __init__(self, target: Target) -> None:
        """Begin with the default, if there is one."""
        super().__init__(target)
        self._contract = target
        self._lock = threading.Lock()
        self._new: Numbers | None = target.default
        self._ended = False

    def set(self, values: Iterable[float]) -> None:
        """From now on, this is the target.

        Raises:
            TargetError: it cannot be one; the one before holds.
        """
        numbers = checked(list(values), self._contract)
        with self._lock:
            self._new = numbers

    def end(self) -> None:
        """No more targets will come: the flight ends."""
        self._ended = True

    def sample(self, inputs: Inputs, now: float) -> None:
        """Take what was set since."""
        if self._new is not None:
            with self._lock:
                numbers, self._new = self._new, None
            inputs.target[:] = numbers
            inputs.target_stamp = now
        if self._ended:
            inputs.request |= Request.TARGETS_ENDED


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)  # numpy's numbers, too


def _is_numeral(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_finite(value: float) -> bool:
    """False for nan too, and for integers beyond all floats."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _shown(value: Any) -> str:
    """For a message, whatever it is."""
    try:
        text = repr(value)
    except ValueError:  # Python does not write integers of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _what(target: Target) -> str:
    """What its numbers are, for messages."""
    kinds = {"tip_position": "x, y, z of the tip in m", "joint_position": "rad: " + ", ".join(target.joints)}
    return kinds.get(target.kind, "as the policy's maker says")


def _read(path: Path) -> list[tuple[int, Any, list[Any]]]:
    """Line, time and values of every row."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TargetError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TargetError(f"{path}: no text in UTF-8, as targets are written") from error
    rows = text.splitlines()
    return _csv(path, rows) if path.suffix == ".csv" else _json_lines(path, rows)


def _csv(path: Path, lines: list[str]) -> list[tuple[int, Any, list[Any]]]:
    rows: list[tuple[int, Any, list[Any]]] = []
    for number, line in enumerate(lines, start=1):
        row: list[str] = []
        try:
            row = next(csv.reader([line]), [])
            time, *values = (float(cell) for cell in row)
        except (ValueError, csv.Error) as error:
            if not line.strip() or (number == 1 and row and not any(map(_is_numeral, row))):
                continue  # an empty line, or a header
            raise TargetError(f"{path}:{number}: expected numbers, found {_shown(row)}") from error
        rows.append((number, time, values))
    return rows


def _json_lines(path: Path, lines: list[str]) -> list[tuple[int, Any, list[Any]]]:
    rows: list[tuple[int, Any, list[Any]]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise TargetError(f"{path}:{number}: not JSON: {error}") from error
        if not isinstance(data, dict) or not {"time", "target"} <= set(data):
            raise TargetError(f'{path}:{number}: expected {{"time": s, "target": [...]}}, found {line[:80]}')
        rows.append((number, data["time"], data["target"]))
    return rows
