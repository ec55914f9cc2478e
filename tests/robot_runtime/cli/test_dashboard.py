"""The display: what is drawn of a frame, and the process that draws it, on a terminal and without."""

from __future__ import annotations

import io
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

import pytest
from rich.console import Console

from robot_runtime.cli.dashboard import Picture
from robot_runtime.flying import Phase
from robot_runtime.safety.fault_kind import Stop
from robot_runtime.snapshot import About, Snapshot, SnapshotReader

ABOUT = About(
    arm="bench arm",
    policy="reach.onnx",
    period=0.005,
    joints=("pan", "lift", "grip"),
    modes=("current", "current", "position"),
    lower=(-1.0, -1.0, 0.0),
    upper=(1.0, 1.0, 1.0),
    torque=(2.0, 2.0, 0.5),
    temperature=(70.0, 70.0, 70.0),
    reasons=("position", "jerk"),
    target_size=3,
    recording="flights/7.mcap",
)


@pytest.fixture
def snapshot() -> Iterator[Snapshot]:
    writer = Snapshot(ABOUT)
    row = writer.row
    row["phase"][0], row["time"][0], row["run_time"][0], row["cycle"][0], row["rate"][0] = Phase.RUN, 12.5, 10.0, 1, 199
    row["lateness_p99"][0], row["lateness"][0] = 12e-6, 3e-6
    row["q"][0] = [0.0, 0.97, 1.2]
    row["tau"][0] = [0.1, -1.95, 0.0]
    row["temperature"][0] = [30, 63, 71]
    row["target"][0] = [0.2, 0.0, 0.15]
    writer.publish()
    yield writer
    writer.close()


def drawn(snapshot: Snapshot, picture: Picture, *, styles: bool = False, width: int = 150) -> str:
    snapshot.publish()
    frame = SnapshotReader(snapshot.fd).read()
    assert frame is not None
    picture.see(frame)
    console = Console(
        file=io.StringIO(), width=width, force_terminal=styles, color_system="standard" if styles else None
    )
    console.print(picture.draw(frame))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_keys_are_those_that_work_now(snapshot: Snapshot) -> None:
    snapshot.row["phase"][0], snapshot.row["stop"][0] = Phase.STOP, Stop.LOWER
    assert "stopping    Ctrl-C again" in drawn(snapshot, Picture(ABOUT))
    snapshot.row["stop"][0] = Stop.FREEZE
    assert "Ctrl-C: lower it" in drawn(snapshot, Picture(ABOUT))


def test_a_narrow_terminal_gets_a_narrow_picture(snapshot: Snapshot) -> None:
    picture = Picture(ABOUT, width=80)
    before = drawn(snapshot, picture, width=80)
    snapshot.row["cycle"][0], snapshot.row["time"][0] = 2, 12.6
    snapshot.row["interventions"][0] = 1
    after = drawn(snapshot, picture, width=80)
    assert before.count("\n") == after.count("\n")  # its height stays while it flies
    assert "position" in after


def test_the_distance_from_the_target_is_shown_where_there_is_one(snapshot: Snapshot) -> None:
    picture = Picture(ABOUT)
    for shown in (drawn(snapshot, picture), plain(snapshot, picture)):
        assert "tip" not in shown
    snapshot.row["distance"][0] = 0.0018
    for shown in (drawn(snapshot, picture), plain(snapshot, picture)):
        assert "tip 1.8 mm from the target" in shown


def plain(snapshot: Snapshot, picture: Picture) -> str:
    snapshot.publish()
    frame = SnapshotReader(snapshot.fd).read()
    assert frame is not None
    return picture.line(frame)


def test_what_never_flew_is_no_picture_of_an_arm(snapshot: Snapshot) -> None:
    snapshot.row["phase"][0], snapshot.row["cycle"][0] = Phase.ENDED, 0
    snapshot.row["verdict"][0] = b"not started: torque is on"
    assert drawn(snapshot, Picture(ABOUT)).strip() == "not started: torque is on"


def test_a_picture_has_everything(snapshot: Snapshot) -> None:
    text = drawn(snapshot, Picture(ABOUT))
    for part in (
        "bench arm",
        "reach.onnx",
        "run",
        "10.0 s",
        "199 of 200 Hz",
        "p99 12 µs",
        "skipped 0",
        "flights/7.mcap",
    ):
        assert part in text
    for part in ("pan", "+0.970", "-1.95", "71", "+0.200 +0.000 +0.150", "space: freeze"):
        assert part in text
    bars = [line[line.index("[") + 1 : line.index("]")] for line in text.splitlines() if "●" in line]
    assert [bar.index("●") for bar in bars] == [12, 23, 23]
    assert {len(bar) for bar in bars} == {24}


