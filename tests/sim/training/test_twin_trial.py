"""The policies that ship, on the twin: through the runtime's own pilot and envelope."""

from pathlib import Path
from typing import Any

import pytest

from sim.tasks import make_task
from sim.tasks.arm_task import ArmTask
from sim.training.evaluate import contract_of, require_same
from sim.training.twin_trial import fly
from sim.twin import Twin

SHIPPED = Path(__file__).parents[3] / "models" / "policies"


def arm_task(name: str, arm: str) -> ArmTask:
    task = make_task(name, [0], arm=arm, trial=True)
    assert isinstance(task, ArmTask)
    return task


@pytest.mark.parametrize(
    ("name", "arm"), [("reach", "open-manipulator-x"), ("reach", "koch-v1.1"), ("hold", "xl330-pendulum")]
)
def test_what_ships_fits_its_task_and_reaches_one_target_after_the_other(name: str, arm: str) -> None:
    task, policy = arm_task(name, arm), SHIPPED / f"{name}-{arm}.onnx"
    require_same(contract_of(policy), task, policy)
    flown = fly(policy, task, None, 3, seed=5)
    assert flown.success.mean == 1.0
    assert flown.shut_down == ()


def test_a_servo_that_gives_up_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def overloaded(*arguments: Any, **options: Any) -> Twin:
        return load(*arguments, faults=["overload:servo=pendulum,at=4"], **options)

    load = Twin.load
    monkeypatch.setattr(Twin, "load", overloaded)
    flown = fly(SHIPPED / "hold-xl330-pendulum.onnx", arm_task("hold", "xl330-pendulum"), None, 1)
    (what,) = flown.shut_down
    assert what.startswith("pendulum: overload after")
