"""What all commands share: arguments, exit codes, the port, questions, and errors as one clear message."""

from __future__ import annotations

import argparse
import errno
import io
import json
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import IO, Any, NoReturn

from rich.console import Console
from serial.tools import list_ports

from robot_runtime.arm import (
    ArmError,
    EncoderWrapError,
    OutsideLimitsError,
    TorqueIsOnError,
    TorqueOnError,
)
from robot_runtime.bus import Bus, BusError, Port, PortError, SerialPort
from robot_runtime.calibrated.errors import ArmCalError
from robot_runtime.flight.errors import CannotRecordError
from robot_runtime.policy import PolicyError
from robot_runtime.safety.fault_kind import Ending
from robot_runtime.servos import ServoDataError, UnknownServoError
from robot_runtime.servos.protocol import HIGHEST_ID
from robot_runtime.setup.errors import ArmFileError, RefusedError, SetupError, UndoFileError
from robot_runtime.spec import ArmSpecError
from robot_runtime.twin_process import TwinStartError

_LAST_STANDARD = 2
"""Number of standard error, the last of three."""


class ExitCode(IntEnum):
    """How a command ended."""

    FINE = 0
    FOUND = 1
    USAGE = 2
    PORT = 3
    SERVOS = 4
    REFUSED = 5
    INTERRUPTED = 130


EXIT_CODES = """exit codes:
  0    all is well
  1    something was found wrong, or was left undone
  2    wrong usage, or a file that cannot be used
  3    no port, or trouble with it
  4    servos are missing, wrong, or do not answer as they should
  5    refused for safety, or nobody was there to answer a question
  130  interrupted"""


class UsageError(ValueError):
    """The command line cannot be understood."""


class NoPortError(PortError):
    """No `--port`, and not exactly one adapter to choose."""


_CODES: tuple[tuple[type[Exception], int], ...] = (
    (PortError, ExitCode.PORT),
    (RefusedError, ExitCode.REFUSED),
    (TorqueIsOnError, ExitCode.REFUSED),
    (TorqueOnError, ExitCode.REFUSED),
    (OutsideLimitsError, ExitCode.REFUSED),
    (EncoderWrapError, ExitCode.REFUSED),
    (UndoFileError, ExitCode.USAGE),
    (ArmFileError, ExitCode.USAGE),
    (ArmSpecError, ExitCode.USAGE),
    (ServoDataError, ExitCode.USAGE),
    (UnknownServoError, ExitCode.USAGE),
    (UsageError, ExitCode.USAGE),
    (PolicyError, ExitCode.USAGE),
    (ArmCalError, ExitCode.USAGE),
    (TwinStartError, ExitCode.USAGE),  # its own words say what was wrong with its arm, gap or fault
    (SetupError, ExitCode.SERVOS),
    (BusError, ExitCode.SERVOS),
    (ArmError, ExitCode.SERVOS),
    (CannotRecordError, Ending.RECORDING),
    (ModuleNotFoundError, ExitCode.USAGE),
    (OSError, ExitCode.USAGE),  # a file that cannot be read or written
)
"""Error -> exit code; the first class that fits decides."""


_GONE = errno.EIO
"""What a terminal says that was closed."""

_NEGATIVE = re.compile(r"-\.?\d")


