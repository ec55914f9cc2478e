"""A desk with an arm on it that is not there, and commands run as from a terminal or a script."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from robot_runtime.cli import common
from sim.twin.lockstep import LockstepPort
from sim.twin.twin import Twin

Main = Callable[[Sequence[str]], int]


@dataclass
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Desk:
    """`run` starts commands on the twin; `answers` are what somebody types, one a question (a callable acts first)."""

    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    folder: Path
    twin: Twin | None = None
    answers: list[str | Callable[[], str]] = field(default_factory=list)
    asked: int = 0

    def put(self, twin: Twin) -> Twin:
        """Connect a twin to the only port."""
        self.twin = twin
        return twin

    def open_port(self, name: str, baudrate: int) -> LockstepPort:
        assert self.twin is not None
        port = LockstepPort(self.twin)
        port.set_baudrate(baudrate)
        return port

    def run(self, main: Main, *arguments: str, port: bool = True) -> Ended:
        code = main([*arguments, *(("--port", "bench") if port else ())])
        said = self.capsys.readouterr()
        return Ended(code, said.out, said.err)

    def somebody(self, *answers: str | Callable[[], str]) -> None:
        """Somebody sits at the terminal."""
        self.answers = list(answers)
        self.monkeypatch.setattr(sys.stdin, "isatty", lambda: True)

    def answer(self, _prompt: str = "") -> str:
        self.asked += 1
        answer = self.answers.pop(0)
        return answer if isinstance(answer, str) else answer()


@pytest.fixture
def desk(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Desk]:
    found = Desk(capsys, monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(common, "open_port", found.open_port)
    monkeypatch.setattr("builtins.input", found.answer)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    monkeypatch.setenv("COLUMNS", "120")
    yield found
    assert not found.answers, "questions that were never asked"
