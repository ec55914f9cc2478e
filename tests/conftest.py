"""For all tests."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def _logs_of_stable_baselines(tmp_path_factory: pytest.TempPathFactory) -> None:
    """It begins a folder of its own beside everybody's, for each model, and leaves it there."""
    os.environ.setdefault("SB3_LOGDIR", str(tmp_path_factory.mktemp("sb3")))
