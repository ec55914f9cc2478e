"""Exit codes, error messages, questions, and finding the port: the same in every command."""

from __future__ import annotations

import argparse
import errno
import json
import os
import pty
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from serial.tools import list_ports

from robot_runtime.arm import TorqueIsOnError, WrongServoError
from robot_runtime.bus import MissingServosError, NoReplyError, PortInUseError
from robot_runtime.cli.common import ExitCode, NoPortError, Screen, add_common, add_yes, command, count, find_port, run
from robot_runtime.cli.scan import main as robot_scan
from robot_runtime.cli.setup import main as robot_setup
from robot_runtime.servos import ServoDataError, UnknownServoError
from robot_runtime.setup.errors import CannotBeRightError, RefusedError, UndoFileError, WhichServoError
from robot_runtime.spec import ArmNotFoundError, ArmSpecError


def ends(error: BaseException, *argv: str) -> int:
    """Exit code of a command that runs into this error."""

    def body(args: argparse.Namespace, screen: Screen) -> ExitCode:
        raise error

    parser = command("robot-try", "Tries.", "  robot-try")
    add_common(parser)
    add_yes(parser)
    parser.set_defaults(does=body)
    return run(parser, argv)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PortInUseError(errno.EBUSY, "in use by cat (process 7)", "/dev/ttyUSB0"), 3),
        (NoPortError("none"), 3),
        (NoReplyError(1, "silent"), 4),
        (MissingServosError([1], "gone"), 4),
        (WrongServoError("wrong"), 4),
        (WhichServoError("two"), 4),
        (RefusedError("no"), 5),
        (CannotBeRightError("no"), 5),
        (TorqueIsOnError("on"), 5),
        (ArmSpecError("line 3"), 2),
        (ArmNotFoundError("no arm"), 2),
        (ServoDataError("bad"), 2),
        (UnknownServoError("XX"), 2),
        (UndoFileError("bad"), 2),
        (PermissionError(errno.EACCES, "Permission denied", "arm.toml"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_error_has_its_exit_code_and_no_traceback(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends(error) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err


def test_a_mistake_of_the_program_is_told_to_machines_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        ends(ZeroDivisionError("by nothing"), "--json")
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["error"] == {"type": "ZeroDivisionError", "message": "by nothing", "exit_code": 1}


def test_numbers_with_commas_may_begin_with_a_minus() -> None:
    seen: list[str] = []

    def body(args: argparse.Namespace, screen: Screen) -> ExitCode:
        seen.append(args.target)
        return ExitCode.FINE

    parser = command("robot-try", "Tries.", "  robot-try")
    parser.add_argument("--target")
    parser.set_defaults(does=body)
    assert run(parser, ["--target", "-0.1,0.2"]) == run(parser, ["--target=-.1"]) == ExitCode.FINE
    assert seen == ["-0.1,0.2", "-.1"]


def test_debug_shows_where_an_error_arose() -> None:
    with pytest.raises(NoReplyError):
        ends(NoReplyError(1, "silent"), "--debug")


def test_a_mistake_of_the_program_is_not_dressed_up() -> None:
    with pytest.raises(ZeroDivisionError):
        ends(ZeroDivisionError())


def test_a_port_error_names_the_port(capsys: pytest.CaptureFixture[str]) -> None:
    ends(PortInUseError(errno.EBUSY, "in use by cat (process 7)", "/dev/ttyUSB0"))
    assert capsys.readouterr().err == "error: /dev/ttyUSB0: in use by cat (process 7)\n"


def test_ctrl_c_that_an_import_made_an_error_of(capsys: pytest.CaptureFixture[str]) -> None:
    error = ImportError("initialization failed")
    error.__cause__ = KeyboardInterrupt()
    assert ends(error) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_with_json_an_error_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    ends(NoReplyError(1, "silent"), "--json")
    said = capsys.readouterr()
    assert json.loads(said.out) == {"error": {"type": "NoReplyError", "message": "silent", "exit_code": 4}}
    assert said.err == ""


@pytest.mark.parametrize("main", [robot_scan, robot_setup])
def test_wrong_usage_is_an_error_like_any_other(main, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert main(["--nonsense"]) == 2
    assert "usage:" in capsys.readouterr().err
    assert main(["--nonsense", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["type"] == "UsageError"


@pytest.mark.parametrize("main", [robot_scan, robot_setup])
def test_help_shows_examples_and_exit_codes(main, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    for code in ExitCode:
        assert f"\n  {int(code)} " in text


@pytest.mark.parametrize("sub", ["servo", "arm", "zero", "baud", "undo", "release", "reboot"])
def test_every_subcommand_tells_its_exit_codes(sub: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        robot_setup([sub, "--help"])
    text = capsys.readouterr().out
    assert "exit codes:" in text
    assert "--yes" in text
    assert "--json" in text


@pytest.mark.parametrize(
    ("main", "page", "sub"),
    [(robot_scan, "robot-scan", None)]
    + [(robot_setup, "robot-setup", s) for s in ("servo", "arm", "zero", "baud", "undo", "release", "reboot")],
)
def test_every_option_is_on_the_commands_page(  # type: ignore[no-untyped-def]
    main, page: str, sub: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*filter(None, [sub]), "--help"])
    text = (Path(__file__).parents[3] / "docs" / "commands" / f"{page}.md").read_text(encoding="utf-8")
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", capsys.readouterr().out)) - {"--help"}
    assert {option for option in options if option not in text} == set()


# -- questions ---------------------------------------------------------------------------------------------------------


def confirm(monkeypatch: pytest.MonkeyPatch, *, yes: bool = False, terminal: bool = True, typed: str = "") -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: terminal)
    monkeypatch.setattr("builtins.input", lambda *_: typed)
    Screen().confirm("Write?", yes=yes)


@pytest.mark.parametrize("typed", ["y", "yes", " Y "])
def test_yes_is_yes(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    confirm(monkeypatch, typed=typed)


@pytest.mark.parametrize("typed", ["", "n", "no", "what?"])
def test_anything_else_is_no(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    with pytest.raises(RefusedError, match="not confirmed"):
        confirm(monkeypatch, typed=typed)


def test_without_a_terminal_the_question_is_said_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RefusedError, match=r"would ask 'Write\?'; --yes answers yes"):
        confirm(monkeypatch, terminal=False)
    confirm(monkeypatch, terminal=False, yes=True)


# -- the port ----------------------------------------------------------------------------------------------------------


@dataclass
class Adapter:
    device: str
    description: str
    vid: int | None


USB0, USB1 = Adapter("/dev/ttyUSB0", "U2D2", 0x0403), Adapter("/dev/ttyUSB1", "OpenRB", 0x2F5D)
BOARD = Adapter("/dev/ttyS0", "ttyS0", None)


def found(monkeypatch: pytest.MonkeyPatch, *ports: Adapter) -> str:
    monkeypatch.setattr(list_ports, "comports", lambda: list(ports))
    return find_port(None, Screen())


def test_the_only_adapter_is_used_and_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert found(monkeypatch, BOARD, USB0) == "/dev/ttyUSB0"
    assert "using /dev/ttyUSB0 (U2D2)" in capsys.readouterr().err


def test_none_and_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoPortError, match="no USB serial adapter"):
        found(monkeypatch, BOARD)
    with pytest.raises(NoPortError, match=r"/dev/ttyUSB0 \(U2D2\), /dev/ttyUSB1 \(OpenRB\)"):
        found(monkeypatch, USB1, USB0)


def test_a_named_port_is_not_questioned() -> None:
    assert find_port("/dev/anything", Screen()) == "/dev/anything"


# -- where the words go ------------------------------------------------------------------------------------------------


SHOW = """
import sys
from robot_runtime.cli.common import ExitCode, add_common, command, run
def body(args, screen):
    for i in range(3):
        screen.say("25 \\u00b0C \\u00b5s")
    screen.result({"unit": "\\u00b0C"})
    screen.aside("went on to the end")
    return ExitCode.FINE
parser = command("robot-try", "Tries.", "  robot-try")
add_common(parser)
parser.set_defaults(does=body)
sys.exit(run(parser, None))
"""


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_reader_that_goes_away_does_not_stop_the_command(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    call = [sys.executable, "-c", SHOW, *arguments]
    shown = subprocess.run(call, check=False, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (shown.returncode, shown.stderr) == (0, "" if arguments else "went on to the end\n")


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_terminal_that_is_closed_does_not_stop_the_command(arguments: list[str]) -> None:
    master, slave = pty.openpty()
    os.close(master)  # from now on it says EIO
    call = [sys.executable, "-c", SHOW, *arguments]
    ended = subprocess.run(call, check=False, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave)
    os.close(slave)
    assert ended.returncode == 0


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_terminal_without_unicode(arguments: list[str]) -> None:
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    call = [sys.executable, "-c", SHOW, *arguments]
    shown = subprocess.run(call, capture_output=True, env=ascii_only, check=True)
    if arguments:
        assert json.loads(shown.stdout) == {"unit": "\u00b0C"}
    else:
        assert shown.stdout.splitlines()[0] == b"25 ?C ?s"


def test_counting() -> None:
    assert (count(1, "servo"), count(0, "servo"), count(2, "servo")) == ("1 servo", "0 servos", "2 servos")


def test_an_error_that_is_its_own_cause_ends_the_command() -> None:
    error = NoReplyError(1, "silent")
    error.__cause__ = error
    assert ends(error) == ends(NoReplyError(1, "silent"))