def test_what_is_near_a_limit_is_coloured(snapshot: Snapshot) -> None:
    pan, lift, grip = (line for line in drawn(snapshot, Picture(ABOUT), styles=True).splitlines() if "●" in line)
    assert "\x1b[32m[" in pan
    assert "\x1b[33m" not in pan
    assert lift.count("\x1b[33m") == 3  # place, torque, heat
    assert grip.count("\x1b[1;31m") == 2  # place, heat


def test_interventions_are_shown_for_a_while(snapshot: Snapshot) -> None:
    picture, row = Picture(ABOUT), snapshot.row
    drawn(snapshot, picture)
    row["interventions"][0, 1, 1] += 5
    row["cycle"][0], row["time"][0] = 2, 12.6
    assert "jerk" in drawn(snapshot, picture)
    for k in range(3, 30):
        row["cycle"][0], row["time"][0] = k, 12.6 + 0.1 * k
        text = drawn(snapshot, picture)
    assert "jerk" not in text


def test_events_verdict_and_a_plain_terminal(snapshot: Snapshot) -> None:
    for k in range(9):
        snapshot.say(f"event {k}")
    snapshot.row["phase"][0] = Phase.ENDED
    snapshot.row["verdict"][0] = b"completed: 10.0 s"
    text = drawn(snapshot, Picture(ABOUT, unicode=False))
    assert "event 8" in text
    assert "event 2" not in text
    assert "completed: 10.0 s" in text
    assert "space or" not in text
    assert "●" not in text
    assert "▁" not in text


def start(snapshot: Snapshot, stderr: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "robot_runtime.cli.dashboard", str(snapshot.fd), str(os.getpid())],
        pass_fds=[snapshot.fd],
        stderr=stderr,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120", "PYTHONUTF8": "1"},
    )


def read_until(fd: int, word: bytes) -> bytes:
    heard, end = b"", time.monotonic() + 20
    while word not in heard and time.monotonic() < end:
        if select.select([fd], [], [], 0.1)[0]:
            heard += os.read(fd, 65536)
    assert word in heard
    return heard


def test_without_a_terminal_it_is_lines_and_a_signal_does_not_end_it(snapshot: Snapshot) -> None:
    reader, writer = os.pipe()
    process = start(snapshot, writer)
    first = read_until(reader, b"\n").decode()
    assert "12.5 s RUN     199 Hz  late p99 12 µs, skipped 0" in first
    assert "\x1b" not in first
    process.send_signal(signal.SIGINT)
    snapshot.say("servo 3 is silent")
    snapshot.publish()
    assert read_until(reader, b"silent").count(b"silent") == 1
    snapshot.row["phase"][0] = Phase.ENDED
    snapshot.publish()
    assert process.wait(20) == 0
    os.close(reader)
    os.close(writer)


def test_on_a_terminal_it_is_a_picture(snapshot: Snapshot) -> None:
    master, slave = pty.openpty()
    process = start(snapshot, slave)
    assert b"bench arm" in read_until(master, b"late ")
    snapshot.row["phase"][0] = Phase.ENDED
    snapshot.row["verdict"][0] = b"completed"
    snapshot.publish()
    read_until(master, b"completed")
    assert process.wait(20) == 0
    os.close(master)
    os.close(slave)


def test_it_ends_with_its_parent_and_mends_the_terminal(snapshot: Snapshot) -> None:
    master, slave = pty.openpty()
    attributes = termios.tcgetattr(slave)
    attributes[3] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    code = (
        "import os, subprocess, sys; fd = sys.argv[1]; "
        "subprocess.Popen([sys.executable, '-m', 'robot_runtime.cli.dashboard', fd, str(os.getpid())], "
        "pass_fds=[int(fd)]); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(snapshot.fd)],
        pass_fds=[snapshot.fd],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=slave,
        env={**os.environ, "TERM": "xterm"},
    )
    read_until(master, b"late ")
    parent.kill()
    parent.communicate()
    end = time.monotonic() + 20
    while not termios.tcgetattr(slave)[3] & termios.ECHO and time.monotonic() < end:
        time.sleep(0.02)
    assert termios.tcgetattr(slave)[3] & termios.ICANON
    os.close(master)
    os.close(slave)
