"""Recorder and writer together: what was told is in the file, whoever is killed, and whatever the disk does."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from robot_runtime.arm import JointState
from robot_runtime.flight.errors import NoRoomError
from robot_runtime.flight.reader import read_flight
from robot_runtime.flight.recorder import Level, NullRecorder, Recorder
from robot_runtime.flight.ring import RecorderStatus
from tests.robot_runtime.flight.flights import SMALL, fill

PATIENCE = 20.0  # s, for processes to do what they will do


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_everything_told_is_in_the_file_exactly(tmp_path: Path) -> None:
    path, extra = tmp_path / "a.mcap", tmp_path / "policy.toml"
    extra.write_text("rate = 50.0")
    with Recorder(path, SMALL, {"session": {"rate": 50.0, "name": "x"}}, waits=True) as recorder:
        recorder.metadata("clock", {"epoch_ns": "1000000000"})
        recorder.attach("policy.toml", extra)
        for k in range(500):
            if k == 100:
                recorder.row["intent"][:] = np.nan
                recorder.event("non-finite", Level.ERROR, "monitor", at=0.25)
            if k == 101:
                recorder.row["intent"][:] = 0.1
            fill(recorder, k)
        recorder.metadata("verdict", {"verdict": "completed", "exit_code": 0})
    flight = read_flight(path)
    cycles = np.arange(500)
    assert not flight.truncated
    assert np.array_equal(flight["cycle"], cycles)
    assert np.array_equal(flight["begin"], cycles * 0.002)
    for i, name in enumerate(("q", "command", "observation", "action")):
        n = flight[name].shape[1]
        expected = (cycles[:, None] + i / 8 + np.arange(n) / 64).astype(flight[name].dtype)
        assert np.array_equal(flight[name], expected)
    assert np.isnan(flight["intent"][100]).all()
    assert (flight["intent"][:100] == 0).all()
    assert (flight["intent"][101:] == 0.1).all()  # written only when it changed
    assert [(e.level, e.name, e.text) for e in flight.events] == [(4, "monitor", "non-finite")]
    assert flight.events[0].time == pytest.approx(0.25, abs=1e-6)
    assert flight.metadata["session"] == {"rate": "50.0", "name": "x"}
    assert flight.verdict == {"verdict": "completed", "exit_code": "0"}
    assert flight.attachments == {"policy.toml": b"rate = 50.0"}


def test_bound_arrays_are_copied_at_every_put(tmp_path: Path) -> None:
    q, target = np.zeros(2), np.zeros(3)
    with Recorder(tmp_path / "a.mcap", SMALL, waits=True) as recorder:
        recorder.bind("q", q)
        recorder.bind("target", target)
        for k in range(3):
            q[:], target[2] = k + 0.5, -k
            recorder.put()
    flight = read_flight(tmp_path / "a.mcap")
    assert flight["q"][:, 1].tolist() == [0.5, 1.5, 2.5]
    assert flight["target"][:, 2].tolist() == [0, -1, -2]


def test_binding_what_does_not_fit_is_an_error() -> None:
    recorder = NullRecorder(SMALL)
    for wrong in (np.zeros(3), np.zeros(2, np.float32), np.zeros(4)[::2]):
        with pytest.raises(ValueError, match="'q' is"):
            recorder.bind("q", wrong)


def test_no_file_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.mcap").touch()
    with pytest.raises(FileExistsError):
        Recorder(tmp_path / "a.mcap", SMALL)


def test_a_file_that_cannot_be_attached_is_told(tmp_path: Path) -> None:
    with Recorder(tmp_path / "a.mcap", SMALL, waits=True) as recorder:
        recorder.attach("arm.toml", tmp_path / "missing.toml")
    (event,) = read_flight(tmp_path / "a.mcap").events
    assert "arm.toml" in event.text


CHILD = """
import os, sys, time
from pathlib import Path
from robot_runtime.flight.recorder import Recorder
from tests.robot_runtime.flight.flights import SMALL, fill
recorder = Recorder(Path(sys.argv[1]), SMALL)
print(recorder.writer_pid, flush=True)
k = 0
while True:
    fill(recorder, k)
    k += 1
    sys.stdout.buffer.write(k.to_bytes(4, "little"))
    sys.stdout.flush()
    time.sleep(0.002)
