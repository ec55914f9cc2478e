"""The arrows that must never be, and how light the runtime is."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

FORBIDDEN = [
    ("robot_runtime", ("calibration", "sim", "models", "torch", "gymnasium", "rsl_rl"), "stays light on the robot"),
    ("robot_runtime/bus", ("robot_runtime.arm", "robot_runtime.spec", "robot_runtime.setup"), "knows no arm"),
    ("robot_runtime/servos", ("robot_runtime.bus", "robot_runtime.arm", "robot_runtime.spec"), "is data"),
    ("sim/twin", ("robot_runtime", "fastcrc", "dynamixel_sdk", "serial"), "shares no code with what it tests"),
    ("calibration/identified", ("calibration.refine", "torch", "rsl_rl"), "flies policies and learns nothing"),
    ("robot_runtime/arm", ("robot_runtime.setup", "robot_runtime.cli"), "is below the commands"),
]


def imports(folder: Path) -> Iterator[tuple[Path, str]]:
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((file, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield file, node.module


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


@pytest.mark.parametrize(("folder", "never", "why"), FORBIDDEN)
def test_arrows_that_must_never_be(folder: str, never: tuple[str, ...], why: str) -> None:
    found = [f"{f.relative_to(ROOT)} imports {m}" for f, m in imports(ROOT / folder) for n in never if within(m, n)]
    assert not found, f"{folder} {why}: {found}"


def test_nothing_imports_a_command() -> None:
    for package in ("robot_runtime", "sim", "calibration", "models"):
        for file, module in imports(ROOT / package):
            own = "cli" in file.parts or file.name == "cli.py"
            assert own or not within(module, "robot_runtime.cli"), f"{file} imports {module}"


def test_importing_the_runtime_pulls_nothing_heavy() -> None:
    code = "import robot_runtime.arm, sys; print(sorted(m for m in sys.modules if '.' not in m))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("torch", "gymnasium", "scipy", "matplotlib", "pandas", "sim", "calibration"):
        assert f"'{heavy}'" not in loaded
