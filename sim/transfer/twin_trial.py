"""A study's policy on the twin itself: through the runtime's pilot and envelope, with all of the gap."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from torch import nn

from models.export import export_policy
from sim.tasks import Task
from sim.tasks.arm_task import ArmTask
from sim.training.twin_trial import fly
from sim.transfer.targets import Table

TARGETS = 25
"""Visited one after the other in one flight."""
_OF_TWINS = {"arm", "gap"}
"""What a target's table may say for a twin to be all of it."""


def on_twin(task: Task, table: Table, network: nn.Module, seed: int) -> dict[str, Any] | None:
    """Success and error, as they are and as the arm feels them; None: no twin is what the target's table describes."""
    if not isinstance(task, ArmTask) or not set(table) <= _OF_TWINS:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "policy.onnx"
        export_policy(network, task.contract, path, provenance={}, arm=task.world.spec)
        flown = fly(path, task, str(table.get("gap", "none")), TARGETS, seed)
    return {
        "targets": flown.targets,
        "success": round(flown.success.mean, 4),
        "success_felt": round(flown.success_felt.mean, 4),
        "error": round(flown.error.mean, 6),
        "error_felt": round(flown.error_felt.mean, 6),
    }
