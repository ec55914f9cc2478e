"""The display of a flight, as a process of its own that `robot-run` starts: drawing must cost the loop nothing.

    python -m robot_runtime.cli.dashboard FD PARENT      (the snapshot's file descriptor, inherited; whose flight it is)

On a terminal a picture that renews itself, else a line a second, both on standard error.
"""

from __future__ import annotations

import os
import signal
import sys
import termios
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from robot_runtime.aim import millimetres
from robot_runtime.flying import Phase
from robot_runtime.safety.fault_kind import Stop
from robot_runtime.snapshot import About, SnapshotReader

DRAW_EVERY, LINE_EVERY, LOOK_EVERY = 0.1, 1.0, 0.05
"""s between pictures, plain lines, and looks at the snapshot."""

NEAR, HOT = 0.05, 10.0
"""Share of a joint's range, and °C, from a limit at which it is coloured."""

_BAR, _SHORT_BAR, _WIDE = 24, 8, 100
"""Characters of a bar, and of one on a terminal narrower than the last."""
_BLOCKS = "▁▂▃▄▅▆▇█"
_HISTORY = 60  # looks shown of the lateness
_SCALE = (1e-6, 1e-2)  # s, the lowest and the highest block
_RECENT = 1.0  # s that an intervention stays on the screen
_EVENTS = 6  # lines of them on the screen, the newest
_KEYS = "space: freeze    Ctrl-C: stop    Ctrl-C again a second later: let go"
_KEYS_STOPPING = "stopping    Ctrl-C again a second later: let go"
_KEYS_FROZEN = "frozen    Ctrl-C: lower it    Ctrl-C again a second later: let go"
_COLOURS = {Phase.START: "cyan", Phase.RUN: "green", Phase.STOP: "yellow"}


class Picture:
    """Remembers what a picture needs of the frames before it."""

    def __init__(self, about: About, *, unicode: bool = True, width: int = _WIDE) -> None:
        """Nothing seen yet. `unicode`: the terminal can draw blocks; `width`: characters that it has in a line."""
        self._about = about
        self._bar_length = _BAR if width >= _WIDE else _SHORT_BAR
        self._unicode = unicode
        self._lateness: deque[float] = deque(maxlen=_HISTORY)
        self._counts: deque[tuple[float, NDArray[Any]]] = deque()
        self._cycle = -1

    def see(self, frame: np.void) -> None:
        """Take note of a frame; one that was seen already changes nothing."""
        if int(frame["cycle"]) == self._cycle:
            return
        self._cycle = int(frame["cycle"])
        self._lateness.append(float(frame["lateness"]))
        self._counts.append((float(frame["time"]), frame["interventions"]))
        while len(self._counts) > 2 and self._counts[1][0] <= float(frame["time"]) - _RECENT:
            self._counts.popleft()

    def draw(self, frame: np.void) -> RenderableType:
        """All of it."""
        phase = Phase(int(frame["phase"]))
        if phase is Phase.ENDED and self._cycle <= 0:  # it never flew: there is no arm to show
            return Text(_words(frame["verdict"]), style="bold")
        parts: list[RenderableType] = [self._title(frame), self._joints(frame), self._timing(frame)]
        if frame["target"].size:
            values = " ".join(f"{v:+.3f}" for v in frame["target"])
            parts.append(Text(f"target    {values}    {_distance(frame)}".rstrip()))
        parts += [Text(line, style="bold red") for line in _events(frame)[-_EVENTS:]]
        if phase is Phase.ENDED:
            parts.append(Text(_words(frame["verdict"]), style="bold"))
        elif phase is not Phase.STOP:
            parts.append(Text(_KEYS, style="dim"))
        else:
            parts.append(Text(_KEYS_FROZEN if frame["stop"] == Stop.FREEZE else _KEYS_STOPPING, style="dim"))
        return Group(*parts)

    def line(self, frame: np.void) -> str:
        """One line, for a log."""
        angles = " ".join(f"{q:+.2f}" for q in frame["q"])
        tip = f"  {_distance(frame)}" if _distance(frame) else ""
        return (
            f"{float(frame['time']):7.1f} s {Phase(int(frame['phase'])).name:5} {float(frame['rate']):5.0f} Hz  "
            f"late p99 {_time(float(frame['lateness_p99']))}, skipped {int(frame['skipped'])}  q {angles}{tip}"
        )

    def _title(self, frame: np.void) -> Text:
        about, phase = self._about, Phase(int(frame["phase"]))
        text = Text.assemble(
            (about.arm, "bold"),
            f"  {about.policy}  ",
            (phase.name.lower(), _COLOURS.get(phase, "bold")),
            f"  {float(frame['run_time']):.1f} s  {float(frame['rate']):.0f} of {1 / about.period:.0f} Hz",
        )
        return text.append(f"  {about.recording}", "dim") if about.recording else text

    def _joints(self, frame: np.void) -> Table:
        about = self._about
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("joint", no_wrap=True)
        table.add_column("against its limits", no_wrap=True)
        for title in ("rad", "rad/s", "N·m", "command", "°C"):
            table.add_column(title, justify="right", no_wrap=True)
        table.add_column("envelope", no_wrap=True, overflow="ellipsis")
        recent = self._recent()
        for i, name in enumerate(about.joints):
            low, high, q = about.lower[i], about.upper[i], float(frame["q"][i])
            share = (q - low) / (high - low)
            tau, celsius = float(frame["tau"][i]), float(frame["temperature"][i])
            table.add_row(
                name,
                Text(self._bar(share), style=_position_style(share)),
                f"{q:+.3f}",
                f"{float(frame['dq'][i]):+.2f}",
                Text(f"{tau:+.2f}", style="yellow" if abs(tau) > 0.9 * about.torque[i] else ""),
                f"{float(frame['command'][i]):+.3f}",
                Text(f"{celsius:.0f}", style=_heat_style(celsius, about.temperature[i])),
                Text(", ".join(recent[i]), style="yellow" if recent[i] else ""),
            )
        return table

    def _bar(self, share: float) -> str:
        line, mark = ("─", "●") if self._unicode else ("-", "o")
        last = self._bar_length - 1
        place = min(max(round(share * last), 0), last) if np.isfinite(share) else 0
        return "[" + line * place + mark + line * (last - place) + "]"

    def _timing(self, frame: np.void) -> Text:
        text = f"late      p99 {_time(float(frame['lateness_p99']))}, skipped {int(frame['skipped'])}  "
        if self._unicode:
            text += "".join(_block(v) for v in self._lateness)
        return Text(text, style="yellow" if frame["skipped"] else "")

    def _recent(self) -> list[list[str]]:
        """Why the envelope intervened in the last second, by joint."""
        if len(self._counts) < 2:
            return [[] for _ in self._about.joints]
        grown = self._counts[-1][1] > self._counts[0][1]
        return [[r for r, g in zip(self._about.reasons, row, strict=True) if g] for row in grown]


