"""Ctrl-C, and what ends robot-run like it, while a command is still being imported or does not listen yet."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from robot_runtime.cli import start

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"
BEFORE = "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('imported', flush=True); main = lambda: 7"
AFTER = "def main():\n    import os, signal\n    os.kill(os.getpid(), signal.SIGINT)\n    print('not so')"
BEHIND = "import atexit, os, signal; atexit.register(os.kill, os.getpid(), signal.SIGINT); main = lambda: 7"


def started(
    folder: Path,
    code: str,
    *options: str,
    sigint: str = "default_int_handler",
    number: str = "SIGINT",
    entry: str = "run",
) -> subprocess.CompletedProcess[str]:
    (folder / "slow_command.py").write_text(code.replace("SIGINT", number))
    program = f"import sys, signal; signal.signal(signal.SIGINT, signal.{sigint}); sys.path.insert(0, {str(folder)!r})"
    program += f"; from robot_runtime.cli.start import start, {entry}"
    program += f"; sys.exit(start('slow_command', *{entry}.args[1:], **{entry}.keywords))"
    command = [sys.executable, "-c", program, *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


LIKE_CTRL_C = pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])


@LIKE_CTRL_C
@pytest.mark.parametrize("entry", ["run", "calibrate"])  # what moves an arm, or works for minutes
def test_ctrl_c_during_the_imports_is_a_quiet_end(tmp_path: Path, number: str, entry: str) -> None:
    done = started(tmp_path, BEFORE, number=number, entry=entry)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@LIKE_CTRL_C
def test_machines_are_told_as_of_any_error(tmp_path: Path, number: str) -> None:
    done = started(tmp_path, BEFORE, "--json", number=number)
    told = {"type": "KeyboardInterrupt", "message": "interrupted", "exit_code": 130}
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (130, {"error": told}, "")


@LIKE_CTRL_C
def test_a_command_that_does_not_listen_is_ended_too(tmp_path: Path, number: str) -> None:
    done = started(tmp_path, AFTER, number=number)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@LIKE_CTRL_C
def test_what_is_done_cannot_be_interrupted(tmp_path: Path, number: str) -> None:
    done = started(tmp_path, BEHIND, number=number)
    assert (done.returncode, done.stderr) == (7, "")


def test_who_was_told_not_to_hear_it_does_not(tmp_path: Path) -> None:
    done = started(tmp_path, BEFORE, sigint="SIG_IGN")
    assert (done.returncode, done.stdout, done.stderr) == (7, "imported\n", "")


def test_what_is_not_installed_is_told_with_what_to_do(tmp_path: Path) -> None:
    done = started(tmp_path, "import no_such_package")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: no_such_package is not installed; ")
    assert json.loads(started(tmp_path, "import no_such_package", "--json").stdout)["error"]["exit_code"] == 2


SCRIPTS = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["scripts"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_command_begins_there_and_tells_machines_of_errors_in_one_line(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    module, _, function = SCRIPTS[name].partition(":")
    assert module == start.__name__
    (begins,) = getattr(start, function).args
    assert bool(getattr(start, function).keywords) == (name in {"robot-run", "robot-calibrate"})
    if begins.startswith("sim.tr"):
        pytest.importorskip("torch")
    assert import_module(begins).main(["--no-such-option", "--json"]) == 2
    said = capsys.readouterr()
    assert said.err == ""
    (line,) = said.out.splitlines()
    assert json.loads(line)["error"]["exit_code"] == 2


@pytest.mark.parametrize(
    "module", ["robot_runtime.cli.run", "sim.training.cli", "sim.transfer.cli", "calibration.cli.calibrate"]
)
def test_examples_can_be_typed_and_every_option_is_explained(module: str) -> None:
    """`robot-calibrate` without a subcommand has a parser of its own, for options of `record`."""
    pytest.importorskip("torch")
    whole = import_module(module)._parser()
    subs = next((a for a in whole._actions if isinstance(a, argparse._SubParsersAction)), None)
    for parser in (whole, *(subs.choices.values() if subs else ())):
        assert [action.dest for action in parser._actions if not (action.help or action is subs)] == []
        for line in parser.epilog.splitlines():
            typed, _, _ = line.strip().partition("   ")
            if typed.startswith(f"{whole.prog} ") and not typed.startswith("robot-calibrate --"):
                whole.parse_args(shlex.split(typed.replace("[", "").replace("]", ""))[1:])
