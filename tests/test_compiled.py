"""The envelope compiled (setup.py) says the same as the envelope interpreted, number for number."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(root: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(root), "ROBOT_RUNTIME_COMPILE": "1"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def can_compile() -> bool:
    compiler = str(sysconfig.get_config_var("CC") or "cc").split()[0]
    return bool(shutil.which(compiler)) and Path(sysconfig.get_paths()["include"], "Python.h").exists()


@pytest.mark.skipif(not can_compile(), reason="no C compiler, or no Python headers: nothing to compare with")
def test_compiled_and_interpreted_let_the_same_commands_through(tmp_path: Path) -> None:
    for package in ("robot_runtime", "models", "tests"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for file in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, tmp_path)
    interpreted = run(tmp_path, "-m", "tests.limited_commands")
    run(tmp_path, "setup.py", "--quiet", "build_ext", "--inplace")
    compiled = run(tmp_path, "-m", "tests.limited_commands")
    assert interpreted.startswith("False ")
    assert compiled == interpreted.replace("False", "True")


def test_an_editable_install_is_not_compiled() -> None:
    asked = subprocess.run(
        [sys.executable, "setup.py", "editable_wheel"],
        cwd=ROOT,
        env={**os.environ, "ROBOT_RUNTIME_COMPILE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode != 0
    assert "stays pure Python" in asked.stderr