class Parser(argparse.ArgumentParser):
    """An argument parser whose mistakes are errors like any other."""

    def __init__(self, **settings: Any) -> None:
        """As argparse, with examples and exit codes kept as they are written."""
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        settings["description"] = textwrap.fill(settings.get("description") or "", 100)
        super().__init__(**settings)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError instead of ending the program."""
        raise UsageError(f"{message}\n{self.format_usage().strip()}")


def _joined(arguments: Sequence[str]) -> list[str]:
    """`--target -0.1,0.2` as `--target=-0.1,0.2`: argparse takes numbers with commas for options."""
    joined: list[str] = []
    for argument in arguments:
        if joined and _NEGATIVE.match(argument) and joined[-1].startswith("--") and "=" not in joined[-1]:
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def command(prog: str, description: str, examples: str) -> Parser:
    """The parser of one command."""
    return Parser(prog=prog, description=description, epilog=f"examples:\n{examples}\n\n{EXIT_CODES}")


def add_common(parser: argparse.ArgumentParser, *, port: bool = True, baud: str | None = None) -> None:
    """The options that commands share; `baud` is the help of `--baud`, which is left out without it."""
    if port:
        parser.add_argument("--port", help="serial port, such as /dev/ttyUSB0; found by itself if there is just one")
    if baud is not None:
        parser.add_argument("--baud", metavar="N", help=baud)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument("--debug", action="store_true", help="show where in the program an error arose")


def add_yes(parser: argparse.ArgumentParser) -> None:
    """The option that answers every question."""
    parser.add_argument("--yes", action="store_true", help="answer every question with yes")


class _Paper(Console):
    """A console whose reader may go away (`| head`, a terminal that is closed): the command goes on, and says the rest
    to nobody.
    """

    def on_broken_pipe(self) -> None:
        _silence(self.file)

    def _check_buffer(self) -> None:
        try:
            super()._check_buffer()
        except OSError as error:
            if error.errno != _GONE:
                raise
            _silence(self.file)


class Screen:
    """Where a command speaks: text for people, or one JSON object for machines, never both."""

    def __init__(self, *, as_json: bool = False) -> None:
        """Text goes to standard output, progress and errors to standard error."""
        self.as_json = as_json
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a terminal without Unicode shows '?' for what it lacks
        self.out = _Paper(quiet=as_json, highlight=False)
        self.err = _Paper(stderr=True, highlight=False, soft_wrap=True)
        self.aftermath: Callable[[], tuple[str, Mapping[str, Any]]] = lambda: ("", {})
        """What a run that breaks off has done until then: for people, and as keys beside the error."""

    @property
    def interactive(self) -> bool:
        """Whether somebody is there to answer."""
        return sys.stdin.isatty() and not self.as_json

    def say(self, text: str = "") -> None:
        """A line for people."""
        self.out.print(text, markup=False, soft_wrap=True)

    def aside(self, text: str) -> None:
        """A line beside the result."""
        if not self.as_json:
            self.err.print(text, markup=False)

    @contextmanager
    def working(self, text: str, *, stages: bool = False) -> Iterator[Callable[[str], None]]:
        """Show what is being done while it is; what is yielded takes a new text. Leaves nothing behind on a terminal.

        `stages`: the texts are few and minutes apart, so that each is a line where there is no terminal.
        """
        if self.as_json or not self.err.is_terminal:
            tell = self.aside if stages else lambda _: None
            tell(text)
            yield tell
            return
        with self.err.status(text) as status:
            yield status.update

    def result(self, data: Mapping[str, Any]) -> None:
        """The one object that a machine reads."""
        if not self.as_json:
            return
        _write_json(data, indent=2)

    def line(self, data: Mapping[str, Any]) -> None:
        """One of several objects that a machine reads, each on a line of its own."""
        if self.as_json:
            _write_json(data)

    def failure(self, error: BaseException, code: int) -> None:
        """An error, and what was done before it, for whoever is listening."""
        text = "interrupted" if isinstance(error, KeyboardInterrupt) else message(error)
        done, keys = self.aftermath()
        if self.as_json:
            self.line({"error": {"type": type(error).__name__, "message": text, "exit_code": int(code)}, **keys})
            return
        self.err.print(text if isinstance(error, KeyboardInterrupt) else f"error: {text}", markup=False)
        if done:
            self.err.print(done, markup=False)

    def confirm(self, question: str, *, yes: bool) -> None:
        """Go on only if somebody agrees.

        Raises:
            RefusedError: the answer is no, or nobody is there.
        """
        if yes:
            return
        self._need_somebody(f"would ask '{question}'; --yes answers yes")
        if self._answer(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
            raise RefusedError("not confirmed")

    def wait(self, instruction: str, *, instead: str) -> None:
        """Wait until somebody has done something by hand. `instead`: what a script would do.

        Raises:
            RefusedError: nobody is there.
        """
        self._need_somebody(f"would wait for somebody to do this: {instruction}; {instead}")
        self._answer(f"{instruction}, then press Enter ")

    def _answer(self, question: str) -> str:
        try:
            return self.err.input(question, markup=False)
        except EOFError as error:
            self.err.print()
            raise RefusedError("no answer: the input has ended") from error

    def _need_somebody(self, what: str) -> None:
        if not self.interactive:
            raise RefusedError(what)


def run(parser: Parser, argv: Sequence[str] | None, codes: Sequence[tuple[type[Exception], int]] = ()) -> int:
    """Parse, call what the parser says under `does`, and turn errors into messages and exit codes.

    `codes`: exit codes of errors that are this command's alone; the first class that fits decides.
    """
    _keep_standard_descriptors()
    arguments = _joined(sys.argv[1:] if argv is None else argv)
    screen = Screen(as_json="--json" in arguments)
    try:
        args = parser.parse_args(arguments)
        does: Callable[[argparse.Namespace, Screen], int] = args.does
        return int(does(args, screen))
    except KeyboardInterrupt as error:
        screen.failure(error, ExitCode.INTERRUPTED)
        return int(ExitCode.INTERRUPTED)
    except Exception as error:
        if _interrupted(error):
            screen.failure(KeyboardInterrupt(), ExitCode.INTERRUPTED)
            return int(ExitCode.INTERRUPTED)
        code = next((code for kind, code in (*codes, *_CODES) if isinstance(error, kind)), None)
        if code is None or "--debug" in arguments:  # a mistake of the program shows where it is
            if screen.as_json or any(screen.aftermath()):
                screen.failure(error, code or ExitCode.FOUND)
            raise
        screen.failure(error, code)
        return int(code)


def _keep_standard_descriptors() -> None:
    """Where one of the first three is closed (`2>&-`), the next file opened would get its number: the serial port, and
    what a library prints would go to the servos.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _LAST_STANDARD:
        pass
    os.close(descriptor)


