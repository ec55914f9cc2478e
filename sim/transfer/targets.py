"""The worlds that a policy is carried to: a study's table of numbers becomes a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robot_runtime.spec import ArmSpecError
from sim.tasks import TASKS, Task
from sim.tasks.walker2d import Walker2dTask
from sim.transfer.other_arm import OtherArmTask
from sim.twin.gap import GapError
from sim.worlds.walker2d import BASE, FAMILY, Walker2d

Table = Mapping[str, str | float]

WALKER = "walker2d"
_WALKER_KEYS = {
    "body": "one of the family, by name",
    "legs": "factor on the lengths of thigh and leg",
    "friction": "share of the feet's friction, on a slippery floor",
}
_ARM_KEYS = {
    "arm": "a shipped arm or a path",
    "links": "factor on all lengths",
    "payload": "kg at the tip",
    "torque_constant": "factor",
    "coulomb": "factor on dry friction of the gears",
    "viscous": "factor",
    "load_friction": "factor on the share of torque that the gears eat",
    "gap": "none, mild, harsh, random:SEED or a path: how a twin differs from its files",
}


class TargetError(ValueError):
    """A target that cannot be; the message names it and what it may say."""


def check_target(task: str, name: str, table: Mapping[str, Any]) -> None:
    """Find mistakes before hours of work.

    Raises:
        TargetError: an unknown task, key or body, or a value of the wrong kind.
    """
    if task not in TASKS:
        raise TargetError(f"no task '{task}'; there are {', '.join(TASKS)}")
    known = _WALKER_KEYS if task == WALKER else _ARM_KEYS
    for key, value in table.items():
        if key not in known:
            told = "; ".join(f"{k}: {what}" for k, what in known.items())
            raise TargetError(f"target '{name}' of {task}: no key '{key}'; there are {told}")
        if key in ("body", "arm", "gap"):
            fine = isinstance(value, str)
        else:
            fine = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
        if not fine:
            raise TargetError(f"target '{name}': '{key}' is {known[key]}, not {value!r}")
    try:
        make_target(task, table, [0])
    except (KeyError, ArmSpecError, GapError) as error:
        raise TargetError(f"target '{name}': {error}") from error


def make_target(task: str, table: Table, seeds: Sequence[int], source: Table | None = None) -> Task:
    """The task in that world, one simulation a seed. `source`: where the policy comes from; it keeps its contract."""
    if task == WALKER:
        return Walker2dTask(seeds, body=_body(table))
    return OtherArmTask(task, table, seeds, source=source)


def _body(table: Table) -> Walker2d:
    body = FAMILY[str(table.get("body", "base"))]
    if "legs" in table:
        body = body.with_legs(float(table["legs"]))
    if "friction" in table:
        share = float(table["friction"])
        body = body.slippery(BASE.right_foot * share, BASE.left_foot * share)
    return body
