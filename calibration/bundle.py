"""One ONNX of three: observation map -> frozen policy -> torque or goal map. The policy's weights go in bit for bit.

For programs that run a network and nothing else. Inputs: `observation`, the policy's, whose entries of joint angles
and speeds (the newest, where there is a history) are replaced by what the observation map says; `sense_history` and
`drive_history`, what the two maps take (`robot_runtime.calibrated.maps` says in which order), whose newest torque or
goal, angle and speed are replaced too; the policy's own states; `goal` (rad), where goals add up: the `wanted` of the
step before, and where the joints stand in the first one. Outputs: the policy's, `q_dq` (as the simulator would
sense), `wanted` (N·m or rad before the map), `command`, and both novelties. The policy's names begin with `policy/`.
Entries of tip, torques and target are as given.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper, version_converter

from calibration.errors import CalibrationError
from calibration.maps.graph import IR_VERSION, Graph
from robot_runtime.arm.scaling import POSITION_MODES
from robot_runtime.calibrated.check import held_back
from robot_runtime.calibrated.file import Calibration, MapFile
from robot_runtime.calibrated.maps import NOW, QUANTITIES
from robot_runtime.policy.contract import Action, Contract
from robot_runtime.policy.errors import PolicyFileError
from robot_runtime.policy.load import Policy, load_policy
from robot_runtime.policy.network import OnnxFile
from robot_runtime.safety.servo_stages import WINDUP
from robot_runtime.spec import ArmSpec

POLICY, SENSE, DRIVE = "policy/", "sense/", "drive/"
"""What the names of the three parts begin with in the bundle."""

METADATA_KEY = "bundle"
_ADDS_UP = "position_delta"


class BundleError(CalibrationError):
    """Policy and calibration cannot be made one network; nothing was written.

    Example scenarios:
        - The calibration has no observation map, or no map for the joints that the policy drives.
        - The calibration was refined for another policy, is of another arm, or was not accepted.
        - The action is a velocity or a duty, or adds up and is carried by torque.
    """


@dataclass(frozen=True, slots=True)
class Bundled:
    """What a bundle was made of."""

    path: Path
    weights: dict[str, str]  # the policy's initialisers by name: SHA-256 of their bytes, the same in both files
    replaced: tuple[int, ...]  # entries of the observation that the observation map fills
    forced: tuple[str, ...]  # what spoke against the calibration


def bundle(
    policy_path: Path,
    calibration_path: Path,
    out: Path,
    spec: ArmSpec,
    contract: Path | None = None,
    *,
    force: bool = False,
) -> Bundled:
    """Write the bundle, read it back, and check that the policy's weights in it are the policy's, bit for bit.

    `force`: with a calibration of another arm, or one that was not accepted, too; the bundle says so.

    Raises:
        BundleError: they cannot be made one.
        PolicyError, ArmCalError: one of them cannot be used.
    """
    policy, calibration = load_policy(policy_path, spec, contract), Calibration.read(calibration_path)
    against = held_back(calibration, spec)
    if against and not force:
        raise BundleError(
            f"{calibration_path}: {'; '.join(against)}: give the calibration of this arm that was accepted, or bundle "
            "it with --force if you know better"
        )
    maps, kind = calibration.maps, _kind(policy.contract, spec)
    if "observation" not in maps or kind not in maps:
        has = ", ".join(maps) or "none"
        raise BundleError(f"{calibration_path}: the policy needs the maps observation and {kind}, it has {has}")
    sense, drive = maps["observation"], maps[kind]
    seen = [name for term in policy.contract.observation for name in term.joints]
    driven = set(policy.contract.action.joints)
    if lacking := sorted(({*seen, *driven} - set(sense.joints)) | (driven - set(drive.joints))):
        raise BundleError(f"{calibration_path}: its maps lack {', '.join(lacking)}, which the policy sees or drives")
    if calibration.refined is not None and calibration.refined.policy != policy.digest:
        raise BundleError(
            f"{calibration_path} was refined for policy {calibration.refined.policy[:12]}, and this is policy "
            f"{policy.digest[:12]}; give the calibration that robot-calibrate fit wrote, or refine that one for it"
        )
    own = onnx.load(str(policy_path))
    model, replaced = _merged(own, policy, spec, sense, drive, kind)
    facts = {"policy": policy.digest, "calibration": calibration.digest, "kind": kind, "replaced": replaced}
    facts |= {"sense": list(sense.joints), "drive": list(drive.joints)}
    facts |= {"forced": against} if against else {}
    told = {p.key: p.value for p in own.metadata_props} | {METADATA_KEY: json.dumps(facts)}
    helper.set_model_props(model, told)
    onnx.checker.check_model(model)
    part = out.with_name(f"{out.name}.part")
    try:
        part.write_bytes(model.SerializeToString(deterministic=True))
        weights = _same_weights(own, part)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return Bundled(out, weights, tuple(replaced), tuple(against))


def is_bundle(path: Path) -> bool:
    """Whether this file was written by `bundle`."""
    try:
        return METADATA_KEY in OnnxFile(path).metadata
    except PolicyFileError:
        return False


def _kind(contract: Contract, spec: ArmSpec) -> str:
    """Which map drives the policy's joints."""
    action = contract.action
    modes = {spec.joints[spec.joint_names.index(name)].mode for name in action.joints}
    if action.meaning in ("position", _ADDS_UP) and modes <= set(POSITION_MODES):
        return "goal"
    if modes <= {"current", "pwm"} and (
        action.meaning == "torque" or (action.meaning == "position" and action.stiffness)
    ):
        return "torque"
    raise BundleError(
        f"a policy that says {action.meaning} to joints in mode {', '.join(sorted(modes))} does not become one "
        "network: torques and positions do, and position_delta to position modes; robot-run --calibration flies it"
    )


