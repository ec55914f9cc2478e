"""Policies and calibrations of the usual size with random numbers: for benchmarks, which ask what they cost, not what
they do.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from calibration.maps.export import goal_file, observation_file, torque_file
from calibration.maps.fit import SENSE_HISTORY, TORQUE_HISTORY, lags_of, make_goal_map, map_physics
from calibration.maps.modules import GoalMap, ObservationMap, TorqueMap
from calibration.maps.practice import loose
from calibration.physics.numbers import Physics
from calibration.physics.rollout import Rig
from examples.make_wave import about_home
from robot_runtime.calibrated.file import Calibration, MapFile, Row
from robot_runtime.calibrated.identity import Identity
from robot_runtime.policy import Contract, Term, contract_to_json
from robot_runtime.policy.load import Policy, load_policy
from robot_runtime.spec import ArmSpec


def mlp(path: Path, sizes: tuple[int, ...], metadata: dict[str, str] | None = None, last: float = 0.1) -> Path:
    """A perceptron of tanh layers with random weights; those of the last layer are scaled by `last`."""
    random = np.random.default_rng(7)
    nodes, constants, name = [], [], "obs"
    for k, (before, after) in enumerate(pairwise(sizes)):
        at_end = k == len(sizes) - 2
        weights = random.normal(0.0, before**-0.5, (before, after)) * (last if at_end else 1.0)
        constants += [
            numpy_helper.from_array(weights.astype(np.float32), f"w{k}"),
            numpy_helper.from_array(np.zeros(after, np.float32), f"b{k}"),
        ]
        y = "actions" if at_end else f"y{k}"
        nodes.append(helper.make_node("Gemm", [name, f"w{k}", f"b{k}"], [y]))
        if not at_end:
            nodes.append(helper.make_node("Tanh", [y], [name := f"h{k}"]))
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "mlp",
        [tensor("obs", TensorProto.FLOAT, (1, sizes[0]))],
        [tensor("actions", TensorProto.FLOAT, (1, sizes[-1]))],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, str(path))
    return path


def policy(folder: Path, spec: ArmSpec, rate: float, swing: float = 0.5) -> Policy:
    """It moves every joint but a gripper about home by up to `swing` (rad); torque joints by a spring."""
    action = about_home(spec, swing)
    count = len(action.joints)
    contract = Contract(
        observation=(
            Term("joint_position", count, action.joints),
            Term("joint_velocity", count, action.joints, scale=(0.1,)),
            Term("last_action", count),
            Term("phase", 2, period=2.0),
        ),
        action=action,
        rate=rate,
        arm=spec.name,
        mjcf_digest=spec.mjcf_digest,
    )
    sizes = (contract.observation_size, 64, 64, contract.action_size)
    return load_policy(mlp(folder / "policy.onnx", sizes, {"contract": contract_to_json(contract)}, last=0.3), spec)


def random_maps(spec: ArmSpec, period: float) -> dict[str, MapFile]:
    """Maps of the size of fitted ones, for all joints but a gripper: the data files' physics, and residuals that use
    every term and say next to nothing.
    """
    torch.manual_seed(0)
    joints = [j for j in spec.joints if j.name != "gripper"]
    names, n = tuple(j.name for j in joints), len(joints)
    taps = len(lags_of(TORQUE_HISTORY, period))
    rig = Rig.of(spec, names)
    numbers = Physics(rig.world, ()).nominal
    sense = ObservationMap(
        n, len(lags_of(SENSE_HISTORY, period)), torch.zeros(n), 0.0, relative=torch.zeros(n), period=period
    )
    sense.still.copy_(
        torch.tensor(np.where(loose(rig, numbers) | rig.laws.position, 0.0, rig.laws.tick)).reshape(n, 1, 1)
    )
    by_goal = joints[0].mode == "position"
    pwm = torch.tensor([float(j.mode == "pwm") for j in joints])
    drive = make_goal_map(rig, numbers, period) if by_goal else TorqueMap(n, taps, map_physics(rig, numbers), pwm=pwm)
    for module in (sense, drive):
        residual = module.residual
        residual.scale.fill_(1e-3)
        residual.most.fill_(0.3)
        residual.linear.normal_(std=0.02)
        if module is sense or not by_goal:
            residual.clip.fill_(1e-3)
        torch.nn.init.normal_(residual.ensemble.w2, std=0.1)
    random = np.random.default_rng(0)
    rows = random.normal(0.0, 0.3, (20, n, 3 * sense.taps))
    maps = {"observation": observation_file(sense, rows, names, period)}
    if isinstance(drive, GoalMap):
        moved = random.uniform(0.5, 1.0, (20, n, 3 * drive.taps + 3))
        return maps | {"goal": goal_file(drive, moved, names, period)}
    return maps | {"torque": torque_file(drive, random.uniform(0.5, 1.0, (20, n, 2 * taps + 3)), names, period)}


def calibration(spec: ArmSpec, period: float) -> Calibration:
    """Of random maps, for a bus of this period (s)."""
    return Calibration(
        identity=Identity.of_spec(spec),
        maps=random_maps(spec, period),
        physics={},
        acceptance=(Row("none", "none", 0.0, 1.0, passed=True),),
        accepted=True,
        volts=(4.0, 13.0),
        celsius=(20.0, 60.0),
        logs={},
        created="",
        versions={},
    )
