"""The arrows that must never be, and how light the runtime is."""

from __future__ import annotations

import ast
import re
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


ALL = """
import pkgutil, sys, robot_runtime
for module in pkgutil.walk_packages(robot_runtime.__path__, "robot_runtime."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
print(*sorted(name for name in sys.modules if "." not in name))
"""
HEAVY = {"torch", "gymnasium", "scipy", "matplotlib", "pandas", "onnx", "sim", "calibration", "models"}


def test_importing_the_runtime_pulls_nothing_heavy() -> None:
    loaded = subprocess.run([sys.executable, "-c", ALL], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert "onnxruntime" in loaded
    assert not HEAVY & set(loaded.split())


FOR_ALL = {
    "flying",
    "verdict",
    "undisturbed",
    "arrays",
    "histogram",
    "compiled",
    "toml_lines",
    "toml_table",
    "typed_json",
    "unnamed",
}


def rooms() -> Iterator[tuple[set[str], set[str]]]:
    """Rows of the table of rooms that are about the runtime: what a row is about, and what it may import."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("| `robot_runtime/") and "`robot_runtime/cli`" not in line:
            names, _, may = line.strip("| ").split(" | ")
            own = {name.removesuffix(".py") for name in re.findall(r"`(?:robot_runtime/)?(\w+(?:\.py)?)`", names)}
            yield own, set(re.findall(r"\w+", re.sub(r"\(.*?\)|:.*", "", may)))


def test_the_table_of_rooms_says_what_they_import() -> None:
    made: dict[str, set[str]] = {}
    for file, module in imports(ROOT / "robot_runtime"):
        if within(module, "robot_runtime") and module != "robot_runtime":
            room = file.relative_to(ROOT / "robot_runtime").parts[0].removesuffix(".py")
            made.setdefault(room, set()).add(module.split(".")[1])
    told = list(rooms())
    assert {name for own, _ in told for name in own} | {"cli"} >= set(made)
    for own, may in told:
        found = set().union(*(made.get(name, set()) for name in own)) - own - FOR_ALL
        assert found == may & (set(made) | {"servos"}) - FOR_ALL, own


@pytest.mark.parametrize("command", ["run", "replay", "report", "scan", "twin", "import", "train", "transfer"])
def test_every_option_of_a_command_stands_on_its_page(command: str) -> None:
    name = {"import": "convert"}.get(command, command)
    code = f"from robot_runtime.cli.start import {name} as main; main()"
    asked = [sys.executable, "-c", code, "--help"]
    shown = subprocess.run(asked, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    options = set(re.findall(r"^  (--[a-z-]+)", shown, re.MULTILINE)) - {"--debug"}
    page = (ROOT / "docs" / "commands" / f"robot-{command}.md").read_text(encoding="utf-8")
    assert options or command == "transfer"
    assert not {option for option in options if option not in page}