def _interrupted(error: BaseException | None) -> bool:
    """Whether it began as Ctrl-C: a package that is interrupted while it is imported may make an ImportError of it."""
    seen: set[int] = set()  # a chain may lead back into itself: whoever raises an error from itself makes one
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def message(error: BaseException) -> str:
    """What an error says, with the port or file in front where it is about one."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"{error.name} is not installed; this needs more than a robot: pip install 'robot-runtime[lab]'"
    return str(error)


def open_bus(name: str | None, baudrate: int, screen: Screen) -> Bus:
    """The bus behind a port, or behind the only adapter that is plugged in.

    Raises:
        PortError: there is no port to open, or it cannot be opened.
    """
    return Bus(open_port(find_port(name, screen), baudrate))


def open_port(name: str, baudrate: int) -> Port:
    """Open a serial port. Raises PortError."""
    return SerialPort(name, baudrate)


def find_port(name: str | None, screen: Screen) -> str:
    """The port to use: the one named, or the only USB adapter there is.

    Raises:
        NoPortError: there is none, or more than one.
    """
    if name is not None:
        return name
    adapters = sorted((p for p in list_ports.comports() if p.vid is not None), key=lambda p: p.device)
    if len(adapters) == 1:
        screen.aside(f"using {adapters[0].device} ({adapters[0].description})")
        return str(adapters[0].device)
    if not adapters:
        raise NoPortError(
            "no USB serial adapter is plugged in; plug it in, or name a port with --port "
            "(without an arm: 'robot-twin --arm koch-v1.1' prints a port)"
        )
    listed = ", ".join(f"{p.device} ({p.description})" for p in adapters)
    raise NoPortError(f"more than one adapter is plugged in, choose one with --port: {listed}")


def servo_id(text: str) -> int:
    """A servo's ID from the command line, for argparse."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number <= HIGHEST_ID:
        raise argparse.ArgumentTypeError(f"'{text}' is not an ID; they go from 0 to {HIGHEST_ID}")
    return number


def estop(text: str) -> int | str:
    """An emergency stop from the command line, a descriptor or a file, for argparse."""
    if not text.isdigit() and not Path(text).exists():
        raise argparse.ArgumentTypeError(f"'{text}': there is no such file, and it is no number of a descriptor")
    if not text.isdigit() and Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"'{text}' is a folder, no emergency stop")
    return int(text) if text.isdigit() else text


def add_twin_options(parser: argparse.ArgumentParser) -> None:
    """What makes the twin another arm than its data say; looked at by `require_twin`."""
    twin = parser.add_argument_group("without --port")
    twin.add_argument(
        "--gap",
        metavar="NAME|FILE",
        help="how the twin differs from its data: mild, harsh, random:N, a gap.toml (default: not at all)",
    )
    twin.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="SPEC",
        help="let something go wrong, such as servo-dead:servo=12,at=5; more than once if you like; robot-twin --help "
        "lists what can",
    )


def require_twin(arguments: argparse.Namespace) -> None:
    """Raise UsageError for a gap or a fault of a real arm, and for a port without a name: no wish for a twin."""
    if arguments.port == "":
        raise UsageError("--port '': name the port, such as /dev/ttyUSB0; leave --port out for the twin")
    if arguments.port and (arguments.gap or arguments.fault):
        raise UsageError("--gap and --fault are for the twin: leave --port out")


def count(number: int, thing: str) -> str:
    """As people say it: 1 servo, 2 servos."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _write_json(data: Mapping[str, Any], indent: int | None = None) -> None:
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    try:
        sys.stdout.write(json.dumps(data, indent=indent, ensure_ascii=not unicode) + "\n")
        sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError) and error.errno != _GONE:
            raise
        _silence(sys.stdout)


def _silence(stream: IO[str]) -> None:
    """Send what is still to come nowhere: its reader has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def baudrate(text: str) -> int:
    """A baud rate from the command line. Raises UsageError."""
    try:
        rate = int(text.replace("_", ""))
    except ValueError:
        rate = 0
    if rate <= 0:
        raise UsageError(f"'{text}' is not a baud rate, such as 1000000")
    return rate