"""


def flying(path: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A process that records without end and says after each cycle how many it has put; and its writer's number."""
    process = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, bufsize=-1)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def count(process: subprocess.Popen[bytes]) -> int:
    """Cycles that a killed process had put."""
    process.wait()
    assert process.stdout is not None
    with process.stdout as pipe:
        told = pipe.read()
    return int.from_bytes(told[len(told) // 4 * 4 - 4 :][:4], "little")


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_killing_the_loop_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    process, writer = flying(path)
    wait_for(lambda: path.stat().st_size > 20_000)
    os.kill(process.pid, signal.SIGKILL)
    cycles = count(process)
    wait_for(lambda: gone(writer))
    flight = read_flight(path)
    assert not flight.truncated  # complete, with an index
    assert len(flight) >= cycles
    assert np.array_equal(flight["cycle"], np.arange(len(flight)))
    assert flight.verdict is None
    assert "gone" in flight.events[-1].text


def test_killing_both_loses_no_more_than_a_tenth_of_a_second(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    process, writer = flying(path)
    wait_for(lambda: path.stat().st_size > 20_000)
    os.kill(writer, signal.SIGKILL)
    os.kill(process.pid, signal.SIGKILL)
    cycles = count(process)
    wait_for(lambda: gone(writer))
    flight = read_flight(path)
    assert flight.truncated
    assert np.array_equal(flight["q"][:, 0], np.arange(len(flight)))
    assert cycles - len(flight) <= 50  # a tenth of a second, of cycles that take 2 ms at least


def test_signals_that_end_programs_do_not_end_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    with Recorder(path, SMALL) as recorder:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(recorder.writer_pid, number)  # while it starts
        wait_for(lambda: path.stat().st_size > 0 or gone(recorder.writer_pid))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(recorder.writer_pid, number)
        fill(recorder, 0)
    assert len(read_flight(path)) == 1
    assert recorder.status() is RecorderStatus.FINE


def test_a_dead_writer_is_noticed(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.mcap", SMALL)
    os.kill(recorder.writer_pid, signal.SIGKILL)
    wait_for(lambda: recorder.status() is RecorderStatus.FAILED)
    assert recorder.close() is RecorderStatus.FAILED


def test_a_dead_writer_is_noticed_at_the_next_look(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.mcap", SMALL)
    assert recorder.wait_until_alive()
    os.kill(recorder.writer_pid, signal.SIGKILL)
    recorder._process.wait()
    assert recorder.status() is RecorderStatus.FAILED
    assert not recorder.wait_until_alive()
    recorder.close()


def test_a_writer_that_hangs_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robot_runtime.flight.recorder.STUCK", 0.3)
    recorder = Recorder(tmp_path / "a.mcap", SMALL)
    assert recorder.wait_until_alive()
    os.kill(recorder.writer_pid, signal.SIGSTOP)
    wait_for(lambda: recorder.status() is RecorderStatus.FAILED)
    os.kill(recorder.writer_pid, signal.SIGCONT)
    recorder.close()


def test_before_a_sign_of_life_there_is_no_recording(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.mcap", SMALL)
    os.kill(recorder.writer_pid, signal.SIGSTOP)
    assert not recorder.wait_until_alive(0.1)
    os.kill(recorder.writer_pid, signal.SIGCONT)
    assert recorder.wait_until_alive()
    recorder.close()


def test_a_disk_that_fills_up_is_told_while_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    with Recorder(path, SMALL, reserve=1 << 60) as recorder:
        fill(recorder, 0)
        wait_for(lambda: recorder.status() is RecorderStatus.DISK_FULL)
        fill(recorder, 1)  # the stop is still recorded
    flight = read_flight(path)
    assert not flight.truncated
    assert len(flight) == 2
    assert "nearly full" in flight.events[-1].text


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "make room on that disk"), (errno.EDQUOT, "make room on that disk"), (errno.EFBIG, "ulimit -f")],
)
def test_no_room_to_begin_says_where_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def full(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("robot_runtime.flight.recorder.os.open", full)
    with pytest.raises(NoRoomError, match=f"a.mcap: the recording cannot begin: .*{words}"):
        Recorder(tmp_path / "a.mcap", SMALL)


def test_a_full_disk_is_told_and_what_is_there_stays_readable(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 25, 1 << 25)); signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from tests.robot_runtime.flight.test_recorder import *\n"
        "with Recorder(Path(sys.argv[1]), SMALL, reserve=0) as recorder:\n"
        "    resource.prlimit(recorder.writer_pid, resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "    wait_for(lambda: Path(sys.argv[1]).stat().st_size > 0)\n"
        "    k = 0\n"
        "    while recorder.status() is RecorderStatus.FINE:\n"
        "        recorder.raw(os.urandom(500)); fill(recorder, k); k += 1; time.sleep(0.001)\n"
        "    print(recorder.status().name, flush=True)\n"
    )
    run = [sys.executable, "-c", code, str(path)]
    told = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert told.stdout.strip() == "DISK_FULL", told.stderr
    flight = read_flight(path)
    assert flight.truncated
    assert len(flight) > 20
    assert path.stat().st_size <= 100_000


def test_a_full_ring_is_told_and_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    recorder = Recorder(path, SMALL, ring=1 << 14)
    os.kill(recorder.writer_pid, signal.SIGSTOP)
    for k in range(200):
        fill(recorder, k)
    assert recorder.status() is RecorderStatus.BEHIND
    os.kill(recorder.writer_pid, signal.SIGCONT)
    assert recorder.close() is RecorderStatus.BEHIND
    flight = read_flight(path)
    assert 0 < len(flight) < 200
    assert "lost" in flight.events[-1].text


def test_writing_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "full").symlink_to("/dev/full")
    with pytest.raises(OSError, match=os.strerror(errno.EEXIST)):
        Recorder(tmp_path / "full", SMALL)


def test_what_lies_in_a_row_on_both_sides_is_copied_at_once() -> None:
    state, apart = JointState(len(SMALL.joints)), np.full(len(SMALL.joints), 7.0)
    recorder = NullRecorder(SMALL)
    names = ("stamp", "q", "fresh", "watchdog_tripped", "alert", "jumped", "restarted", "tau", "dq")
    for name in names:
        recorder.bind(name, getattr(state, name))
    assert len(recorder._copies) == 1
    recorder.bind("command", apart)
    state.motion[:] = np.arange(state.motion.size).reshape(state.motion.shape)
    state.troubles[2, 1] = state.fresh[0] = True
    recorder.put()
    for name in names:
        assert np.array_equal(recorder.row[name], getattr(state, name)), name
    assert np.array_equal(recorder.row["command"], apart)
    assert not recorder.row["hold"].any()
