"""For all tests."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything brings torch
"""Tests run side by side, one a core. Networks that take two cores each wait for one another: 70 s instead of 5."""


@pytest.fixture(scope="session", autouse=True)
def _logs_of_stable_baselines(tmp_path_factory: pytest.TempPathFactory) -> None:
    """It begins a folder of its own beside everybody's, for each model, and leaves it there."""
    os.environ.setdefault("SB3_LOGDIR", str(tmp_path_factory.mktemp("sb3")))
