"""A policy made by hand: every joint but a gripper swings a little about home. The first one to fly on a new arm.

    python examples/make_wave.py --arm koch-v1.1 --out wave.onnx
    robot-run --policy wave.onnx --duration 10

The network is one matrix: it takes angles, speeds and a phase, and says the sine of the phase for each joint. Its
contract says that an output of 1 means `SWING` from home, and travels inside the file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save_model

from robot_runtime.policy import Action, Contract, Term, contract_to_json
from robot_runtime.spec import ArmSpec, load_arm

SWING = 0.15  # rad
PERIOD = 3.0  # s


def about_home(spec: ArmSpec, *swing: float) -> Action:
    """An output of 1 means so far from home (rad, for all joints or each); a spring draws joints that take torques."""
    joints = tuple(name for name in spec.joint_names if name != "gripper")
    home = dict(zip(spec.joint_names, spec.poses["home"], strict=True))
    by_torque = any(j.mode in ("current", "pwm") for j in spec.joints if j.name in joints)
    return Action(
        "position",
        joints,
        scale=swing,
        offset=tuple(home[name] for name in joints),
        stiffness=(4.0,) if by_torque else None,
        damping=(0.2,) if by_torque else None,
    )


def contract_of(spec: ArmSpec, action: Action, period: float = PERIOD) -> Contract:
    return Contract(
        observation=(
            Term("joint_position", len(action.joints), action.joints),
            Term("joint_velocity", len(action.joints), action.joints),
            Term("phase", 2, period=period),
        ),
        action=action,
        rate=50.0,
        arm=spec.name,
        mjcf_digest=spec.mjcf_digest,
        provenance={"made": "by hand, examples/make_wave.py"},
    )


def make_wave(contract: Contract, path: Path) -> None:
    weights = np.zeros((contract.observation_size, contract.action_size), np.float32)
    weights[-2] = 1.0  # the sine of the phase
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["obs", "weights"], ["actions"])],
        "wave",
        [helper.make_tensor_value_info("obs", TensorProto.FLOAT, [1, contract.observation_size])],
        [helper.make_tensor_value_info("actions", TensorProto.FLOAT, [1, contract.action_size])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {"contract": contract_to_json(contract)})
    save_model(model, str(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--arm", default="koch-v1.1")
    parser.add_argument("--out", type=Path, default=Path("wave.onnx"))
    args = parser.parse_args()
    spec = load_arm(args.arm)
    make_wave(contract_of(spec, about_home(spec, SWING)), args.out)
    print(args.out)


if __name__ == "__main__":
    main()
