"""Where every command begins: Ctrl-C ends it quietly from here on, also while its packages are still being imported.

So do SIGTERM and SIGHUP where a command promises a last line however it ends.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any

_INTERRUPTED = 130
_TOLD = b'{"error": {"type": "KeyboardInterrupt", "message": "interrupted", "exit_code": 130}}\n'


def start(module: str, like_ctrl_c: Sequence[signal.Signals] = ()) -> int:
    """Import this module, and run its `main`. `like_ctrl_c`: signals that end it as Ctrl-C does.

    An import that is interrupted may make another error of it (pybind11 does), or go on without what it wanted: until
    `main` is there a signal ends the process at once, and once it is over nothing is left to interrupt.
    """
    defaults = {signal.SIGINT: signal.default_int_handler, **dict.fromkeys(like_ctrl_c, signal.SIG_DFL)}
    heard = [number for number, default in defaults.items() if signal.getsignal(number) == default]
    _on(heard, _leave)  # of the others somebody has said: not this one
    try:
        main = import_module(module).main
    except ModuleNotFoundError as error:  # on a robot there is no torch
        from robot_runtime.cli.common import ExitCode, Screen  # noqa: PLC0415 (what takes long is imported below)

        Screen(as_json="--json" in sys.argv).failure(error, ExitCode.USAGE)
        return ExitCode.USAGE
    try:
        _on(heard, signal.default_int_handler)
        code: int = main()
    except KeyboardInterrupt:  # before the command could take care of it
        _on(heard, signal.SIG_IGN)
        _tell()
        return _INTERRUPTED
    _on(heard, signal.SIG_IGN)
    return code


def _on(numbers: Sequence[signal.Signals], handler: Any) -> None:
    for number in numbers:
        signal.signal(number, handler)


def _leave(*_: object) -> None:
    _tell()
    os._exit(_INTERRUPTED)


def _tell() -> None:
    as_json = "--json" in sys.argv
    with suppress(OSError):  # who would have heard it is gone
        os.write(1 if as_json else 2, _TOLD if as_json else b"interrupted\n")


run = partial(start, "robot_runtime.cli.run", like_ctrl_c=(signal.SIGTERM, signal.SIGHUP))
replay = partial(start, "robot_runtime.cli.replay")
report = partial(start, "robot_runtime.cli.report")
scan = partial(start, "robot_runtime.cli.scan")
setup = partial(start, "robot_runtime.cli.setup")
twin = partial(start, "sim.twin.cli")
convert = partial(start, "models.cli")
train = partial(start, "sim.training.cli")
calibrate = partial(start, "calibration.cli.calibrate", like_ctrl_c=(signal.SIGTERM, signal.SIGHUP))
transfer = partial(start, "sim.transfer.cli")
