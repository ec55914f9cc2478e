"""The maps as ONNX graphs of few nodes: what is linear is folded into one matrix, the ensemble is one network.

At these sizes a node costs as much as thousands of multiplications, so what the torch modules (`maps`) do joint by
joint and step by step becomes a few products for the whole arm. Numbers are the same but for rounding. Inputs and
outputs are flat, quantity by quantity, tap by tap, all joints beside one another, as `robot_runtime.calibrated.maps`
feeds them; outputs: `mapped`, and `novelty` of each joint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from calibration.maps.modules import FADE, MOTOR, PHYSICS, SOFT, GoalMap, ObservationMap, Residual, TorqueMap
from calibration.maps.targets import STICK
from models.export import OPSET
from robot_runtime.arrays import Floats

IR_VERSION = 8
DENSE = 200
"""Hidden units of all joints and members up to which one dense product is cheaper than one for each block."""
LEAST_LOAD = 1e-3
"""Of a motor's torque: less load-dependent friction is not divided by."""


class Graph:
    """Nodes and constants, collected. Every value is 1 x numbers."""

    def __init__(self, inputs: int, prefix: str = "") -> None:
        """`inputs`: numbers of `history`; `prefix`: of the names that it gives."""
        self.inputs, self._prefix = inputs, prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: npt.ArrayLike, kind: Any = np.float32) -> str:
        """The name of a constant."""
        name = f"{self._prefix}c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype=kind), name))
        return name

    def node(self, operator: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        """The name of what a node gives."""
        name = out or f"{self._prefix}v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def linear(self, x: str, weight: Floats, bias: Floats | str, out: str = "") -> str:
        """`weight` (outputs x inputs) times x, plus a constant or another value."""
        plus = bias if isinstance(bias, str) else self.constant(bias.reshape(1, -1))
        return self.node("Gemm", x, self.constant(weight.T), plus, out=out)

    def blocks(self, x: str, weight: Floats, bias: Floats, out: str = "") -> str:
        """Groups of inputs, each with its own outputs: weight (groups x outputs x inputs), bias (groups x outputs)."""
        groups, outputs, inputs = weight.shape
        if groups == 1 or groups * outputs <= DENSE:
            dense = np.zeros((groups, outputs, groups, inputs))
            dense[np.arange(groups), :, np.arange(groups), :] = weight
            return self.linear(x, dense.reshape(groups * outputs, groups * inputs), bias.reshape(-1), out)
        wide = self.node("Reshape", x, self.constant([1, groups * inputs, 1], np.int64))
        kernel = self.constant(weight.reshape(groups * outputs, inputs, 1))
        return self.node("Conv", wide, kernel, self.constant(bias.reshape(-1)), group=groups, out=out)

    def model(self, outputs: dict[str, int], metadata: dict[str, str]) -> onnx.ModelProto:
        """The finished ONNX."""
        tensor = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "map",
            [tensor("history", TensorProto.FLOAT, (1, self.inputs))],
            [tensor(name, TensorProto.FLOAT, (1, size)) for name, size in outputs.items()],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model)
        return model


def observation_graph(module: ObservationMap) -> Graph:
    """An observation map. Its input: taps of q, of dq, of command; each tap all joints."""
    joints, taps = module.joints, module.taps
    column = np.arange(3 * taps * joints).reshape(3, taps, joints)
    features = np.zeros((joints, 3 * taps, column.size))
    base = np.zeros((2, joints, column.size))
    relative = _of(module.relative).reshape(-1)
    for j in range(joints):
        q, dq, command = column[:, :, j]
        for i in range(taps):
            if i < taps - 1:
                features[j, i, q[i]], features[j, i, q[i + 1]] = module.rate, -module.rate
            features[j, taps + i, dq[i]] = 1.0
            features[j, 2 * taps + i, command[i]] = 1.0
            features[j, 2 * taps + i, q[0]] -= relative[j]
        base[0, j, q[0]], base[0, j, dq[0]], base[1, j, dq[0]] = 1.0, module.lead, 1.0
    graph = Graph(column.size)
    still = np.concatenate([_of(module.offset).reshape(-1), np.zeros(joints)])
    spread = np.concatenate([module.lead * np.eye(joints), np.eye(joints)])

    def simple(more: Floats, out: str) -> str:
        return graph.linear("history", base.reshape(2 * joints, -1), still + more, out)

    _residual(graph, module.residual, "history", features, simple, spread, lambda: _moves(graph, module))
    return graph