def _merged(
    own: onnx.ModelProto, policy: Policy, spec: ArmSpec, sense: MapFile, drive: MapFile, kind: str
) -> tuple[onnx.ModelProto, list[int]]:
    """The three networks and what is between them, in the policy's opset; and the entries that were replaced."""
    opset = next(o.version for o in own.opset_import if o.domain in ("", "ai.onnx"))
    first, last = (version_converter.convert_version(onnx.load_from_string(m.onnx), opset) for m in (sense, drive))
    parts = [compose.add_prefix(m, p).graph for m, p in ((first, SENSE), (own, POLICY), (last, DRIVE))]
    before, after = Graph(0, "in/"), Graph(0, "out/")
    before.node("Identity", "sense_history", out=SENSE + "history")
    replaced = _observe(before, policy, sense)
    _drive(after, policy, spec, sense, drive, kind)
    end = Graph(0, "end/")
    for name, value in (("q_dq", SENSE + "mapped"), ("novelty", SENSE + "novelty")):
        end.node("Identity", value, out=name)
    for name, value in (("command", DRIVE + "mapped"), ("drive_novelty", DRIVE + "novelty")):
        end.node("Identity", value, out=name)
    n, m = len(sense.joints), len(drive.joints)
    inputs = {"observation": policy.contract.observation_size, "sense_history": _size(parts[0])}
    inputs["drive_history"] = _size(parts[2])
    if policy.contract.action.meaning == _ADDS_UP:
        inputs["goal"] = policy.contract.action_size
    outputs = {"q_dq": 2 * n, "novelty": n, "wanted": policy.contract.action_size, "command": m, "drive_novelty": m}
    # The history is given before the map, the observation behind it: nodes stand in the order in which they run.
    graph = helper.make_graph(
        [before.nodes[0], *parts[0].node, *before.nodes[1:], *parts[1].node, *after.nodes, *parts[2].node, *end.nodes],
        "bundle",
        [*_floats(inputs), *(v for v in parts[1].input if v.name != POLICY + policy.network.input.name)],
        [*parts[1].output, *_floats(outputs)],
        [t for part in parts for t in part.initializer] + before.constants + after.constants,
    )
    return helper.make_model(
        graph, opset_imports=list(own.opset_import), ir_version=max(own.ir_version, IR_VERSION)
    ), replaced


def _observe(graph: Graph, policy: Policy, sense: MapFile) -> list[int]:
    """The policy's observation with what the map senses in its place; returns the entries that are replaced."""
    contract = policy.contract
    size, joints = contract.observation_size, len(sense.joints)
    keep, pick, plus = np.ones(size), np.zeros((size, 2 * joints)), np.zeros(size)
    low, high = np.full(size, -np.finfo(np.float32).max), np.full(size, np.finfo(np.float32).max)
    for i, term in enumerate(contract.observation):
        entries = np.arange(size)[contract.columns(i)]
        if term.kind not in ("joint_position", "joint_velocity"):
            continue
        scale, offset = np.broadcast_to(term.scale, term.size), np.broadcast_to(term.offset, term.size)
        column = np.array([sense.joints.index(name) for name in term.joints]) + joints * (term.kind != "joint_position")
        keep[entries], pick[entries, column], plus[entries] = 0.0, scale, -scale * offset
        if term.clip is not None:
            low[entries], high[entries] = term.clip
    given = graph.node("Mul", "observation", graph.constant(keep.reshape(1, -1)))
    sensed = graph.linear(SENSE + "mapped", pick, plus)
    within = graph.node("Max", sensed, graph.constant(low.reshape(1, -1)))
    within = graph.node("Min", within, graph.constant(high.reshape(1, -1)))
    whole = graph.node("Add", given, graph.node("Mul", within, graph.constant(1.0 - keep.reshape(1, -1))))
    shape = (1, size)[-len(policy.network.input.shape) :]
    graph.node("Reshape", whole, graph.constant(shape, np.int64), out=POLICY + policy.network.input.name)
    return np.flatnonzero(keep == 0.0).tolist()


