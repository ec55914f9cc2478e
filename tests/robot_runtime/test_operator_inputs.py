"""Requests by every way in, in the clock that the caller gives; handlers and terminal are as before afterwards."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import textwrap
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from robot_runtime.flying import Inputs, Request
from robot_runtime.operator_inputs import LOOK_EVERY, SECOND_REQUEST, EstopError, Operator
from robot_runtime.undisturbed import undisturbed


class Loop:
    """What a loop does with an operator."""

    def __init__(self, operator: Operator) -> None:
        self.operator, self.now = operator, 50.0

    def after(self, seconds: float) -> int:
        self.now += seconds
        inputs = Inputs(0)
        self.operator.sample(inputs, self.now)
        return inputs.request


@pytest.mark.parametrize(
    ("number", "request_"),
    [
        (signal.SIGINT, Request.CTRL_C),
        (signal.SIGTSTP, Request.CTRL_C),
        (signal.SIGQUIT, Request.CTRL_C),
        (signal.SIGTERM, Request.SIGTERM),
        (signal.SIGHUP, Request.SIGHUP),
    ],
)
def test_a_signal_is_a_request_that_stays(number: signal.Signals, request_: Request) -> None:
    before = signal.getsignal(number)
    with Operator(keys=False) as operator:
        loop = Loop(operator)
        assert loop.after(0.002) == 0
        signal.raise_signal(number)
        assert loop.after(0.002) == request_
        assert loop.after(10.0) == request_
    assert signal.getsignal(number) == before


def test_the_second_request_lets_go_but_a_bounce_does_not() -> None:
    with Operator(keys=False) as operator:
        loop = Loop(operator)
        for _ in range(200):  # a key that is held, at 30 a second: the parent may pass the same on, too
            signal.raise_signal(signal.SIGINT)
            assert loop.after(1 / 30) == Request.CTRL_C
        assert loop.after(SECOND_REQUEST) == Request.CTRL_C
        signal.raise_signal(signal.SIGINT)
        assert loop.after(0.002) == Request.CTRL_C | Request.LET_GO


def test_a_held_key_with_a_slow_first_repeat_lets_nothing_go() -> None:
    with Operator(keys=False) as operator:
        loop = Loop(operator)
        for gap in (0.0, 0.66, *[0.09] * 50):
            loop.now += gap
            signal.raise_signal(signal.SIGINT)
            assert loop.after(0.0) == Request.CTRL_C


def test_the_third_quick_press_lets_go() -> None:
    with Operator(keys=False) as operator:
        loop = Loop(operator)
        for said in (Request.CTRL_C, Request.CTRL_C, Request.CTRL_C | Request.LET_GO):
            signal.raise_signal(signal.SIGINT)
            assert loop.after(0.2) == said


@pytest.mark.parametrize(
    "numbers",
    [
        (signal.SIGHUP, signal.SIGTERM, signal.SIGHUP),
        (signal.SIGTERM, signal.SIGINT),
        (signal.SIGINT, signal.SIGTERM),
        (signal.SIGHUP, signal.SIGHUP, signal.SIGHUP),
    ],
)
def test_other_ways_of_asking_for_the_same_stop_do_not_let_go(numbers: tuple[signal.Signals, ...]) -> None:
    with Operator(keys=False) as operator:
        loop = Loop(operator)
        for number in numbers:
            signal.raise_signal(number)
            assert not loop.after(2 * SECOND_REQUEST) & Request.LET_GO


def test_the_second_sigterm_lets_go_but_not_at_once() -> None:
    with Operator(keys=False) as operator:
        loop = Loop(operator)
        for _ in range(4):
            signal.raise_signal(signal.SIGTERM)
            assert loop.after(0.2) == Request.SIGTERM
        loop.after(2 * SECOND_REQUEST)
        signal.raise_signal(signal.SIGTERM)
        assert loop.after(0.0) == Request.SIGTERM | Request.LET_GO


def test_the_space_bar_never_lets_go(keyboard: int) -> None:
    with Operator() as operator:
        loop = Loop(operator)
        for _ in range(3):
            os.write(keyboard, b" ")
            assert loop.after(2 * SECOND_REQUEST) == Request.SPACE
        signal.raise_signal(signal.SIGINT)
        assert loop.after(SECOND_REQUEST) == Request.SPACE | Request.CTRL_C


def test_a_terminal_that_somebody_else_reads_is_left_to_them(keyboard: int) -> None:
    master, slave = pty.openpty()
    with Operator(typed=slave) as operator:
        assert not operator.listens_to_keys
        os.write(keyboard, b" ")
        assert Loop(operator).after(1.0) == 0
    reader, writer = os.pipe()
    with Operator(typed=reader) as operator:
        assert operator.listens_to_keys
    for fd in (master, slave, reader, writer):
        os.close(fd)


def test_a_loop_that_hangs_is_broken_off() -> None:
    with Operator(keys=False):
        for _ in range(5):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # whoever cleans up then is left in peace


@pytest.mark.parametrize("switching", [True, False])
def test_no_signal_breaks_off_what_switches_torque_or_tells_of_it(switching: bool) -> None:
    with Operator(keys=False) as operator, undisturbed() if switching else nullcontext():
        if not switching:
            operator.let_finish()
        for _ in range(20):
            signal.raise_signal(signal.SIGINT)
        assert Loop(operator).after(0.0) == Request.CTRL_C  # but it is heard


def test_any_byte_on_the_emergency_stop_stops() -> None:
    reader, writer = os.pipe()
    with Operator(keys=False, estop=reader) as operator:
        loop = Loop(operator)
        assert loop.after(LOOK_EVERY) == 0
        os.write(writer, b"\0")
        assert loop.after(0.0) == Request.ESTOP  # in the very next cycle
        assert loop.after(10.0) == Request.ESTOP
    os.fstat(reader)  # the caller's: left open
    os.close(reader)
    os.close(writer)


def test_the_end_of_the_emergency_stop_stops() -> None:
    reader, writer = os.pipe()
    with Operator(keys=False, estop=reader) as operator:
        loop = Loop(operator)
        assert loop.after(LOOK_EVERY) == 0
        os.close(writer)
        assert loop.after(LOOK_EVERY) == Request.ESTOP
    os.close(reader)


def test_an_emergency_stop_by_path(tmp_path: Path) -> None:
    path = tmp_path / "stop"
    os.mkfifo(path)
    presser = os.open(path, os.O_RDWR)  # it runs
    with Operator(keys=False, estop=path) as operator:
        loop = Loop(operator)
        assert loop.after(LOOK_EVERY) == 0
        os.write(presser, b"!")
        assert loop.after(LOOK_EVERY) == Request.ESTOP
    os.close(presser)


def replace(path: Path, word: str) -> None:
    """As careful programs write."""
    draft = path.with_name("draft")
    draft.write_text(word)
    draft.replace(path)


def swap(path: Path, word: str) -> None:
    path.with_name("other").write_text(word)
    path.unlink()
    path.symlink_to("other")


@pytest.mark.parametrize(
    "happens",
    [lambda path: replace(path, "0\n"), lambda path: swap(path, "0\n"), Path.unlink],
    ids=["replaced", "swapped", "deleted"],
)
@pytest.mark.parametrize("linked", [False, True])
def test_an_emergency_stop_whose_path_leads_elsewhere_is_pressed(
    tmp_path: Path, happens: Callable[[Path], None], linked: bool
) -> None:
    path, target = tmp_path / "value", tmp_path / "released"
    target.write_text("1\n")
    if linked:
        path.symlink_to(target)
    else:
        target.replace(path)
    with Operator(keys=False, estop=path) as operator:
        loop = Loop(operator)
        assert loop.after(LOOK_EVERY) == 0
        happens(path)
        assert loop.after(0.0) == Request.ESTOP


def test_a_pipe_whose_path_leads_elsewhere_is_pressed(tmp_path: Path) -> None:
    path = tmp_path / "stop"
    os.mkfifo(path)
    presser = os.open(path, os.O_RDWR)
    with Operator(keys=False, estop=path) as operator:
        loop = Loop(operator)
        assert loop.after(LOOK_EVERY) == 0
        path.unlink()
        os.mkfifo(path)
        assert loop.after(LOOK_EVERY) == Request.ESTOP
    os.close(presser)


@pytest.mark.parametrize("pressed", ["0\n", "", "01"])
def test_a_value_file_stops_by_anything_but_1(tmp_path: Path, pressed: str) -> None:
    path = tmp_path / "value"
    path.write_text("1\n")
    with Operator(keys=False, estop=str(path)) as operator:
        loop = Loop(operator)
        assert loop.after(LOOK_EVERY) == 0
        path.write_text(pressed)
        assert loop.after(LOOK_EVERY) == Request.ESTOP


def test_an_emergency_stop_that_cannot_be_used_stops_before_the_start(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    pressed = tmp_path / "value"
    pressed.write_text("0\n")
    nobody = tmp_path / "pipe"
    os.mkfifo(nobody)
    for estop in (tmp_path / "none", 987, pressed, nobody, tmp_path):
        with pytest.raises(EstopError, match="emergency stop"), Operator(keys=False, estop=estop):
            pass
    assert signal.getsignal(signal.SIGINT) == before


def test_looks_are_rare_and_bounded() -> None:
    asked = []
    with Operator(keys=False, watchers=[lambda: asked.append(0) or 0]) as operator:  # type: ignore[func-returns-value]
        loop = Loop(operator)
        for _ in range(100):
            loop.after(0.001)
    assert 9 <= len(asked) <= 11


def test_a_watcher_is_heard() -> None:
    says = [0]
    with Operator(keys=False, watchers=[lambda: says[0]]) as operator:
        loop = Loop(operator)
        assert loop.after(LOOK_EVERY) == 0
        says[0] = Request.RECORDER_FAILED
        assert loop.after(LOOK_EVERY) == Request.RECORDER_FAILED


def test_a_parent_that_is_gone_is_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    with Operator(keys=False) as operator, Operator(keys=False, parent=False) as orphan:
        monkeypatch.setattr(os, "getppid", lambda: 1)
        assert Loop(operator).after(0) == Request.PARENT_GONE
        assert Loop(orphan).after(0) == 0


PROGRAM = textwrap.dedent("""
    import os, sys, time
    from robot_runtime.flying import Inputs
    from robot_runtime.operator_inputs import Operator
    inputs, end = Inputs(0), time.monotonic() + 20
    with Operator() as operator:
        os.write(1, b"keys\\n" if operator.listens_to_keys else b"none\\n")
        while not inputs.request and time.monotonic() < end:
            operator.sample(inputs, time.monotonic())
            time.sleep(0.001)
        os.write(1, b"%d\\n" % inputs.request)
        if len(sys.argv) > 1:
            raise RuntimeError