def _moves(graph: Graph, module: ObservationMap) -> str:
    """`ObservationMap.moves`; no name where it is 1 of all joints."""
    joints, taps = module.joints, module.taps
    still = _of(module.still).reshape(-1)
    if not still.any():
        return ""
    past = np.zeros((taps - 1, joints, 3 * taps * joints))
    past[:, np.arange(joints), np.arange(joints)] = -1.0
    for i in range(1, taps):
        past[i - 1, np.arange(joints), i * joints + np.arange(joints)] = 1.0
    rows = past.reshape(-1, past.shape[2])
    way = graph.node("LeakyRelu", graph.linear("history", rows, np.zeros(len(rows))), alpha=-1.0)
    share = np.divide(1.0, taps * still, out=np.zeros(joints), where=still > 0.0)
    mean = np.tile(np.diag(share), taps - 1)
    moved = graph.linear(way, mean, np.where(still > 0.0, -1.0, 1.0))
    return graph.node("HardSigmoid", moved, alpha=1.0, beta=0.0)


def torque_graph(module: TorqueMap) -> Graph:
    """A torque map. Its input: taps of torque, of dq, then volts, extra torque, weight; each tap all joints."""
    joints, taps = module.joints, module.taps
    size = taps * joints
    graph = Graph(2 * size + 3 * joints)
    torque, dq, now = np.split(np.eye(graph.inputs), [size, 2 * size])
    volts, extra, weight = np.split(now, 3)
    command = _physics(graph, module, torque[:joints], dq[:joints], volts, extra, weight)
    both = graph.node("Concat", command, "history", axis=1)
    features = np.zeros((joints, 1 + taps, joints + graph.inputs))
    for j in range(joints):
        features[j, 0, j] = 1.0
        features[j, 1:, joints:] = dq[j::joints]

    def simple(more: Floats, out: str) -> str:
        return graph.linear(both, np.eye(joints, joints + graph.inputs), more, out)

    _residual(graph, module.residual, both, features, simple, np.eye(joints))
    return graph


def goal_graph(module: GoalMap) -> Graph:
    """A goal map. Its input: taps of goal, of q, of dq, then volts, extra torque, weight; each tap all joints."""
    joints, taps = module.joints, module.taps
    size = taps * joints
    graph = Graph(3 * size + 3 * joints)
    goal, q, dq, more = np.split(np.eye(graph.inputs), [size, 2 * size, 3 * size])
    volts, extra, weight = np.split(more, 3)
    speed = (goal[:joints] - goal[-joints:]) / module.span
    sense = graph.node("Tanh", graph.linear("history", speed / STICK, np.zeros(joints)))
    supply = graph.linear("history", volts, np.zeros(joints))
    arm = _steady(graph, module, "", sense, weight + extra, speed, supply)
    simulated = _steady(graph, module, "sim_", sense, weight, speed, graph.constant(_column(module.sim_volts).T))
    moved = graph.linear(graph.node("Sub", arm, simulated), np.diag(1.0 / _column(module.gain)[:, 0]), np.zeros(joints))
    most = graph.constant(_column(module.authority).T), graph.constant(-_column(module.authority).T)
    moved = graph.node("Max", graph.node("Min", moved, most[0]), most[1])

    def simple(more: Floats, out: str) -> str:
        still = graph.linear("history", goal[:joints], more - _column(module.offset)[:, 0])
        return graph.node("Add", moved, still, out=out)

    features = np.zeros((joints, 2 * taps, graph.inputs))
    for j in range(joints):
        features[j, :taps] = (goal - q)[j::joints]
        features[j, taps:] = dq[j::joints]
    _residual(graph, module.residual, "history", features, simple, np.eye(joints))
    return graph


def _steady(graph: Graph, module: GoalMap, whose: str, sense: str, weight: Floats, speed: Floats, volts: str) -> str:
    """`GoalMap.duty`; weight and speed: where they stand in the history."""
    zero = np.zeros(module.joints)
    coulomb, viscous, load, constant, resistance, supply = (_column(getattr(module, whose + name)) for name in MOTOR)

    def scaled(value: str, factor: Floats) -> str:
        return graph.node("Mul", value, graph.constant(factor.T))

    needed = graph.linear("history", weight + viscous * speed, scaled(sense, coulomb))
    helped = graph.node("Mul", scaled(sense, load), graph.node("Sign", needed))
    motor = graph.node("Div", needed, graph.node("Sub", graph.constant(1.0), helped))
    turning = graph.linear("history", constant * speed, zero)
    across = graph.node("Add", scaled(motor, resistance / constant), turning)
    if not supply.any():
        return graph.node("Div", across, volts)
    lost = graph.node("Mul", scaled(motor, 4.0 * supply / constant), across)
    left = graph.node("Relu", graph.node("Sub", graph.node("Mul", volts, volts), lost))
    whole = graph.node("Add", volts, graph.node("Sqrt", left))
    return graph.node("Div", graph.node("Add", across, across), whole)


