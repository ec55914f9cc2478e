"""Where every command begins: Ctrl-C ends it quietly from here on, also while its packages are still being imported."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from importlib import import_module

_INTERRUPTED = 130
_TOLD = b'{"error": {"type": "KeyboardInterrupt", "message": "interrupted", "exit_code": 130}}\n'


def start(module: str) -> int:
    """Import this module, and run its `main`.

    An import that is interrupted may make another error of it (pybind11 does), or go on without what it wanted: until
    `main` is there Ctrl-C ends the process at once, and once it is over nothing is left to interrupt.
    """
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else somebody has said: not this one
    if heard:
        signal.signal(signal.SIGINT, _leave)
    try:
        main = import_module(module).main
    except ModuleNotFoundError as error:  # on a robot there is no torch
        from robot_runtime.cli.common import ExitCode, Screen  # noqa: PLC0415 (what takes long is imported below)

        Screen(as_json="--json" in sys.argv).failure(error, ExitCode.USAGE)
        return ExitCode.USAGE
    if heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code: int = main()
    except KeyboardInterrupt:  # before the command could take care of it
        _tell()
        return _INTERRUPTED
    if heard:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return code


def _leave(*_: object) -> None:
    _tell()
    os._exit(_INTERRUPTED)


def _tell() -> None:
    as_json = "--json" in sys.argv
    os.write(1 if as_json else 2, _TOLD if as_json else b"interrupted\n")


run = partial(start, "robot_runtime.cli.run")
replay = partial(start, "robot_runtime.cli.replay")
report = partial(start, "robot_runtime.cli.report")
scan = partial(start, "robot_runtime.cli.scan")
setup = partial(start, "robot_runtime.cli.setup")
twin = partial(start, "sim.twin.cli")
convert = partial(start, "models.cli")
train = partial(start, "sim.training.cli")
calibrate = partial(start, "calibration.cli.calibrate")
transfer = partial(start, "sim.transfer.cli")
