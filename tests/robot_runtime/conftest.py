"""What several tests of the operator need."""

from __future__ import annotations

import os
import pty
from collections.abc import Iterator

import pytest

from robot_runtime import operator_inputs


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Where to type: a terminal that the operator takes for its own."""
    master, slave = pty.openpty()
    monkeypatch.setattr(operator_inputs, "_open_terminal", lambda _: slave)
    monkeypatch.setattr(operator_inputs, "_in_front", lambda _: True)
    yield master
    os.close(master)
    os.close(slave)