def _residual(
    graph: Graph,
    residual: Residual,
    x: str,
    features: Floats,
    simple: Callable[[Floats, str], str],
    spread: Floats,
    counts: Callable[[], str] = str,
) -> None:
    """`mapped` = simple + spread @ residual, and `novelty`. `features`: joints x features x numbers of x.

    `simple`: makes what the residual is added to, plus a constant, of a name. `counts`: makes what share of it counts.
    """
    joints = len(features)
    scale = _of(residual.scale).reshape(joints, -1)
    weight = features * scale[:, :, None]
    bias = -scale * _of(residual.mean).reshape(joints, -1)
    watched = residual.watched.numpy()
    flat = weight[:, watched].reshape(-1, weight.shape[2])
    far = graph.node("LeakyRelu", graph.linear(x, flat, bias[:, watched].reshape(-1)), alpha=-1.0)  # its size, fused
    rows = graph.node("Reshape", far, graph.constant([1, joints, -1], np.int64))
    graph.node("ReduceMax", rows, graph.constant([2], np.int64), keepdims=0, out="novelty")
    most, clip = _of(residual.most).reshape(-1), _of(residual.clip).reshape(-1)
    share = np.divide(1.0, most, out=np.zeros(joints), where=most > 0.0)
    linear = _of(residual.linear).reshape(joints, -1)
    if not (most.any() and (linear.any() or clip.any() or _of(residual.bias).any())):
        simple(np.zeros(len(spread)), "mapped")
        return
    by_filter = np.einsum("jf,jfx->jx", linear, weight) * share[:, None]
    offset = (np.sum(linear * bias, axis=1) + _of(residual.bias).reshape(-1)) * share
    added = graph.linear(x, by_filter, offset)
    if clip.any():
        faded = _networks(graph, residual, x, weight, bias, clip)
        added = graph.linear(faded, np.diag(clip * share), added)
    if share_of := counts():
        added = graph.node("Mul", added, share_of)
    # What is clipped to ±1 becomes 0 to 1, because that can be one node with the product before it.
    clipped = graph.node("HardSigmoid", added, alpha=0.5, beta=0.5)
    graph.linear(clipped, 2.0 * spread * most, simple(-spread @ most, ""), out="mapped")


def _networks(graph: Graph, residual: Residual, x: str, weight: Floats, bias: Floats, clip: Floats) -> str:
    """The ensemble's mean in units of its clip, clipped, faded."""
    joints, members = len(weight), residual.ensemble.members
    parts = [_of(getattr(residual.ensemble, name)) for name in ("w0", "w1", "w2", "b0", "b1", "b2")]
    w0, w1, w2, b0, b1, b2 = (p.reshape(members, joints, *p.shape[1:]).swapaxes(0, 1) for p in parts)
    first = np.einsum("jmfh,jfx->jmhx", w0, weight).reshape(-1, weight.shape[2])
    at_mean = np.einsum("jmfh,jf->jmh", w0, bias) + b0[:, :, 0]
    hidden = graph.node("Tanh", graph.linear(x, first, at_mean.reshape(-1)))
    inner = w1.swapaxes(2, 3).reshape(joints * members, w1.shape[3], w1.shape[2])
    deeper = graph.blocks(hidden, inner, b1.reshape(joints * members, -1))
    hidden = graph.node("Tanh", deeper)
    wide = joints * members * inner.shape[1]
    if len(inner) > 1 and wide > DENSE:
        hidden = graph.node("Reshape", hidden, graph.constant([1, wide], np.int64))
    share = np.divide(1.0, clip, out=np.zeros(joints), where=clip > 0.0) / members
    last = np.zeros((joints, joints, members * w2.shape[2]))
    last[np.arange(joints), np.arange(joints)] = w2.reshape(joints, -1) * share[:, None]
    mean = graph.linear(hidden, last.reshape(joints, -1), b2.sum(axis=1).reshape(-1) * share)
    clipped = graph.node("Clip", mean, graph.constant(-1.0), graph.constant(1.0))
    slope = 1.0 / (FADE[1] - FADE[0])
    fade = graph.node("HardSigmoid", "novelty", alpha=-slope, beta=FADE[1] * slope)
    return graph.node("Mul", clipped, fade)


