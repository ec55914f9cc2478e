"""The envelope compiled (setup.py) says the same as the envelope interpreted, number for number."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


Done = subprocess.CompletedProcess[str]


def attempt(root: Path, *arguments: str, **settings: str) -> Done:
    plain = {name: value for name, value in os.environ.items() if name not in ("CC", "ROBOT_RUNTIME_COMPILE")}
    environment = {**plain, "PYTHONPATH": str(root), **settings}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def run(root: Path, *arguments: str, **settings: str) -> Done:
    done = attempt(root, *arguments, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def can_compile() -> bool:
    compiler = str(sysconfig.get_config_var("CC") or "cc").split()[0]
    return bool(shutil.which(compiler)) and Path(sysconfig.get_paths()["include"], "Python.h").exists()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for package in ("robot_runtime", "models", "tests"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for file in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, tmp_path)
    return tmp_path


def built(tree: Path) -> list[str]:
    return sorted(path.name for path in (tree / "built").rglob("*.so"))


needs_compiler = pytest.mark.skipif(not can_compile(), reason="no C compiler, or no Python headers")
BUILD = ("setup.py", "--quiet", "build", "--build-lib", "built")


@needs_compiler
def test_compiled_and_interpreted_let_the_same_commands_through(tree: Path) -> None:
    interpreted = run(tree, "-m", "tests.limited_commands").stdout
    run(tree, "setup.py", "--quiet", "build_ext", "--inplace")
    compiled = run(tree, "-m", "tests.limited_commands").stdout
    assert interpreted.startswith("False ")
    assert compiled == interpreted.replace("False", "True")


@needs_compiler
def test_a_compiler_that_fails_leaves_pure_python_unless_somebody_insists(tree: Path) -> None:
    stale = tree / "built" / "robot_runtime" / "safety" / f"barrier{sysconfig.get_config_var('EXT_SUFFIX')}"
    stale.parent.mkdir(parents=True)
    stale.touch()
    done = run(tree, *BUILD, CC="false")
    assert "the envelope is not compiled" in done.stderr
    assert built(tree) == []
    assert (stale.parent / "barrier.py").exists()
    assert attempt(tree, *BUILD, CC="false", ROBOT_RUNTIME_COMPILE="1").returncode != 0


def test_nobody_has_to_compile(tree: Path) -> None:
    run(tree, *BUILD, ROBOT_RUNTIME_COMPILE="0")
    assert built(tree) == []


def test_an_editable_install_is_not_compiled() -> None:
    asked = attempt(ROOT, "setup.py", "editable_wheel", ROBOT_RUNTIME_COMPILE="1")
    assert asked.returncode != 0
    assert "stays pure Python" in asked.stderr
