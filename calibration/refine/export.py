"""What was learnt goes into the maps' own networks, so that whoever flies a calibration flies it: nothing else changes.

Pre behind the observation map's `mapped`; post before the other map, on the newest and on every older torque, or goal.
Each file is proven to compute what torch computes, and what the maps say of novelty stays theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import compose

from calibration.maps.export import TOLERANCE, MapExportError
from calibration.maps.graph import Graph
from calibration.refine.network import Around, SmallMap
from robot_runtime.arrays import Floats
from robot_runtime.calibrated.file import MapFile
from robot_runtime.calibrated.maps import NOW

OWN = "own/"
"""What the names of the map's own network begin with."""
ROWS = 100


def with_pre(file: MapFile, around: Around, joints: Sequence[str]) -> MapFile:
    """The observation map, with pre behind it. `joints`: the policy's.

    Raises:
        MapExportError: it does not compute what torch computes.
    """
    index = [file.joints.index(name) for name in joints]
    at = [*index, *(len(file.joints) + i for i in index)]
    size = 2 * len(file.joints)
    own, graph = _own(file, "history", OWN + "mapped"), Graph(0, "pre/")
    graph.node("Identity", OWN + "novelty", out="novelty")
    first, second, bound = _matrices(around.pre, at, size)
    hidden = graph.node("Tanh", graph.linear(OWN + "mapped", *first))
    share = graph.node("Tanh", graph.linear(hidden, *second))
    graph.linear(share, np.diag(bound), OWN + "mapped", out="mapped")
    made = _whole(file, own, [*own.graph.node, *graph.nodes], graph)
    _prove(file, made, lambda x: x, lambda y: _mapped(around.pre, y, at))
    return made


def with_post(file: MapFile, post: SmallMap, joints: Sequence[str]) -> MapFile:
    """A torque or goal map, with post before it, tap by tap; otherwise as `with_pre`."""
    index = [file.joints.index(name) for name in joints]
    count, quantities, taps = len(file.joints), len(file.taps), len(next(iter(file.taps.values())))
    at = [quantity * count + i for quantity in range(quantities) for i in index]
    own, graph, size = _own(file, OWN + "history", "mapped"), Graph(0, "post/"), taps * count
    rest = int(own.graph.input[0].type.tensor_type.shape.dim[1].dim_value) - quantities * size
    sizes = graph.constant([*[size] * quantities, rest], np.int64)
    parts = [f"post/part{i}" for i in range(quantities + 1)]
    graph.nodes.append(onnx.helper.make_node("Split", ["history", sizes], parts, axis=1))
    shape = graph.constant([1, taps, count], np.int64)
    rows = [graph.node("Reshape", part, shape) for part in parts[:-1]]
    first, second, bound = _matrices(post, at, quantities * count)
    value = graph.node("Concat", *rows, axis=2)
    for weight, bias in (first, (second[0][:count], second[1][:count])):
        product = graph.node("MatMul", value, graph.constant(weight.T))
        value = graph.node("Tanh", graph.node("Add", product, graph.constant(bias)))
    more = graph.node("Mul", value, graph.constant(bound[:count]))
    flat = graph.node("Reshape", graph.node("Add", rows[0], more), graph.constant([1, size], np.int64))
    graph.node("Concat", flat, *parts[1:], axis=1, out=OWN + "history")
    made = _whole(file, own, [*graph.nodes, *own.graph.node], graph)
    columns = [
        [quantity * size + tap * count + i for quantity in range(quantities) for i in index] for tap in range(taps)
    ]

    def before(x: Floats) -> Floats:
        for column in columns:
            x = _mapped(post, x, column)
        return x

    _prove(file, made, before, lambda y: y)
    return made


def _own(file: MapFile, takes: str, gives: str) -> onnx.ModelProto:
    """The map's own network, its names out of the way but for what it takes or gives."""
    model = compose.add_prefix(onnx.load_from_string(file.onnx), OWN)
    names = {OWN + "history": takes, OWN + "mapped": gives}
    if gives == "mapped":
        names[OWN + "novelty"] = "novelty"
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    return model


def _whole(file: MapFile, own: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], graph: Graph) -> MapFile:
    model = onnx.load_from_string(file.onnx)
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend([*own.graph.initializer, *graph.constants])
    onnx.checker.check_model(model)
    return replace(file, onnx=model.SerializeToString(deterministic=True))


Change = Callable[[Floats], Floats]
Layer = tuple[Floats, Floats]


def _matrices(net: SmallMap, at: Sequence[int], size: int) -> tuple[Layer, Layer, Floats]:
    """Both layers and the bound, for a vector of which these entries are meant."""
    first, second = net.first, net.second
    w1, b1, w2, b2 = (p.detach().numpy().astype(float) for p in (first.weight, first.bias, second.weight, second.bias))
    into, out = np.zeros((len(w1), size)), np.zeros((size, len(b1)))
    given = at[: len(w2)]
    into[:, at], out[given] = w1 / net.unit.numpy(), w2
    offset, bound = np.zeros(size), np.zeros(size)
    offset[given], bound[given] = b2, net.bound.numpy()
    return (into, b1), (out, offset), bound


def _mapped(net: SmallMap, x: Floats, at: Sequence[int]) -> Floats:
    with torch.inference_mode():
        found = x.copy()
        found[:, at[: len(net.bound)]] = net(torch.from_numpy(x[:, at].astype(np.float32))).numpy()
    return found


def _prove(file: MapFile, made: MapFile, before: Change, after: Change) -> None:
    own, whole = (ort.InferenceSession(f.onnx, providers=["CPUExecutionProvider"]) for f in (file, made))
    size = own.get_inputs()[0].shape[1]
    random = np.random.default_rng(0)
    for _ in range(ROWS):
        x = random.normal(0.0, 0.5, (1, size))
        volts = size - len(NOW) * len(file.joints)
        x[:, volts : volts + len(file.joints)] = 10.0  # if it takes any
        got, far = whole.run(["mapped", "novelty"], {"history": x.astype(np.float32)})
        wanted, as_far = own.run(["mapped", "novelty"], {"history": before(x).astype(np.float32)})
        for a, b in ((got, after(wanted)), (far, as_far)):
            if not np.all(np.abs(a - b) <= TOLERANCE * (1.0 + np.abs(b))):
                worst = float(np.abs(a - b).max())
                raise MapExportError(f"a refined map was not made: its ONNX is off by {worst:.2g}")
