"""Build the package, with the envelope's arithmetic compiled by mypyc.

    pip install .                              # compiled where a C compiler and Python's headers are, else pure Python
    ROBOT_RUNTIME_COMPILE=1 pip install .      # compiled, or an error that says why not
    ROBOT_RUNTIME_COMPILE=0 pip install .      # pure Python

The same files, the same numbers to the last bit (tests/test_compiled.py), half the time or less. An editable install
is always pure Python: what is compiled would not see an edit.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

_SAFETY = "barrier braking clearance cycle envelope friction observer overrun sag servo_stages torque_stage why"
COMPILED = ["robot_runtime/histogram.py", *(f"robot_runtime/safety/{name}.py" for name in _SAFETY.split())]
"""What computes on plain numbers. Where numpy, MuJoCo or the system do the work, nothing is gained."""

ASKED = os.environ.get("ROBOT_RUNTIME_COMPILE", "")
MUST, MAY = ASKED not in ("", "0"), ASKED != "0"
EDITABLE = "editable_wheel" in sys.argv
BUILDS = bool({"bdist_wheel", "build", "build_ext", "install"} & set(sys.argv))  # else pip only asks about the package


def can_compile() -> bool:
    """Whether there is what it takes."""
    compiler = str(sysconfig.get_config_var("CC") or "cc").split()[0]
    return bool(shutil.which(compiler)) and Path(sysconfig.get_paths()["include"], "Python.h").exists()


def compiled() -> list[Extension]:
    """The extension modules."""
    from mypyc.build import mypycify  # noqa: PLC0415 (only this needs it)

    options = ["--config-file=", "--ignore-missing-imports"]
    extensions: list[Extension] = mypycify([*options, *COMPILED], opt_level="3", group_name="robot_runtime")
    for extension in extensions:
        # A multiplication and an addition in one rounding, which ARM compilers like, would give other numbers.
        extension.extra_compile_args = [*extension.extra_compile_args, "-ffp-contract=off"]
    return extensions


def compiled_if_it_goes() -> list[Extension]:
    """The extension modules; none, with a word, where mypyc does not get through and nobody insists."""
    try:
        return compiled()
    except (Exception, SystemExit) as error:  # mypyc leaves with SystemExit where it does not like what it reads
        if MUST:
            raise
        stays_pure(error)
        return []


def stays_pure(why: object) -> None:
    """Say it; a preflight says it, too, where the rate makes it matter."""
    sys.stderr.write(f"the envelope is not compiled, and takes twice the time: {why}\n")


class BuildAllOrNothing(build_ext):
    """Modules that were compiled and modules that were not do not go together."""

    def run(self) -> None:
        """Compile; where that fails and nobody insists, leave nothing behind."""
        try:
            super().run()
        except Exception as error:
            if MUST:
                raise
            stays_pure(error)
            for extension in self.extensions:
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
            self.extensions = []


if MUST and EDITABLE:
    sys.exit("ROBOT_RUNTIME_COMPILE: an editable install stays pure Python: what is compiled would not see an edit")
WANTED = not EDITABLE and (MUST or (MAY and can_compile()))
setup(
    ext_modules=compiled_if_it_goes() if WANTED and BUILDS else [],
    cmdclass={"build_ext": BuildAllOrNothing},
)