""")


class Terminal:
    """A program in front of a terminal of its own."""

    def __init__(self, *arguments: str, in_front: bool = True, **streams: int) -> None:
        self.master, slave = pty.openpty()
        self.slave = slave
        code = f"import fcntl, os, termios; fcntl.ioctl({slave}, termios.TIOCSCTTY, 0)" if in_front else ""
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"{code}\n{PROGRAM}", *arguments],
            stdin=streams.get("stdin", slave),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=[slave],
            start_new_session=True,
        )

    def says(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    @property
    def echoes(self) -> bool:
        flags = termios.tcgetattr(self.slave)[3]
        return bool(flags & termios.ECHO) and bool(flags & termios.ICANON)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def nobody() -> Iterator[int]:
    fd = os.open(os.devnull, os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("arguments", [(), ("fail",)])
def test_the_space_bar_stops_and_the_terminal_is_as_before(arguments: tuple[str, ...]) -> None:
    terminal = Terminal(*arguments)
    assert terminal.says() == b"keys"
    assert not terminal.echoes
    os.write(terminal.master, b"x")
    os.write(terminal.master, b" ")
    assert int(terminal.says()) == Request.SPACE
    terminal.process.wait()
    assert terminal.echoes
    terminal.close()


def test_keys_are_heard_while_standard_input_carries_something_else(nobody: int) -> None:
    terminal = Terminal(stdin=nobody)
    assert terminal.says() == b"keys"
    os.write(terminal.master, b"\x03")  # Ctrl-C still is a signal
    assert int(terminal.says()) == Request.CTRL_C
    terminal.process.wait()
    assert terminal.echoes
    terminal.close()


def test_a_program_that_is_not_in_front_of_its_terminal_leaves_it_alone() -> None:
    terminal = Terminal(in_front=False)
    assert terminal.says() == b"none"
    assert terminal.echoes
    terminal.process.terminate()
    assert int(terminal.says()) == Request.SIGTERM
    terminal.close()


def test_nothing_is_echoed_and_a_hangup_is_a_request() -> None:
    terminal = Terminal()
    assert terminal.says() == b"keys"
    os.write(terminal.master, b"abc")
    assert not select.select([terminal.master], [], [], 0.05)[0]
    os.close(terminal.master)
    assert int(terminal.says()) & Request.SIGHUP
    terminal.process.wait()
    terminal.master = os.open(os.devnull, os.O_RDONLY)
    terminal.close()