def _physics(
    graph: Graph, module: TorqueMap, torque: Floats, dq: Floats, volts: Floats, extra: Floats, weight: Floats
) -> str:
    """The command by physics, of all joints. Where these stand in the history: matrices, a row for each joint.

    Terms that are zero for all joints are left out.
    """
    n = {name: _column(getattr(module, name))[:, 0] for name in (*PHYSICS, "pwm")}
    zero = np.zeros(module.joints)

    def scaled(value: str, factor: Floats) -> str:
        return graph.node("Mul", value, graph.constant(factor.reshape(1, -1)))

    # In N·m times a factor that the steps behind need anyway: for a current, or for twice the volts that it takes.
    pwm = n["pwm"]
    unit = 2.0 * n["resistance"] / n["constant"] if pwm.any() else n["nominal_constant"] / n["constant"]
    if n["load"].min() > LEAST_LOAD:  # dividing everything by it spares a product
        unit = unit / n["load"]
    straight = unit[:, None] * (torque + extra + (n["viscous"] - n["sim_viscous"])[:, None] * dq)
    rubs, loaded = unit * (n["coulomb"] - n["sim_coulomb"]), unit * n["sim_load"]
    sense = ""
    if rubs.any() or loaded.any() or n["load"].any():
        sense = _sense(graph, n, torque, dq, weight)
    if loaded.any():
        size_of = graph.node("LeakyRelu", graph.linear("history", loaded[:, None] * torque, zero), alpha=-1.0)
        dry = graph.node("Mul", sense, graph.node("Sub", graph.constant(rubs.reshape(1, -1)), size_of))
        motor = graph.linear("history", straight, dry)
    else:
        motor = graph.linear("history", straight, scaled(sense, rubs) if rubs.any() else zero)
    if n["load"].min() > LEAST_LOAD:
        helped = graph.node("Mul", sense, graph.node("Sign", motor))
        motor = graph.node("Div", motor, graph.node("Sub", graph.constant(1.0 / n["load"].reshape(1, -1)), helped))
    elif n["load"].any():
        helped = graph.node("Mul", scaled(sense, n["load"]), graph.node("Sign", motor))
        motor = graph.node("Div", motor, graph.node("Sub", graph.constant(1.0), helped))
    if not pwm.any():
        return motor
    supply = graph.linear("history", volts, zero)
    twice = graph.node("Add", motor, graph.linear("history", 2.0 * n["constant"][:, None] * dq, zero))
    if n["supply"].any():
        load = graph.node("Mul", scaled(motor, n["supply"] / n["resistance"]), twice)
        left = graph.node("Relu", graph.node("Sub", graph.node("Mul", supply, supply), load))
        whole = graph.node("Add", supply, graph.node("Sqrt", left))
    else:
        whole = graph.node("Add", supply, supply)
    duty = graph.node("Div", twice, whole)
    if pwm.all():
        return duty
    by_current = scaled(motor, (1.0 - pwm) * n["nominal_constant"] / (2.0 * n["resistance"]))
    return graph.node("Add", scaled(duty, pwm), by_current)


def _sense(graph: Graph, n: Mapping[str, Floats], torque: Floats, dq: Floats, weight: Floats) -> str:
    """Which way dry friction acts, and what share of it: see `TorqueMap.sense`."""
    zero = np.zeros(len(torque))
    moving = graph.node("Tanh", graph.linear("history", dq / STICK, zero))
    most = np.maximum(np.maximum(n["sim_coulomb"], SOFT * n["coulomb"]), 1e-6)
    push, rest = graph.linear("history", (torque - weight) / most[:, None], zero), graph.constant(1.0)
    if n["sim_load"].any():
        load = graph.linear("history", (n["sim_load"] / most)[:, None] * torque, zero)
        push = graph.node("Div", push, graph.node("Add", graph.node("Abs", load), rest))
    held = graph.node("Clip", push, graph.constant(-1.0), rest)
    still = graph.node("Sub", rest, graph.node("Abs", moving))
    return graph.node("Add", moving, graph.node("Mul", still, held))


def _column(tensor: torch.Tensor) -> Floats:
    """One number a joint."""
    return _of(tensor).reshape(-1, 1)


def _of(tensor: torch.Tensor) -> Floats:
    return np.asarray(tensor.detach().numpy(), dtype=np.float64)