def _position_style(share: float) -> str:
    if not 0 <= share <= 1:
        return "bold red"
    return "yellow" if min(share, 1 - share) < NEAR else "green"


def _heat_style(celsius: float, limit: float) -> str:
    if celsius >= limit:
        return "bold red"
    return "yellow" if celsius >= limit - HOT else ""


def _block(seconds: float) -> str:
    low, high = np.log(_SCALE)
    share = (np.log(max(seconds, _SCALE[0])) - low) / (high - low)
    return _BLOCKS[min(int(share * len(_BLOCKS)), len(_BLOCKS) - 1)]


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"


def _distance(frame: np.void) -> str:
    metres = float(frame["distance"])
    return f"tip {millimetres(metres)} from the target" if np.isfinite(metres) else ""


def _words(text: bytes) -> str:
    return bytes(text).decode(errors="replace")


def _events(frame: np.void) -> list[str]:
    return list(filter(None, _words(frame["text"]).split("\n")))


def watch(reader: SnapshotReader, console: Console, parent: int) -> bool:
    """Show the flight of the parent process until it ends; False: the process went away without an end."""
    picture = Picture(reader.about, unicode=console.encoding.startswith("utf"), width=console.width)
    return (_picture if console.is_terminal else _lines)(reader, console, picture, parent)


def _picture(reader: SnapshotReader, console: Console, picture: Picture, parent: int) -> bool:
    next_drawn = 0.0
    with Live(console=console, auto_refresh=False, transient=False, redirect_stdout=False) as live:
        while True:
            frame = reader.read()
            ended = frame is not None and int(frame["phase"]) == Phase.ENDED
            if frame is not None:
                picture.see(frame)
                if time.monotonic() >= next_drawn or ended:
                    next_drawn = time.monotonic() + DRAW_EVERY
                    live.update(picture.draw(frame), refresh=True)
            if ended or os.getppid() != parent:
                return ended
            time.sleep(LOOK_EVERY)


def _lines(reader: SnapshotReader, console: Console, picture: Picture, parent: int) -> bool:
    next_line, told = 0.0, 0
    while True:
        frame = reader.read()
        ended = frame is not None and int(frame["phase"]) == Phase.ENDED
        if frame is not None:
            count = int(frame["events"])
            lines = _events(frame)[told - count :] if count > told else []
            told = count
            if time.monotonic() >= next_line and not ended:
                next_line = time.monotonic() + LINE_EVERY
                lines.append(picture.line(frame))
            for line in lines:
                console.print(line, markup=False, highlight=False, soft_wrap=True)
        if ended or os.getppid() != parent:
            return ended
        time.sleep(LOOK_EVERY)


def _mend_terminal() -> None:
    """The flight was killed, and could not give its terminal back."""
    fd = sys.stderr.fileno()
    try:
        attributes = termios.tcgetattr(fd)
        attributes[3] |= termios.ICANON | termios.ECHO | termios.ISIG
        termios.tcsetattr(fd, termios.TCSANOW, attributes)
    except termios.error:
        return  # no terminal


def main(argv: Sequence[str] | None = None) -> int:
    """Show the flight behind a file descriptor."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTOU):
        signal.signal(number, signal.SIG_IGN)  # they are for the flight; what it says of them is still to be shown
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))  # not on the loop's core
    os.nice(5)
    fd, parent = sys.argv[1:] if argv is None else argv
    if not watch(SnapshotReader(int(fd)), Console(stderr=True), int(parent)):
        _mend_terminal()
    return 0


if __name__ == "__main__":
    sys.exit(main())
