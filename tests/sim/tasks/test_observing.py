"""Training sees what the runtime will show: the same contract, the same numbers."""

import numpy as np
import pytest

from robot_runtime.arm import Kinematics
from robot_runtime.policy.contract import Action, Contract, Target, Term
from robot_runtime.policy.observation import Observation
from robot_runtime.spec import load_arm
from sim.tasks.observing import Observer

JOINTS = ("joint1", "joint2", "joint3", "joint4")
TIP = Contract(
    observation=(
        Term("joint_position", 4, JOINTS, offset=(0.1, 0.2, 0.3, 0.4)),
        Term("joint_velocity", 4, JOINTS, scale=(0.5,), history=3),
        Term("last_action", 4, clip=(-1.0, 1.0), history=2),
        Term("target", 3),
        Term("tip_position", 3),
        Term("target_error", 3, scale=(40.0,), clip=(-1.0, 1.0)),
    ),
    action=Action("torque", JOINTS),
    rate=50.0,
    target=Target("tip_position", 3),
)
JOINT = Contract(
    observation=(Term("target", 4), Term("target_error", 4, scale=(3.0,), history=2)),
    action=Action("torque", JOINTS),
    rate=50.0,
    target=Target("joint_position", 4, JOINTS),
)


@pytest.mark.parametrize("contract", [TIP, JOINT], ids=["tip", "joint"])
def test_observer_and_runtime_agree_step_by_step(contract: Contract) -> None:
    spec = load_arm("open-manipulator-x")
    kinematics, random = Kinematics(spec), np.random.default_rng(0)
    runtime, observer = Observation(contract, spec, kinematics), Observer(contract, 2)
    shown = np.zeros(contract.observation_size, dtype=np.float32)
    assert contract.target is not None
    for k in range(6):
        if fresh := k in (0, 4):
            runtime.reset(0.0)
        q, dq = random.uniform(-1, 1, 5), random.uniform(-2, 2, 5)
        target = random.uniform(-0.3, 0.3, contract.target.size)
        runtime.build(q, dq, np.zeros(5), target, 0.02 * k, shown)
        tip = kinematics.tip_position(q)
        sensed = {
            "joint_position": q[:4],
            "joint_velocity": dq[:4],
            "tip_position": tip,
            "last_action": runtime.last_action,
            "target": target,
            "target_error": target - (tip if contract.target.kind == "tip_position" else q[:4]),
        }
        rows = {kind: np.tile(values, (2, 1)) for kind, values in sensed.items()}
        if fresh:
            observer.reset(np.array([0, 1]), rows)
        else:
            observer.update(rows)
        assert observer.values[0] == pytest.approx(shown, abs=1e-6)
        assert np.array_equal(observer.values[0], observer.values[1])
        runtime.last_action[:] = random.uniform(-2, 2, 4)


def test_terms_that_no_task_makes_are_refused() -> None:
    contract = Contract((Term("phase", 2, period=1.0),), Action("torque", JOINTS), rate=50.0)
    with pytest.raises(ValueError, match="phase"):
        Observer(contract, 1)
