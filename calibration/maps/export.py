"""A fitted map as it goes into arm.cal, proven to compute what its torch module computes: on data, and beyond.

Metadata of the ONNX says what goes in, too: kind of map, joints, period, taps.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from calibration.errors import CalibrationError
from calibration.maps.fit import GOAL_HISTORY, SENSE_HISTORY, TORQUE_HISTORY, lags_of
from calibration.maps.graph import Graph, goal_graph, observation_graph, torque_graph
from calibration.maps.modules import FADE, GoalMap, ObservationMap, TorqueMap
from robot_runtime.arrays import Floats
from robot_runtime.calibrated.file import MapFile
from robot_runtime.calibrated.maps import QUANTITIES

METADATA_KEY = "map"
TOLERANCE = 1e-4
"""Times (1 + |y|): the largest difference between ONNX and torch, single precision both; inputs beyond the data too."""
ROUNDING = 4.0 * 2.0**-23
"""Of an angle, in single precision, where it is taken times the rate to become a speed: the ONNX does that to every
tap, torch to differences, which lose less. Some 1e-4 rad/s."""
STRETCH = (1.0, 0.1, 2.0, 5.0)
"""Times the inputs of the data: where else they are compared."""
ROWS = 200
"""Of the inputs, at most, that are compared."""


Map = ObservationMap | TorqueMap | GoalMap


class MapExportError(CalibrationError):
    """The ONNX does not compute what the map computes; nothing was made."""


def observation_file(
    module: ObservationMap, inputs: Floats, joints: Sequence[str], period: float, bound: float = FADE[1]
) -> MapFile:
    """An observation map for arm.cal. Inputs: some of what it was fitted to, as `fit.sense_inputs` makes them.

    bound: novelty (standard deviations) from which on a joint is outside of what the map knows.

    Raises:
        MapExportError: ONNX and torch differ.
    """
    lags = _lags(SENSE_HISTORY, period, module.taps)
    commands = [lag + 1 for lag in lags]  # see fit.sense_inputs
    return _file(
        "observation", module, observation_graph(module), inputs, joints, period, [lags, lags, commands], bound
    )


def torque_file(
    module: TorqueMap, inputs: Floats, joints: Sequence[str], period: float, bound: float = FADE[1]
) -> MapFile:
    """A torque map for arm.cal. Inputs: as `fit.torque_inputs` makes them. Otherwise as `observation_file`."""
    lags = _lags(TORQUE_HISTORY, period, module.taps)
    return _file("torque", module, torque_graph(module), inputs, joints, period, [lags, lags], bound)


def goal_file(module: GoalMap, inputs: Floats, joints: Sequence[str], period: float, bound: float = FADE[1]) -> MapFile:
    """A goal map for arm.cal. Inputs: (samples, joints, 3 taps + 3), see `GoalMap`. Otherwise as `observation_file`."""
    lags = _lags(GOAL_HISTORY, period, module.taps)
    return _file("goal", module, goal_graph(module), inputs, joints, period, [lags, lags, lags], bound)


def _lags(history: Sequence[float], period: float, taps: int) -> tuple[int, ...]:
    lags = lags_of(history, period)
    if len(lags) != taps:
        raise MapExportError(f"the map has {taps} taps; at {period:g} s it should have {len(lags)}: another period?")
    return lags


def _file(
    kind: str,
    module: Map,
    graph: Graph,
    inputs: Floats,
    joints: Sequence[str],
    period: float,
    lags: Sequence[Sequence[int]],
    bound: float,
) -> MapFile:
    taps = {
        name: tuple(round(lag * period, 9) for lag in each) for name, each in zip(QUANTITIES[kind], lags, strict=True)
    }
    told = {"kind": kind, "joints": list(joints), "period": period, "taps": taps}
    mapped = (2 if kind == "observation" else 1) * module.joints
    model = graph.model({"mapped": mapped, "novelty": module.joints}, {METADATA_KEY: json.dumps(told)})
    content = model.SerializeToString(deterministic=True)
    worst = _difference(module, content, inputs, len(taps))
    if not worst <= 1.0:
        raise MapExportError(f"the {kind} map was not made: its ONNX is off by {worst:.2g} times what it may be")
    return MapFile(content, tuple(joints), period, taps, bound)


def flat(inputs: npt.ArrayLike, joints: int, taps: int, quantities: int) -> Floats:
    """Rows as torch modules take them, joint by joint, as the ONNX takes them: quantity by quantity, tap by tap."""
    x = np.asarray(inputs, dtype=float)
    x = x.reshape(len(x), joints, -1)
    history = x[:, :, : quantities * taps].reshape(-1, joints, quantities, taps).transpose(0, 2, 3, 1)
    now = x[:, :, quantities * taps :].transpose(0, 2, 1)
    return np.concatenate([history.reshape(len(x), -1), now.reshape(len(x), -1)], axis=1)


def _difference(module: Map, content: bytes, inputs: Floats, quantities: int) -> float:
    """The largest one, of what is allowed."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    rows = np.asarray(inputs, dtype=np.float32)[:: max(1, len(inputs) // ROWS)]
    worst, rounding = 0.0, ROUNDING * module.rate if isinstance(module, ObservationMap) else 0.0
    for stretch in STRETCH:
        x = (rows * stretch).reshape(len(rows), -1).astype(np.float32)
        with torch.inference_mode():
            wanted = module(torch.from_numpy(x)).numpy()
        given = flat(x, module.joints, module.taps, quantities).astype(np.float32)
        for row, want in zip(given, wanted, strict=True):
            got = np.concatenate(session.run(None, {"history": row[np.newaxis]}), axis=1)[0]
            allowed = TOLERANCE * (1.0 + np.abs(want)) + rounding * np.abs(row).max()
            worst = float(np.maximum(worst, np.max(np.abs(got - want) / allowed)))  # nan stays
    return worst
