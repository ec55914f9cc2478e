"""Build the package: pure Python, or, with ROBOT_RUNTIME_COMPILE=1, the envelope's arithmetic compiled by mypyc.

    ROBOT_RUNTIME_COMPILE=1 pip install .      # needs a C compiler and Python's headers; mypy comes by itself

The same files, the same numbers to the last bit (tests/test_compiled.py), half the time or less.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

from setuptools import Extension, setup

_SAFETY = "barrier braking clearance cycle envelope friction observer overrun sag servo_stages torque_stage why"
COMPILED = ["robot_runtime/histogram.py", *(f"robot_runtime/safety/{name}.py" for name in _SAFETY.split())]
"""What computes on plain numbers. Where numpy, MuJoCo or the system do the work, nothing is gained."""

WANTED = os.environ.get("ROBOT_RUNTIME_COMPILE", "") not in ("", "0")
BUILDS = not {"egg_info", "dist_info"} & set(sys.argv)  # pip first asks what a build needs, and what it will be
EDITABLE = "editable_wheel" in sys.argv


def compiled() -> list[Extension]:
    """The extension modules."""
    from mypyc.build import mypycify  # noqa: PLC0415 (only this needs it)

    options = ["--config-file=", "--ignore-missing-imports"]
    extensions: list[Extension] = mypycify([*options, *COMPILED], opt_level="3", group_name="robot_runtime")
    for extension in extensions:
        # A multiplication and an addition in one rounding, which ARM compilers like, would give other numbers.
        extension.extra_compile_args.append("-ffp-contract=off")
    return extensions


if WANTED and EDITABLE:
    sys.exit("ROBOT_RUNTIME_COMPILE: an editable install stays pure Python: what is compiled would not see an edit")
setup(
    setup_requires=[name for name in ("mypy", "numpy") if WANTED and not find_spec(name)],
    ext_modules=compiled() if WANTED and BUILDS else [],
)
