"""Where a contract says that the observation holds something is where the runtime puts it."""

from __future__ import annotations

import numpy as np
import pytest

from robot_runtime.arm import Kinematics
from robot_runtime.policy.contract import Action, Contract, Target, Term
from robot_runtime.policy.errors import ContractError
from robot_runtime.policy.observation import Observation
from robot_runtime.spec import load_arm

ARM = load_arm("koch-v1.1")
JOINTS = ARM.joint_names[:3]


def contract(*histories: int, stacked: bool = False, scale: float = 1.0) -> Contract:
    terms = (
        Term("joint_position", 3, JOINTS, history=histories[0]),
        Term("target", 2, history=histories[1]),
        Term("joint_velocity", 3, JOINTS, scale=(scale,) * 3, history=histories[2]),
    )
    return Contract(terms, Action("position", JOINTS), rate=50.0, target=Target("custom", 2), stacked=stacked)


@pytest.mark.parametrize(
    "asked", [contract(1, 1, 1), contract(3, 1, 2), contract(1, 4, 2), contract(3, 3, 3, stacked=True)], ids=str
)
def test_where_things_stand(asked: Contract) -> None:
    observation = Observation(asked, ARM, Kinematics(ARM))
    out = np.zeros(asked.observation_size, dtype=np.float32)
    rng = np.random.default_rng(0)
    past: list[tuple[np.ndarray, ...]] = []
    for k in range(5):
        q, dq, target = rng.normal(size=len(ARM.joints)), rng.normal(size=len(ARM.joints)), rng.normal(size=2)
        past.append((q[:3], target, dq[:3]))
        observation.build(q, dq, np.zeros_like(q), target, 0.02 * k, out)
    for i, term in enumerate(asked.observation):
        for ago in range(term.history):
            shown = out[asked.where(term.kind, ago)]
            assert shown == pytest.approx(past[-1 - ago][i].astype(np.float32))
            assert (shown == out[asked.columns(i, ago)]).all()


def test_what_is_not_there_or_not_as_it_is() -> None:
    for kind, ago in (("joint_velocity", 0), ("tip_position", 0), ("target", 2)):
        with pytest.raises(ContractError, match=f"holds no {kind} as it is"):
            contract(1, 2, 1, scale=0.1).where(kind, ago)