def _drive(graph: Graph, policy: Policy, spec: ArmSpec, sense: MapFile, drive: MapFile, kind: str) -> None:
    """The map's history with what the policy wants now, and what is sensed now, in their places."""
    action, state = policy.contract.action, SENSE + "mapped"
    said = graph.node("Reshape", POLICY + policy.network.output.name, graph.constant([1, -1], np.int64))
    wanted = _wanted(graph, action, said, spec, sense, kind)
    graph.node("Identity", wanted, out="wanted")
    count, joints = len(sense.joints), len(drive.joints)
    size = (sum(map(len, drive.taps.values())) + len(NOW)) * joints
    keep, by_policy, by_sense = np.ones(size), np.zeros((size, len(action.joints))), np.zeros((size, 2 * count))
    start = 0
    for quantity, taps in drive.taps.items():  # the newest tap comes first, all joints beside one another
        for j, name in enumerate(drive.joints):
            if quantity == QUANTITIES[kind][0]:
                if name in action.joints:
                    keep[start + j], by_policy[start + j, action.joints.index(name)] = 0.0, 1.0
            elif name in sense.joints:
                column = sense.joints.index(name) + count * (quantity == "dq")
                keep[start + j], by_sense[start + j, column] = 0.0, 1.0
        start += len(taps) * joints
    given = graph.node("Mul", "drive_history", graph.constant(keep.reshape(1, -1)))
    graph.linear(wanted, by_policy, graph.linear(state, by_sense, given), out=DRIVE + "history")


def _wanted(graph: Graph, action: Action, said: str, spec: ArmSpec, sense: MapFile, kind: str) -> str:
    """What the policy's numbers mean: a torque, or a goal that a spring and a damper follow, or a goal."""
    count, state = len(action.joints), SENSE + "mapped"
    at, joints = [sense.joints.index(name) for name in action.joints], len(sense.joints)

    def each(values: Any) -> str:
        return graph.constant(np.broadcast_to(np.asarray(values, dtype=float), count).reshape(1, -1))

    def within(value: str, low: Any, high: Any) -> str:
        if low is not None:
            value = graph.node("Max", value, low if isinstance(low, str) else each(low))
        if high is not None:
            value = graph.node("Min", value, high if isinstance(high, str) else each(high))
        return value

    def standing(plus: float) -> str:
        """Where the joints stand, and so much (rad)."""
        return graph.linear(state, np.eye(2 * joints)[at], np.full(count, plus))

    value = said if action.clip is None else within(said, *action.clip)
    value = graph.node("Add", graph.node("Mul", value, each(action.scale)), each(action.offset))
    value = within(value, action.low, action.high)
    if action.meaning == _ADDS_UP:
        value = graph.node("Add", value, "goal" if action.delta_from == "command" else standing(0.0))
        value = within(value, standing(-WINDUP), standing(WINDUP))
        limits = [spec.joints[spec.joint_names.index(name)].limits for name in action.joints]
        return within(value, [limit.lower for limit in limits], [limit.upper for limit in limits])
    if action.meaning != "position" or kind == "goal":
        return value
    stiffness, damping = (np.broadcast_to(np.array(v), count) for v in (action.stiffness, action.damping))
    pull = np.zeros((count, 2 * joints))
    for i, j in enumerate(at):
        pull[i, j], pull[i, joints + j] = -stiffness[i], -damping[i]
    return graph.linear(state, pull, graph.node("Mul", value, each(stiffness)))


def _size(graph: onnx.GraphProto) -> int:
    return int(graph.input[0].type.tensor_type.shape.dim[1].dim_value)


def _floats(sizes: dict[str, int]) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, size)) for name, size in sizes.items()]


def _same_weights(own: onnx.ModelProto, path: Path) -> dict[str, str]:
    """Digests of the policy's initialisers, once those of the written file were found to be the same.

    Raises:
        BundleError: one differs.
    """
    written = {tensor.name: tensor for tensor in onnx.load(str(path)).graph.initializer}
    digests = {}
    for tensor in own.graph.initializer:
        before, after = (numpy_helper.to_array(t) for t in (tensor, written[POLICY + tensor.name]))
        if before.dtype != after.dtype or before.shape != after.shape or before.tobytes() != after.tobytes():
            raise BundleError(f"nothing was written: the policy's weights '{tensor.name}' came out differently")
        digests[tensor.name] = hashlib.sha256(after.tobytes()).hexdigest()
    return digests
